/* stub_system.c - what OCaml's Unix lacks and forkhelpers need
 *
 * Called by ocaml/lib/command.ml and by ocaml/forkhelpers through externals of
 * their own. None touches a context.
 */
#define _GNU_SOURCE
#include "stub.h"

#include <caml/bigarray.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
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

/* In the order of Safe.flag's constructors. */
static const int open_flags[] = {O_RDWR,  O_WRONLY | O_APPEND, O_CREAT, O_EXCL,
                                 O_TRUNC, O_DIRECTORY,         O_NONBLOCK};

/* open_at : Unix.file_descr -> string -> flag array -> int -> int; a descriptor
 * or -errno. Never follows a symbolic link in the last place, never waits for a
 * FIFO's other end. A folder of -1 is the current one. */
value xlchild_ml_open_at(value folder_v, value name, value flags_v, value mode)
{
    int folder = Int_val(folder_v) < 0 ? AT_FDCWD : Int_val(folder_v);
    int flags = O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY, stays = 0, fd;
    mode_t permissions = Int_val(mode);
    char *copy = strdup(String_val(name));

    if (!copy)
        return Val_int(-ENOMEM);
    for (size_t i = 0; i < Wosize_val(flags_v); i++) {
        flags |= open_flags[Int_val(Field(flags_v, i))];
        stays |= open_flags[Int_val(Field(flags_v, i))] == O_NONBLOCK;
    }
    xlo_release();
    do
        fd = openat(folder, copy, flags, permissions);
    while (fd < 0 && errno == EINTR);
    if (fd >= 0 && !stays)
        fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) & ~O_NONBLOCK);
    xlo_retake();
    fd = fd < 0 ? -errno : fd;
    free(copy);
    return Val_int(fd);
}

/* error_of_errno : int -> Unix.error */
value xlchild_ml_error_of_errno(value errnoval)
{
    return Field(xlo_errno_option(Int_val(errnoval)), 0);
}

/* write_quietly : Unix.file_descr -> Bigarray -> int -> int -> int; bytes, or
 * -errno. No SIGPIPE comes of it. The descriptor does not block. */
value xlchild_ml_write_quietly(value fd, value data, value from, value length)
{
    static const struct timespec at_once;
    char *start = (char *)Caml_ba_data_val(data) + Long_val(from);
    sigset_t pipe_signal, pending, before;
    int errnoval = 0, had_one;
    ssize_t n;

    sigemptyset(&pipe_signal);
    sigaddset(&pipe_signal, SIGPIPE);
    sigpending(&pending);
    had_one = sigismember(&pending, SIGPIPE);
    pthread_sigmask(SIG_BLOCK, &pipe_signal, &before);
    n = write(Int_val(fd), start, Long_val(length));
    if (n < 0)
        errnoval = errno;
    if (errnoval == EPIPE && !had_one)
        while (sigtimedwait(&pipe_signal, NULL, &at_once) < 0 &&
               errno == EINTR)
            ;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return Val_long(n < 0 ? -errnoval : n);
}
