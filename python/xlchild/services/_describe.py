"""What add() is told, checked: a Service and its Machine.

Called by _services.py. InvalidArgumentError names the argument, and nothing
has happened then.
"""
import math
import os
import re

from .._process import signal_number
from ._machine import Machine
from ._member import Service
from ._policy import RESTART, Backoff
from ._ready import checked
from ._words import wrong

__all__ = ["described"]

# parts of file names, of labels, of a variable
_NAME = re.compile(r"[A-Za-z0-9_][-A-Za-z0-9_.@+]{0,99}\Z")
_LONGEST_SOCKET = 107


def described(folder, name, argv, restart, backoff, ready, ready_within,
              stop_signal, stop_grace, log, env, options):
    """(Service, Machine). options are spawn()'s; None: not given."""
    service = Service()
    service.name = _checked_name(name)
    service.argv = _checked_argv(argv)
    service.log = None if log is None else os.path.abspath(os.fspath(log))
    service.ready = checked(ready, service.log)
    service.stop_signal = signal_number(stop_signal)
    if not 1 <= service.stop_signal <= 64:
        raise wrong("add", "stop_signal", "a signal's number, 1 to 64")
    service.stop_grace = _checked_time("stop_grace", stop_grace)
    if env is not None and not hasattr(env, "keys"):
        raise wrong("add", "env", "a mapping, or None")
    service.env = None if env is None else dict(env)
    service.options = {key: value for key, value in options.items()
                       if value is not None}
    if service.ready == ("notify",):
        _check_notify(folder, service)
    if restart not in RESTART:
        raise wrong("add", "restart", "'never', 'on-failure' or 'always'")
    if backoff is not None and not isinstance(backoff, Backoff):
        raise wrong("add", "backoff", "a Backoff, or None")
    return service, Machine(restart, backoff or Backoff(), ready is None,
                            _checked_time("ready_within", ready_within))


def _checked_time(argument, value):
    if isinstance(value, (int, float)) and 0 <= value < math.inf:
        return value
    raise wrong("add", argument, "seconds, 0 or more")


def _check_notify(folder, service):
    path = os.path.join(folder.path, service.name + ".notify")
    if len(os.fsencode(path)) > _LONGEST_SOCKET:
        raise wrong("add", "ready", "another one: the socket's path %s is "
                    "longer than %d bytes" % (path, _LONGEST_SOCKET))
    if "user" in service.options \
            and not os.stat(folder.path).st_mode & 0o001:
        raise wrong("add", "ready", "another one: the user cannot reach a "
                    "socket in %s" % folder.path)


def _checked_name(name):
    if not isinstance(name, str) or not _NAME.match(name):
        raise wrong("add", "name", "1 to 100 letters, digits and '_-.@+', and "
                    "begin with none of '-.@+'")
    return name


def _checked_argv(argv):
    words = "the program and its arguments; the program is not empty"
    if isinstance(argv, (str, bytes)):
        raise wrong("add", "argv", words + "; a list")
    try:
        argv = [os.fsencode(word) for word in argv]
    except TypeError:
        raise wrong("add", "argv", words) from None
    if not argv or not argv[0] or any(b"\0" in word for word in argv):
        raise wrong("add", "argv", words)
    return argv
