"""What a child is started with: keyword arguments as the extension has them.

Used by Context (_context.py), which hands the results on; the pool's local
runner (pool/_local.py) prepares its options here once for all its commands.
The extension reads them in bindings/python/spec.c.
"""
import collections
import os

from . import _libxl
from ._process import milliseconds

__all__ = [
    "DEVNULL", "FD_CLOSED", "FD_NULL", "KillPolicy", "PIPE", "SEARCH_OPTIONS",
    "SPAWN_OPTIONS", "STDOUT", "account_cell", "has_group", "kill_tuple",
    "native_options", "octets", "spec_options", "stream_pair",
]

PIPE, STDOUT, DEVNULL = -1, -2, -3  # subprocess's, which is slow to import

FD_NULL = _libxl.LIBXL_FD_NULL
FD_CLOSED = _libxl.LIBXL_FD_CLOSED

_SEARCH = _libxl.LIBXL_SPAWN_SEARCH_PATH
SEARCH_OPTIONS = {"flags": _SEARCH}  # what spec_options() makes of nothing


class KillPolicy(collections.namedtuple("KillPolicy", "signal grace scope")):
    """How a child is ended: signal, then SIGKILL after grace seconds.

    signal 0 means SIGKILL at once.

    >>> import signal, xlchild
    >>> policy = xlchild.KillPolicy(signal.SIGINT, grace=5)
    >>> with xlchild.Context() as ctx:
    ...     try:
    ...         ctx.run(["sleep", "1000"], timeout=0.05, kill=policy)
    ...     except xlchild.TimeoutExpired:
    ...         print("it was given 5 seconds more")
    it was given 5 seconds more
    """

    __slots__ = ()

    def __new__(cls, signal=0, grace=0.0, scope=None):
        """All members have defaults; the scope's is the process."""
        if scope is None:
            from ._enums import KillScope
            scope = KillScope.PROCESS
        return super().__new__(cls, signal, grace, scope)


def kill_tuple(policy):
    """A KillPolicy as the extension takes it."""
    signal, grace, scope = KillPolicy(*policy)
    return (int(signal), milliseconds(grace), int(scope))


_LEADS = (_libxl.LIBXL_SPAWN_NEW_GROUP | _libxl.LIBXL_SPAWN_NEW_SESSION
          | _libxl.LIBXL_SPAWN_SET_CTTY)


def has_group(options):
    """May somebody be left whom the child's handle reaches?"""
    return bool(options["flags"] & _LEADS) or "cgroup" in options \
        or "ctty_fd" in options or "family" in options


def account_cell(options):
    """Where the account of the child with these members goes; None: it is not
    asked for."""
    if not options["flags"] & _libxl.LIBXL_SPAWN_ACCOUNT:
        return None
    from . import _account  # noqa: F401: slow, and may be too late at its end
    return []


def spec_options(search=True, env=None, cwd=None, stdin=None, stdout=None,
                 stderr=None, fds=None, pass_fds=(), flags=0, kill=None,
                 on_free=None, path=None, executable=None, new_session=False,
                 new_group=False, group=None, report_stops=False,
                 keep_groups=False, start_new_session=False,
                 process_group=None, user=None, extra_groups=None,
                 restore_signals=False, close_fds=True, account=False, **rest):
    """Keyword arguments of spawn() as the extension's dict of members.

    Those of Popen are taken by their names there, too; but a group that is a
    number is a process group, and one that is a name the gid.
    """
    flags = int(flags)
    if search:
        flags |= _SEARCH
    if restore_signals:
        flags |= _libxl.LIBXL_SPAWN_RESTORE_SIGPIPE
    if not close_fds:
        flags |= _libxl.LIBXL_SPAWN_KEEP_FDS
    if isinstance(group, str):
        rest.setdefault("gid", group)
        group = None
    if user is not None:
        rest["uid"] = user
    if extra_groups is not None:
        rest["groups"] = extra_groups
    if process_group is not None and process_group >= 0:
        if process_group:
            group = process_group
        else:
            new_group = True
    if new_session or start_new_session:
        flags |= _libxl.LIBXL_SPAWN_NEW_SESSION
    if new_group:
        flags |= _libxl.LIBXL_SPAWN_NEW_GROUP
    if keep_groups:
        flags |= _libxl.LIBXL_SPAWN_KEEP_GROUPS
    if report_stops:
        flags |= _libxl.LIBXL_SPAWN_REPORT_STOPS
    if account:
        flags |= _libxl.LIBXL_SPAWN_ACCOUNT
    options = {"flags": flags}
    if group is not None:
        options["group"] = group
        options["flags"] |= _libxl.LIBXL_SPAWN_JOIN_GROUP
    if env is not None:
        options["env"] = env
    if cwd is not None:
        options["cwd"] = cwd
    if path is None:
        path = executable
    if path is not None:
        options["path"] = path
    if kill is not None:
        options["kill"] = kill_tuple(kill)
    if on_free is not None:
        options["on_free"] = int(on_free)
    table = {}
    for target, source in ((0, stdin), (1, stdout), (2, stderr)):
        if source is not None:
            table[target] = _source(source, target, table)
    for number in pass_fds:
        table[number] = number
    if fds:
        table.update(fds)
    if table:
        options["fds"] = list(table.items())
    for name, value in rest.items():
        if value is None:
            continue
        if name not in _REST:
            raise TypeError(_unknown(name))
        as_member = _AS_MEMBER.get(name)
        if as_member is not None:
            value = as_member(value)
            if value is None:
                continue
        options[name] = value
    return options


_ELSEWHERE = dict.fromkeys(("timeout", "input", "capture_output", "check",
                            "text", "shell", "encoding"),
                           "Context.run() and xlchild.run() have it")
_ELSEWHERE["preexec_fn"] = "Popen and xlchild.run() have it; see the options "\
    "of Context.spawn() for what it may be needed for"
_ELSEWHERE.update(bufsize="Popen has it", workers="it is called jobs")


def _unknown(name):
    """The words for an option that there is not."""
    words = "there is no option %r" % name
    if name in _ELSEWHERE:
        return "%s here: %s" % (words, _ELSEWHERE[name])
    import difflib  # slow to import
    near = difflib.get_close_matches(name, SPAWN_OPTIONS, 1)
    return words + ("; did you mean %r?" % near[0] if near else "")


def _limits(limits):
    """rlimits, where a resource may have its name."""
    import resource
    numbers = []
    for limit in limits:
        limit = tuple(limit)
        if limit and isinstance(limit[0], str):
            number = getattr(resource, "RLIMIT_" + limit[0].upper(), None)
            if number is None:
                raise ValueError("rlimits: no resource is called %r"
                                 % limit[0])
            limit = (number,) + limit[1:]
        numbers.append(limit)
    return numbers


def _group_id(group):
    if isinstance(group, str):
        import grp
        try:
            return grp.getgrnam(group).gr_gid
        except KeyError:
            raise ValueError("there is no group %r" % group) from None
    return group


def _user_id(user):
    if isinstance(user, str):
        import pwd
        try:
            return pwd.getpwnam(user).pw_uid
        except KeyError:
            raise ValueError("there is no user %r" % user) from None
    return user


def _of_family(family):
    try:
        return family._named()
    except AttributeError:
        raise TypeError("family: a Family is needed, such as "
                        "Context.family() makes (run() takes the name of a "
                        "policy, too), not %r" % (family,)) from None


_AS_MEMBER = {"family": _of_family, "rlimits": _limits, "uid": _user_id, "gid": _group_id,
              "groups": lambda groups: [_group_id(one) for one in groups],
              "umask": lambda umask: None if umask == -1 else umask}
_REST = frozenset(("search_path", "uid", "gid", "groups", "umask", "nice",
                   "pdeathsig", "ctty_fd", "rlimits", "sigmask", "sigignore",
                   "cgroup", "exited_grace_ms", "family"))
SPAWN_OPTIONS = _REST.union(
    spec_options.__code__.co_varnames[:spec_options.__code__.co_argcount])


def _source(source, target, table):
    """A stdin=, stdout= or stderr= argument as an fd of the parent."""
    if source == DEVNULL:
        return FD_NULL
    if source == STDOUT and target == 2:
        return table.get(1, 1)
    if source == PIPE:
        raise ValueError("PIPE is for Popen and run(); spawn() takes an fd, "
                         "such as one end of os.pipe()")
    if isinstance(source, int):
        return source
    if isinstance(source, (str, bytes, os.PathLike)):
        raise TypeError("%s: a path is for run(); spawn() takes an fd or an "
                        "open file" % ("stdin", "stdout", "stderr")[target])
    return source.fileno()


def stream_pair(value, target, limit, on_output):
    """One stdin=, stdout=, stderr= of run() as the extension's pair."""
    if value is None:
        if on_output is not None and target:
            return (_libxl.LIBXL_STREAM_CALLBACK, None)
        return (_libxl.LIBXL_STREAM_INHERIT, None)
    if isinstance(value, int):
        if value == DEVNULL:
            return (_libxl.LIBXL_STREAM_NULL, None)
        if value == PIPE:
            if not target:
                raise ValueError("use input for a pipe to stdin")
            if on_output is not None:
                return (_libxl.LIBXL_STREAM_CALLBACK, None)
            return (_libxl.LIBXL_STREAM_CAPTURE, limit)
        if value == STDOUT and target == 2:
            return (_libxl.LIBXL_STREAM_MERGE, None)
        return (_libxl.LIBXL_STREAM_FD, value)
    if isinstance(value, (str, bytes, os.PathLike)):
        return (_libxl.LIBXL_STREAM_FILE, value)
    return (_libxl.LIBXL_STREAM_FD, value.fileno())


def octets(data):
    """A buffer of any items as one of bytes; text as it is."""
    if isinstance(data, (bytes, bytearray, str)):
        return data
    view = memoryview(data)
    if view.itemsize == 1 and view.ndim == 1 and view.contiguous:
        return view
    return view.cast("B") if view.c_contiguous else view.tobytes()


_AS_POPEN = (_libxl.LIBXL_SPAWN_KEEP_SIGMASK
             | _libxl.LIBXL_SPAWN_KEEP_SIGIGN)


def native_options(options):
    """Options as Popen spells them (and Context.run's own) as spec_options
    takes them."""
    given = dict(options)
    flags = int(given.pop("flags", 0))
    if given.pop("startupinfo", None) is not None \
            or given.pop("creationflags", 0):
        raise ValueError("startupinfo and creationflags are for Windows")
    for name in ("preexec_fn", "pipesize"):  # None, or no matter here
        given.pop(name, None)
    if given.get("sigmask") is None and given.get("sigignore") is None:
        flags |= _AS_POPEN
    if given.pop("restore_signals", True):
        flags |= _libxl.LIBXL_SPAWN_RESTORE_SIGPIPE
    if not given.pop("close_fds", True):
        flags |= _libxl.LIBXL_SPAWN_KEEP_FDS
    owner = given.pop("group", None)
    if owner is not None:
        given["gid"] = owner
    given["flags"] = flags
    return given
