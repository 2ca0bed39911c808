/* treaty_diagnose.c - what libxl_childproc_diagnose says, and that it is so
 *
 * Contract lines C4, C7 and C9 as far as somebody who reads a log learns of
 * them: the mode, who handles SIGCHLD, whether it reaches us, what the kernel
 * offers. Why a mode is not in force is in treaty_none.c, too.
 */
#define _GNU_SOURCE
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "kernel/facility.h"
#include "hostchild.h"
#include "probe.h"

static void says(libxl_ctx *ctx, const char *part)
{
    char *words = NULL;

    XT_OK(libxl_childproc_diagnose(ctx, NULL, &words));
    XT_CONTAINS(words, part);
    free(words);
}

static void never(int signo)
{
    (void)signo;
}

/* ---- the disposition ---------------------------------------------------- */

/* What diagnose says of a process without any of our doings. */
XT_TEST(diagnose_tells_who_owns_sigchld, "C4 C7")
{
    struct xh_action dfl = xh_action_get(SIGCHLD);
    libxl_ctx *ctx = xt_ctx_new(libxl_sigchld_owner_mainloop, NULL);
    libxl_childproc_diagnosis d = xh_diagnose(ctx), untouched;
    char *words = NULL;

    XT_EQ_STR(d.handler_object, "");
    XT_EQ_INT(d.sigchld_ignored, 0);
    XT_EQ_INT(d.sigchld_blocked, 0);
    XT_EQ_INT(d.children, 0);
    XT_EQ_INT(d.mode_in_force, libxl_sigchld_owner_mainloop);

    xh_sigchld_install(never, SA_RESTART, NULL);
    d = xh_diagnose(ctx);
    XT_CONTAINS(d.handler_object, "treaty_diagnose");
    XT_EQ_INT(d.handler_installed, 0);
    XT_EQ_INT(d.handler_displaced, 0);
    XT_OK(libxl_childproc_diagnose(ctx, NULL, &words));
    XT_CONTAINS(words, "treaty_diagnose");
    XT_CONTAINS(words,
                libxl_childproc_owner_name(libxl_sigchld_owner_mainloop));
    free(words);
    xh_sigchld_install(SIG_IGN, 0, NULL);
    d = xh_diagnose(ctx);
    XT_EQ_STR(d.handler_object, "");
    XT_EQ_INT(d.sigchld_ignored, 1);
    xh_action_set(SIGCHLD, &dfl);

    memset(&d, 0xee, sizeof(d));
    d.size = 0;
    untouched = d;
    XT_RC(libxl_childproc_diagnose(ctx, &d, NULL), ERROR_INVAL);
    XT_EQ_MEM(&d, sizeof(d), &untouched, sizeof(untouched));
    XT_RC(libxl_childproc_diagnose(NULL, NULL, &words), ERROR_INVAL);
    xt_ctx_free(ctx);
}

/* SA_NOCLDWAIT throws statuses away as SIG_IGN does, handler or not. */
XT_TEST(no_cldwait_counts_as_ignored, "C9 C6")
{
    struct xh_action dfl = xh_action_get(SIGCHLD);
    libxl_ctx *ctx = xt_ctx_new(libxl_sigchld_owner_mainloop, NULL);

    xh_sigchld_install(SIG_DFL, SA_NOCLDWAIT, NULL);
    XT_EQ_INT(xh_diagnose(ctx).sigchld_ignored, 1);
    xh_sigchld_install(never, SA_NOCLDWAIT, NULL);
    XT_EQ_INT(xh_diagnose(ctx).sigchld_ignored, 1);
    xh_sigchld_install(never, SA_NOCLDSTOP, NULL);
    XT_EQ_INT(xh_diagnose(ctx).sigchld_ignored, 0);
    xh_action_set(SIGCHLD, &dfl);
    xt_ctx_free(ctx);
}

static const char *base(const char *path)
{
    const char *slash = strrchr(path, '/');

    return slash ? slash + 1 : path;
}

/* The file that the kernel has mapped there; free() it. */
static char *mapped_at(const void *at)
{
    FILE *maps = fopen("/proc/self/maps", "re");
    char line[4096], *found = NULL;

    XT_TRUE(maps);
    while (!found && fgets(line, sizeof(line), maps)) {
        unsigned long from, to;
        char path[4096] = "";

        if (sscanf(line, "%lx-%lx %*s %*s %*s %*s %4095s", &from, &to, path) >=
                2 &&
            (uintptr_t)at >= from && (uintptr_t)at < to)
            found = strdup(path);
    }
    fclose(maps);
    XT_TRUE(found);
    return found;
}

/* A handler from somebody else's object file (where there are others: a
 * static program is one), and one that was never in a file. */
XT_TEST(the_handlers_object_is_named, "C4 C7")
{
    void (*foreign)(int) = (void (*)(int))(uintptr_t)abs; /* never called */
    struct xh_action dfl = xh_action_get(SIGCHLD);
    libxl_ctx *ctx = xt_ctx_new(libxl_sigchld_owner_mainloop, NULL);
    libxl_childproc_diagnosis d;
    void *page = mmap(NULL, 4096, PROT_READ | PROT_EXEC,
                      MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    char *object = mapped_at((void *)(uintptr_t)foreign);
    char line[600];

    XT_TRUE(page != MAP_FAILED);
    xh_sigchld_install(foreign, 0, NULL);
    d = xh_diagnose(ctx);
    XT_EQ_STR(base(d.handler_object), base(object));
    snprintf(line, sizeof(line), "SIGCHLD is handled by: %s\n",
             d.handler_object);
    says(ctx, line);
    xh_sigchld_install((void (*)(int))(uintptr_t)page, 0, NULL);
    XT_EQ_STR(xh_diagnose(ctx).handler_object, "unknown");
    says(ctx, "SIGCHLD is handled by: unknown\n");
    xh_action_set(SIGCHLD, &dfl);
    XT_SYS(munmap(page, 4096));
    free(object);
    xt_ctx_free(ctx);
}

/* ---- the mask ----------------------------------------------------------- */

static void *blocked_here(void *user)
{
    return xh_diagnose(user).sigchld_blocked ? user : NULL;
}

XT_TEST(blocked_is_said_of_the_calling_thread, "C9")
{
    libxl_ctx *ctx = xt_ctx_new(libxl_sigchld_owner_none, NULL);
    sigset_t chld, before;
    pthread_t thread;
    void *blocked;

    sigemptyset(&chld);
    sigaddset(&chld, SIGCHLD);
    XT_EQ_INT(pthread_sigmask(SIG_BLOCK, &chld, &before), 0);
    XT_EQ_INT(xh_diagnose(ctx).sigchld_blocked, 1);
    XT_EQ_INT(pthread_create(&thread, NULL, blocked_here, ctx), 0);
    XT_EQ_INT(pthread_sigmask(SIG_SETMASK, &before, NULL), 0);
    XT_EQ_INT(pthread_join(thread, &blocked), 0);
    XT_EQ_PTR(blocked, ctx); /* it has inherited the mask */
    XT_EQ_INT(xh_diagnose(ctx).sigchld_blocked, 0);
    xt_ctx_free(ctx);
}

/* ---- the mode, and the words -------------------------------------------- */

/* The same facts, for somebody who reads a log. */
XT_TEST(diagnose_says_it_in_words, "C4 C7 C9")
{
    struct xh_action dfl = xh_action_get(SIGCHLD);
    struct sigaction ours;
    libxl_childproc_diagnosis d;
    libxl_ctx *ctx = xt_ctx_new(libxl_sigchld_owner_mainloop, NULL);
    sigset_t chld;

    says(ctx, "mode: mainloop\n");
    says(ctx, "SIGCHLD is at its default\n");
    says(ctx, "children: 0\n");
    xh_sigchld_install(SIG_IGN, 0, NULL);
    says(ctx, "SIGCHLD is ignored\n");
    xh_action_set(SIGCHLD, &dfl);
    xt_ctx_free(ctx);

    ctx = xt_ctx_new(libxl_sigchld_owner_libxl_always, NULL);
    XT_EQ_INT(sigaction(SIGCHLD, NULL, &ours), 0); /* as TSan sees it, too */
    d = xh_diagnose(ctx);
    XT_EQ_INT(d.handler_wanted, 1);
    XT_EQ_INT(d.handler_installed, 1);
    XT_EQ_INT(d.handler_displaced, 0);
    says(ctx, "treaty_diagnose (xlchild)\n");
    says(ctx, "xlchild's handler is in place\n");
    xh_sigchld_install(never, 0, NULL);
    d = xh_diagnose(ctx);
    XT_EQ_INT(d.handler_displaced, 1);
    says(ctx, "xlchild's handler has been displaced\n");
    XT_EQ_INT(sigaction(SIGCHLD, &ours, NULL), 0);

    sigemptyset(&chld);
    sigaddset(&chld, SIGCHLD);
    XT_EQ_INT(pthread_sigmask(SIG_BLOCK, &chld, NULL), 0);
    says(ctx, "SIGCHLD is blocked in this thread\n");
    XT_EQ_INT(pthread_sigmask(SIG_UNBLOCK, &chld, NULL), 0);
    xt_ctx_free(ctx);

    /* a mode that is not to be had, and one that has held results */
    xl_facility_limit(~(unsigned)LIBXL_FACILITY_PIDFD);
    ctx = xt_ctx_new(libxl_sigchld_owner_none, NULL);
    d = xh_diagnose(ctx);
    XT_EQ_INT(d.mode_asked, libxl_sigchld_owner_none);
    XT_EQ_INT(d.mode_in_force, libxl_sigchld_owner_libxl_always_selective_reap);
    says(ctx, "mode: none, in force: libxl_always_selective_reap\n");
    says(ctx, "because: ");
    says(ctx, " pidfd no,");
    xt_ctx_free(ctx);
}

/* Living ones, and results that nobody has taken yet. */
XT_TEST(unreported_children_are_counted, "C5")
{
    libxl_ctx *ctx = xt_ctx_new(libxl_sigchld_owner_none, NULL);
    libxl_childproc_id held, living;
    pid_t pid;
    int gate;

    held = xt_spawn_argv(ctx, XT_CHILD("exit", "1"), NULL, &pid);
    living = xh_spawn_held(ctx, XH_EXIT(2), NULL, NULL, &gate, NULL);
    XT_EQ_INT(xh_diagnose(ctx).children, 2);
    xh_await_zombie_or_gone(&pid, 1); /* the second start may reap it */
    xh_pump(ctx);
    XT_EQ_INT(xh_is_zombie(pid), -1); /* reaped, its result held */
    XT_EQ_INT(xh_diagnose(ctx).children, 2);
    XT_EQ_INT(libxl_childproc_count(ctx), 2);
    says(ctx, "children: 2\n");
    xt_wait(ctx, held);
    XT_EQ_INT(xh_diagnose(ctx).children, 1);
    xt_close(&gate);
    xt_wait(ctx, living);
    XT_EQ_INT(xh_diagnose(ctx).children, 0);
    xt_ctx_free(ctx);
}

/* ---- the kernel --------------------------------------------------------- */

/* The facilities that diagnose names are those that a probe of ours finds. */
XT_TEST(diagnose_tells_what_the_kernel_offers, "C4")
{
    libxl_ctx *ctx = xt_ctx_new(libxl_sigchld_owner_none, NULL);
    unsigned f;

    f = xh_diagnose(ctx).facilities;
    XT_EQ_INT(!!(f & LIBXL_FACILITY_CLOSE_RANGE), xp_close_range());
    XT_EQ_INT(!!(f & LIBXL_FACILITY_EXIT_INFO), xp_exit_info());
    if (!xp_pidfds())
        XT_EQ_INT(f & LIBXL_FACILITY_PIDFD, 0);
    if (xp_clone_pidfd() && xp_waitid_pidfd())
        XT_TRUE(f & LIBXL_FACILITY_PIDFD);
    if (!xp_close_range_unshare())
        XT_EQ_INT(f & LIBXL_FACILITY_SHARED_FILES, 0);
    xt_ctx_free(ctx);
}

/* One facility at a time: the bit is its own, and so is its name. */
XT_TEST(each_facility_is_told_apart, "C4")
{
    static const struct {
        unsigned bit;
        const char *name;
    } known[] = {{LIBXL_FACILITY_PIDFD, "pidfd"},
                 {LIBXL_FACILITY_EXIT_INFO, "exit status by pidfd"},
                 {LIBXL_FACILITY_VFORK, "shared-memory start"},
                 {LIBXL_FACILITY_SHARED_FILES, "shared fd table"},
                 {LIBXL_FACILITY_CLOSE_RANGE, "close_range"}};
    libxl_ctx *ctx = xt_ctx_new(libxl_sigchld_owner_mainloop, NULL);
    unsigned have = xh_diagnose(ctx).facilities, all = 0;

    for (int i = 0; i < 5; i++)
        all |= known[i].bit;
    XT_EQ_INT(have & ~all, 0); /* nothing that no header explains */
    for (int only = 0; only < 5; only++) {
        char line[200] = "kernel:";
        size_t n = strlen(line);

        xl_facility_limit(known[only].bit);
        XT_EQ_INT(xh_diagnose(ctx).facilities, have & known[only].bit);
        for (int i = 0; i < 5; i++)
            n += (size_t)snprintf(line + n, sizeof(line) - n, "%s %s %s",
                                  i ? "," : "", known[i].name,
                                  i == only && (have & known[i].bit) ? "yes"
                                                                     : "no");
        snprintf(line + n, sizeof(line) - n, "\n");
        says(ctx, line);
    }
    xt_ctx_free(ctx);
}
