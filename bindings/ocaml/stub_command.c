/* stub_command.c - a command record as a libxl_childproc_spec
 *
 * Everything is copied out of the heap, because the runtime lock is released
 * around the start. Called by stub_child.c and stub_exec.c; the record is
 * Types.command, whose fields are read by position here.
 */
#include "stub.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

struct xlo_chunk {
    struct xlo_chunk *next;
    _Alignas(max_align_t) char data[];
};

enum command_field {
    PATH,
    ARGV,
    ENV,
    SEARCH_PATH,
    CWD,
    FDS,
    FLAGS,
    GROUP,
    UID,
    GID,
    GROUPS,
    UMASK,
    NICE,
    PDEATHSIG,
    CTTY,
    RLIMITS,
    SIGMASK,
    SIGIGNORE,
    CGROUP,
    ON_FREE,
    KILL,
    EXITED_GRACE,
    FAMILY
};

/* ---- the arena ---- */

void xlo_arena_init(struct xlo_arena *arena)
{
    arena->chunks = NULL;
    arena->used = 0;
}

void *xlo_arena_alloc(struct xlo_arena *arena, size_t size)
{
    size_t align = _Alignof(max_align_t);
    struct xlo_chunk *chunk;

    size = (size + align - 1) / align * align;
    if (size <= sizeof(arena->first) - arena->used) {
        void *p = arena->first + arena->used;

        arena->used += size;
        return p;
    }
    chunk = malloc(sizeof(*chunk) + size);
    if (!chunk)
        return NULL;
    chunk->next = arena->chunks;
    arena->chunks = chunk;
    return chunk->data;
}

void xlo_arena_free(struct xlo_arena *arena)
{
    while (arena->chunks) {
        struct xlo_chunk *next = arena->chunks->next;

        free(arena->chunks);
        arena->chunks = next;
    }
}

char *xlo_arena_string(struct xlo_arena *arena, value v, int *ret_rc)
{
    size_t length = caml_string_length(v);
    char *s;

    if (memchr(String_val(v), 0, length)) {
        *ret_rc = ERROR_INVAL;
        return NULL;
    }
    s = xlo_arena_alloc(arena, length + 1);
    if (!s)
        *ret_rc = ERROR_NOMEM;
    else
        memcpy(s, String_val(v), length + 1);
    return s;
}

/* ---- the parts ---- */

static int copy_string_option(struct xlo_arena *arena, value v,
                              const char **ret)
{
    int rc = 0;

    *ret = NULL;
    if (Is_block(v))
        *ret = xlo_arena_string(arena, Field(v, 0), &rc);
    return rc;
}

static int copy_strings(struct xlo_arena *arena, value v, libxl_strings *ret)
{
    size_t n = Wosize_val(v);
    const char **list = xlo_arena_alloc(arena, (n + 1) * sizeof(*list));
    int rc = 0;

    if (!list)
        return ERROR_NOMEM;
    for (size_t i = 0; i < n; i++) {
        list[i] = xlo_arena_string(arena, Field(v, i), &rc);
        if (!list[i])
            return rc;
    }
    list[n] = NULL;
    *ret = list;
    return 0;
}

static int is_mentioned(value v, int target)
{
    for (size_t i = 0; i < Wosize_val(v); i++)
        if (Int_val(Field(Field(v, i), 0)) == target)
            return 1;
    return 0;
}

/* (int * fd_source) array; fd_source = Null | Closed | Fd of file_descr. Of 0,
 * 1 and 2 those that are not mentioned are inherited, close-on-exec or not:
 * OCaml programs set that on all that they have. */
static int copy_fds(struct xlo_arena *arena, value v,
                    libxl_childproc_spec *spec)
{
    size_t n = Wosize_val(v), more = 0;
    libxl_childproc_fd *fds;
    int inherited[3];

    for (int target = 0; target < 3; target++) {
        int flags = fcntl(target, F_GETFD);

        if (flags >= 0 && (flags & FD_CLOEXEC) && !is_mentioned(v, target))
            inherited[more++] = target;
    }
    if (!n && !more)
        return 0;
    fds = xlo_arena_alloc(arena, (n + more) * sizeof(*fds));
    if (!fds)
        return ERROR_NOMEM;
    for (size_t i = 0; i < more; i++)
        fds[n + i] = (libxl_childproc_fd){.target = inherited[i],
                                          .source = inherited[i]};
    for (size_t i = 0; i < n; i++) {
        value source = Field(Field(v, i), 1);

        fds[i].target = Int_val(Field(Field(v, i), 0));
        fds[i].source = Is_block(source)       ? Int_val(Field(source, 0))
                        : Int_val(source) == 0 ? LIBXL_FD_NULL
                                               : LIBXL_FD_CLOSED;
    }
    spec->fds = fds;
    spec->nfds = n + more;
    return 0;
}

static int copy_groups(struct xlo_arena *arena, value v,
                       libxl_childproc_spec *spec)
{
    size_t n = Wosize_val(v);
    gid_t *groups;

    if (!n)
        return 0;
    groups = xlo_arena_alloc(arena, n * sizeof(*groups));
    if (!groups)
        return ERROR_NOMEM;
    for (size_t i = 0; i < n; i++)
        groups[i] = Long_val(Field(v, i));
    spec->groups = groups;
    spec->ngroups = n;
    return 0;
}

/* -1 is no limit */
static rlim_t limit_of(value v)
{
    return Long_val(v) < 0 ? RLIM_INFINITY : (rlim_t)Long_val(v);
}

static int copy_rlimits(struct xlo_arena *arena, value v,
                        libxl_childproc_spec *spec)
{
    size_t n = Wosize_val(v);
    libxl_childproc_rlimit *rlimits;

    if (!n)
        return 0;
    rlimits = xlo_arena_alloc(arena, n * sizeof(*rlimits));
    if (!rlimits)
        return ERROR_NOMEM;
    for (size_t i = 0; i < n; i++) {
        rlimits[i].resource = Int_val(Field(Field(v, i), 0));
        rlimits[i].limit.rlim_cur = limit_of(Field(Field(v, i), 1));
        rlimits[i].limit.rlim_max = limit_of(Field(Field(v, i), 2));
    }
    spec->rlimits = rlimits;
    spec->nrlimits = n;
    return 0;
}

static int copy_signals(value v, sigset_t *set, const sigset_t **ret)
{
    if (!Is_block(v))
        return 0;
    v = Field(v, 0);
    sigemptyset(set);
    for (size_t i = 0; i < Wosize_val(v); i++)
        if (sigaddset(set, xlo_signal_to_c(Field(v, i))))
            return ERROR_INVAL;
    *ret = set;
    return 0;
}

/* One that was closed is known to be no more by its number. */
static int copy_family(value v, const struct xlo_ctx *x,
                       libxl_childproc_spec *spec)
{
    if (!Is_block(v))
        return 0;
    v = Field(v, 0);
    spec->family = Long_val(Field(v, XLO_FAMILY_ID));
    if (!spec->family || xlo_ctx_of(Field(v, XLO_FAMILY_CONTEXT)) != x)
        return ERROR_INVAL;
    return 0;
}

libxl_kill_policy xlo_kill_policy(value v)
{
    value signo = Field(v, 0);

    return (libxl_kill_policy){
        .first_signal = Int_val(signo) ? xlo_signal_to_c(signo) : 0,
        .grace_ms = Int_val(Field(v, 1)),
        .scope = Int_val(Field(v, 2)),
    };
}

/* ---- the whole ---- */

int xlo_command(struct xlo_arena *arena, value v, struct xlo_ctx *x,
                struct xlo_frame *frame, struct xlo_command *ret,
                libxl_childproc_failure *ret_failure)
{
    libxl_childproc_spec *spec = &ret->spec;
    int rc;

    libxl_childproc_spec_init(spec);
    *ret_failure = (libxl_childproc_failure){.stage = LIBXL_STAGE_ARGUMENT};
    if ((rc = copy_string_option(arena, Field(v, PATH), &spec->path)))
        ret_failure->argument = "path";
    else if ((rc = copy_strings(arena, Field(v, ARGV), &spec->argv)))
        ret_failure->argument = "argv";
    else if (Is_block(Field(v, ENV)) &&
             (rc = copy_strings(arena, Field(Field(v, ENV), 0), &spec->envp)))
        ret_failure->argument = "envp";
    else if ((rc = copy_string_option(arena, Field(v, SEARCH_PATH),
                                      &spec->search_path)))
        ret_failure->argument = "search_path";
    else if ((rc = copy_string_option(arena, Field(v, CWD), &spec->cwd)))
        ret_failure->argument = "cwd";
    else if ((rc = copy_fds(arena, Field(v, FDS), spec)))
        ret_failure->argument = "fds";
    else if ((rc = copy_groups(arena, Field(v, GROUPS), spec)))
        ret_failure->argument = "groups";
    else if ((rc = copy_rlimits(arena, Field(v, RLIMITS), spec)))
        ret_failure->argument = "rlimits";
    else if ((rc = copy_signals(Field(v, SIGMASK), &ret->sigmask,
                                &spec->sigmask)))
        ret_failure->argument = "sigmask";
    else if ((rc = copy_signals(Field(v, SIGIGNORE), &ret->sigignore,
                                &spec->sigignore)))
        ret_failure->argument = "sigignore";
    else if ((rc = copy_string_option(arena, Field(v, CGROUP), &spec->cgroup)))
        ret_failure->argument = "cgroup";
    else if ((rc = copy_family(Field(v, FAMILY), x, spec)))
        ret_failure->argument = "family";
    if (rc) {
        if (rc == ERROR_NOMEM)
            *ret_failure = (libxl_childproc_failure){
                .stage = LIBXL_STAGE_PREPARE};
        return rc;
    }
    spec->flags = Long_val(Field(v, FLAGS));
    spec->group = Int_val(Field(v, GROUP));
    spec->uid = Long_val(Field(v, UID));
    spec->gid = Long_val(Field(v, GID));
    spec->umask = Int_val(Field(v, UMASK));
    spec->nice = Int_val(Field(v, NICE));
    if (Int_val(Field(v, PDEATHSIG)))
        spec->pdeathsig = xlo_signal_to_c(Field(v, PDEATHSIG));
    if (Is_block(Field(v, CTTY)))
        spec->ctty_fd = Int_val(Field(Field(v, CTTY), 0));
    spec->on_free = Int_val(Field(v, ON_FREE));
    spec->kill = xlo_kill_policy(Field(v, KILL));
    if (Int_val(Field(v, EXITED_GRACE)) >= 0)
        spec->exited_grace_ms = Int_val(Field(v, EXITED_GRACE));
    if (frame && frame->exception) {
        spec->interrupted = xlo_interrupted;
        spec->interrupted_user = frame;
    }
    *ret_failure = (libxl_childproc_failure){.stage = LIBXL_STAGE_NONE};
    return 0;
}
