/* libxl.i - the whole C API, as SWIG reads it
 *
 * Said once, for every language. What differs from language to language
 * (typemaps, names, what is written by hand) is in that language's folder,
 * whose own .i file includes this one.
 */
%module libxl

%{
#include "xlchild/ctx.h"
#include "xlchild/event.h"
#include "xlchild/osevent.h"
#include "xlchild/childproc.h"
#include "xlchild/exec.h"
#include "xlchild/family.h"
#include "xlchild/account.h"
%}

/* The types that the headers take from the system. */
typedef int pid_t;
typedef unsigned int uid_t;
typedef unsigned int gid_t;
typedef unsigned int mode_t;
typedef unsigned long size_t;
typedef unsigned long uint64_t;
typedef long int64_t;

/* Attributes say nothing about the interface; a mask of 64 bits is a value. */
#define LIBXL_API
#define LIBXL_SYMBOL(name)
%ignore LIBXL_EVENTMASK_ALL;

%include "xlchild/ctx.h"
%include "xlchild/event.h"
%include "xlchild/osevent.h"
%include "xlchild/treaty.h"
%include "xlchild/childproc.h"
%include "xlchild/exec.h"
%include "xlchild/family.h"
%include "xlchild/account.h"
