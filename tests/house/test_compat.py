"""Every name of Xen's headers that a user of children, events and loggers may
have in a program is there with xlchild/libxl_compat.h, in C and in C++."""
import subprocess

import pytest

import tree
import variants

FUNCTIONS = """
libxl_ctx_alloc libxl_ctx_free libxl_event_check libxl_event_wait
libxl_event_free libxl_event_register_callbacks libxl_osevent_beforepoll
libxl_osevent_afterpoll libxl_osevent_register_hooks libxl_osevent_occurred_fd
libxl_osevent_occurred_timeout libxl_childproc_setmode libxl_childproc_reaped
libxl_childproc_sigchld_occurred libxl_postfork_child_noexec libxl_ao_abort
libxl_report_child_exitstatus libxl_fd_set_cloexec libxl_fd_set_nonblock
libxl_pipe libxl_read_exactly libxl_write_exactly libxl_read_file_contents
libxl_event_to_json libxl_event_type_to_string libxl_error_to_string
xtl_createlogger_stdiostream xtl_stdiostream_set_minlevel
xtl_stdiostream_adjust_flags xtl_logger_destroy xtl_log xtl_logv xtl_progress
xtl_level_to_string
"""
CONSTANTS = """
LIBXL_VERSION LIBXL_API_VERSION LIBXL_EVENTMASK_ALL
LIBXL_EVENT_TYPE_OPERATION_COMPLETE LIBXL_EVENT_TYPE_DOMAIN_SHUTDOWN
LIBXL_EVENT_TYPE_DOMAIN_DEATH LIBXL_EVENT_TYPE_DISK_EJECT
libxl_sigchld_owner_libxl libxl_sigchld_owner_mainloop
libxl_sigchld_owner_libxl_always
libxl_sigchld_owner_libxl_always_selective_reap ERROR_UNKNOWN_CHILD
ERROR_NOT_READY ERROR_TIMEDOUT ERROR_FAIL ERROR_INVAL ERROR_NOMEM
ERROR_BUFFERFULL ERROR_OSEVENT_REG_FAIL ERROR_ABORTED ERROR_NOTFOUND
ERROR_GUEST_TIMEDOUT ERROR_NOPARAVIRT ERROR_LOCK_FAIL LIBXL_HAVE_AO_ABORT
LIBXL_HAVE_NONCONST_EVENT_OCCURS_EVENT_ARG
LIBXL_HAVE_SIGCHLD_OWNER_SELECTIVE_REAP LIBXL_HAVE_SIGCHLD_SHARING XTL_ERROR
XTL_STDIOSTREAM_HIDE_PROGRESS XTL_STDIOSTREAM_SHOW_PID
XTL_STDIOSTREAM_SHOW_DATE XTL_STDIOSTREAM_PROGRESS_USE_CR
XTL_STDIOSTREAM_PROGRESS_NO_CR EPROTO ENOENT
"""
TYPES = """
libxl_ctx libxl_event libxl_event_type libxl_ev_user libxl_error
libxl_event_hooks libxl_osevent_hooks libxl_childproc_hooks libxl_sigchld_owner
libxl_asyncop_how libxl_asyncprogress_how libxl_event_predicate
xentoollog_logger xentoollog_logger_stdiostream xentoollog_level
"""
MEMBERS = """
libxl_childproc_hooks.reaped_callback libxl_childproc_hooks.fork_replacement
libxl_event.u.operation_complete.rc libxl_event.for_user libxl_event.link
libxl_event.domid libxl_asyncop_how.u.for_event libxl_asyncop_how.callback
libxl_event_hooks.disaster xentoollog_logger.vmessage xentoollog_logger.progress
xentoollog_logger.destroy
"""
REST = """
typedef struct { xentoollog_logger vtable; int a; } xentoollog_logger_x;
static void x_vmessage(xentoollog_logger *l, xentoollog_level v, int e,
                       const char *c, const char *f, va_list a)
{ (void)l; (void)v; (void)e; (void)c; (void)f; (void)a; }
static void x_progress(struct xentoollog_logger *l, const char *c,
                       const char *w, int p, unsigned long d, unsigned long t)
{ (void)l; (void)c; (void)w; (void)p; (void)d; (void)t; }
static void x_destroy(struct xentoollog_logger *l) { free(l); }
xentoollog_logger_x *make(void);
xentoollog_logger_x *make(void)
{ xentoollog_logger_x b; b.a = 1; return XTL_NEW_LOGGER(x, b); }
int kind(const libxl_event *e);
int kind(const libxl_event *e)
{
    switch (e->type) {
    case LIBXL_EVENT_TYPE_OPERATION_COMPLETE: return e->u.operation_complete.rc;
    case LIBXL_EVENT_TYPE_DOMAIN_DEATH: return 1;
    default: return 0;
    }
}
"""


def program():
    parts = ["#include <xlchild/libxl_compat.h>\n"]
    parts += [f"typedef __typeof__(&{name}) f_{name};\n"
              for name in FUNCTIONS.split()]
    parts += [f"enum {{ c{n} = !!({name}) }};\n"
              for n, name in enumerate(CONSTANTS.split())]
    parts += [f"typedef {name} *t_{name};\n" for name in TYPES.split()]
    parts += [f"typedef __typeof__((({name.split('.', 1)[0]} *)0)->"
              f"{name.split('.', 1)[1]}) m{n};\n"
              for n, name in enumerate(MEMBERS.split())]
    return "".join(parts) + REST


@pytest.mark.parametrize("before", ["", "#include <xlchild.h>\n"],
                         ids=["alone", "after xlchild.h"])
@pytest.mark.parametrize("compiler", [
    ["gcc", "-x", "c"], ["clang", "-x", "c"], ["g++", "-x", "c++"]],
    ids=lambda words: words[0])
def test_X6_names_of_xens_headers(compiler, before):
    variants.need(compiler[0])
    warnings = ["-Wall", "-Wextra", "-Werror"]
    if before:
        warnings.append("-Wno-switch")
    answer = subprocess.run(
        [*compiler, *warnings, "-fsyntax-only", f"-I{tree.ROOT}/c/include",
         "-"], input=before + program(), stderr=subprocess.PIPE, text=True,
        check=False)
    assert answer.returncode == 0, answer.stderr
