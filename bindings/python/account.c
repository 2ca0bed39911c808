/* account.c - why a child died, and what it cost, as a Python tuple
 *
 * Called by the package's Process, Popen and operations when they learn of an
 * end (_account.py), which makes an Account of it.
 */
#include "binding.h"

#include "xlchild/account.h"

static PyObject *as_tuple(const libxl_childproc_account *account)
{
    PyObject *rusage;

    if (account->has_rusage) {
        rusage = PyBytes_FromStringAndSize((const char *)&account->rusage,
                                           sizeof(account->rusage));
    } else {
        rusage = Py_None;
        Py_INCREF(rusage);
    }
    return Py_BuildValue(
        "(iiiiiLLNLLLLLLL)", (int)account->ended_by, account->perhaps,
        account->core_dumped, (int)account->sent_by, account->sent_signal,
        (long long)account->exec_ns, (long long)account->end_ns, rusage,
        (long long)account->memory_kills, (long long)account->cpu_usec,
        (long long)account->memory_peak, (long long)account->pids_peak,
        (long long)account->memory_stall_usec,
        (long long)account->cpu_stall_usec,
        (long long)account->io_stall_usec);
}

/* _account(id, cell) -> True: cell, a list, has it now. It is there once: where
 * a hook that ran meanwhile has raised, cell has it all the same. False: there
 * is none, or none yet. */
PyObject *xlpy_account(PyObject *object, PyObject *const *args, Py_ssize_t n)
{
    libxl_childproc_account account;
    libxl_childproc_id id;
    struct xlpy_call call;
    PyObject *value;
    int rc, failed = 0;

    if (n != 2)
        return PyErr_Format(PyExc_TypeError, "_account needs 2 arguments");
    id = PyLong_AsUnsignedLongLong(args[0]);
    if (PyErr_Occurred() || xlpy_begin(&call, object))
        return NULL;
    memset(&account, 0, sizeof(account));
    account.size = sizeof(account);
    xlpy_release(&call);
    rc = libxl_childproc_account_take(call.ctx, id, &account);
    xlpy_acquire(&call);
    if (rc == 0) {
        value = as_tuple(&account);
        failed = !value || xlpy_hand_over(args[1], value);
        Py_XDECREF(value);
    }
    if (failed) {
        xlpy_leave(&call);
        return NULL;
    }
    if (xlpy_end(&call))
        return NULL;
    if (rc && rc != ERROR_NOTFOUND && rc != ERROR_NOT_READY)
        return xlpy_raise(rc, call.errnoval, "account");
    return PyBool_FromLong(rc == 0);
}
