/* err.c - names and texts of error codes, stages, owners and reasons
 *
 * Called by hosts and by log messages. One row an error, in
 * xlchild/ctx.h; one row a stage, in xlchild/childproc.h.
 */
#include "xlchild/childproc.h"

const char *libxl_strerror(int rc)
{
    switch (rc) {
    case 0:
        return "success";
#define ROW(name, value, text) \
    case value:                \
        return text;
        LIBXL_ERRORS(ROW)
#undef ROW
    default:
        return rc > 0 ? "error from an application hook" : "unknown error";
    }
}

const char *libxl_error_name(int rc)
{
    switch (rc) {
#define ROW(name, value, text) \
    case value:                \
        return #name;
        LIBXL_ERRORS(ROW)
#undef ROW
    default:
        return NULL;
    }
}

const char *libxl_childproc_stage_name(libxl_childproc_stage stage)
{
    switch ((int)stage) {
#define ROW(name, value, text) \
    case value:                \
        return text;
        LIBXL_STAGES(ROW)
#undef ROW
    default:
        return "unknown";
    }
}

const char *libxl_childproc_owner_name(libxl_sigchld_owner owner)
{
    switch ((int)owner) {
    case libxl_sigchld_owner_libxl:
        return "libxl";
    case libxl_sigchld_owner_mainloop:
        return "mainloop";
    case libxl_sigchld_owner_libxl_always:
        return "libxl_always";
    case libxl_sigchld_owner_libxl_always_selective_reap:
        return "libxl_always_selective_reap";
    case libxl_sigchld_owner_none:
        return "none";
    default:
        return "unknown";
    }
}

const char *libxl_childproc_lost_text(libxl_childproc_lost lost)
{
    switch ((int)lost) {
    case LIBXL_LOST_NONE:
        return "not lost";
    case LIBXL_LOST_STOLEN:
        return "another wait in this process took the status, and the kernel "
               "keeps no copy";
    case LIBXL_LOST_IGNORED:
        return "SIGCHLD was ignored, and the kernel threw the status away";
    case LIBXL_LOST_NOT_PASSED:
        return "the application reaped the child and never passed the status "
               "on";
    case LIBXL_LOST_NUMBER_REUSED:
        return "another wait in this process took the status, the pid is "
               "another process's by now, and there was no pidfd to ask";
    case LIBXL_LOST_LEFT:
        return "the child was to be killed, which was not permitted: it was "
               "left running";
    case LIBXL_LOST_NEVER_RAN:
        return "it never became its program";
    case LIBXL_LOST_NOT_OURS:
        return "not a child of this process: only its parent learnt the "
               "status";
    default:
        return "unknown";
    }
}

const char *libxl_version_string(void)
{
    return "0.1.0";
}
