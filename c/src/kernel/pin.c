/* pin.c - the object that this code is in stays loaded
 *
 * Called by ctx.c for the first ctx. libxlchild.so says so itself (c/build.mk).
 */
#define _GNU_SOURCE
#include "kernel/pin.h"

#include <dlfcn.h>
#include <stdatomic.h>
#include <stddef.h>

/* A static program has none, cannot be unloaded, and is not to be warned. */
#pragma weak dlopen

void xl_pin(void)
{
    static atomic_int done;
    Dl_info object;

    if (dlopen == NULL || atomic_exchange(&done, 1))
        return;
    if (dladdr((void *)&done, &object) != 0 && object.dli_fname != NULL)
        (void)dlopen(object.dli_fname, RTLD_LAZY | RTLD_NOLOAD | RTLD_NODELETE);
}
