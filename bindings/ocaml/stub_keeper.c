/* stub_keeper.c - the keeper's start, and the daemon's side of its socket
 *
 * Called by ocaml/supervisor/keeping.ml. The keeper is this very program
 * executed anew, as the logger is (stub_logger.c): with XLCHILD_KEEPER in its
 * environment a constructor goes on as bindings/keeper/program.c, which
 * compile.sh has put inside and which is a tenth of the size; or, where that
 * cannot be executed, runs keeper.c here instead of the program.
 */
#define _GNU_SOURCE
#include "../keeper/keeper.h"
#include "stub.h"

#include <errno.h>
#include <fcntl.h>
#include <link.h>
#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

#ifndef SYS_pidfd_open
#define SYS_pidfd_open 434
#endif

#ifndef MFD_EXEC
#define MFD_EXEC 0x10U
#endif

#define VARIABLE "XLCHILD_KEEPER"
#define LISTENER 3
#define FOLDER 4

/* ---- as a program ------------------------------------------------------- */

/* Code that runs once in a while need not be resident meanwhile. */
static int let_go(struct dl_phdr_info *info, size_t size, void *page_size)
{
    uintptr_t mask = ~(*(uintptr_t *)page_size - 1);

    (void)size;
    for (int i = 0; i < info->dlpi_phnum; i++) {
        const ElfW(Phdr) *p = &info->dlpi_phdr[i];
        uintptr_t from = (info->dlpi_addr + p->p_vaddr) & mask;

        if (p->p_type == PT_LOAD && (p->p_flags & PF_X) &&
            !(p->p_flags & PF_W) && info->dlpi_addr + p->p_vaddr)
            madvise((void *)from,
                    info->dlpi_addr + p->p_vaddr + p->p_memsz - from,
                    MADV_DONTNEED);
    }
    return 0;
}

static void at_rest(void)
{
    uintptr_t page_size = (uintptr_t)sysconf(_SC_PAGESIZE);

    malloc_trim(0);
    dl_iterate_phdr(let_go, &page_size);
}

/* In compile.sh's keeper_program.c: an executable file. */
extern const unsigned char xlo_keeper_program[];
extern const size_t xlo_keeper_program_size;

/* Returns where files in memory, or their execution, are refused. */
static void become_the_program(void)
{
    char *const argv[] = {(char *)"xlchild-keeper", (char *)"keep", NULL};
    size_t done = 0;
    ssize_t n;
    int fd = memfd_create("xlchild-keeper", MFD_CLOEXEC | MFD_EXEC);

    signal(SIGXFSZ, SIG_IGN); /* a limit of the host's answers by errno */
    if (fd < 0 && errno == EINVAL) /* before Linux 6.3 */
        fd = memfd_create("xlchild-keeper", MFD_CLOEXEC);
    if (fd < 0)
        return;
    while (done < xlo_keeper_program_size) {
        n = write(fd, xlo_keeper_program + done,
                  xlo_keeper_program_size - done);
        if (n <= 0)
            goto out;
        done += (size_t)n;
    }
    fexecve(fd, argv, environ);
out:
    close(fd);
}

/* Whoever started it is answered by the exit code; the keeper is nobody's
 * child, so that the daemon's wait() never meets it. */
__attribute__((constructor)) static void start(void)
{
    int listens = 0;
    socklen_t length = sizeof(listens);
    pid_t pid;

    if (!secure_getenv(VARIABLE))
        return;
    unsetenv(VARIABLE);
    if (getsockopt(LISTENER, SOL_SOCKET, SO_ACCEPTCONN, &listens, &length) ||
        !listens)
        return;
    become_the_program();
    pid = fork();
    if (pid)
        _exit(pid < 0);
    xlo_become_a_process("xlchild-keeper");
    xlo_keeper_serve(LISTENER, FOLDER, at_rest);
    _exit(0);
}

/* ---- externals ---------------------------------------------------------- */

/* pidfd_open : int -> int; a descriptor or -errno */
value xlchild_ml_pidfd_open(value pid)
{
    int fd;

    if (Int_val(pid) <= 1)
        return Val_int(-EINVAL);
    fd = (int)syscall(SYS_pidfd_open, Int_val(pid), 0);
    return Val_int(fd < 0 ? -errno : fd);
}

static int socket_in(int folder, const char *name, struct sockaddr_un *address)
{
    memset(address, 0, sizeof(*address));
    address->sun_family = AF_UNIX;
    if (snprintf(address->sun_path, sizeof(address->sun_path),
                 "/proc/self/fd/%d%s%s", folder, *name ? "/" : "", name) >=
        (int)sizeof(address->sun_path)) {
        errno = ENAMETOOLONG;
        return -1;
    }
    return socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
}

/* keeper_listen : Unix.file_descr -> int; a listening socket in that folder, in
 * place of what is there; or -errno */
value xlchild_ml_keeper_listen(value folder)
{
    struct sockaddr_un address;
    int fd = socket_in(Int_val(folder), XLO_KEEPER_SOCKET, &address), r = 0;

    /* its mode before it has a name */
    if (fd < 0 || fchmod(fd, 0600) ||
        (unlinkat(Int_val(folder), XLO_KEEPER_SOCKET, 0) && errno != ENOENT) ||
        bind(fd, (struct sockaddr *)&address, sizeof(address)) ||
        listen(fd, 16))
        r = -errno;
    if (r && fd >= 0)
        close(fd);
    return Val_int(r ? r : fd);
}

/* keeper_connect : Unix.file_descr -> int; connected to the keeper of that
 * folder, or -errno: EPERM where somebody else made what is there. Looked at
 * by a descriptor, so that what was looked at is what is connected to. */
value xlchild_ml_keeper_connect(value folder)
{
    struct sockaddr_un address;
    struct stat st;
    struct ucred who;
    socklen_t length = sizeof(who);
    int fd = -1, r = 0;
    int path = openat(Int_val(folder), XLO_KEEPER_SOCKET,
                      O_PATH | O_NOFOLLOW | O_CLOEXEC);

    if (path < 0 || fstat(path, &st)) {
        r = -errno;
    } else if (!S_ISSOCK(st.st_mode) || st.st_uid != geteuid() ||
               (st.st_mode & 022)) {
        r = -EPERM;
    } else {
        fd = socket_in(path, "", &address);
        if (fd < 0 ||
            connect(fd, (struct sockaddr *)&address, sizeof(address)) ||
            getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &who, &length))
            r = -errno;
        else if (who.uid != geteuid())
            r = -EPERM;
    }
    if (path >= 0)
        close(path);
    if (r && fd >= 0)
        close(fd);
    return Val_int(r ? r : fd);
}

/* keeper_receive : Unix.file_descr -> Bytes.t -> int * int; the length of a
 * packet, or -errno, and its descriptor, or -1 */
value xlchild_ml_keeper_receive(value socket_fd, value bytes)
{
    CAMLparam1(bytes);
    char text[1024];
    int from = Int_val(socket_fd), fd, n;
    value pair;

    xlo_release();
    n = xlo_packet_receive(from, text, sizeof(text), &fd);
    xlo_retake();
    if (n > 0 && (size_t)n <= caml_string_length(bytes))
        memcpy(Bytes_val(bytes), text, (size_t)n);
    pair = caml_alloc_small(2, 0);
    Field(pair, 0) = Val_int(n);
    Field(pair, 1) = Val_int(fd);
    CAMLreturn(pair);
}
