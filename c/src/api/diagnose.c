/* diagnose.c - who owns SIGCHLD now, which mode, and why
 *
 * Called by the host. Only looks.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ctx/log.h"
#include "kernel/sized.h"
#include "loop/enter.h"
#include "kernel/facility.h"
#include "child/child.h"
#include "child/mode.h"
#include "ctx/process.h"

static const struct {
    unsigned bit;
    const char *name;
} facility_names[] = {
    {LIBXL_FACILITY_PIDFD, "pidfd"},
    {LIBXL_FACILITY_EXIT_INFO, "exit status by pidfd"},
    {LIBXL_FACILITY_VFORK, "shared-memory start"},
    {LIBXL_FACILITY_SHARED_FILES, "shared fd table"},
    {LIBXL_FACILITY_CLOSE_RANGE, "close_range"},
};

/* A static program has no dynamic linker to ask: the kernel's map knows. */
static int mapped_from(uintptr_t at, char *ret_name, size_t size)
{
    FILE *maps = xl_sys.fopen("/proc/self/maps", "re");
    char *line = NULL;
    size_t room = 0;
    int found = 0;

    while (maps != NULL && !found && getline(&line, &room, maps) >= 0) {
        const char *name = strchr(line, '/');
        char *dash;
        uintptr_t from = strtoul(line, &dash, 16);

        if (*dash != '-' || at < from || at >= strtoul(dash + 1, NULL, 16) ||
            name == NULL)
            continue;
        snprintf(ret_name, size, "%.*s", (int)strcspn(name, "\n"), name);
        found = 1;
    }
    free(line);
    if (maps != NULL)
        fclose(maps);
    return found;
}

/* The object file that an address of code belongs to. */
static void object_of(void *at, char *ret_name, size_t size)
{
    Dl_info object;

    if (dladdr(at, &object) != 0 && object.dli_fname != NULL)
        snprintf(ret_name, size, "%s", object.dli_fname);
    else if (!mapped_from((uintptr_t)at, ret_name, size))
        snprintf(ret_name, size, "unknown");
}

static void look(libxl_ctx *ctx, libxl_childproc_diagnosis *d)
{
    struct xl_sigchld_state state;
    struct xl_list *node;

    memset(d, 0, sizeof *d);
    d->size = sizeof *d;
    d->mode_asked = ctx->mode.asked;
    d->mode_in_force = ctx->mode.claimed ? ctx->mode.in_force : ctx->mode.asked;
    d->mode_reason = ctx->mode.reason;
    d->facilities = xl_facilities() & 0xffff;
    d->handler_wanted = xl_mode_wants_handler(ctx);
    d->children = ctx->nlive;
    for (node = ctx->held.next; node != &ctx->held; node = node->next)
        d->children +=
            xl_container(node, struct xl_child, link)->guardian == NULL;
    if (xl_sigchld_look(&state) != 0)
        return;
    d->handler_installed = state.installed;
    d->handler_displaced = d->handler_wanted && !state.installed;
    d->sigchld_ignored = state.ignored;
    d->sigchld_blocked = state.blocked;
    if (state.handler != NULL)
        object_of(state.handler, d->handler_object, sizeof d->handler_object);
}

static void say(FILE *out, const libxl_childproc_diagnosis *d)
{
    size_t i;

    fprintf(out, "mode: %s", libxl_childproc_owner_name(d->mode_asked));
    if (d->mode_in_force != d->mode_asked)
        fprintf(out, ", in force: %s",
                libxl_childproc_owner_name(d->mode_in_force));
    fputc('\n', out);
    if (d->mode_reason != NULL)
        fprintf(out, "because: %s\n", d->mode_reason);
    if (d->handler_object[0] != '\0')
        fprintf(out, "SIGCHLD is handled by: %s%s\n", d->handler_object,
                d->handler_installed ? " (xlchild)" : "");
    else
        fprintf(out, "SIGCHLD is %s\n",
                d->sigchld_ignored ? "ignored" : "at its default");
    if (d->handler_displaced)
        fprintf(out, "xlchild's handler has been displaced\n");
    else if (d->handler_wanted)
        fprintf(out, "xlchild's handler is in place\n");
    if (d->sigchld_blocked)
        fprintf(out, "SIGCHLD is blocked in this thread\n");
    fprintf(out, "children: %d\n", d->children);
    fprintf(out, "kernel:");
    for (i = 0; i < sizeof facility_names / sizeof facility_names[0]; i++)
        fprintf(out, "%s %s %s", i == 0 ? "" : ",", facility_names[i].name,
                d->facilities & facility_names[i].bit ? "yes" : "no");
    fputc('\n', out);
}

int libxl_childproc_diagnose(libxl_ctx *ctx,
                             libxl_childproc_diagnosis *ret_diagnosis,
                             char **ret_words)
{
    const size_t least = XL_SIZE_WITH(libxl_childproc_diagnosis, mode_in_force);
    libxl_childproc_diagnosis d;
    char *words = NULL;
    size_t size;
    FILE *out;
    int rc;

    rc = xl_enter(ctx);
    if (rc != 0)
        return rc;
    if (ret_diagnosis != NULL &&
        (ret_diagnosis->size < least || ret_diagnosis->size > XL_SIZED_MOST)) {
        xl_log(ctx, LIBXL_LOG_ERROR, 0,
               "libxl_childproc_diagnose: bad argument: size");
        return xl_leave(ctx, ERROR_INVAL);
    }
    look(ctx, &d);
    rc = xl_leave(ctx, 0);
    if (ret_words != NULL) {
        out = xl_sys.open_memstream(&words, &size);
        if (out == NULL)
            return ERROR_NOMEM;
        say(out, &d);
        if (fclose(out) != 0) {
            xl_free(words);
            return ERROR_NOMEM;
        }
        *ret_words = words;
    }
    if (ret_diagnosis != NULL) {
        d.size = ret_diagnosis->size; /* what is longer stays unknown: zero */
        xl_sized_give(ret_diagnosis, d.size, &d, sizeof d);
    }
    return rc;
}
