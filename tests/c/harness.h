/* harness.h - cases, assertions, and what a case must leave as it found it
 *
 * A test file declares cases with XT_TEST; harness.c runs one of them in this
 * process (`PROGRAM --case NAME`), runner.c starts a fresh process for each.
 * A case that returns has passed, provided that fds, children, threads, signal
 * mask, dispositions and pending signals are as they were before it.
 *
 *     XT_TEST(exit_status_is_exact, "C6 E1")
 *     {
 *         ...
 *         XT_EQ_INT(WEXITSTATUS(status), 3);
 *     }
 *
 * The string names the lines of the contract that the case proves.
 */
#ifndef XT_HARNESS_H
#define XT_HARNESS_H

#include <stddef.h>

#define XT_DEFAULT_SECONDS 30 /* a case may take this long */
#define XT_EXIT_FAILED 1      /* exit status of `--case` */
#define XT_EXIT_SKIPPED 77

/* One row of a tab-separated table; fields are unescaped by their users. */
struct xt_row {
    int nfields;
    char *field[16]; /* field[0] is the row's id */
};

struct xt_case {
    const char *name;
    const char *lines;   /* lines of the contract, separated by blanks */
    int seconds;         /* limit, scaled by XT_TIME_SCALE */
    const char *table;   /* file in tests/vectors, or NULL */
    void (*run)(void);
    void (*run_row)(const struct xt_row *row); /* with a table */
    struct xt_case *next;
};

void xt_register(struct xt_case *c);

#define XT_CASE_(name_, lines_, seconds_, table_, run_, run_row_)              \
    static struct xt_case xt_case_##name_ = {                                  \
        #name_, lines_, seconds_, table_, run_, run_row_, NULL};               \
    __attribute__((constructor)) static void xt_register_##name_(void)         \
    {                                                                          \
        xt_register(&xt_case_##name_);                                         \
    }

/* A case. */
#define XT_TEST(name, lines) XT_TEST_SLOW(name, lines, XT_DEFAULT_SECONDS)

/* A case that may take longer than the others. */
#define XT_TEST_SLOW(name, lines, seconds)                                     \
    static void name(void);                                                    \
    XT_CASE_(name, lines, seconds, NULL, name, NULL)                           \
    static void name(void)

/* A case a row of tests/vectors/FILE, called NAME:ID; the body sees `row`. */
#define XT_TEST_TABLE(name, lines, file)                                       \
    static void name(const struct xt_row *row);                                \
    XT_CASE_(name, lines, XT_DEFAULT_SECONDS, file, NULL, name)                \
    static void name(const struct xt_row *row)

/* Calls each row of a table of tests/vectors; stops when `each` returns
 * nonzero. Blank lines and comments are left out. */
void xt_each_row(const char *table,
                 int (*each)(const struct xt_row *row, void *user), void *user);

/* ---- assertions: all end the case, none depends on NDEBUG --------------- */

__attribute__((noreturn, format(printf, 3, 4))) void
xt_fail(const char *file, int line, const char *format, ...);
void xt_eq_int(const char *file, int line, const char *a_text, long long a,
               const char *op, const char *b_text, long long b, int holds);
void xt_eq_str(const char *file, int line, const char *a_text, const char *a,
               const char *b_text, const char *b);
void xt_contains(const char *file, int line, const char *a_text, const char *a,
                 const char *part);
void xt_eq_mem(const char *file, int line, const char *a_text, const void *a,
               size_t a_len, const char *b_text, const void *b, size_t b_len);
void xt_rc(const char *file, int line, const char *text, int rc, int expected);
long long xt_sys(const char *file, int line, const char *text, long long r);

#define XT_FAIL(...) xt_fail(__FILE__, __LINE__, __VA_ARGS__)
#define XT_TRUE(e)                                                             \
    do {                                                                       \
        if (!(e))                                                              \
            xt_fail(__FILE__, __LINE__, "%s is false", #e);                    \
    } while (0)
#define XT_CMP_(a, op, b)                                                      \
    do {                                                                       \
        long long xt_a_ = (long long)(a), xt_b_ = (long long)(b);              \
        xt_eq_int(__FILE__, __LINE__, #a, xt_a_, #op, #b, xt_b_,               \
                  xt_a_ op xt_b_);                                             \
    } while (0)
#define XT_EQ_INT(a, b) XT_CMP_(a, ==, b)
#define XT_NE_INT(a, b) XT_CMP_(a, !=, b)
#define XT_LT_INT(a, b) XT_CMP_(a, <, b)
#define XT_LE_INT(a, b) XT_CMP_(a, <=, b)
#define XT_GT_INT(a, b) XT_CMP_(a, >, b)
#define XT_GE_INT(a, b) XT_CMP_(a, >=, b)
#define XT_EQ_PTR(a, b)                                                        \
    do {                                                                       \
        const void *xt_a_ = (a), *xt_b_ = (b);                                 \
        if (xt_a_ != xt_b_)                                                    \
            xt_fail(__FILE__, __LINE__, "%s is %p, not %s, %p", #a, xt_a_, #b, \
                    xt_b_);                                                    \
    } while (0)
#define XT_EQ_STR(a, b) xt_eq_str(__FILE__, __LINE__, #a, a, #b, b)
#define XT_CONTAINS(a, part) xt_contains(__FILE__, __LINE__, #a, a, part)
#define XT_EQ_MEM(a, a_len, b, b_len)                                          \
    xt_eq_mem(__FILE__, __LINE__, #a, a, a_len, #b, b, b_len)
/* A library call that returns 0, or the given code. */
#define XT_OK(call) xt_rc(__FILE__, __LINE__, #call, call, 0)
#define XT_RC(call, expected) xt_rc(__FILE__, __LINE__, #call, call, expected)
/* A system call that does not return -1; its value. */
#define XT_SYS(call) xt_sys(__FILE__, __LINE__, #call, (long long)(call))

/* End the case as skipped; the reason is printed. */
__attribute__((noreturn, format(printf, 1, 2))) void
xt_skip(const char *format, ...);
#define XT_SKIP(...) xt_skip(__VA_ARGS__)

/* A line in the case's output, shown when it fails or with --verbose. */
__attribute__((format(printf, 1, 2))) void xt_note(const char *format, ...);
#define XT_NOTE(...) xt_note(__VA_ARGS__)

/* ---- what a case must leave as it was ----------------------------------- */

struct xt_state;

/* How many threads this process has. One that has ended may count for a moment
 * after it has told whoever waited for it. */
int xt_threads(void);

/* A snapshot of this process: fds with targets and flags, threads, signal
 * mask, dispositions, pending signals. Free it with xt_state_free. */
struct xt_state *xt_state_take(void);
void xt_state_free(struct xt_state *state);

/* How the process differs from a snapshot, as malloc'ed lines, or NULL. A
 * child is a difference where there was none, a zombie where there was none. */
char *xt_state_diff(const struct xt_state *before);

/* The same as an assertion, for use in the middle of a case. */
void xt_state_same(const char *file, int line, const struct xt_state *before);
#define XT_STATE_SAME(before) xt_state_same(__FILE__, __LINE__, before)

/* True under valgrind, which has limits and descriptors of its own. */
int xt_on_valgrind(void);
/* Memory that valgrind takes for gone, as an ended thread's stack, may be read
 * all the same. */
void xt_memory_readable(const void *at, size_t n);

/* Times in tests are multiplied by this (XT_TIME_SCALE, at least 1). */
int xt_time_scale(void);

/* ---- between harness.c and runner.c ------------------------------------- */

struct xt_case *xt_cases(void);
int xt_run_case(const char *name);     /* the exit status */
int xt_runner(int argc, char **argv);  /* the exit status */

/* Calls `each` with the full name of every case of this program. */
void xt_each_case(void (*each)(const char *name, const struct xt_case *c,
                               void *user),
                  void *user);

#endif
