/* pin.c - the object that this code is in stays loaded
 *
 * Called by ctx.c for the first ctx. libxlchild.so says so itself (c/build.mk).
 */
#define _GNU_SOURCE
#include "kernel/pin.h"

#include <dlfcn.h>
#include <stdatomic.h>
#include <stddef.h>

/* A static program cannot be unloaded; and naming dlopen would have the linker
 * warn whoever makes one. */
#pragma weak dlsym

void xl_pin(void)
{
    static atomic_int done;
    void *(*open_object)(const char *name, int flags);
    Dl_info object;

    if (dlsym == NULL || atomic_exchange(&done, 1))
        return;
    *(void **)&open_object = dlsym(RTLD_DEFAULT, "dlopen");
    if (open_object != NULL && dladdr((void *)&done, &object) != 0 &&
        object.dli_fname != NULL)
        (void)open_object(object.dli_fname,
                          RTLD_LAZY | RTLD_NOLOAD | RTLD_NODELETE);
}
