/* bench/common/main.c - options, one measurement, one line of JSON
 *
 * Called by every peer's main(). Next: machine.c makes the parent as it was
 * asked for, then rate.c, latency.c, burst.c or memory.c measures.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "bench.h"

struct bench_options bench_options = {
    .measure = "rate",
    .mode = "none",
    .report = "event",
    .without = "",
    .children = 1000,
    .concurrency = 16,
    .warmup = 50,
    .bursts = 1,
    .slices = 1,
};

static char line[4096];
static size_t line_used;

_Noreturn void bench_die(const char *what)
{
    fprintf(stderr, "bench: %s: %s\n", what, strerror(errno));
    exit(2);
}

_Noreturn void bench_refuse(const char *what)
{
    fprintf(stderr, "bench: refused: %s\n", what);
    exit(3);
}

static void grow_line(int n)
{
    if (n < 0 || (size_t)n >= sizeof(line) - line_used)
        bench_refuse("the line of figures is too long");
    line_used += (size_t)n;
}

static void append(const char *format, const char *name, const char *text,
                   double value)
{
    size_t room = sizeof(line) - line_used;
    int n = text ? snprintf(line + line_used, room, format, name, text)
                 : snprintf(line + line_used, room, format, name, value);

    grow_line(n);
}

void bench_field(const char *name, double value)
{
    append(", \"%s\": %.6g", name, NULL, value);
}

void bench_fields(const char *name, double *values, long n)
{
    append(", \"%s_each\": [", name, NULL, 0);
    for (long i = 0; i < n; i++)
        grow_line(snprintf(line + line_used, sizeof(line) - line_used,
                           i ? ", %.6g" : "%.6g", values[i]));
    grow_line(snprintf(line + line_used, sizeof(line) - line_used, "]"));
    bench_field(name, bench_median(values, n));
}

static void text_field(const char *name, const char *text)
{
    append(", \"%s\": \"%s\"", name, text, 0);
}

/* A bare loop's calls are the kernel's. */
static const char *kernel_version(void)
{
    static struct utsname name;
    static char text[sizeof(name.release) + 8];

    if (uname(&name))
        bench_die("uname");
    snprintf(text, sizeof(text), "Linux %.*s",
             (int)strcspn(name.release, "-+ "), name.release);
    return text;
}

/* The long options that take a number, and where it goes. */
static const struct number {
    const char *name;
    long *value;
    long least;
    long most;
} numbers[] = {
    {"children", &bench_options.children, 1, 1000000},
    {"concurrency", &bench_options.concurrency, 1, 11000},
    {"live", &bench_options.live, 0, 11000},
    {"fds", &bench_options.fds, 0, 1000000},
    {"map", &bench_options.map, 0, 1 << 20},
    {"batch", &bench_options.batch, 0, 11000},
    {"starters", &bench_options.starters, 0, 64},
    {"nowait", &bench_options.nowait, 0, 1},
    {"account", &bench_options.account, 0, 1},
    {"warmup", &bench_options.warmup, 0, 100000},
    {"for-ms", &bench_options.for_ms, 0, 600000},
    {"bursts", &bench_options.bursts, 1, 1000},
    {"drains", &bench_options.drains, 0, 1000},
    {"slices", &bench_options.slices, 1, 50},
};

static const struct word {
    const char *name;
    const char **value;
} words[] = {
    {"measure", &bench_options.measure}, {"child", &bench_options.child},
    {"mode", &bench_options.mode},       {"report", &bench_options.report},
    {"without", &bench_options.without},
};

#define N_NUMBERS (sizeof(numbers) / sizeof(numbers[0]))
#define N_WORDS (sizeof(words) / sizeof(words[0]))

static void usage(const char *program)
{
    fprintf(stderr, "usage: %s", program);
    for (size_t i = 0; i < N_WORDS; i++)
        fprintf(stderr, " [--%s WORD]", words[i].name);
    for (size_t i = 0; i < N_NUMBERS; i++)
        fprintf(stderr, " [--%s N]", numbers[i].name);
    fprintf(stderr, "\n");
    exit(2);
}

static long parse_number(const struct number *number, const char *text)
{
    char *end;
    long value;

    errno = 0;
    value = strtol(text, &end, 10);
    if (errno || end == text || *end || value < number->least ||
        value > number->most) {
        fprintf(stderr, "bench: --%s takes %ld to %ld, not %s\n", number->name,
                number->least, number->most, text);
        exit(2);
    }
    return value;
}

static void parse(int argc, char **argv)
{
    struct option options[N_NUMBERS + N_WORDS + 1];
    int chosen;

    memset(options, 0, sizeof(options));
    for (size_t i = 0; i < N_NUMBERS; i++)
        options[i] = (struct option){numbers[i].name, 1, NULL, 'n'};
    for (size_t i = 0; i < N_WORDS; i++)
        options[N_NUMBERS + i] = (struct option){words[i].name, 1, NULL, 'w'};
    for (;;) {
        int which = getopt_long(argc, argv, "", options, &chosen);
        if (which == -1)
            break;
        if (which == 'n')
            *numbers[chosen].value = parse_number(&numbers[chosen], optarg);
        else if (which == 'w')
            *words[(size_t)chosen - N_NUMBERS].value = optarg;
        else
            usage(argv[0]);
    }
    if (optind != argc)
        usage(argv[0]);
}

/* The child lies beside the peer unless --child says otherwise. */
static void find_child(void)
{
    static char path[PATH_MAX];
    ssize_t n = readlink("/proc/self/exe", path, sizeof(path) - 8);
    char *slash;

    if (bench_options.child)
        return;
    if (n < 0)
        bench_die("/proc/self/exe");
    path[n] = '\0';
    slash = strrchr(path, '/');
    strcpy(slash + 1, "child");
    bench_options.child = path;
}

static void check_applies(const struct bench_peer *peer)
{
    const struct bench_options *o = &bench_options;

    if (o->batch && !peer->start_many)
        bench_refuse("this peer has no batch start");
    if (o->starters && !peer->takes_starters)
        bench_refuse("this peer has no starter threads");
    if (o->batch > o->concurrency)
        bench_refuse("--batch is larger than --concurrency");
    if (access(o->child, X_OK))
        bench_die(o->child);
}

static void measure(const struct bench_peer *peer)
{
    static const struct {
        const char *name;
        void (*run)(const struct bench_peer *, const struct bench_options *);
    } table[] = {
        {"rate", bench_rate},
        {"latency", bench_latency},
        {"burst", bench_burst},
        {"memory", bench_memory},
    };

    for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++)
        if (!strcmp(bench_options.measure, table[i].name)) {
            table[i].run(peer, &bench_options);
            return;
        }
    bench_refuse("--measure is rate, latency, burst or memory");
}

int bench_main(int argc, char **argv, const struct bench_peer *peer)
{
    FILE *out;
    int fd;

    parse(argc, argv);
    find_child();
    check_applies(peer);
    /* fd 1 becomes the children's; the figures go where it led before. */
    fd = fcntl(1, F_DUPFD_CLOEXEC, 10);
    out = fd < 0 ? NULL : fdopen(fd, "w");
    if (!out)
        bench_die("standard output");
    bench_machine_prepare(&bench_options);
    bench_refuse_facility(bench_options.without);
    if (peer->open)
        peer->open(&bench_options);

    text_field("measure", bench_options.measure);
    text_field("version",
               peer->version ? peer->version() : kernel_version());
    for (size_t i = 0; i < N_NUMBERS; i++)
        bench_field(numbers[i].name, (double)*numbers[i].value);
    measure(peer);
    bench_field("failed", (double)bench_failed());
    fprintf(out, "{\"peer\": \"%s\"%s}\n", peer->name, line);
    if (fflush(out))
        bench_die("standard output");
    bench_end_everything();
    _exit(bench_failed() ? 1 : 0);
}
