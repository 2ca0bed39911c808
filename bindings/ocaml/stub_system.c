/* stub_system.c - what OCaml's Unix lacks and forkhelpers need
 *
 * Called by ocaml/lib/command.ml and by ocaml/forkhelpers through externals of
 * their own. None touches a context.
 */
#define _GNU_SOURCE
#include "stub.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

static value limit(rlim_t n)
{
    return Val_long(n == RLIM_INFINITY || n > (rlim_t)Max_long ? -1 : (intnat)n);
}

/* getrlimit : int -> int * int; soft and hard, -1 for none, (-2, errno) where
 * it failed */
value xlchild_ml_getrlimit(value resource)
{
    struct rlimit r;
    value pair;
    int failed = getrlimit(Int_val(resource), &r), errnoval = errno;

    pair = caml_alloc_small(2, 0);
    Field(pair, 0) = failed ? Val_int(-2) : limit(r.rlim_cur);
    Field(pair, 1) = failed ? Val_int(errnoval) : limit(r.rlim_max);
    return pair;
}

/* memory_file : string -> int; a file without a name, or -errno. Writes go to
 * its end, whoever wrote before. */
value xlchild_ml_memory_file(value name)
{
    int fd = memfd_create(String_val(name), MFD_CLOEXEC);

    if (fd >= 0)
        fcntl(fd, F_SETFL, O_APPEND);
    return Val_int(fd < 0 ? -errno : fd);
}

/* file_contents : Unix.file_descr -> string, whatever its offset is: that is
 * its writers'. Empty where it cannot be read. */
value xlchild_ml_file_contents(value fd_v)
{
    CAMLparam0();
    CAMLlocal1(text);
    int fd = Int_val(fd_v);
    size_t length = 0, n = 0;
    char *data = NULL;
    struct stat st;
    ssize_t r;

    xlo_release();
    if (!fstat(fd, &st) && st.st_size > 0 && (data = malloc(st.st_size)))
        length = st.st_size;
    while (n < length && (r = pread(fd, data + n, length - n, n)) > 0)
        n += r;
    xlo_retake();
    text = caml_alloc_initialized_string(n, data ? data : "");
    free(data);
    CAMLreturn(text);
}
