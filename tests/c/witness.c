/* witness.c - what a child inherits by default, and what each option changes
 *
 * Contract lines C16 and C28, for whatever the kernel lets a program inherit.
 * A host that has made itself odd (dirty.c) starts tests/helpers/witness.c by
 * fork and exec alone, which proves the oddity, and then by the library, in
 * each of its ways; what the witnesses tell is held against witness.tsv and
 * witness_options.tsv of tests/vectors. Python and OCaml do the same, and
 * docs/security.md has the tables.
 */
#define _GNU_SOURCE
#include "dirty.h"
#include "hostchild.h"
#include "vectors.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static struct {
    char *folder;
    char *program; /* where any user can execute it */
    char *report;
    char *bare; /* what the one without the library has told */
    char *child;
    const char *changes;
    const char *how;
    int facts;
} w;

/* ---- the witness's report ----------------------------------------------- */

static char *slurp(const char *path)
{
    int fd = XT_SYS(open(path, O_RDONLY | O_CLOEXEC));
    char *text = xt_read_all(fd, NULL);

    close(fd);
    return text;
}

static void copy(const char *from, const char *to)
{
    int in = XT_SYS(open(from, O_RDONLY | O_CLOEXEC));
    int out = XT_SYS(open(to, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0700));
    size_t length;
    char *bytes = xt_read_all(in, &length);

    xt_write_all(out, bytes, length);
    XT_SYS(fchmod(out, 0755));
    free(bytes);
    close(in);
    close(out);
}

static void new_report(void)
{
    int fd =
        XT_SYS(open(w.report, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600));

    XT_SYS(fchmod(fd, 0666));
    close(fd);
}

static void prepare(void)
{
    char *witness;

    w.folder = xt_tmpdir();
    XT_SYS(chmod(w.folder, 0755));
    if (asprintf(&witness, "%s/witness", XT_HELPERS) < 0 ||
        asprintf(&w.program, "%s/witness", w.folder) < 0 ||
        asprintf(&w.report, "%s/report", w.folder) < 0)
        XT_FAIL("out of memory");
    copy(witness, w.program);
    free(witness);
}

/* The value in a report; the caller frees it. */
static char *fact(const char *report, const char *name)
{
    size_t length = strlen(name);

    for (const char *line = report; *line; line = strchr(line, '\n') + 1)
        if (!strncmp(line, name, length) && line[length] == ' ')
            return strndup(line + length + 1, strcspn(line + length + 1, "\n"));
    XT_FAIL("the witness says nothing of %s", name);
}

/* What the row's changes say of it, or NULL. */
static char *changed(const char *name)
{
    size_t length = strlen(name);
    const char *at = w.changes;

    for (; *at; at += strcspn(at, ";"), at += *at == ';')
        if (!strncmp(at, name, length) && at[length] == '=')
            return strndup(at + length + 1, strcspn(at + length + 1, ";"));
    return NULL;
}

/* id, bare, default, words */
static int compare(const struct xt_row *row, void *user)
{
    char *bare = fact(w.bare, row->field[0]);
    char *child = fact(w.child, row->field[0]);
    char *change = changed(row->field[0]);
    const char *expected = change                        ? change
                           : !strcmp(row->field[2], "=") ? bare
                                                         : row->field[2];

    if (strcmp(row->field[1], "?") && strcmp(bare, row->field[1]))
        XT_FAIL("%s: the host passes on %s, not %s", row->field[0], bare,
                row->field[1]);
    if (strcmp(child, expected))
        XT_FAIL("%s, %s: %s instead of %s", w.how, row->field[0], child,
                expected);
    w.facts++;
    free(bare);
    free(child);
    free(change);
    (void)user;
    return 0;
}

static int lines(const char *text)
{
    int n = 0;

    for (; *text; text++)
        n += *text == '\n';
    return n;
}

static void check(const char *how)
{
    w.how = how;
    w.child = slurp(w.report);
    w.facts = 0;
    xt_each_row("witness.tsv", compare, NULL);
    /* and no fact is without a row */
    XT_EQ_INT(w.facts, lines(w.child));
    free(w.child);
}

/* ---- starting it -------------------------------------------------------- */

static void start_bare(void)
{
    pid_t pid;

    new_report();
    pid = XT_SYS(fork());
    if (!pid) {
        execl(w.program, "witness", w.report, (char *)NULL);
        _exit(127);
    }
    XT_EQ_INT(xh_reap(pid), 0);
    w.bare = slurp(w.report);
}

static void start_one(libxl_ctx *ctx, const libxl_childproc_spec *spec,
                      const char *how)
{
    libxl_childproc_result r;

    new_report();
    r = xt_wait(ctx, xt_spawn(ctx, spec, NULL, NULL));
    XT_EXITED(&r, 0);
    check(how);
}

/* The same witness twice: they write the same. */
static void start_batch(libxl_ctx *ctx, const libxl_childproc_spec *spec)
{
    libxl_childproc_batch_entry entry[2] = {{.spec = spec}, {.spec = spec}};
    int n = spec->flags & LIBXL_SPAWN_SET_CTTY ? 1 : 2;

    new_report();
    XT_EQ_INT(libxl_childproc_spawn_many(ctx, entry, n), n);
    for (int i = 0; i < n; i++) {
        libxl_childproc_result r = xt_wait(ctx, entry[i].id);

        XT_EXITED(&r, 0);
    }
    check("in a batch");
}

static void start_operation(libxl_ctx *ctx, const libxl_childproc_spec *spec)
{
    libxl_childproc_exec_opts opts;
    libxl_childproc_exec_result result;

    libxl_childproc_exec_opts_init(&opts);
    opts.stdin_stream.kind = LIBXL_STREAM_INHERIT;
    opts.timeout_ms = 60000;
    new_report();
    XT_OK(libxl_childproc_exec(ctx, spec, &opts, &result, NULL, NULL));
    XT_EXITED(&result.child, 0);
    libxl_childproc_exec_result_dispose(&result);
    check("as an operation");
}

static pid_t own_fork(void *user)
{
    (void)user;
    return fork();
}

/* In a process of its own, which is not put right again. */
static void host(const struct xt_row *row)
{
    libxl_childproc_hooks hooks = {.chldowner = libxl_sigchld_owner_none,
                                   .fork_replacement = own_fork};
    struct xt_places places = {NULL};
    struct xt_made_spec made;
    const char *argv[] = {w.program, w.report, NULL};
    struct xt_state *before = NULL;
    libxl_ctx *ctx;

    xt_dirty();
    if (!geteuid()) /* others may not look at an undumpable process */
        before = xt_state_take();
    ctx = xt_ctx_new(libxl_sigchld_owner_none, NULL);
    start_bare();
    xt_make_spec(&made, &places, row->field[2], "-");
    made.spec.argv = argv;
    start_one(ctx, &made.spec, "alone");
    start_batch(ctx, &made.spec);
    if (!(made.spec.flags & LIBXL_SPAWN_HOLD_PID)) /* not for operations */
        start_operation(ctx, &made.spec);
    XT_OK(libxl_childproc_setmode_checked(ctx, &hooks, NULL));
    start_one(ctx, &made.spec, "by a fork_replacement");
    xt_made_spec_dispose(&made);
    free(w.bare);
    XT_OK(libxl_ctx_free(ctx));
    if (before) {
        XT_STATE_SAME(before); /* nothing of the host's was touched */
        xt_state_free(before);
    }
}

XT_TEST_TABLE(witness, "C16 C28 B8", "witness_options.tsv")
{
    pid_t pid;

    xt_needs(row->field[1]);
    if (xt_on_valgrind())
        XT_SKIP("valgrind has descriptors and limits of its own");
    prepare();
    w.changes = row->field[3];
    pid = XT_SYS(fork());
    if (!pid) {
        host(row);
        _exit(0);
    }
    XT_EQ_INT(xh_reap(pid), 0);
    xt_tmpdir_remove(w.folder);
    free(w.program);
    free(w.report);
}
