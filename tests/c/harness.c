/* harness.c - cases, assertions, and main() of every test program
 *
 * main() runs one case here (`--case NAME`), prints tables of cases
 * (`--list`, `--list-contract`), or hands over to the runner (runner.c),
 * which starts this program again for each case.
 */
#define _GNU_SOURCE
#include "harness.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#ifdef XT_COVERAGE
/* Every `_exit` here: what a forked child has run counts as well. */
void __gcov_dump(void);
__attribute__((noreturn)) void __real__exit(int status);
__attribute__((noreturn)) void __wrap__exit(int status);

void __wrap__exit(int status)
{
    __gcov_dump();
    __real__exit(status);
}
#endif

#include "xlchild/ctx.h"

#if defined(__has_include)
#if __has_include(<valgrind/memcheck.h>)
#include <valgrind/memcheck.h>
#endif
#endif
#ifndef VALGRIND_CLO_CHANGE
#define VALGRIND_CLO_CHANGE(option) ((void)(option))
#endif
#ifndef VALGRIND_MAKE_MEM_DEFINED
#define VALGRIND_MAKE_MEM_DEFINED(at, n) ((void)(at), (void)(n))
#endif

#ifndef XT_VECTORS
#define XT_VECTORS "tests/vectors"
#endif

/* ---- the cases of this program ------------------------------------------ */

static struct xt_case *first_case;
static struct xt_case **last_case = &first_case;

void xt_register(struct xt_case *c)
{
    *last_case = c;
    last_case = &c->next;
}

struct xt_case *xt_cases(void)
{
    return first_case;
}

int xt_time_scale(void)
{
    const char *s = getenv("XT_TIME_SCALE");
    int n = s ? atoi(s) : 1;

    return n < 1 ? 1 : n;
}

int xt_on_valgrind(void)
{
    const char *preload = getenv("LD_PRELOAD");

    return preload && strstr(preload, "vgpreload");
}

void xt_memory_readable(const void *at, size_t n)
{
    VALGRIND_MAKE_MEM_DEFINED(at, n);
}

/* In a forked child what the parent's other threads alone point to, which are
 * gone, counts as lost. */
static void look_for_no_leaks(void)
{
    VALGRIND_CLO_CHANGE("--leak-check=no");
}

/* ---- assertions --------------------------------------------------------- */

static void say(const char *format, va_list args)
{
    char text[4096];
    int n = vsnprintf(text, sizeof(text) - 1, format, args);

    if (n < 0)
        return;
    if ((size_t)n > sizeof(text) - 2)
        n = sizeof(text) - 2;
    text[n++] = '\n';
    for (int done = 0; done < n;) {
        ssize_t w = write(2, text + done, n - done);
        if (w < 0 && errno == EINTR)
            continue;
        if (w <= 0)
            return;
        done += w;
    }
}

void xt_note(const char *format, ...)
{
    int saved = errno;
    va_list args;

    va_start(args, format);
    say(format, args);
    va_end(args);
    errno = saved;
}

void xt_fail(const char *file, int line, const char *format, ...)
{
    va_list args;

    xt_note("%s:%d: FAILED", file, line);
    va_start(args, format);
    say(format, args);
    va_end(args);
    _exit(XT_EXIT_FAILED);
}

void xt_skip(const char *format, ...)
{
    char text[1024];
    va_list args;

    va_start(args, format);
    vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    xt_note("SKIP: %s", text);
    _exit(XT_EXIT_SKIPPED);
}

void xt_eq_int(const char *file, int line, const char *a_text, long long a,
               const char *op, const char *b_text, long long b, int holds)
{
    if (!holds)
        xt_fail(file, line, "%s %s %s does not hold: %lld, %lld", a_text, op,
                b_text, a, b);
}

void xt_eq_str(const char *file, int line, const char *a_text, const char *a,
               const char *b_text, const char *b)
{
    if (a == b || (a && b && !strcmp(a, b)))
        return;
    xt_fail(file, line, "%s is \"%s\", not %s, \"%s\"", a_text,
            a ? a : "(null)", b_text, b ? b : "(null)");
}

void xt_contains(const char *file, int line, const char *a_text, const char *a,
                 const char *part)
{
    if (!a || !strstr(a, part))
        xt_fail(file, line, "%s is \"%s\", without \"%s\"", a_text,
                a ? a : "(null)", part);
}

void xt_eq_mem(const char *file, int line, const char *a_text, const void *a,
               size_t a_len, const char *b_text, const void *b, size_t b_len)
{
    const unsigned char *x = a, *y = b;
    size_t i, n = a_len < b_len ? a_len : b_len;

    if (n && (!a || !b))
        xt_fail(file, line, "%s is %p, %s is %p", a_text, a, b_text, b);
    for (i = 0; i < n; i++)
        if (x[i] != y[i])
            xt_fail(file, line,
                    "%s and %s differ at byte %zu: 0x%02x, 0x%02x"
                    " (%zu and %zu bytes)",
                    a_text, b_text, i, x[i], y[i], a_len, b_len);
    if (a_len != b_len)
        xt_fail(file, line, "%s has %zu bytes, %s has %zu", a_text, a_len,
                b_text, b_len);
}

void xt_rc(const char *file, int line, const char *text, int rc, int expected)
{
    int e = errno;

    if (rc != expected)
        xt_fail(file, line, "%s: %d (%s), not %d (%s); errno is %d (%s)", text,
                rc, rc ? libxl_strerror(rc) : "success", expected,
                expected ? libxl_strerror(expected) : "success", e,
                strerror(e));
}

long long xt_sys(const char *file, int line, const char *text, long long r)
{
    if (r == -1)
        xt_fail(file, line, "%s: %s", text, strerror(errno));
    return r;
}

/* ---- running one case --------------------------------------------------- */

static int split_row(char *line, struct xt_row *row)
{
    char *p = line;

    row->nfields = 0;
    while (p) {
        if (row->nfields == (int)(sizeof(row->field) / sizeof(row->field[0])))
            return -1;
        row->field[row->nfields++] = strsep(&p, "\t");
    }
    return 0;
}

void xt_each_row(const char *table,
                 int (*each)(const struct xt_row *row, void *user), void *user)
{
    char path[4096];
    char *line = NULL;
    size_t room = 0;
    ssize_t n;
    int stop = 0;
    FILE *f;

    snprintf(path, sizeof(path), "%s/%s", XT_VECTORS, table);
    f = fopen(path, "re");
    if (!f)
        XT_FAIL("%s: %s", path, strerror(errno));
    while (!stop && (n = getline(&line, &room, f)) >= 0) {
        struct xt_row row;

        if (n && line[n - 1] == '\n')
            line[n - 1] = 0;
        if (!line[0] || line[0] == '#')
            continue;
        if (split_row(line, &row))
            XT_FAIL("%s: too many columns: %s", path, row.field[0]);
        stop = each(&row, user);
    }
    free(line);
    fclose(f);
}

struct row_visit {
    const struct xt_case *c;
    const char *wanted; /* an id, or NULL: list all */
    void (*list)(const char *name, const struct xt_case *c, void *user);
    void *user;
    int found;
};

static int visit_row(const struct xt_row *row, void *user)
{
    struct row_visit *v = user;
    char name[512];

    if (!v->wanted) {
        snprintf(name, sizeof(name), "%s:%s", v->c->name, row->field[0]);
        v->list(name, v->c, v->user);
        return 0;
    }
    if (strcmp(v->wanted, row->field[0]))
        return 0;
    v->found = 1;
    v->c->run_row(row);
    return 1;
}

void xt_each_case(void (*each)(const char *name, const struct xt_case *c,
                               void *user),
                  void *user)
{
    for (const struct xt_case *c = first_case; c; c = c->next) {
        struct row_visit v = {c, NULL, each, user, 0};

        if (c->table)
            xt_each_row(c->table, visit_row, &v);
        else
            each(c->name, c, user);
    }
}

static const struct xt_case *find(const char *name, size_t length)
{
    for (const struct xt_case *c = first_case; c; c = c->next)
        if (strlen(c->name) == length && !strncmp(c->name, name, length))
            return c;
    XT_FAIL("no such case: %s", name);
}

/* TSan starts a thread of its own together with the program's first. */
#ifdef __SANITIZE_THREAD__
static void *nothing(void *unused)
{
    return unused;
}

static void start_sanitizer_thread(void)
{
    pthread_t thread;

    XT_EQ_INT(pthread_create(&thread, NULL, nothing, NULL), 0);
    XT_EQ_INT(pthread_join(thread, NULL), 0);
}
#else
static void start_sanitizer_thread(void)
{
}
#endif

/* valgrind cannot grow the stack for a signal's frame: grow it now. */
static void grow_stack(void)
{
    volatile char room[256 * 1024];

    for (size_t i = 0; i < sizeof(room); i += 4096)
        room[i] = 0;
}

int xt_run_case(const char *name)
{
    const char *colon = strchr(name, ':');
    const struct xt_case *c =
        find(name, colon ? (size_t)(colon - name) : strlen(name));
    static struct xt_state *before; /* a skip or failure leaves it */
    char *diff;

    alarm(c->seconds * xt_time_scale());
    if (xt_on_valgrind())
        (void)pthread_atfork(NULL, NULL, look_for_no_leaks);
    start_sanitizer_thread();
    grow_stack();
    before = xt_state_take();
    if (c->table) {
        struct row_visit v = {c, colon ? colon + 1 : "", NULL, NULL, 0};

        xt_each_row(c->table, visit_row, &v);
        if (!v.found)
            XT_FAIL("no such row: %s", name);
    } else {
        c->run();
    }
    diff = xt_state_diff(before);
    xt_state_free(before);
    if (diff) {
        xt_note("FAILED: the case left the process changed:\n%s", diff);
        free(diff);
        return XT_EXIT_FAILED;
    }
    return 0;
}

/* ---- main --------------------------------------------------------------- */

static void print_case(const char *name, const struct xt_case *c, void *user)
{
    int with_seconds = *(int *)user;

    if (with_seconds)
        printf("%s\t%s\t%d\n", name, c->lines, c->seconds);
    else
        printf("%s/%s\t%s\n", program_invocation_short_name, name, c->lines);
}

int main(int argc, char **argv)
{
    int with_seconds = 1;

    if (argc == 3 && !strcmp(argv[1], "--case"))
        return xt_run_case(argv[2]);
    if (argc == 2 && !strcmp(argv[1], "--list")) {
        xt_each_case(print_case, &with_seconds);
        return 0;
    }
    if (argc == 2 && !strcmp(argv[1], "--list-contract") && first_case) {
        with_seconds = 0;
        xt_each_case(print_case, &with_seconds);
        return 0;
    }
    return xt_runner(argc, argv);
}
