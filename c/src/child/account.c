/* account.c - why a child died, and what it cost
 *
 * Called by child.c (its life), spawn.c (its start), send.c and kill.c (what it
 * is sent), enter.c (what is due), and account_take.c (the host). Files of a
 * cgroup may be anything by now: they are read with no lock held. See
 * account.h.
 */
#define _GNU_SOURCE
#include "child/account.h"

#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

#include "child/cgroup.h"
#include "kernel/stop_point.h"

#define CGROUP_FILE 4096 /* a folder of at most 4064, as spec.c has it */
#define CGROUP_TEXT 1024 /* of a file's: what is wanted stands early */

struct xl_account {
    struct xl_list link; /* one of ctx->accounts, once the child has ended */
    struct xl_list due;  /* ctx->accounts_due: not read yet */
    struct xl_cgroup *cgroup;
    int64_t began;
    int64_t kills_before, cpu_before; /* of the cgroup; -1 */
    unsigned wide_before;             /* wide, at its start */
    int wide;                         /* that has changed */
    int status;
    int lost;
    int being_read;        /* by a thread that has given up the lock */
    int taken;             /* … meanwhile: it frees this */
    libxl_ended_by reason; /* of the next signal */
    struct {
        unsigned char why; /* of the first that was taken; 0: none */
        unsigned char sure;
    } sent[_NSIG];
    libxl_childproc_account facts;
};

static atomic_uint wide; /* signals to groups and cgroups, of the process */

void xl_account_wide(void)
{
    atomic_fetch_add(&wide, 1);
}

/* ---- a cgroup's files --------------------------------------------------- */

/* Of its own, so that there is one path on the stack at a time. */
static __attribute__((noinline)) int open_file(const char *cgroup,
                                               const char *name)
{
    char path[CGROUP_FILE];

    snprintf(path, sizeof path, "%s/%s", cgroup, name);
    return xl_sys.open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK, 0);
}

/* The number behind key at a line's beginning ("some": behind its "total="); or
 * -1. key "": the file is a number. */
static int64_t number_in(const char *text, const char *key)
{
    size_t length = strlen(key);
    const char *line = text;
    long long number;
    char *end;

    while (strncmp(line, key, length) != 0) {
        line = strchr(line, '\n');
        if (line == NULL)
            return -1;
        line++;
    }
    line += length;
    if (strcmp(key, "some ") == 0) {
        line = strstr(line, "total=");
        if (line == NULL)
            return -1;
        line += strlen("total=");
    }
    if (*line < '0' || *line > '9')
        return -1;
    number = strtoll(line, &end, 10);
    return *end == '\n' || *end == '\0' ? number : -1;
}

static int64_t read_number(const struct xl_cgroup *cgroup, const char *name,
                           const char *key)
{
    char text[CGROUP_TEXT];
    ssize_t n;
    int fd = open_file(cgroup->path, name);

    if (fd < 0)
        return -1;
    n = xl_sys.read(fd, text, sizeof text - 1);
    xl_close(fd);
    if (n < 0)
        return -1;
    text[n] = '\0';
    return number_in(text, key);
}

static int64_t kills_of(const struct xl_cgroup *cgroup)
{
    return read_number(cgroup, "memory.events", "oom_kill ");
}

static int64_t cpu_of(const struct xl_cgroup *cgroup)
{
    return read_number(cgroup, "cpu.stat", "usage_usec ");
}

static int64_t since(int64_t now, int64_t before)
{
    return now < 0 || before < 0 || now < before ? -1 : now - before;
}

static void family_unknown(libxl_childproc_account *facts)
{
    facts->memory_kills = -1;
    facts->cpu_usec = -1;
    facts->memory_peak = -1;
    facts->pids_peak = -1;
    facts->memory_stall_usec = -1;
    facts->cpu_stall_usec = -1;
    facts->io_stall_usec = -1;
}

static void read_family(const struct xl_account *account,
                        libxl_childproc_account *facts)
{
    const struct xl_cgroup *cgroup = account->cgroup;

    family_unknown(facts);
    if (cgroup == NULL)
        return;
    facts->memory_kills = since(kills_of(cgroup), account->kills_before);
    facts->cpu_usec = since(cpu_of(cgroup), account->cpu_before);
    facts->memory_peak = read_number(cgroup, "memory.peak", "");
    facts->pids_peak = read_number(cgroup, "pids.peak", "");
    facts->memory_stall_usec = read_number(cgroup, "memory.pressure", "some ");
    facts->cpu_stall_usec = read_number(cgroup, "cpu.pressure", "some ");
    facts->io_stall_usec = read_number(cgroup, "io.pressure", "some ");
}

/* ---- while it lives ----------------------------------------------------- */

struct xl_account *xl_account_new(struct xl_cgroup *cgroup)
{
    struct xl_account *account = xl_sys.calloc(1, sizeof *account);

    if (account == NULL)
        return NULL;
    xl_list_init(&account->link);
    xl_list_init(&account->due);
    account->cgroup = cgroup;
    if (cgroup != NULL)
        xl_cgroup_hold(cgroup);
    account->kills_before = -1;
    account->cpu_before = -1;
    account->facts.exec_ns = -1;
    account->facts.end_ns = -1;
    account->wide_before = atomic_load(&wide);
    account->began = xl_now();
    return account;
}

void xl_account_drop(struct xl_account *account)
{
    if (account == NULL)
        return;
    xl_list_remove(&account->link);
    xl_list_remove(&account->due);
    if (account->being_read) {
        account->taken = 1;
        return;
    }
    xl_cgroup_drop(account->cgroup);
    xl_free(account);
}

void xl_account_unwanted(struct xl_account **account)
{
    if (*account == NULL)
        return;
    xl_account_drop(*account);
    *account = NULL;
}

void xl_account_base(struct xl_account *account)
{
    if (account == NULL)
        return;
    if (account->cgroup != NULL) {
        account->kills_before = kills_of(account->cgroup);
        account->cpu_before = cpu_of(account->cgroup);
    }
    account->began = xl_now();
}

void xl_account_exec(struct xl_account *account)
{
    if (account != NULL && account->facts.exec_ns < 0)
        account->facts.exec_ns = xl_now() - account->began;
}

libxl_ended_by xl_account_reason(struct xl_account *account, libxl_ended_by why)
{
    libxl_ended_by before = LIBXL_ENDED_UNKNOWN;

    if (account != NULL) {
        before = account->reason;
        account->reason = why;
    }
    return before;
}

void xl_account_sent(struct xl_account *account, int signo, int sure)
{
    libxl_ended_by why;

    if (account == NULL || signo <= 0 || signo >= _NSIG)
        return;
    /* what had to wait for the start has its reason by now */
    why = account->reason != LIBXL_ENDED_UNKNOWN
              ? account->reason
              : (libxl_ended_by)account->sent[signo].why;
    /* the first is the one that ends it, if any does */
    if (account->sent[signo].why == 0 ||
        account->sent[signo].why == (unsigned char)why) {
        account->sent[signo].why = (unsigned char)why;
        account->sent[signo].sure |= (unsigned char)(sure != 0);
    }
    account->facts.sent_by = why;
    account->facts.sent_signal = signo;
}

void xl_account_not_sent(struct xl_account *account, int signo)
{
    if (account == NULL || signo <= 0 || signo >= _NSIG ||
        account->sent[signo].sure)
        return;
    account->sent[signo].why = 0;
    account->facts.sent_by = LIBXL_ENDED_UNKNOWN;
    account->facts.sent_signal = 0;
}

/* ---- its end ------------------------------------------------------------ */

static void by_signal(const struct xl_account *account, int signo,
                      libxl_childproc_account *facts)
{
    int kills = facts->memory_kills > 0;

    facts->ended_by = (libxl_ended_by)account->sent[signo].why;
    facts->perhaps = !account->sent[signo].sure || (signo == SIGKILL && kills);
    if (facts->ended_by != LIBXL_ENDED_UNKNOWN)
        return;
    if (signo == SIGKILL && kills) {
        facts->ended_by = LIBXL_ENDED_MEMORY;
        /* or another of the cgroup's was killed */
        facts->perhaps = facts->pids_peak != 1 || account->wide;
        return;
    }
    facts->ended_by = LIBXL_ENDED_OTHERS;
    facts->perhaps =
        account->wide || (signo == SIGKILL && facts->memory_kills < 0);
}

/* All is known that will be. */
static void judge(const struct xl_account *account,
                  libxl_childproc_account *facts)
{
    facts->ended_by = LIBXL_ENDED_UNKNOWN;
    facts->perhaps = 0;
    facts->core_dumped = -1;
    if (account->lost)
        return;
    facts->core_dumped = 0;
    if (!WIFSIGNALED(account->status)) {
        facts->ended_by = LIBXL_ENDED_ITSELF;
        return;
    }
    facts->core_dumped = WCOREDUMP(account->status) != 0;
    by_signal(account, WTERMSIG(account->status), facts);
}

static struct xl_list *list_of(libxl_ctx *ctx, libxl_childproc_id id)
{
    return &ctx->accounts[id % XL_ACCOUNT_LISTS];
}

void xl_account_ended(libxl_ctx *ctx, struct xl_account *account,
                      const libxl_childproc_result *result)
{
    if (account == NULL)
        return;
    account->facts.id = result->id;
    account->facts.pid = result->pid;
    account->facts.end_ns = xl_now() - account->began;
    account->facts.has_rusage = result->has_rusage;
    account->facts.rusage = result->rusage;
    account->wide = atomic_load(&wide) != account->wide_before;
    account->status = result->status;
    account->lost = result->lost != LIBXL_LOST_NONE;
    xl_list_append(list_of(ctx, result->id), &account->link);
    xl_list_append(&ctx->accounts_due, &account->due);
}

void xl_accounts_due(libxl_ctx *ctx)
{
    while (!xl_list_empty(&ctx->accounts_due)) {
        struct xl_account *account =
            xl_container(ctx->accounts_due.next, struct xl_account, due);
        libxl_childproc_account facts = account->facts;

        xl_list_remove(&account->due);
        if (account->cgroup == NULL) {
            family_unknown(&account->facts);
            judge(account, &account->facts);
            continue;
        }
        account->being_read = 1;
        pthread_mutex_unlock(&ctx->lock);
        XL_STOP_POINT("account: read");
        read_family(account, &facts);
        pthread_mutex_lock(&ctx->lock);
        account->being_read = 0;
        if (account->taken) {
            xl_account_drop(account);
            continue;
        }
        judge(account, &facts);
        account->facts = facts;
        xl_cgroup_drop(account->cgroup); /* its name may be another's soon */
        account->cgroup = NULL;
    }
}

static struct xl_account *find(libxl_ctx *ctx, libxl_childproc_id id)
{
    struct xl_list *list = list_of(ctx, id);
    struct xl_list *node;

    for (node = list->prev; node != list; node = node->prev) {
        struct xl_account *account =
            xl_container(node, struct xl_account, link);

        if (account->facts.id == id)
            return account;
    }
    return NULL;
}

int xl_account_take(libxl_ctx *ctx, libxl_childproc_id id,
                    libxl_childproc_account *ret_account)
{
    struct xl_account *account;

    xl_accounts_due(ctx);
    account = find(ctx, id);
    if (account == NULL)
        return ERROR_NOTFOUND;
    *ret_account = account->facts;
    if (account->being_read) { /* another thread is at it: not waited for */
        struct xl_account copy = *account;

        account->taken = 1;
        xl_list_remove(&account->link);
        xl_cgroup_hold(copy.cgroup);
        pthread_mutex_unlock(&ctx->lock);
        read_family(&copy, ret_account);
        pthread_mutex_lock(&ctx->lock);
        xl_cgroup_drop(copy.cgroup);
        judge(&copy, ret_account);
        return 0;
    }
    xl_account_drop(account);
    return 0;
}

void xl_account_forget(libxl_ctx *ctx, libxl_childproc_id id)
{
    xl_account_drop(find(ctx, id));
}

void xl_account_forget_all(libxl_ctx *ctx)
{
    int i;

    for (i = 0; i < XL_ACCOUNT_LISTS; i++)
        while (!xl_list_empty(&ctx->accounts[i]))
            xl_account_drop(
                xl_container(ctx->accounts[i].next, struct xl_account, link));
}
