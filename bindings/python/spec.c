/* spec.c - Python's description of a child as a libxl_childproc_spec
 *
 * Everything is copied, with the GIL held, into an arena that lives as long as
 * the call: other threads may change the arguments meanwhile. Options come as
 * a dict whose keys are the names of the struct's members.
 */
#include "binding.h"

#include <limits.h>
#include <signal.h>
#include <string.h>
#include <time.h>

struct xlpy_block {
    struct xlpy_block *next;
    max_align_t data[];
};

void xlpy_arena_init(struct xlpy_arena *arena)
{
    arena->blocks = NULL;
    arena->free = arena->first;
    arena->left = sizeof(arena->first);
}

void xlpy_arena_clear(struct xlpy_arena *arena)
{
    struct xlpy_block *next;

    while (arena->blocks) {
        next = arena->blocks->next;
        PyMem_Free(arena->blocks);
        arena->blocks = next;
    }
    xlpy_arena_init(arena);
}

/* Aligned for anything; NULL and MemoryError. */
void *xlpy_arena_get(struct xlpy_arena *arena, size_t size)
{
    struct xlpy_block *block;
    size_t skip = -(uintptr_t)arena->free & (sizeof(max_align_t) - 1);
    size_t room;
    void *got;

    if (skip > arena->left || size > arena->left - skip) {
        room = size > 8192 ? size : 8192;
        block = size > PY_SSIZE_T_MAX / 2
                    ? NULL
                    : PyMem_Malloc(sizeof(*block) + room);
        if (!block) {
            PyErr_NoMemory();
            return NULL;
        }
        block->next = arena->blocks;
        arena->blocks = block;
        arena->free = (char *)block->data;
        arena->left = room;
        skip = 0;
    }
    got = arena->free + skip;
    arena->free += skip + size;
    arena->left -= skip + size;
    return got;
}

static char *copy(struct xlpy_arena *arena, const char *text, Py_ssize_t size)
{
    char *to;

    if (memchr(text, 0, (size_t)size)) {
        PyErr_SetString(PyExc_ValueError, "embedded null byte");
        return NULL;
    }
    /* text needs no alignment: closer packing */
    if ((size_t)size + 1 <= arena->left) {
        to = arena->free;
        arena->free += size + 1;
        arena->left -= (size_t)size + 1;
    } else {
        to = xlpy_arena_get(arena, (size_t)size + 1);
        if (!to)
            return NULL;
    }
    memcpy(to, text, (size_t)size);
    to[size] = 0;
    return to;
}

const char *xlpy_text(struct xlpy_arena *arena, PyObject *object)
{
    PyObject *bytes = NULL;
    const char *to;

    if (PyUnicode_Check(object) && PyUnicode_READY(object) == 0 &&
        PyUnicode_IS_ASCII(object))
        return copy(arena, PyUnicode_DATA(object),
                    PyUnicode_GET_LENGTH(object));
    if (PyBytes_Check(object))
        return copy(arena, PyBytes_AS_STRING(object),
                    PyBytes_GET_SIZE(object));
    if (!PyUnicode_FSConverter(object, &bytes))
        return NULL;
    to = copy(arena, PyBytes_AS_STRING(bytes), PyBytes_GET_SIZE(bytes));
    Py_DECREF(bytes);
    return to;
}

/* A NULL-terminated array of copies of a sequence. */
static const char **texts(struct xlpy_arena *arena, PyObject *sequence,
                          const char *what)
{
    PyObject *fast;
    const char **to;
    Py_ssize_t i, n;

    if (PyUnicode_Check(sequence) || PyBytes_Check(sequence)) {
        PyErr_SetString(PyExc_TypeError,
                        "a sequence of arguments is needed, not one string; "
                        "a command of the shell is ['sh', '-c', command]");
        return NULL;
    }
    fast = PySequence_Fast(sequence, "a sequence of arguments is needed");
    if (!fast)
        return NULL;
    n = PySequence_Fast_GET_SIZE(fast);
    to = xlpy_arena_get(arena, ((size_t)n + 1) * sizeof(*to));
    for (i = 0; to && i < n; i++) {
        /* fsdecode of an item runs Python code, which may shrink a list */
        if (i >= PySequence_Fast_GET_SIZE(fast)) {
            PyErr_SetString(PyExc_RuntimeError, "arguments changed size");
            to = NULL;
            break;
        }
        PyObject *item = PySequence_Fast_GET_ITEM(fast, i);

        Py_INCREF(item);
        to[i] = xlpy_text(arena, item);
        Py_DECREF(item);
        if (!to[i]) {
            xlpy_blame("%s[%zd]", what, i);
            to = NULL;
        }
    }
    if (to)
        to[n] = NULL;
    Py_DECREF(fast);
    return to;
}

/* A mapping as NAME=VALUE strings. */
static const char **environment(struct xlpy_arena *arena, PyObject *mapping)
{
    PyObject *items, *name = NULL, *value = NULL;
    const char **to;
    Py_ssize_t i, n;

    if (!PyMapping_Check(mapping) || PyList_Check(mapping) ||
        PyTuple_Check(mapping))
        return texts(arena, mapping, "env");
    items = PyMapping_Items(mapping);
    if (!items)
        return NULL;
    n = PyList_GET_SIZE(items);
    to = xlpy_arena_get(arena, ((size_t)n + 1) * sizeof(*to));
    for (i = 0; to && i < n; i++) {
        PyObject *pair = PyList_GET_ITEM(items, i);
        Py_ssize_t name_size, value_size;
        char *text;

        if (!PyTuple_Check(pair) || PyTuple_GET_SIZE(pair) != 2) {
            PyErr_SetString(PyExc_TypeError, "env must be a mapping");
            to = NULL;
        } else if (!PyUnicode_FSConverter(PyTuple_GET_ITEM(pair, 0), &name) ||
                   !PyUnicode_FSConverter(PyTuple_GET_ITEM(pair, 1),
                                          &value)) {
            to = NULL;
        } else {
            name_size = PyBytes_GET_SIZE(name);
            value_size = PyBytes_GET_SIZE(value);
            if (memchr(PyBytes_AS_STRING(name), '=', (size_t)name_size)) {
                PyErr_SetString(PyExc_ValueError,
                                "illegal environment variable name");
                to = NULL;
            } else if (memchr(PyBytes_AS_STRING(name), 0,
                              (size_t)name_size) ||
                       memchr(PyBytes_AS_STRING(value), 0,
                              (size_t)value_size)) {
                PyErr_SetString(PyExc_ValueError, "embedded null byte");
                to = NULL;
            } else {
                text = xlpy_arena_get(arena,
                                      (size_t)(name_size + value_size) + 2);
                if (text) {
                    memcpy(text, PyBytes_AS_STRING(name), (size_t)name_size);
                    text[name_size] = '=';
                    memcpy(text + name_size + 1, PyBytes_AS_STRING(value),
                           (size_t)value_size + 1);
                    to[i] = text;
                } else {
                    to = NULL;
                }
            }
        }
        if (!to && PyTuple_Check(pair) && PyTuple_GET_SIZE(pair) == 2)
            xlpy_blame("env[%R]", PyTuple_GET_ITEM(pair, 0));
        Py_CLEAR(name);
        Py_CLEAR(value);
    }
    if (to)
        to[n] = NULL;
    Py_DECREF(items);
    return to;
}

static long long number(PyObject *object, long long lowest, long long highest)
{
    PyObject *index = PyNumber_Index(object);
    long long value;

    if (!index)
        return -1;
    value = PyLong_AsLongLong(index);
    Py_DECREF(index);
    if (PyErr_Occurred())
        return -1;
    if (value < lowest || value > highest)
        PyErr_Format(PyExc_ValueError,
                     "%lld is out of range (%lld to %lld)", value, lowest,
                     highest);
    return value;
}

int xlpy_signal_set(PyObject *object, sigset_t *ret_set)
{
    PyObject *fast = PySequence_Fast(object, "signals must be a sequence");
    Py_ssize_t i;

    if (!fast)
        return -1;
    sigemptyset(ret_set);
    for (i = 0; i < PySequence_Fast_GET_SIZE(fast); i++) {
        long long signo = number(PySequence_Fast_GET_ITEM(fast, i), 1, 64);

        if (PyErr_Occurred())
            break;
        sigaddset(ret_set, (int)signo);
    }
    Py_DECREF(fast);
    return PyErr_Occurred() ? -1 : 0;
}

/* (first_signal, grace_ms, scope) */
int xlpy_policy(PyObject *object, libxl_kill_policy *ret_policy)
{
    int signo, grace, scope;

    if (!PyTuple_Check(object) ||
        !PyArg_ParseTuple(object, "iii;a kill policy is three numbers", &signo,
                          &grace, &scope)) {
        if (!PyErr_Occurred())
            PyErr_SetString(PyExc_TypeError, "a kill policy is a tuple");
        return -1;
    }
    ret_policy->first_signal = signo;
    ret_policy->grace_ms = grace;
    ret_policy->scope = (libxl_kill_scope)scope;
    return 0;
}

/* [(target, source), ...] */
static int fd_map(struct xlpy_arena *arena, PyObject *sequence,
                  libxl_childproc_spec *spec)
{
    PyObject *fast = PySequence_Fast(sequence, "fds must be a sequence");
    libxl_childproc_fd *fds;
    Py_ssize_t i, n;

    if (!fast)
        return -1;
    n = PySequence_Fast_GET_SIZE(fast);
    fds = xlpy_arena_get(arena, (size_t)(n ? n : 1) * sizeof(*fds));
    for (i = 0; fds && i < n; i++) {
        PyObject *pair = PySequence_Tuple(PySequence_Fast_GET_ITEM(fast, i));

        if (!pair || !PyArg_ParseTuple(pair, "ii", &fds[i].target,
                                       &fds[i].source))
            fds = NULL;
        Py_XDECREF(pair);
    }
    Py_DECREF(fast);
    if (!fds)
        return -1;
    spec->fds = fds;
    spec->nfds = (size_t)n;
    return 0;
}

static int groups(struct xlpy_arena *arena, PyObject *sequence,
                  libxl_childproc_spec *spec)
{
    PyObject *fast = PySequence_Fast(sequence, "groups must be a sequence");
    gid_t *list;
    Py_ssize_t i, n;

    if (!fast)
        return -1;
    n = PySequence_Fast_GET_SIZE(fast);
    list = xlpy_arena_get(arena, (size_t)(n ? n : 1) * sizeof(*list));
    for (i = 0; list && i < n; i++) {
        list[i] = (gid_t)number(PySequence_Fast_GET_ITEM(fast, i), 0,
                                UINT_MAX - 1);
        if (PyErr_Occurred() &&
            PyErr_ExceptionMatches(PyExc_OverflowError)) /* as subprocess */
            PyErr_SetString(PyExc_ValueError, "a group is out of range");
        if (PyErr_Occurred())
            list = NULL;
    }
    Py_DECREF(fast);
    if (!list)
        return -1;
    spec->groups = list;
    spec->ngroups = (size_t)n;
    spec->flags |= LIBXL_SPAWN_SET_GROUPS;
    return 0;
}

/* [(resource, soft, hard), ...], -1 for no limit */
static int limits(struct xlpy_arena *arena, PyObject *sequence,
                  libxl_childproc_spec *spec)
{
    PyObject *fast = PySequence_Fast(sequence, "rlimits must be a sequence");
    libxl_childproc_rlimit *list;
    Py_ssize_t i, n;
    long long soft, hard;

    if (!fast)
        return -1;
    n = PySequence_Fast_GET_SIZE(fast);
    list = xlpy_arena_get(arena, (size_t)(n ? n : 1) * sizeof(*list));
    for (i = 0; list && i < n; i++) {
        PyObject *item = PySequence_Tuple(PySequence_Fast_GET_ITEM(fast, i));

        if (item && PyArg_ParseTuple(item, "iLL", &list[i].resource, &soft,
                                     &hard)) {
            list[i].limit.rlim_cur = soft < 0 ? RLIM_INFINITY : (rlim_t)soft;
            list[i].limit.rlim_max = hard < 0 ? RLIM_INFINITY : (rlim_t)hard;
        } else {
            list = NULL;
        }
        Py_XDECREF(item);
    }
    Py_DECREF(fast);
    if (!list)
        return -1;
    spec->rlimits = list;
    spec->nrlimits = (size_t)n;
    return 0;
}

enum option {
    O_FLAGS, O_PATH, O_ENV, O_CWD, O_FDS, O_KILL, O_SEARCH_PATH, O_GROUP,
    O_UID, O_GID, O_GROUPS, O_UMASK, O_NICE, O_PDEATHSIG, O_CTTY_FD,
    O_RLIMITS, O_SIGMASK, O_SIGIGNORE, O_CGROUP, O_ON_FREE,
    O_EXITED_GRACE_MS, O_FAMILY, O_UNKNOWN
};

static const char *const option_names[] = {
    "flags", "path", "env", "cwd", "fds", "kill", "search_path", "group",
    "uid", "gid", "groups", "umask", "nice", "pdeathsig", "ctty_fd",
    "rlimits", "sigmask", "sigignore", "cgroup", "on_free",
    "exited_grace_ms", "family",
};

static enum option option_named(PyObject *key)
{
    int i;

    for (i = 0; i < O_UNKNOWN && PyUnicode_Check(key); i++)
        if (PyUnicode_CompareWithASCIIString(key, option_names[i]) == 0)
            return (enum option)i;
    return O_UNKNOWN;
}

/* (the Ctx, its number, the object, which lives as long as the start takes):
 * a number alone might name one of another Ctx's */
static void family_of(xlpy_ctx *owner, PyObject *three,
                      libxl_childproc_spec *spec)
{
    unsigned long long id;
    PyObject *theirs, *family;

    if (!PyTuple_Check(three)) {
        PyErr_SetString(PyExc_TypeError, "a Family is needed");
        return;
    }
    if (!PyArg_ParseTuple(three, "OKO", &theirs, &id, &family))
        return;
    if (theirs != (PyObject *)owner)
        PyErr_SetString(PyExc_ValueError,
                        "it is one of another Context's");
    else
        spec->family = id;
}

static void set_option(struct xlpy_arena *arena, xlpy_ctx *owner,
                       libxl_childproc_spec *spec, enum option option,
                       PyObject *value, sigset_t sets[2])
{
    switch (option) {
    case O_FLAGS:
        spec->flags |= (unsigned)number(value, 0, UINT_MAX);
        break;
    case O_PATH:
        spec->path = xlpy_text(arena, value);
        break;
    case O_ENV:
        spec->envp = environment(arena, value);
        break;
    case O_CWD:
        spec->cwd = xlpy_text(arena, value);
        break;
    case O_SEARCH_PATH:
        spec->search_path = xlpy_text(arena, value);
        break;
    case O_CGROUP:
        spec->cgroup = xlpy_text(arena, value);
        break;
    case O_FDS:
        fd_map(arena, value, spec);
        break;
    case O_KILL:
        xlpy_policy(value, &spec->kill);
        break;
    case O_GROUP:
        spec->group = (pid_t)number(value, INT_MIN, INT_MAX);
        break;
    case O_UID:
        spec->uid = (uid_t)number(value, 0, UINT_MAX - 1);
        spec->flags |= LIBXL_SPAWN_SET_UID;
        break;
    case O_GID:
        spec->gid = (gid_t)number(value, 0, UINT_MAX - 1);
        spec->flags |= LIBXL_SPAWN_SET_GID;
        break;
    case O_GROUPS:
        groups(arena, value, spec);
        break;
    case O_UMASK:
        spec->umask = (mode_t)number(value, 0, UINT_MAX);
        spec->flags |= LIBXL_SPAWN_SET_UMASK;
        break;
    case O_NICE:
        spec->nice = (int)number(value, INT_MIN, INT_MAX);
        spec->flags |= LIBXL_SPAWN_SET_NICE;
        break;
    case O_PDEATHSIG:
        spec->pdeathsig = (int)number(value, INT_MIN, INT_MAX);
        spec->flags |= LIBXL_SPAWN_SET_PDEATHSIG;
        break;
    case O_CTTY_FD:
        spec->ctty_fd = (int)number(value, INT_MIN, INT_MAX);
        spec->flags |= LIBXL_SPAWN_SET_CTTY;
        break;
    case O_RLIMITS:
        limits(arena, value, spec);
        break;
    case O_SIGMASK:
        if (!xlpy_signal_set(value, &sets[0]))
            spec->sigmask = &sets[0];
        break;
    case O_SIGIGNORE:
        if (!xlpy_signal_set(value, &sets[1]))
            spec->sigignore = &sets[1];
        break;
    case O_ON_FREE:
        spec->on_free = (libxl_free_policy)number(value, INT_MIN, INT_MAX);
        break;
    case O_EXITED_GRACE_MS:
        spec->exited_grace_ms = (int)number(value, INT_MIN, INT_MAX);
        break;
    case O_FAMILY:
        family_of(owner, value, spec);
        break;
    case O_UNKNOWN:
        break;
    }
}

/* What it is to execute, for a message. */
const char *xlpy_program(const libxl_childproc_spec *spec)
{
    const char *const *argv = spec->argv;

    return spec->path ? spec->path : argv[0];
}

/* -1 and an exception; options: a dict or None. owner starts it. */
int xlpy_spec(struct xlpy_arena *arena, xlpy_ctx *owner, PyObject *argv,
              PyObject *options, libxl_childproc_spec *ret_spec,
              sigset_t sets[2])
{
    PyObject *key, *value;
    Py_ssize_t at = 0;
    enum option option;

    libxl_childproc_spec_init(ret_spec);
    ret_spec->argv = texts(arena, argv, "args");
    if (!ret_spec->argv)
        return -1;
    if (options == Py_None)
        return 0;
    if (!PyDict_Check(options)) {
        PyErr_SetString(PyExc_TypeError, "options must be a dict");
        return -1;
    }
    while (PyDict_Next(options, &at, &key, &value)) {
        option = option_named(key);
        if (option == O_UNKNOWN) {
            PyErr_Format(PyExc_TypeError, "no option is called %R", key);
            return -1;
        }
        Py_INCREF(value);
        set_option(arena, owner, ret_spec, option, value, sets);
        Py_DECREF(value);
        if (PyErr_Occurred()) {
            if (option != O_ENV)
                xlpy_blame("%s", option_names[option]);
            return -1;
        }
    }
    return 0;
}
