/* vectors.c - a row of tests/vectors turned into arguments, specs, bytes
 *
 * Called by the cases of vector_tables.c; the form of the tables is described
 * in tests/vectors/README.md.
 */
#define _GNU_SOURCE
#include "vectors.h"

#include <ctype.h>
#include <errno.h>
#include <grp.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

/* ---- texts -------------------------------------------------------------- */

static void append(struct xt_bytes *b, const void *data, size_t length)
{
    b->data = realloc(b->data, b->length + length + 1);
    if (!b->data)
        XT_FAIL("out of memory");
    memcpy(b->data + b->length, data, length);
    b->length += length;
    b->data[b->length] = 0;
}

static void append_char(struct xt_bytes *b, char c)
{
    append(b, &c, 1);
}

/* The forms @N and @N*C; 0 if the column is of neither. */
static int repeated(struct xt_bytes *b, const char *column)
{
    char *end;
    long n;

    if (column[0] != '@')
        return 0;
    n = strtol(column + 1, &end, 10);
    if (end == column + 1 || (*end && (*end != '*' || !end[1] || end[2])))
        return 0;
    b->data = malloc(n + 1);
    if (!b->data)
        XT_FAIL("out of memory");
    b->length = n;
    for (long i = 0; i < n; i++)
        b->data[i] = *end ? end[1] : 'a' + i % 26;
    b->data[n] = 0;
    return 1;
}

static void make_dir(struct xt_places *places)
{
    char *dir = xt_tmpdir();
    char *canonical = realpath(dir, NULL);
    int status;
    pid_t pid;

    XT_TRUE(canonical != NULL);
    free(dir);
    places->dir = canonical;
    pid = fork();
    XT_SYS(pid);
    if (!pid) {
        execl(xt_child_path(), "child", "fixtures", canonical, (char *)NULL);
        _exit(127);
    }
    XT_EQ_INT(waitpid(pid, &status, 0), pid);
    XT_EQ_INT(status, 0);
}

void xt_places_dispose(struct xt_places *places)
{
    if (places->dir)
        xt_tmpdir_remove(places->dir);
    places->dir = NULL;
}

static struct xt_bytes placed(struct xt_places *places, struct xt_bytes from)
{
    struct xt_bytes to = {NULL, 0};
    char cwd[PATH_MAX];

    append(&to, "", 0);
    for (size_t i = 0; i < from.length;) {
        const char *at = from.data + i;

        if (!strncmp(at, "{child}", 7)) {
            append(&to, xt_child_path(), strlen(xt_child_path()));
            i += 7;
        } else if (!strncmp(at, "{tiny}", 6)) {
            append(&to, xt_tiny_path(), strlen(xt_tiny_path()));
            i += 6;
        } else if (!strncmp(at, "{dir}", 5)) {
            if (!places->dir)
                make_dir(places);
            append(&to, places->dir, strlen(places->dir));
            i += 5;
        } else if (!strncmp(at, "{cwd}", 5)) {
            XT_TRUE(getcwd(cwd, sizeof(cwd)) != NULL);
            append(&to, cwd, strlen(cwd));
            i += 5;
        } else {
            append_char(&to, *at);
            i++;
        }
    }
    free(from.data);
    return to;
}

struct xt_bytes xt_text(struct xt_places *places, const char *column)
{
    struct xt_bytes b = {NULL, 0};
    static const char from[] = "ntr\\0se", to[] = "\n\t\r\\\0 ";

    if (repeated(&b, column))
        return b;
    append(&b, "", 0);
    for (const char *p = column; *p; p++) {
        const char *escape;

        if (*p != '\\') {
            append_char(&b, *p);
        } else if (p[1] == 'x' && isxdigit((unsigned char)p[2]) &&
                   isxdigit((unsigned char)p[3])) {
            char hex[3] = {p[2], p[3], 0};

            append_char(&b, (char)strtol(hex, NULL, 16));
            p += 3;
        } else if (p[1] && (escape = strchr(from, p[1]))) {
            if (*escape != 'e')
                append_char(&b, to[escape - from]);
            p++;
        } else {
            XT_FAIL("bad escape in the table: %s", p);
        }
    }
    return placed(places, b);
}

/* ---- names -------------------------------------------------------------- */

struct name {
    const char *name;
    int number;
};

#define NAME(n) {#n, n}
static const struct name signals[] = {
    NAME(SIGHUP),  NAME(SIGINT),  NAME(SIGQUIT), NAME(SIGILL),
    NAME(SIGTRAP), NAME(SIGABRT), NAME(SIGBUS),  NAME(SIGFPE),
    NAME(SIGKILL), NAME(SIGUSR1), NAME(SIGSEGV), NAME(SIGUSR2),
    NAME(SIGPIPE), NAME(SIGALRM), NAME(SIGTERM), NAME(SIGCHLD),
    NAME(SIGCONT), NAME(SIGSTOP), NAME(SIGTSTP), NAME(SIGXCPU),
    NAME(SIGPROF), NAME(SIGSYS),  NAME(SIGVTALRM),
};
static const struct name errors[] = {
    NAME(ENOENT), NAME(EACCES),  NAME(ENOEXEC), NAME(ELOOP),
    NAME(EPERM),  NAME(ENOTDIR), NAME(EINVAL),  NAME(ENAMETOOLONG),
    NAME(EBADF),  NAME(ENOTTY),  NAME(ESRCH),   NAME(E2BIG),
};
static const struct name limits[] = {
    {"NOFILE", RLIMIT_NOFILE}, {"CORE", RLIMIT_CORE}, {"CPU", RLIMIT_CPU},
    {"FSIZE", RLIMIT_FSIZE},   {"AS", RLIMIT_AS},     {"STACK", RLIMIT_STACK},
};
static const struct name scopes[] = {
    {"process", LIBXL_KILL_PROCESS},
    {"group", LIBXL_KILL_GROUP},
    {"cgroup", LIBXL_KILL_CGROUP},
};
static const struct name flags[] = {
    {"SEARCH_PATH", LIBXL_SPAWN_SEARCH_PATH},
    {"NEW_SESSION", LIBXL_SPAWN_NEW_SESSION},
    {"NEW_GROUP", LIBXL_SPAWN_NEW_GROUP},
    {"JOIN_GROUP", LIBXL_SPAWN_JOIN_GROUP},
    {"KEEP_FDS", LIBXL_SPAWN_KEEP_FDS},
    {"KEEP_SIGMASK", LIBXL_SPAWN_KEEP_SIGMASK},
    {"KEEP_SIGIGN", LIBXL_SPAWN_KEEP_SIGIGN},
    {"IGNORE_SIGPIPE", LIBXL_SPAWN_IGNORE_SIGPIPE},
    {"SET_CTTY", LIBXL_SPAWN_SET_CTTY},
    {"KEEP_GROUPS", LIBXL_SPAWN_KEEP_GROUPS},
    {"REPORT_STOPS", LIBXL_SPAWN_REPORT_STOPS},
    {"RESTORE_SIGPIPE", LIBXL_SPAWN_RESTORE_SIGPIPE},
    {"HOLD_PID", LIBXL_SPAWN_HOLD_PID},
    {"NOWAIT", LIBXL_SPAWN_NOWAIT},
};

/* A name or a number. */
static int named(const struct name *table, size_t n, const char *text)
{
    char *end;
    long number = strtol(text, &end, 0);

    if (!*end && end != text)
        return number;
    for (size_t i = 0; i < n; i++)
        if (!strcmp(table[i].name, text))
            return table[i].number;
    XT_FAIL("unknown name in the table: %s", text);
}
#define NAMED(table, text)                                                     \
    named(table, sizeof(table) / sizeof((table)[0]), text)

int xt_signal(const char *text)
{
    return NAMED(signals, text);
}

int xt_errno(const char *name)
{
    return NAMED(errors, name);
}

libxl_kill_scope xt_scope(const char *text)
{
    return (libxl_kill_scope)NAMED(scopes, text);
}

static rlim_t limit(const char *text)
{
    return !strcmp(text, "inf") ? RLIM_INFINITY : strtoull(text, NULL, 10);
}

/* ---- specs -------------------------------------------------------------- */

static char *keep(struct xt_made_spec *made, char *text)
{
    if (made->nkept == (int)(sizeof(made->kept) / sizeof(made->kept[0])))
        XT_FAIL("too many texts in one row");
    made->kept[made->nkept++] = text;
    return text;
}

static const char *text_of(struct xt_made_spec *made, struct xt_places *places,
                           const char *column)
{
    return keep(made, xt_text(places, column).data);
}

/* Splits at blanks; `\e` alone is no word at all. Returns how many, max 15. */
static int words(struct xt_made_spec *made, const char *value, char *word[16])
{
    char *rest = keep(made, strdup(value));
    int n = 0;

    if (!strcmp(value, "\\e"))
        return 0;
    while (rest) {
        if (n == 15)
            XT_FAIL("too many words in one row: %s", value);
        word[n++] = strsep(&rest, " ");
    }
    return n;
}

/* argv or environment: first (if any), the words, NULL. */
static const char **vector(struct xt_made_spec *made, struct xt_places *places,
                           const char *first, const char *value)
{
    char *word[16];
    int n = words(made, value, word), k = 0;
    const char **v = calloc(n + 2, sizeof(*v));

    if (!v)
        XT_FAIL("out of memory");
    if (first)
        v[k++] = first;
    for (int i = 0; i < n; i++)
        v[k++] = text_of(made, places, word[i]);
    return v;
}

static void set_fds(struct xt_made_spec *made, char **word, int n)
{
    for (int i = 0; i < n; i++) {
        char *source = word[i], *target = strsep(&source, ":");

        made->fds[i].target = atoi(target);
        made->fds[i].source = !strcmp(source, "null")     ? LIBXL_FD_NULL
                              : !strcmp(source, "closed") ? LIBXL_FD_CLOSED
                                                          : atoi(source);
    }
    made->spec.fds = made->fds;
    made->spec.nfds = n;
}

static void set_rlimits(struct xt_made_spec *made, char **word, int n)
{
    for (int i = 0; i < n; i++) {
        char *p = word[i];

        made->rlimits[i].resource = NAMED(limits, strsep(&p, ":"));
        made->rlimits[i].limit.rlim_cur = limit(strsep(&p, ":"));
        made->rlimits[i].limit.rlim_max = limit(p);
    }
    made->spec.rlimits = made->rlimits;
    made->spec.nrlimits = n;
}

static const sigset_t *set_signals(sigset_t *set, char **word, int n)
{
    sigemptyset(set);
    for (int i = 0; i < n; i++)
        sigaddset(set, xt_signal(word[i]));
    return set;
}

static void set_kill(struct xt_made_spec *made, char *value)
{
    made->spec.kill.first_signal = xt_signal(strsep(&value, ":"));
    made->spec.kill.grace_ms = atoi(strsep(&value, ":"));
    made->spec.kill.scope = xt_scope(value);
}

/* Members that are words. */
static int set_words(struct xt_made_spec *made, const char *name,
                     const char *value)
{
    libxl_childproc_spec *spec = &made->spec;
    char *word[16];
    int n = words(made, value, word);

    if (!strcmp(name, "fds"))
        set_fds(made, word, n);
    else if (!strcmp(name, "rlimits"))
        set_rlimits(made, word, n);
    else if (!strcmp(name, "sigmask"))
        spec->sigmask = set_signals(&made->sigmask, word, n);
    else if (!strcmp(name, "sigignore"))
        spec->sigignore = set_signals(&made->sigignore, word, n);
    else if (!strcmp(name, "flags"))
        for (int i = 0; i < n; i++)
            spec->flags |= NAMED(flags, word[i]);
    else if (!strcmp(name, "groups")) {
        for (int i = 0; i < n; i++)
            made->groups[i] = atoi(word[i]);
        spec->groups = made->groups;
        spec->ngroups = n;
        spec->flags |= LIBXL_SPAWN_SET_GROUPS;
    } else if (!strcmp(name, "kill"))
        set_kill(made, word[0]);
    else
        return 0;
    return 1;
}

/* Members that are one number. */
static int set_number(libxl_childproc_spec *spec, const char *name,
                      const char *value)
{
    int n = atoi(value);

    if (!strcmp(name, "group"))
        spec->group = n;
    else if (!strcmp(name, "uid")) {
        spec->uid = n;
        spec->flags |= LIBXL_SPAWN_SET_UID;
    } else if (!strcmp(name, "gid")) {
        spec->gid = n;
        spec->flags |= LIBXL_SPAWN_SET_GID;
    } else if (!strcmp(name, "nice")) {
        spec->nice = n;
        spec->flags |= LIBXL_SPAWN_SET_NICE;
    } else if (!strcmp(name, "pdeathsig")) {
        spec->pdeathsig = xt_signal(value);
        spec->flags |= LIBXL_SPAWN_SET_PDEATHSIG;
    } else if (!strcmp(name, "umask")) {
        spec->umask = strtol(value, NULL, 8);
        spec->flags |= LIBXL_SPAWN_SET_UMASK;
    } else if (!strcmp(name, "ctty_fd"))
        spec->ctty_fd = n;
    else if (!strcmp(name, "exited_grace_ms"))
        spec->exited_grace_ms = n;
    else if (!strcmp(name, "on_free"))
        spec->on_free = (libxl_free_policy)n;
    else
        return 0;
    return 1;
}

static void set(struct xt_made_spec *made, struct xt_places *places,
                const char *name, const char *value)
{
    libxl_childproc_spec *spec = &made->spec;

    if (!strcmp(name, "argv")) {
        free(made->argv);
        made->argv = vector(made, places, NULL, value);
    } else if (!strcmp(name, "env")) {
        made->env = vector(made, places, NULL, value);
        spec->envp = made->env;
    } else if (!strcmp(name, "path"))
        spec->path = text_of(made, places, value);
    else if (!strcmp(name, "cwd"))
        spec->cwd = text_of(made, places, value);
    else if (!strcmp(name, "search_path"))
        spec->search_path = text_of(made, places, value);
    else if (!strcmp(name, "cgroup"))
        spec->cgroup = text_of(made, places, value);
    else if (!set_number(spec, name, value) && !set_words(made, name, value))
        XT_FAIL("unknown setting in the table: %s", name);
}

void xt_make_spec(struct xt_made_spec *made, struct xt_places *places,
                  const char *settings, const char *verbs)
{
    memset(made, 0, sizeof(*made));
    libxl_childproc_spec_init(&made->spec);
    made->argv = vector(made, places, xt_child_path(),
                        verbs && strcmp(verbs, "-") ? verbs : "\\e");
    if (strcmp(settings, "-")) {
        char *rest = keep(made, strdup(settings));

        while (rest) {
            char *value = strsep(&rest, ";"), *name = strsep(&value, "=");

            if (!value)
                XT_FAIL("a setting without value: %s", name);
            set(made, places, name, value);
        }
    }
    made->spec.argv = made->argv;
}

void xt_made_spec_dispose(struct xt_made_spec *made)
{
    for (int i = 0; i < made->nkept; i++)
        free(made->kept[i]);
    free(made->argv);
    free(made->env);
}

/* ---- expectations ------------------------------------------------------- */

void xt_ended(const libxl_childproc_result *r, const char *kind,
              const char *value)
{
    if (!strcmp(kind, "exit"))
        XT_EXITED(r, atoi(value));
    else if (!strcmp(kind, "signal"))
        XT_SIGNALED(r, xt_signal(value));
    else
        XT_FAIL("unknown kind in the table: %s", kind);
}

void xt_needs(const char *needs)
{
    if (!strcmp(needs, "root") && geteuid())
        XT_SKIP("needs root");
    if (!strcmp(needs, "user") && !geteuid()) {
        /* root is refused nothing: this case goes on as nobody */
        XT_SYS(setgroups(0, NULL));
        XT_SYS(setresgid(65534, 65534, 65534));
        XT_SYS(setresuid(65534, 65534, 65534));
        XT_SYS(prctl(PR_SET_DUMPABLE, 1)); /* or /proc/self is root's */
    }
}
