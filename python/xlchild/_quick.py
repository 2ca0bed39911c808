"""run() and call() for the commands that most programs run: without a Popen.

Called by _run.py, which asks try_run() first; NOT_SIMPLE sends it on to Popen.
What both can do comes out the same, exceptions included. Nobody but the call
itself ever has the child, so its start is not waited for either: one sleep,
until it has ended, instead of two. A command without pipes is a spawn and a
wait, one with pipes an operation of the library's (bindings/python/
operations.c), on the default context.
"""
import codecs
import locale
import os
import subprocess
import sys

import xlchild as _public  # whose names a test may have replaced

from . import _libxl, _popen, _starts
from ._completed import CompletedProcess, never_ran, unkilled
from ._context import default_context
from ._context_run import translated
from ._cooperative import sleeper
from ._errors import NotFoundError, XlchildError
from ._popen import Popen
from ._popen_options import AS_POPEN, argv_of
from ._process import milliseconds
from ._spec import octets
from ._status import Status

__all__ = ["NOT_SIMPLE", "try_run"]

NOT_SIMPLE = object()

_SIMPLE = frozenset(("stdin", "stdout", "stderr", "cwd", "env", "shell", "text",
                     "encoding", "errors", "universal_newlines"))
_TEXT = frozenset(("text", "encoding", "errors", "universal_newlines"))
_FLAGS = AS_POPEN | _libxl.LIBXL_SPAWN_NOWAIT
_HOLD = _libxl.LIBXL_REPORT_HOLD
_NEVER_RAN = _libxl.LIBXL_LOST_NEVER_RAN
_INHERIT = (_libxl.LIBXL_STREAM_INHERIT, None)
_NULL = (_libxl.LIBXL_STREAM_NULL, None)
_CAPTURE = (_libxl.LIBXL_STREAM_CAPTURE, 0)
_MERGE = (_libxl.LIBXL_STREAM_MERGE, None)
_TIMED_OUT = (_libxl.ERROR_TIMEDOUT, _libxl.ERROR_PERMISSION)
_TIDY_MS = 250  # for a child that got the same Ctrl-C, as subprocess has it
_KILL = (0, 0, 0)  # at once
_ENTIRE = _libxl.LIBXL_LINGER_EOF


def try_run(popenargs, input, capture, timeout, options):
    """The CompletedProcess of run(*popenargs, **options), or NOT_SIMPLE:
    nothing has been done."""
    if len(popenargs) != 1 or not _SIMPLE.issuperset(options) \
            or _public.Popen is not Popen or not _popen.KNOWN \
            or not _plain_time(timeout) or sleeper() is not None:
        return NOT_SIMPLE
    args = given = popenargs[0]
    if not (isinstance(args, (list, tuple)) or isinstance(args, str)):
        return NOT_SIMPLE
    streams = _streams(options, input, capture)
    if streams is None:
        return NOT_SIMPLE
    encoding = None
    if not _TEXT.isdisjoint(options):
        encoding = _encoding(options)
        if encoding is NOT_SIMPLE:
            return NOT_SIMPLE
    if input is not None:
        input = _bytes(input, encoding)
        if input is None:
            return NOT_SIMPLE
        streams[0] = (_libxl.LIBXL_STREAM_BUFFER, input)
    args = argv_of(args, options.get("shell"), None)
    if args[0] in ("", b""):
        return NOT_SIMPLE
    native = {"flags": _FLAGS}
    cwd, env = options.get("cwd"), options.get("env")
    if cwd in ("", b""):
        return NOT_SIMPLE
    if cwd is not None:
        native["cwd"] = cwd
    if env is not None:
        if not isinstance(env, (dict, os._Environ)):
            return NOT_SIMPLE
        native["env"] = env
        if "/" not in os.fsdecode(args[0]):
            return NOT_SIMPLE  # it is searched for in the PATH of that
    sys.audit("subprocess.Popen", args[0], args, cwd, env)
    if streams == [_INHERIT, _INHERIT, _INHERIT]:
        result = _spawned(args, native, given, timeout)
        out = err = None
    else:
        result, out, err = _executed(args, native, given, timeout, streams)
        if encoding is not None:
            out, err = (None if data is None else translated(data, *encoding)
                        for data in (out, err))
    _starts.through("subprocess")
    status = Status(result)
    return CompletedProcess(given, status.returncode, out, err, status=status)


def _plain_time(timeout):
    return timeout is None or (type(timeout) in (int, float)
                               and 0 < timeout < 1e6)


def _streams(options, input, capture):
    """The pairs of the three streams; None: not simple."""
    if not capture and input is None and "stdout" not in options \
            and "stderr" not in options and "stdin" not in options:
        return [_INHERIT, _INHERIT, _INHERIT]
    stdin, stdout, stderr = map(options.get, ("stdin", "stdout", "stderr"))
    if capture:
        if stdout is not None or stderr is not None:
            return None  # an error
        stdout = stderr = subprocess.PIPE
    if input is not None and stdin is not None:
        return None  # an error
    if stderr == subprocess.STDOUT and stdout != subprocess.PIPE:
        return None
    streams = [_INHERIT, _INHERIT, _INHERIT]
    for target, stream in enumerate((stdin, stdout, stderr)):
        if stream is None:
            continue
        pair = _STREAMS.get(stream) if type(stream) is int else None
        if pair is None or (target == 0 and pair is _CAPTURE) \
                or (pair is _MERGE and target != 2):
            return None
        streams[target] = pair
    return streams


_STREAMS = {subprocess.DEVNULL: _NULL, subprocess.PIPE: _CAPTURE,
            subprocess.STDOUT: _MERGE}


def _encoding(options):
    """(encoding, errors) of its pipes, None: bytes."""
    text, newlines = options.get("text"), options.get("universal_newlines")
    encoding, errors = options.get("encoding"), options.get("errors")
    if text is not None and newlines is not None:
        return NOT_SIMPLE
    if not (text or newlines or encoding or errors):
        return None
    if encoding is None:
        if getattr(sys.flags, "warn_default_encoding", 0):
            return NOT_SIMPLE
        encoding = locale.getpreferredencoding(False)
    try:
        if not codecs.lookup(encoding)._is_text_encoding:
            return NOT_SIMPLE
        codecs.lookup_error(errors or "strict")
    except (LookupError, TypeError):
        return NOT_SIMPLE
    return encoding, errors or "strict"


def _bytes(input, encoding):
    """What goes into its stdin; None: it is of the wrong kind."""
    if encoding is not None:
        return input.encode(*encoding) if isinstance(input, str) else None
    return octets(input) if isinstance(
        input, (bytes, bytearray, memoryview)) else None


# ---- without a pipe ---------------------------------------------------------

def _spawned(args, native, given, timeout):
    """The result of a child that has the caller's streams."""
    context = default_context()
    cell = []  # has the child, whatever a signal handler raises
    try:
        context._spawn(args, native, _HOLD, 0, cell)
        identity = cell[0][0]
        result = context._wait(identity, milliseconds(timeout))
        if result is None:
            _expired(context, identity, subprocess.TimeoutExpired(
                given, timeout))
        context._detach(identity)
    except BaseException as error:
        try:
            if cell and isinstance(error, KeyboardInterrupt):
                context._wait(cell[0][0], _TIDY_MS)
        finally:
            _end(context, cell)
        raise
    if result[3] == _NEVER_RAN:
        raise never_ran(result, args, native)
    return result


def _end(context, cell):
    """Nobody gets to know of it: killed, and as a rule reaped by now."""
    try:
        for identity, _ in cell:
            _libxl.libxl_childproc_kill(context, identity, 9, 0)
            context._wait(identity, _TIDY_MS)
    except (XlchildError, OSError):
        pass  # it has been let go of, or may not be killed
    finally:
        context._end_started(cell)


def _expired(context, identity, error):
    """Ends it; raises the error, which says so if that was refused."""
    try:
        _libxl.libxl_childproc_kill(context, identity, 9, 0)
    except NotFoundError:
        pass
    except PermissionError as refused:
        raise unkilled(error, refused)
    context._wait(identity, -1)
    raise error


# ---- with pipes --------------------------------------------------------------

def _executed(args, native, given, timeout, streams):
    """The result, and what came out of its pipes."""
    native["kill"] = _KILL
    outcome = default_context()._run(
        args, native, *streams, milliseconds(timeout), _ENTIRE, None)
    code, result, timed_out = outcome[:3]
    out, err = outcome[5:7]
    if code == 0:
        return result, out, err
    if timed_out and code in _TIMED_OUT:
        error = subprocess.TimeoutExpired(given, timeout, out or None,
                                          err or None)
        raise error if code == _libxl.ERROR_TIMEDOUT else unkilled(error)
    if code == _libxl.ERROR_NOMEM:
        raise MemoryError("output could not be kept")
    if code == _libxl.ERROR_SPAWN and len(result) > 6:
        raise never_ran(result, args, native)
    raise XlchildError(_libxl.libxl_strerror(code), code)
