"""Structs that say their size, between a program and a library of different
releases (X7): a program compiled with headers that have fewer members or more,
run with a library that knows others. What each writes stays in the caller's
struct; a member that the library does not know is refused once it is set.
"""
import re
import shutil
import subprocess

import pytest

import tree
import variants

# the struct, and its header
SIZED = {"libxl_logger": "ctx.h", "libxl_childproc_hooks": "treaty.h",
         "libxl_event_hooks": "event.h", "libxl_osevent_hooks": "osevent.h",
         "libxl_childproc_spec": "childproc.h",
         "libxl_childproc_exec_opts": "exec.h",
         "libxl_childproc_diagnosis": "childproc.h",
         "libxl_childproc_account": "account.h",
         "libxl_family_opts": "family.h",
         "libxl_family_state": "family.h"}
# by the library, not the caller
FILLED = ["libxl_childproc_diagnosis", "libxl_childproc_account",
          "libxl_family_state"]

PROGRAM = r"""
#include <xlchild.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

#define CHECK(what)                                                     \
    do {                                                                \
        if (!(what)) {                                                  \
            printf("line %d: %s; log: %s\n", __LINE__, #what, said);    \
            exit(1);                                                    \
        }                                                               \
    } while (0)

/* A struct with neighbours that must not change. */
#define BESIDE(type)                                                    \
    struct {                                                            \
        unsigned char before[512];                                      \
        type it;                                                        \
        unsigned char after[512];                                       \
    }
#define FILL(at) memset(&(at), 0xdd, sizeof (at))
#define UNHURT(at)                                                      \
    do {                                                                \
        for (size_t i_ = 0; i_ < 512; i_++)                             \
            CHECK((at).before[i_] == 0xdd && (at).after[i_] == 0xdd);   \
    } while (0)
#ifdef GROWN
#define NEW_IS_ZERO(s) CHECK((s).grown == 0 && (s).grown_more == NULL)
#else
#define NEW_IS_ZERO(s) (void)0
#endif
#ifdef SET
#define SET_IN(s) ((s).grown_more = &(s))
#else
#define SET_IN(s) (void)0
#endif

static char said[4096];

static void log_it(void *user, libxl_log_level level, int errnoval,
                   const char *message)
{
    (void)user, (void)level, (void)errnoval;
    snprintf(said, sizeof said, "%s", message);
}

static int fd_register(void *u, int fd, void **out, short ev, void *for_libxl)
{
    (void)u, (void)fd, (void)out, (void)ev, (void)for_libxl;
    return 0;
}
static int fd_modify(void *u, int fd, void **up, short ev)
{
    (void)u, (void)fd, (void)up, (void)ev;
    return 0;
}
static void fd_deregister(void *u, int fd, void *reg)
{
    (void)u, (void)fd, (void)reg;
}
static int t_register(void *u, void **out, struct timeval abs, void *fl)
{
    (void)u, (void)out, (void)abs, (void)fl;
    return 0;
}
static int t_modify(void *u, void **up, struct timeval abs)
{
    (void)u, (void)up, (void)abs;
    return 0;
}
static void t_deregister(void *u, void *reg)
{
    (void)u, (void)reg;
}

static const char *const argv[] = {"/bin/sh", "-c", "echo word; exit 23", 0};

/* RC is what a call with an unknown member that is set comes to. */
#ifdef REFUSED
#define RC(rc, word) CHECK((rc) == ERROR_INVAL && strstr(said, word))
#else
#define RC(rc, word) CHECK((rc) == 0)
#endif

static void contexts(libxl_ctx **ret)
{
    static BESIDE(libxl_logger) logger;
    static BESIDE(libxl_childproc_hooks) hooks;
    static BESIDE(libxl_event_hooks) events;
    static BESIDE(libxl_osevent_hooks) loop;
    libxl_ctx *ctx;
    int rc;

    FILL(logger);
    memset(&logger.it, 0, sizeof logger.it);
    logger.it.size = sizeof logger.it;
    logger.it.log = log_it;
    CHECK(libxl_ctx_alloc(ret, LIBXL_VERSION, 0, &logger.it) == 0);
    SET_IN(logger.it);
    rc = libxl_ctx_alloc(&ctx, LIBXL_VERSION, 0, &logger.it);
    RC(rc, "");
    if (rc == 0)
        libxl_ctx_free(ctx);
    UNHURT(logger);

    FILL(hooks);
    memset(&hooks.it, 0, sizeof hooks.it);
    hooks.it.chldowner = libxl_sigchld_owner_none;
    hooks.it.size = sizeof hooks.it;
    CHECK(libxl_childproc_setmode_checked(*ret, &hooks.it, 0) == 0);
    SET_IN(hooks.it);
    RC(libxl_childproc_setmode_checked(*ret, &hooks.it, 0), "size");
    UNHURT(hooks);

    FILL(events);
    memset(&events.it, 0, sizeof events.it);
    events.it.size = sizeof events.it;
    CHECK(libxl_event_register_callbacks(*ret, &events.it, 0) == 0);
    SET_IN(events.it);
    RC(libxl_event_register_callbacks(*ret, &events.it, 0), "size");
    UNHURT(events);

    FILL(loop);
    memset(&loop.it, 0, sizeof loop.it);
    loop.it.fd_register = fd_register;
    loop.it.fd_modify = fd_modify;
    loop.it.fd_deregister = fd_deregister;
    loop.it.timeout_register = t_register;
    loop.it.timeout_modify = t_modify;
    loop.it.timeout_deregister = t_deregister;
    loop.it.size = sizeof loop.it;
    CHECK(libxl_osevent_register_hooks(*ret, &loop.it, 0) == 0);
    SET_IN(loop.it);
    RC(libxl_osevent_register_hooks(*ret, &loop.it, 0), "size");
    UNHURT(loop);
    CHECK(libxl_osevent_register_hooks(*ret, NULL, 0) == 0);
}

static BESIDE(libxl_childproc_spec) spec;

static void refused_spec(int rc, const libxl_childproc_failure *failure)
{
#ifdef REFUSED
    CHECK(rc == ERROR_INVAL && failure->stage == LIBXL_STAGE_ARGUMENT);
    CHECK(!strcmp(failure->argument, "size"));
#else
    CHECK(rc == 0);
    (void)failure;
#endif
}

static void starts(libxl_ctx *ctx)
{
    libxl_childproc_batch_entry entries[3];
    libxl_childproc_failure failure;
    libxl_childproc_result result;
    libxl_childproc_id id;

    FILL(spec);
    libxl_childproc_spec_init(&spec.it);
    UNHURT(spec);
    CHECK(spec.it.size == sizeof spec.it && spec.it.ctty_fd == -1);
    NEW_IS_ZERO(spec.it);
    spec.it.argv = argv;
    spec.it.flags = LIBXL_SPAWN_NEW_GROUP;
    CHECK(libxl_childproc_spawn(ctx, &spec.it, 0, &id, 0, 0) == 0);
    CHECK(libxl_childproc_wait(ctx, id, LIBXL_WAIT_FOREVER, 0, &result) == 0);
    CHECK(WEXITSTATUS(result.status) == 23);
    memset(entries, 0, sizeof entries);
    for (int i = 0; i < 3; i++)
        entries[i].spec = &spec.it;
    CHECK(libxl_childproc_spawn_many(ctx, entries, 3) == 3);
    for (int i = 0; i < 3; i++) {
        CHECK(libxl_childproc_wait(ctx, entries[i].id, LIBXL_WAIT_FOREVER, 0,
                                   &result) == 0);
        CHECK(WEXITSTATUS(result.status) == 23);
    }
    UNHURT(spec);

    SET_IN(spec.it);
    refused_spec(libxl_childproc_spawn(ctx, &spec.it, 0, 0, 0, &failure),
                 &failure);
    libxl_childproc_spawn_many(ctx, entries, 1);
    refused_spec(entries[0].rc, &entries[0].failure);
}

static void runs(libxl_ctx *ctx)
{
    static BESIDE(libxl_childproc_exec_opts) opts;
    libxl_childproc_exec_result result;
    libxl_childproc_failure failure;
    int rc;

    FILL(opts);
    libxl_childproc_exec_opts_init(&opts.it);
    libxl_childproc_spec_init(&spec.it);
    UNHURT(opts);
    CHECK(opts.it.size == sizeof opts.it && opts.it.stdout_stream.fd == -1);
    NEW_IS_ZERO(opts.it);
    spec.it.argv = argv;
    opts.it.stdout_stream.kind = LIBXL_STREAM_CAPTURE;
    CHECK(libxl_childproc_exec(ctx, &spec.it, &opts.it, &result, 0, 0) == 0);
    CHECK(WEXITSTATUS(result.child.status) == 23);
    CHECK(!strcmp(result.out.data, "word\n"));
    libxl_childproc_exec_result_dispose(&result);
    UNHURT(opts);

    SET_IN(spec.it);
    rc = libxl_childproc_exec(ctx, &spec.it, &opts.it, &result, &failure, 0);
    refused_spec(rc, &failure);
    libxl_childproc_exec_result_dispose(&result);
    libxl_childproc_spec_init(&spec.it);
    spec.it.argv = argv;
    SET_IN(opts.it);
    RC(libxl_childproc_exec(ctx, &spec.it, &opts.it, &result, &failure, 0),
       "opts.size");
    libxl_childproc_exec_result_dispose(&result);
}

static void tells(libxl_ctx *ctx)
{
    static BESIDE(libxl_childproc_diagnosis) told;

    FILL(told);
    told.it.size = sizeof told.it;
    CHECK(libxl_childproc_diagnose(ctx, &told.it, 0) == 0);
    CHECK(told.it.size == sizeof told.it);
    CHECK(told.it.mode_asked == libxl_sigchld_owner_none);
    NEW_IS_ZERO(told.it);
    UNHURT(told);
}

static void accounts(libxl_ctx *ctx)
{
    static BESIDE(libxl_childproc_account) account;
    libxl_childproc_result result;
    libxl_childproc_id id;

    libxl_childproc_spec_init(&spec.it);
    spec.it.argv = argv;
    spec.it.flags = LIBXL_SPAWN_ACCOUNT;
    CHECK(libxl_childproc_spawn(ctx, &spec.it, 0, &id, 0, 0) == 0);
    CHECK(libxl_childproc_wait(ctx, id, LIBXL_WAIT_FOREVER, 0, &result) == 0);
    FILL(account);
    account.it.size = sizeof account.it;
    CHECK(libxl_childproc_account_take(ctx, id, &account.it) == 0);
    CHECK(account.it.size == sizeof account.it && account.it.id == id);
    CHECK(account.it.ended_by == LIBXL_ENDED_ITSELF);
    NEW_IS_ZERO(account.it);
    UNHURT(account);
}

static void families(libxl_ctx *ctx)
{
    static BESIDE(libxl_family_opts) opts;
    static BESIDE(libxl_family_state) state;
    libxl_family_id id;
    int rc;

    FILL(opts);
    libxl_family_opts_init(&opts.it);
    UNHURT(opts);
    CHECK(opts.it.size == sizeof opts.it && opts.it.cgroup_parent == NULL);
    NEW_IS_ZERO(opts.it);
    opts.it.holds = 1u << LIBXL_HOLD_GROUP;
    CHECK(libxl_family_new(ctx, &opts.it, &id) == 0);
    FILL(state);
    state.it.size = sizeof state.it;
    CHECK(libxl_family_look(ctx, id, &state.it) == 0);
    CHECK(state.it.size == sizeof state.it && state.it.empty == 1);
    CHECK(state.it.hold == LIBXL_HOLD_GROUP && state.it.pid == 0);
    NEW_IS_ZERO(state.it);
    UNHURT(state);
    CHECK(libxl_family_free(ctx, id) == 0);
    SET_IN(opts.it);
    rc = libxl_family_new(ctx, &opts.it, &id);
    RC(rc, "size");
    if (rc == 0)
        CHECK(libxl_family_free(ctx, id) == 0);
    UNHURT(opts);
}

int main(void)
{
    libxl_ctx *ctx;

    contexts(&ctx);
    starts(ctx);
    runs(ctx);
    tells(ctx);
    accounts(ctx);
    families(ctx);
    CHECK(libxl_ctx_free(ctx) == 0);
    return 0;
}
"""


def changed(folder, change):
    """A copy of the headers with change(text, struct) at each sized struct."""
    shutil.copytree(tree.ROOT / "c/include", folder)
    for struct, header in SIZED.items():
        path = folder / "xlchild" / header
        path.write_text(change(path.read_text(), struct))
    return folder


def grow(text, struct):
    assert f"}} {struct};" in text
    return text.replace(f"}} {struct};",
                        f"int grown, grown_too; void *grown_more;\n"
                        f"}} {struct};")


# What a release without the members at the end would have looked like.
SHORTER = {"libxl_childproc_spec": "on_free",
           "libxl_childproc_exec_opts": "stream_user",
           "libxl_childproc_diagnosis": "handler_object",
           "libxl_childproc_account": "memory_stall_usec"}


def body(text, struct):
    end = text.index(f"}} {struct};")
    return text.rindex("typedef struct", 0, end), end


def shrink(text, struct):
    """Ends with the member before; what is of the founding text stays."""
    if struct not in SHORTER:
        return text
    start, end = body(text, struct)
    first = re.compile(rf"^ +[^\n/]*\b{SHORTER[struct]}\b",
                       flags=re.M).search(text, start, end)
    kept = text[start:first.start()]
    # a comment before the member would be cut in two
    assert kept.count("/*") == kept.count("*/")
    return text[:start] + kept + text[end:]


@pytest.fixture(name="made", scope="module")
def made_fixture(tmp_path_factory):
    """Headers and libraries: shorter headers have no library of theirs."""
    folder = tmp_path_factory.mktemp("growth")
    current = tree.ROOT / "c/include"
    longer = changed(folder / "longer", grow)
    made = {"shorter": changed(folder / "shorter", shrink),
            "current": current, "longer": longer, "folder": folder,
            "lib current": folder / "lib-current",
            "lib longer": variants.library(folder / "lib-longer",
                                           XL_INCLUDE=longer)}
    shutil.copytree(tree.ROOT / "build/c", made["lib current"])
    (folder / "program.c").write_text(PROGRAM)
    return made


def compiled(made, include, *flags):
    program = made["folder"] / "program"
    own = "longer" if include == "longer" else "current"
    variants.run("gcc", "-std=gnu11", "-Wall", "-Wextra", "-Werror",
                 "-Wno-unused-value", "-pthread", f"-I{made[include]}", *flags,
                 "-o", program, made["folder"] / "program.c",
                 f"-L{made[f'lib {own}']}", "-lxlchild")
    return program


@pytest.mark.parametrize("library", ["current", "longer"])
@pytest.mark.parametrize("include", ["shorter", "current", "longer"])
def test_X7_programs_and_libraries_of_different_releases(made, include,
                                                         library):
    """The program is linked with its own library, and run with the other."""
    grown = ["-DGROWN"] if include == "longer" else []
    program = compiled(made, include, *grown)
    variants.run(program, env={"LD_LIBRARY_PATH": made[f"lib {library}"]})


@pytest.mark.parametrize("library", ["current", "longer"])
def test_X7_a_member_is_refused_where_it_is_unknown(made, library):
    flags = ["-DGROWN", "-DSET"] \
        + ["-DREFUSED"] * (library == "current")
    program = compiled(made, "longer", *flags)
    variants.run(program, env={"LD_LIBRARY_PATH": made[f"lib {library}"]})


def members(struct):
    """The names of its members, in order."""
    text = re.sub(r"/\*.*?\*/", "", tree.text(
        f"c/include/xlchild/{SIZED[struct]}"), flags=re.S)
    end = text.index(f"}} {struct};")
    start = text.rindex("{", 0, end) + 1
    return [re.search(r"\(\*(\w+)\)|(\w+)(?:\[\w+\])?$", part.strip())
            for part in text[start:end].split(";") if part.strip()]


@pytest.mark.parametrize("struct", sorted(SIZED))
def test_X7_a_member_that_is_added_makes_the_struct_longer(struct):
    """Padding at the end would hide it: the size would stay the same, and what
    is in the padding would be taken for the member."""
    if struct in FILLED:
        return
    last = members(struct)[-1]
    name = last.group(1) or last.group(2)
    source = (f"#include <stddef.h>\n#include <xlchild.h>\n"
              f"_Static_assert(sizeof({struct}) == offsetof({struct}, {name})"
              f" + sizeof((({struct} *)0)->{name}), \"padding\");\n")
    answer = subprocess.run(
        ["gcc", "-fsyntax-only", f"-I{tree.ROOT}/c/include", "-x", "c", "-"],
        input=source, stderr=subprocess.PIPE, text=True, check=False)
    assert answer.returncode == 0, answer.stderr
