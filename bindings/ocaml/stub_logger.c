/* stub_logger.c - the process that logs what a daemon's children write
 *
 * One a daemon, however many children: it has the reading ends of their pipes,
 * and goes on when the daemon ends, until the last of them has closed. Started
 * by ocaml/syslog/logger.ml, as this very program executed anew: with
 * XLCHILD_LOGGER in its environment a constructor runs serve() instead of the
 * program. Where that cannot be, serve() is a thread of the daemon.
 *
 * What it is told comes over a SOCK_SEQPACKET socket, a packet a request, each
 * string ended by a NUL:
 *
 *     "log" ID SOCKET TAG          + reading end
 *     "keep" ID SOCKET TAG MOST    + reading end, spool
 *     "away" ID                      the daemon lets a kept one go
 *     "forget" ID                    the daemon has it back: no more keeping
 *
 * A kept pipe is the daemon's to read while it lives. When it is gone, what
 * comes is logged (TAG not "") or spooled, up to MOST bytes, until the next life
 * of the daemon locks the spool's second byte; see ocaml/supervisor/spool.ml.
 * Answers are "ready", and "done" ID where a pipe has come to its end.
 */
#define _GNU_SOURCE
#include "../keeper/keeper.h"
#include "stub.h"

#include <errno.h>
#include <fcntl.h>
#include <link.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#define VARIABLE "XLCHILD_LOGGER"
#define LONGEST_LINE (128 * 1024) /* one that is longer becomes several */
#define LOOK_MS 50                /* so often for the next life's lock */
#define SEND_SECONDS 5            /* a daemon of syslog that hangs is left out */

struct pipe_log {
    int fd, spool; /* spool -1: not a kept one */
    int away;      /* kept: the daemon is gone, it is ours to read */
    int locked;
    long id;
    long most, spooled;
    char *socket, *tag, *line;
    size_t length, room;
};

struct server {
    int control; /* -1: the daemon is gone */
    int syslog;
    int hung; /* the last send timed out */
    struct pipe_log **logs;
    size_t count, room;
};

/* ---- one message -------------------------------------------------------- */

static int try_send(struct server *s, const char *path, const char *text,
                    size_t length)
{
    struct sockaddr_un to = {.sun_family = AF_UNIX};
    ssize_t r;

    if (strlen(path) >= sizeof(to.sun_path))
        return ENOENT;
    strcpy(to.sun_path, path);
    do
        r = sendto(s->syslog, text, length,
                   MSG_NOSIGNAL | (s->hung ? MSG_DONTWAIT : 0),
                   (struct sockaddr *)&to, sizeof(to));
    while (r < 0 && errno == EINTR);
    return r < 0 ? errno : 0;
}

/* Facility daemon, level info. One that cannot be sent is dropped, as
 * syslog(3) does; one that no datagram holds goes in parts. */
static void send_line(struct server *s, const struct pipe_log *p,
                      const char *line, size_t length)
{
    size_t prefix = strlen(p->tag) + 16, n;
    char *text = malloc(prefix + length);
    int error;

    if (!text)
        return;
    n = sprintf(text, "<30>%s: ", p->tag);
    memcpy(text + n, line, length);
    error = try_send(s, p->socket, text, n + length);
    free(text);
    if (error == EMSGSIZE && length > 512) {
        send_line(s, p, line, length / 2);
        send_line(s, p, line + length / 2, length - length / 2);
    } else {
        s->hung = error == EAGAIN || error == EWOULDBLOCK;
    }
}

static void end_line(struct server *s, struct pipe_log *p)
{
    if (p->length)
        send_line(s, p, p->line, p->length);
    p->length = 0;
}

static void log_data(struct server *s, struct pipe_log *p, const char *data,
                     size_t length)
{
    while (length) {
        const char *newline = memchr(data, '\n', length);
        size_t n = newline ? (size_t)(newline - data) : length;
        size_t space = LONGEST_LINE - p->length;

        if (n > space)
            n = space, newline = NULL;
        if (p->length + n > p->room) {
            size_t room = (p->length + n) * 2;
            char *more = realloc(p->line, room);

            if (!more)
                return;
            p->line = more;
            p->room = room;
        }
        memcpy(p->line + p->length, data, n);
        p->length += n;
        data += n;
        length -= n;
        if (newline) {
            end_line(s, p);
            data++;
            length--;
        } else if (p->length == LONGEST_LINE) {
            end_line(s, p);
        }
    }
}

/* One byte beyond the most says that something was dropped. */
static void spool_data(struct pipe_log *p, const char *data, size_t length)
{
    if (p->spooled > p->most)
        return;
    if (p->spooled + (long)length > p->most)
        length = p->most + 1 - p->spooled;
    while (length) {
        ssize_t n = pwrite(p->spool, data, length, p->spooled);

        if (n <= 0)
            return;
        p->spooled += n;
        data += n;
        length -= n;
    }
}

/* ---- the pipes ---------------------------------------------------------- */

static void answer(struct server *s, const char *text)
{
    if (s->control >= 0 &&
        send(s->control, text, strlen(text), MSG_NOSIGNAL | MSG_DONTWAIT) < 0)
        errno = 0; /* it hears of the end some other way */
}

static void drop(struct server *s, size_t i)
{
    struct pipe_log *p = s->logs[i];

    close(p->fd);
    if (p->spool >= 0)
        close(p->spool); /* and its locks with it */
    free(p->line);
    free(p->socket);
    free(p->tag);
    free(p);
    s->logs[i] = s->logs[--s->count];
}

static void at_end(struct server *s, size_t i)
{
    char text[40];

    end_line(s, s->logs[i]);
    snprintf(text, sizeof(text), "done %ld", s->logs[i]->id);
    answer(s, text);
    drop(s, i);
}

/* 0 at its end. */
static int read_pipe(struct server *s, struct pipe_log *p)
{
    static char data[65536];
    ssize_t n = read(p->fd, data, sizeof(data));

    if (n < 0)
        return errno == EINTR || errno == EAGAIN;
    if (n == 0)
        return 0;
    if (p->spool >= 0 && !*p->tag)
        spool_data(p, data, n);
    else
        log_data(s, p, data, n);
    return 1;
}

static int lock_byte(int fd, int command, off_t at, short type)
{
    struct flock lock = {.l_type = type, .l_whence = SEEK_SET, .l_start = at,
                         .l_len = 1};

    if (fcntl(fd, command, &lock))
        return -1;
    return lock.l_type != F_UNLCK;
}

/* Whether this one is to be read now: a kept one only while it is ours, which
 * ends as soon as the next life wants it: *ret_over then. */
static int is_ours(struct pipe_log *p, int *ret_over)
{
    struct stat st;

    *ret_over = 0;
    if (p->spool < 0)
        return 1;
    if (!p->away)
        return 0;
    if (lock_byte(p->spool, F_GETLK, 1, F_WRLCK) != 0) {
        *ret_over = 1;
        return 0;
    }
    if (!p->locked) {
        p->locked = lock_byte(p->spool, F_SETLK, 0, F_WRLCK) >= 0;
        p->spooled = fstat(p->spool, &st) ? 0 : st.st_size;
    }
    return p->locked;
}

/* ---- what the daemon tells ---------------------------------------------- */

static void add(struct server *s, struct pipe_log made)
{
    struct pipe_log *p = malloc(sizeof(*p));

    if (s->count == s->room) {
        size_t room = s->room * 2 + 16;
        struct pipe_log **more = realloc(s->logs, room * sizeof(*more));

        if (more) {
            s->logs = more;
            s->room = room;
        }
    }
    if (!p || s->count == s->room) {
        close(made.fd);
        if (made.spool >= 0)
            close(made.spool);
        free(made.socket);
        free(made.tag);
        free(p);
        return;
    }
    *p = made;
    s->logs[s->count++] = p;
}

static void request(struct server *s, char *text, size_t length, int *fds,
                    int nfds)
{
    const char *word[5] = {"", "", "", "", ""};
    size_t i, n = 0;
    long id;

    for (i = 0; i < length && n < 5; i += strlen(text + i) + 1)
        word[n++] = text + i;
    id = atol(word[1]);
    if ((!strcmp(word[0], "log") && nfds == 1) ||
        (!strcmp(word[0], "keep") && nfds == 2)) {
        struct pipe_log made = {.fd = fds[0],
                                .spool = nfds == 2 ? fds[1] : -1,
                                .id = id,
                                .socket = strdup(word[2]),
                                .tag = strdup(word[3]),
                                .most = atol(word[4])};

        if (made.socket && made.tag) {
            add(s, made);
            return;
        }
        free(made.socket);
        free(made.tag);
    } else {
        for (i = 0; i < s->count; i++)
            if (s->logs[i]->id == id && s->logs[i]->spool >= 0) {
                if (!strcmp(word[0], "away"))
                    s->logs[i]->away = 1;
                else if (!strcmp(word[0], "forget"))
                    drop(s, i);
                break;
            }
    }
    while (nfds)
        close(fds[--nfds]);
}

static void daemon_is_gone(struct server *s)
{
    close(s->control);
    s->control = -1;
    for (size_t i = 0; i < s->count; i++)
        if (s->logs[i]->spool >= 0)
            s->logs[i]->away = 1;
}

static void hear(struct server *s)
{
    char text[4096];
    union {
        struct cmsghdr align;
        char room[CMSG_SPACE(2 * sizeof(int))];
    } control;
    struct iovec iov = {.iov_base = text, .iov_len = sizeof(text) - 1};
    struct msghdr message = {.msg_iov = &iov, .msg_iovlen = 1,
                             .msg_control = &control,
                             .msg_controllen = sizeof(control)};
    struct cmsghdr *c;
    int fds[2], nfds = 0;
    ssize_t n = recvmsg(s->control, &message, MSG_CMSG_CLOEXEC);

    if (n < 0 && (errno == EINTR || errno == EAGAIN))
        return;
    if (n <= 0) {
        daemon_is_gone(s);
        return;
    }
    for (c = CMSG_FIRSTHDR(&message); c; c = CMSG_NXTHDR(&message, c))
        if (c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_RIGHTS) {
            nfds = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
            memcpy(fds, CMSG_DATA(c), nfds * sizeof(int));
        }
    text[n] = 0;
    request(s, text, n, fds, nfds);
}

/* ---- the loop ----------------------------------------------------------- */

static void serve_pipes(struct server *s, const struct pollfd *fds)
{
    /* from the last on: one that goes is replaced by one that was served */
    for (size_t i = s->count; i-- > 0;)
        if (fds[i].revents && !read_pipe(s, s->logs[i]))
            at_end(s, i);
}

static void serve(int socket_fd)
{
    struct timeval patience = {.tv_sec = SEND_SECONDS};
    struct server s = {.control = socket_fd};
    struct pollfd *fds = NULL;
    size_t room = 0;

    s.syslog = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    setsockopt(s.syslog, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
    answer(&s, "ready");
    while (s.control >= 0 || s.count) {
        int kept = 0;
        size_t n;

        if (room < s.count + 1) {
            struct pollfd *more =
                realloc(fds, (s.count + 64) * sizeof(*more));

            if (!more)
                break;
            fds = more;
            room = s.count + 64;
        }
        for (size_t i = 0; i < s.count;) {
            int over;
            int ours = is_ours(s.logs[i], &over);

            if (over) {
                end_line(&s, s.logs[i]);
                drop(&s, i);
                continue;
            }
            kept |= s.logs[i]->away;
            fds[i] = (struct pollfd){.fd = ours ? s.logs[i]->fd : -1,
                                     .events = POLLIN};
            i++;
        }
        n = s.count;
        if (s.control < 0 && !n)
            break; /* the last one went back to the next life */
        fds[n] = (struct pollfd){.fd = s.control, .events = POLLIN};
        if (poll(fds, n + 1, kept ? LOOK_MS : -1) <= 0)
            continue;
        serve_pipes(&s, fds);
        if (fds[n].revents && s.control >= 0)
            hear(&s);
    }
    while (s.count)
        drop(&s, 0);
    if (s.control >= 0)
        close(s.control);
    close(s.syslog);
    free(s.logs);
    free(fds);
}

/* ---- as a program ------------------------------------------------------- */

/* The one that was started answers by its exit code; the logger is nobody's
 * child, so that the daemon's wait() never meets it. */
__attribute__((constructor)) static void start(void)
{
    const char *text = secure_getenv(VARIABLE);
    int fd, type = 0;
    socklen_t length = sizeof(type);
    pid_t pid;

    if (!text)
        return;
    fd = atoi(text);
    unsetenv(VARIABLE);
    if (fd < 3 || getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &length) ||
        type != SOCK_SEQPACKET)
        return;
    pid = fork();
    if (pid)
        _exit(pid < 0);
    xlo_become_a_process("xlchild-logger");
    serve(fd);
    _exit(0);
}

/* ---- externals ---------------------------------------------------------- */

static int in_first_object(struct dl_phdr_info *info, size_t size, void *found)
{
    uintptr_t here = (uintptr_t)start;

    (void)size;
    for (int i = 0; i < info->dlpi_phnum; i++) {
        uintptr_t from = info->dlpi_addr + info->dlpi_phdr[i].p_vaddr;

        if (info->dlpi_phdr[i].p_type == PT_LOAD && here >= from &&
            here < from + info->dlpi_phdr[i].p_memsz)
            *(int *)found = 1;
    }
    return 1; /* the program itself is the first, and all that is asked for */
}

/* logger_inside : unit -> bool; whether this code is the program's own, so that
 * executing the program anew runs start() */
value xlchild_ml_logger_inside(value unit)
{
    int found = 0;

    (void)unit;
    dl_iterate_phdr(in_first_object, &found);
    return Val_bool(found);
}

static void *thread(void *socket_fd)
{
    serve((int)(intptr_t)socket_fd);
    return NULL;
}

/* logger_thread : Unix.file_descr -> bool; takes the descriptor over */
value xlchild_ml_logger_thread(value socket_fd)
{
    pthread_t started;
    sigset_t all, before;
    int r;

    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    r = pthread_create(&started, NULL, thread,
                       (void *)(intptr_t)Int_val(socket_fd));
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (!r)
        pthread_detach(started);
    return Val_bool(!r);
}

/* send_fds : Unix.file_descr -> string -> Unix.file_descr array -> int
 * One packet with at most 2 descriptors; 0 or an errno. Waits while the
 * logger is behind. */
value xlchild_ml_send_fds(value socket_fd, value text, value fds_v)
{
    union {
        struct cmsghdr align;
        char room[CMSG_SPACE(2 * sizeof(int))];
    } control = {.align = {0}};
    char copy[4096];
    struct iovec iov = {.iov_base = copy, .iov_len = caml_string_length(text)};
    struct msghdr message = {.msg_iov = &iov, .msg_iovlen = 1};
    int n = Wosize_val(fds_v), fds[2] = {-1, -1}, to = Int_val(socket_fd), r;

    if (n > 2 || iov.iov_len > sizeof(copy))
        return Val_int(EINVAL);
    memcpy(copy, String_val(text), iov.iov_len);
    for (int i = 0; i < n; i++)
        fds[i] = Int_val(Field(fds_v, i));
    if (n) {
        message.msg_control = &control;
        message.msg_controllen = CMSG_SPACE(n * sizeof(int));
        control.align.cmsg_level = SOL_SOCKET;
        control.align.cmsg_type = SCM_RIGHTS;
        control.align.cmsg_len = CMSG_LEN(n * sizeof(int));
        memcpy(CMSG_DATA(&control.align), fds, n * sizeof(int));
    }
    xlo_release();
    do
        r = sendmsg(to, &message, MSG_NOSIGNAL) < 0 ? errno : 0;
    while (r == EINTR);
    xlo_retake();
    return Val_int(r);
}
