/* xlchild.h - all of libxlchild's public interface */
#ifndef XLCHILD_H
#define XLCHILD_H

#include "xlchild/ctx.h"
#include "xlchild/event.h"
#include "xlchild/osevent.h"
#include "xlchild/childproc.h"
#include "xlchild/exec.h"
#include "xlchild/family.h"
#include "xlchild/account.h"

#endif
