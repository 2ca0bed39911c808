/* wiring.c - pipes and files for an operation's standard streams
 *
 * Called by exec.c, before the child is made. Next: the child gets its ends by
 * the fd map, stream.c has ours.
 */
#define _GNU_SOURCE
#include "start/wiring.h"

#include <fcntl.h>
#include <string.h>

#include "ctx/process.h"
#include "kernel/own.h"
#include "kernel/sys.h"

void xl_wiring_init(struct xl_wiring *w)
{
    int i;

    memset(w, 0, sizeof *w);
    for (i = 0; i < 3; i++) {
        w->source[i] = -1;
        xl_forkfd_init(&w->opened[i]);
        xl_forkfd_init(&w->ours[i]);
    }
}

static int open_pipe(struct xl_wiring *w, int which)
{
    int fds[2];
    int ours;
    int i;

    if (xl_sys.pipe2(fds, O_CLOEXEC) != 0)
        return -1;
    for (i = 0; i < 2; i++)
        fds[i] = xl_own_avoid(fds[i]);
    ours = which == 0 ? fds[1] : fds[0];
    w->source[which] = which == 0 ? fds[0] : fds[1];
    xl_forkfd_note(&w->ours[which], ours, 0);
    xl_forkfd_note(&w->opened[which], w->source[which], 1);
    /* only our end: the child's is a file description of its own */
    return fcntl(ours, F_SETFL, fcntl(ours, F_GETFL) | O_NONBLOCK);
}

/* The child opens it: whoever has to wait for a FIFO's other end, or for a
 * mount that is dead, is the child alone. */
static void name_file(struct xl_wiring *w, int which, const libxl_stream *s)
{
    int flags = which == 0 ? O_RDONLY : O_WRONLY | O_CREAT;

    if (which != 0)
        flags |= s->kind == LIBXL_STREAM_APPEND ? O_APPEND : O_TRUNC;
    w->files[which].path = s->path;
    w->files[which].flags = flags | O_NOCTTY;
    w->source[which] = XL_SOURCE_FILE(which);
    w->opens = 1;
}

const char *xl_wiring_name(int file)
{
    static const char *const names[3] = {"stdin_stream", "stdout_stream",
                                         "stderr_stream"};

    return file >= 0 && file < 3 ? names[file] : NULL;
}

static int wire(struct xl_wiring *w, int which, const libxl_stream *s)
{
    switch (s->kind) {
    case LIBXL_STREAM_INHERIT:
        return 0;
    case LIBXL_STREAM_NULL:
        w->source[which] = LIBXL_FD_NULL;
        return 0;
    case LIBXL_STREAM_FD:
        w->source[which] = s->fd;
        return 0;
    case LIBXL_STREAM_FILE:
    case LIBXL_STREAM_APPEND:
        name_file(w, which, s);
        return 0;
    case LIBXL_STREAM_BUFFER:
    case LIBXL_STREAM_CAPTURE:
    case LIBXL_STREAM_CALLBACK:
        return open_pipe(w, which);
    case LIBXL_STREAM_MERGE:
        w->source[2] = XL_SOURCE_IS_FILE(w->source[1]) ? XL_SOURCE_AS_STDOUT
                                                       : w->source[1];
        return 0;
    }
    return 0;
}

int xl_wiring_make(struct xl_wiring *w, const libxl_childproc_exec_opts *opts)
{
    const libxl_stream *streams[3] = {&opts->stdin_stream, &opts->stdout_stream,
                                      &opts->stderr_stream};
    int r = 0;
    int i;

    xl_process_lock();
    for (i = 0; i < 3 && r == 0; i++)
        r = wire(w, i, streams[i]);
    xl_process_unlock();
    return r;
}

size_t xl_wiring_merge(struct xl_wiring *w, const libxl_childproc_spec *spec,
                       int merged, libxl_childproc_fd *map)
{
    size_t n = 0;
    size_t i;

    for (i = 0; i < spec->nfds; i++) {
        if (merged && spec->fds[i].target == 1 && w->source[1] == -1)
            w->source[2] = spec->fds[i].source;
    }
    if (merged && w->source[1] == -1 && w->source[2] == -1)
        w->source[2] = 1;
    for (i = 0; i < spec->nfds; i++) {
        int target = spec->fds[i].target;

        if (target > 2 || w->source[target] == -1)
            map[n++] = spec->fds[i];
    }
    for (i = 0; i < 3; i++) {
        if (w->source[i] != -1) {
            map[n].target = (int)i;
            map[n].source = w->source[i];
            n++;
        }
    }
    return n;
}

void xl_wiring_close(struct xl_wiring *w)
{
    int i;

    for (i = 0; i < 3; i++) {
        xl_forkfd_close(&w->opened[i]);
        xl_forkfd_close(&w->ours[i]);
    }
}
