/* keeper.c - keeps the pidfds of a host's services while no host lives
 *
 * The kernel tells how a process ended to whoever has had its pidfd open since
 * before it was reaped (Linux 6.15). So somebody has to have it open over the
 * host's death: this process, one a state folder. It knows nothing of
 * services: labels and descriptors only. Started by stub_keeper.c, or as
 * program.c, with a listening SOCK_SEQPACKET socket, so that it has no path to
 * trust; whoever connects has to be of its own user. A packet is a request:
 *
 *     "hold LABEL" + pidfd    kept until it is dropped, or held anew
 *     "drop LABEL"
 *     "list"                  answered by "have LABEL" + pidfd each, and "end"
 *
 * Nothing but "list" is answered: what is in the socket's queue arrives, even
 * where the daemon is killed the moment after.
 */
#define _GNU_SOURCE
#include "keeper.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <unistd.h>

#define LOOK_MS 2000     /* so often, with nobody there, for the folder */
#define SEND_SECONDS 5   /* a daemon that does not read is let go of */
#define MOST_CLIENTS 8   /* the folder has one owner; others are in passing */
#define LONGEST 400      /* a packet */

struct kept {
    int fd;
    char *label;
};

struct keeper {
    int listener, folder;
    ino_t inode; /* of the socket in the folder */
    struct kept *all;
    size_t count, room;
    struct pollfd fds[1 + MOST_CLIENTS];
    nfds_t polled;
};

/* ---- packets ------------------------------------------------------------ */

union control {
    struct cmsghdr align;
    char room[CMSG_SPACE(sizeof(int))];
};

int xlo_packet_send(int to, const char *text, size_t length, int fd)
{
    union control control = {.align = {0}};
    struct iovec iov = {.iov_base = (char *)text, .iov_len = length};
    struct msghdr message = {.msg_iov = &iov, .msg_iovlen = 1};
    ssize_t r;

    if (fd >= 0) {
        message.msg_control = &control;
        message.msg_controllen = sizeof(control.room);
        control.align.cmsg_level = SOL_SOCKET;
        control.align.cmsg_type = SCM_RIGHTS;
        control.align.cmsg_len = CMSG_LEN(sizeof(int));
        memcpy(CMSG_DATA(&control.align), &fd, sizeof(int));
    }
    do
        r = sendmsg(to, &message, MSG_NOSIGNAL);
    while (r < 0 && errno == EINTR);
    return r < 0 ? -errno : (int)r;
}

int xlo_packet_receive(int from, char *text, size_t room, int *ret_fd)
{
    union control control;
    struct iovec iov = {.iov_base = text, .iov_len = room};
    struct msghdr message = {.msg_iov = &iov,
                             .msg_iovlen = 1,
                             .msg_control = &control,
                             .msg_controllen = sizeof(control.room)};
    struct cmsghdr *header;
    ssize_t r;

    *ret_fd = -1;
    do
        r = recvmsg(from, &message, MSG_CMSG_CLOEXEC);
    while (r < 0 && errno == EINTR);
    if (r < 0)
        return -errno;
    header = CMSG_FIRSTHDR(&message);
    if (header && header->cmsg_level == SOL_SOCKET &&
        header->cmsg_type == SCM_RIGHTS &&
        header->cmsg_len == CMSG_LEN(sizeof(int)))
        memcpy(ret_fd, CMSG_DATA(header), sizeof(int));
    return (int)r;
}

/* ---- what is kept ------------------------------------------------------- */

static void drop(struct keeper *k, const char *label)
{
    for (size_t i = 0; i < k->count; i++)
        if (!strcmp(k->all[i].label, label)) {
            close(k->all[i].fd);
            free(k->all[i].label);
            k->all[i] = k->all[--k->count];
            return;
        }
}

static void hold(struct keeper *k, const char *label, int fd)
{
    struct kept *all = k->all;
    char *copy;

    drop(k, label);
    if (k->count == k->room) {
        all = realloc(all, (k->room + 64) * sizeof(*all));
        if (!all)
            goto out;
        k->all = all;
        k->room += 64;
    }
    copy = strdup(label);
    if (!copy)
        goto out;
    all[k->count++] = (struct kept){.fd = fd, .label = copy};
    return;
out:
    close(fd); /* as if it had never been brought: a lost status is told so */
}

/* 0, or the client is to go. */
static int list(struct keeper *k, int client)
{
    char text[LONGEST] = "have ";
    size_t length;

    for (size_t i = 0; i < k->count; i++) {
        length = strlen(k->all[i].label);
        memcpy(text + 5, k->all[i].label, length);
        if (xlo_packet_send(client, text, 5 + length, k->all[i].fd) < 0)
            return -1;
    }
    return xlo_packet_send(client, "end", 3, -1) < 0 ? -1 : 0;
}

/* ---- who asks ----------------------------------------------------------- */

static int hear(struct keeper *k, int client)
{
    char text[LONGEST - 5];
    int fd, n = xlo_packet_receive(client, text, sizeof(text) - 1, &fd);

    if (n <= 0) {
        if (fd >= 0)
            close(fd);
        return -1;
    }
    text[n] = '\0';
    if (!strncmp(text, "hold ", 5) && fd >= 0) {
        hold(k, text + 5, fd);
        return 0;
    }
    if (fd >= 0)
        close(fd);
    if (!strncmp(text, "drop ", 5)) {
        drop(k, text + 5);
        return 0;
    }
    return strcmp(text, "list") ? 0 : list(k, client);
}

static void let_in(struct keeper *k)
{
    struct timeval patience = {.tv_sec = SEND_SECONDS};
    struct ucred who;
    socklen_t length = sizeof(who);
    int fd = accept4(k->listener, NULL, NULL, SOCK_CLOEXEC);

    if (fd < 0)
        return;
    if (k->polled == 1 + MOST_CLIENTS ||
        getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &who, &length) ||
        who.uid != geteuid()) {
        close(fd);
        return;
    }
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
    k->fds[k->polled++] = (struct pollfd){.fd = fd, .events = POLLIN};
}

/* A client is gone; whether it was the last, with nothing left to keep. One
 * that has connected meanwhile is to be heard first. */
static int is_over(struct keeper *k)
{
    struct pollfd next = {.fd = k->listener, .events = POLLIN};

    return k->polled == 1 && !k->count && !poll(&next, 1, 0);
}

/* Whether a next life can still find it. */
static int is_findable(const struct keeper *k)
{
    struct stat st;

    return !fstatat(k->folder, XLO_KEEPER_SOCKET, &st, AT_SYMLINK_NOFOLLOW) &&
           S_ISSOCK(st.st_mode) && st.st_ino == k->inode;
}

void xlo_keeper_serve(int listener, int folder, void (*at_rest)(void))
{
    struct keeper k = {.listener = listener, .folder = folder, .polled = 1};
    struct stat st;
    int r, idle = 0, gone;

    if (fstatat(folder, XLO_KEEPER_SOCKET, &st, AT_SYMLINK_NOFOLLOW))
        return;
    k.inode = st.st_ino;
    k.fds[0] = (struct pollfd){.fd = listener, .events = POLLIN};
    for (;;) {
        r = poll(k.fds, k.polled, k.polled > 1 && idle ? -1 : LOOK_MS);
        if (!r && !idle)
            at_rest();
        idle = !r;
        if (r < 0 && errno != EINTR)
            return;
        if (!r && k.polled == 1 && (!k.count || !is_findable(&k)))
            return;
        if (r <= 0)
            continue;
        gone = 0;
        for (nfds_t i = k.polled - 1; i > 0; i--)
            if (k.fds[i].revents && hear(&k, k.fds[i].fd)) {
                close(k.fds[i].fd);
                k.fds[i] = k.fds[--k.polled];
                gone = 1;
            }
        if (gone && is_over(&k))
            return;
        if (k.fds[0].revents)
            let_in(&k);
    }
}
