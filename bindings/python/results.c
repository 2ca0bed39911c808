/* results.c - results and events of the library as Python tuples
 *
 * The package makes its Status, Process and event objects of them.
 */
#include "binding.h"

/* (id, pid, status, lost, source, rusage): rusage is the struct's bytes, read
 * only when somebody asks for it, or None. Of one that never ran, the stage's
 * name and the errno follow. */
PyObject *xlpy_result(const libxl_childproc_result *result)
{
    PyObject *rusage;

    if (result->has_rusage) {
        rusage = PyBytes_FromStringAndSize((const char *)&result->rusage,
                                           sizeof(result->rusage));
    } else {
        rusage = Py_None;
        Py_INCREF(rusage);
    }
    if (result->lost == LIBXL_LOST_NEVER_RAN)
        return Py_BuildValue("(KiiiiNsi)", (unsigned long long)result->id,
                             (int)result->pid, result->status,
                             (int)result->lost, (int)result->source, rusage,
                             libxl_childproc_stage_name(
                                 (libxl_childproc_stage)result->stage),
                             result->errnoval);
    return Py_BuildValue("(KiiiiN)", (unsigned long long)result->id,
                         (int)result->pid, result->status, (int)result->lost,
                         (int)result->source, rusage);
}

/* (type, for_user, payload). A completion is forgotten by the Ctx, so this is
 * done once an event. */
PyObject *xlpy_event(xlpy_ctx *self, const libxl_event *event)
{
    PyObject *payload;
    unsigned long long user = event->for_user;

    switch (event->type) {
    case LIBXL_EVENT_TYPE_CHILDPROC_EXIT:
        payload = xlpy_result(&event->u.childproc_exit);
        break;
    case LIBXL_EVENT_TYPE_OPERATION_COMPLETE:
        payload = xlpy_op_complete(self, event);
        break;
    case LIBXL_EVENT_TYPE_CHILDPROC_STARTED:
        payload = Py_BuildValue("(Ki)",
                                (unsigned long long)
                                    event->u.childproc_started.id,
                                (int)event->u.childproc_started.pid);
        break;
    default:
        payload = Py_BuildValue("(Kii)",
                                (unsigned long long)
                                    event->u.childproc_stopped.id,
                                (int)event->u.childproc_stopped.pid,
                                event->u.childproc_stopped.signo);
        break;
    }
    return Py_BuildValue("(iKN)", (int)event->type, user, payload);
}
