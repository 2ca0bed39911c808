/* treaty_mode.c - choosing a mode: what setmode takes, refuses, and leaves
 *
 * Contract lines C1-C4 as far as they are about libxl_childproc_setmode and
 * its checked twin, and X4 and X5 for these two. What each mode then does is
 * in the other treaty_ files.
 */
#define _GNU_SOURCE
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "hostchild.h"

static const libxl_sigchld_owner all[] = {
    libxl_sigchld_owner_libxl, libxl_sigchld_owner_mainloop,
    libxl_sigchld_owner_libxl_always,
    libxl_sigchld_owner_libxl_always_selective_reap, libxl_sigchld_owner_none};
#define N_OWNERS (sizeof(all) / sizeof(all[0]))

static int set(libxl_ctx *ctx, libxl_sigchld_owner owner)
{
    libxl_childproc_hooks hooks = {.chldowner = owner, .size = sizeof(hooks)};

    return libxl_childproc_setmode_checked(ctx, &hooks, NULL);
}

static libxl_sigchld_owner asked(libxl_ctx *ctx)
{
    return xh_diagnose(ctx).mode_asked;
}

/* How a child that exits with code travels in this mode. */
static void one_child(libxl_ctx *ctx, int code)
{
    libxl_childproc_result r;
    libxl_childproc_id id;
    struct xh_argv words;
    pid_t pid;

    id = xt_spawn_argv(ctx, xh_end_argv(&words, XH_EXIT(code)), NULL, &pid);
    if (asked(ctx) == libxl_sigchld_owner_mainloop)
        XT_OK(libxl_childproc_exited(ctx, pid, xh_reap(pid)));
    r = xt_wait(ctx, id);
    XT_EQ_INT(r.pid, pid);
    XT_EXITED(&r, code);
}

XT_TEST(the_default_is_the_founding_texts, "C1")
{
    libxl_childproc_hooks zero;
    libxl_ctx *ctx = NULL;

    memset(&zero, 0, sizeof(zero));
    XT_EQ_INT(zero.chldowner, libxl_sigchld_owner_libxl);
    XT_OK(libxl_ctx_alloc(&ctx, LIBXL_VERSION, 0, NULL));
    XT_EQ_INT(asked(ctx), libxl_sigchld_owner_libxl);
    one_child(ctx, 1);
    XT_OK(set(ctx, libxl_sigchld_owner_none));
    XT_OK(libxl_childproc_setmode_checked(ctx, NULL, NULL));
    XT_EQ_INT(asked(ctx), libxl_sigchld_owner_libxl);
    XT_OK(set(ctx, libxl_sigchld_owner_none));
    libxl_childproc_setmode(ctx, NULL, NULL);
    XT_EQ_INT(asked(ctx), libxl_sigchld_owner_libxl);
    one_child(ctx, 2);
    xt_ctx_free(ctx);
}

/* Every mode can follow every other on an idle ctx, and works. */
XT_TEST(modes_change_while_idle, "C1 C2 C3 C4")
{
    struct xh_action before = xh_action_get(SIGCHLD);
    libxl_ctx *ctx = xt_ctx_new(libxl_sigchld_owner_libxl, NULL);

    for (size_t i = 0; i < N_OWNERS; i++)
        for (size_t k = 0; k < N_OWNERS; k++) {
            XT_OK(set(ctx, all[i]));
            XT_EQ_INT(asked(ctx), all[i]);
            one_child(ctx, 10 + (int)i);
            XT_OK(set(ctx, all[k]));
            XT_EQ_INT(asked(ctx), all[k]);
            one_child(ctx, 20 + (int)k);
        }
    xt_ctx_free(ctx);
    XH_SIGCHLD_IS(&before);
}

XT_TEST(no_change_while_children_live, "C1 C2 C3 C4 X5")
{
    for (size_t i = 0; i < N_OWNERS; i++) {
        libxl_ctx *ctx = xt_ctx_new(all[i], NULL);
        libxl_childproc_result r;
        libxl_childproc_id id;
        struct xh_action during;
        int gate;
        pid_t pid;

        id = xh_spawn_held(ctx, XH_EXIT(30), NULL, NULL, &gate, &pid);
        during = xh_action_get(SIGCHLD);
        for (size_t k = 0; k < N_OWNERS; k++) {
            XT_RC(set(ctx, all[k]), ERROR_BUSY);
            XT_EQ_INT(asked(ctx), all[i]);
            XH_SIGCHLD_IS(&during);
        }
        /* The twin that answers nothing changes nothing either. */
        libxl_childproc_setmode(ctx, NULL, NULL);
        XT_EQ_INT(asked(ctx), all[i]);
        xt_close(&gate);
        if (all[i] == libxl_sigchld_owner_mainloop)
            XT_OK(libxl_childproc_exited(ctx, pid, xh_reap(pid)));
        r = xt_wait(ctx, id);
        XT_EXITED(&r, 30);
        XT_OK(set(ctx, libxl_sigchld_owner_none));
        xt_ctx_free(ctx);
    }
}

static int take(pid_t pid, int status, void *user)
{
    (void)pid;
    (void)status;
    (void)user;
    return 0;
}

XT_TEST(misuse_of_setmode_changes_nothing, "X4 X5 C1")
{
    struct xh_action before = xh_action_get(SIGCHLD);
    libxl_ctx *ctx = xt_ctx_new(libxl_sigchld_owner_none, NULL);
    libxl_childproc_hooks good = {.chldowner = libxl_sigchld_owner_libxl,
                                  .childproc_exited_callback = take,
                                  .size = sizeof(good)};
    libxl_childproc_hooks bad;

    before = xh_action_get(SIGCHLD);
    XT_RC(libxl_childproc_setmode_checked(NULL, &good, NULL), ERROR_INVAL);
    libxl_childproc_setmode(NULL, &good, NULL);

    bad = good;
    bad.chldowner = (libxl_sigchld_owner)99;
    XT_RC(libxl_childproc_setmode_checked(ctx, &bad, NULL), ERROR_INVAL);
    bad.chldowner = (libxl_sigchld_owner)-1;
    XT_RC(libxl_childproc_setmode_checked(ctx, &bad, NULL), ERROR_INVAL);
    bad = good;
    bad.size = 1;
    XT_RC(libxl_childproc_setmode_checked(ctx, &bad, NULL), ERROR_INVAL);
    bad.size = sizeof(bad) - 1;
    XT_RC(libxl_childproc_setmode_checked(ctx, &bad, NULL), ERROR_INVAL);
    bad.size = sizeof(bad) + 4096;
    XT_RC(libxl_childproc_setmode_checked(ctx, &bad, NULL), ERROR_INVAL);

    /* Strangers are reaped by two owners only. */
    for (size_t i = 0; i < N_OWNERS; i++) {
        bad = good;
        bad.chldowner = all[i];
        if (all[i] != libxl_sigchld_owner_libxl &&
            all[i] != libxl_sigchld_owner_libxl_always)
            XT_RC(libxl_childproc_setmode_checked(ctx, &bad, NULL),
                  ERROR_INVAL);
    }
    XT_EQ_INT(asked(ctx), libxl_sigchld_owner_none);
    XH_SIGCHLD_IS(&before);
    one_child(ctx, 3);

    /* A size of 0 means the fields before it. */
    good.size = 0;
    XT_OK(libxl_childproc_setmode_checked(ctx, &good, NULL));
    XT_EQ_INT(asked(ctx), libxl_sigchld_owner_libxl);
    one_child(ctx, 4);
    xt_ctx_free(ctx);
}

XT_TEST(the_unchecked_twin_logs_its_failure, "X5 C1")
{
    struct xt_log log;
    libxl_ctx *ctx = xt_ctx_new(libxl_sigchld_owner_none, &log);
    libxl_childproc_hooks bad = {.chldowner = (libxl_sigchld_owner)99,
                                 .size = sizeof(bad)};
    int said = xt_log_count(&log, LIBXL_LOG_WARNING, NULL);

    libxl_childproc_setmode(ctx, &bad, NULL);
    XT_EQ_INT(asked(ctx), libxl_sigchld_owner_none);
    XT_GT_INT(xt_log_count(&log, LIBXL_LOG_WARNING, NULL), said);
    xt_ctx_free(ctx);
    xt_log_dispose(&log);
}

XT_TEST(owners_have_names, "C1 C2 C3 C4")
{
    XT_EQ_STR(libxl_childproc_owner_name(libxl_sigchld_owner_libxl), "libxl");
    XT_EQ_STR(libxl_childproc_owner_name(libxl_sigchld_owner_mainloop),
              "mainloop");
    XT_EQ_STR(libxl_childproc_owner_name(libxl_sigchld_owner_libxl_always),
              "libxl_always");
    XT_EQ_STR(libxl_childproc_owner_name(
                  libxl_sigchld_owner_libxl_always_selective_reap),
              "libxl_always_selective_reap");
    XT_EQ_STR(libxl_childproc_owner_name(libxl_sigchld_owner_none), "none");
    XT_EQ_STR(libxl_childproc_owner_name((libxl_sigchld_owner)99), "unknown");
}
