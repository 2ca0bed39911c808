"""run() and its friends: subprocess's functions over Popen.

The keywords and the behaviour are those of the functions of the same names in
subprocess. Options that only Context.run has are passed on to it.
"""
import os
import subprocess

import xlchild as _public  # whose names a test may have replaced

from ._completed import CompletedProcess, unkilled
from ._context import Context, default_context
from ._popen import Popen, starting
from ._quick import NOT_SIMPLE, try_run
from ._spec import SPAWN_OPTIONS, native_options

__all__ = ["run", "spawn", "call", "check_call", "check_output", "getoutput",
           "getstatusoutput"]


def _parameters(function):
    code = function.__code__
    return code.co_varnames[:code.co_argcount + code.co_kwonlyargcount]


# what Context.run takes and subprocess does not know
_NATIVE = SPAWN_OPTIONS.union(_parameters(Context.run)).difference(
    _parameters(subprocess.Popen.__init__),
    ("input", "capture_output", "timeout", "check"))


def spawn(args, **options):
    """Start a child on the default context: see Context.spawn.

    >>> import xlchild
    >>> xlchild.spawn(["true"]).wait().success
    True
    """
    return default_context().spawn(args, **options)


def run(*popenargs, input=None, capture_output=False, timeout=None,
        check=False, **options):
    """Run a command to completion; return a CompletedProcess.

    As subprocess.run. With an option that only Context.run has
    (capture_limit, on_output, linger_eof, kill, fds, cgroup, rlimits, …; a
    path as stdout or stderr) the call is Context.run's on the default context.

    >>> import xlchild
    >>> xlchild.run(["echo", "hello"], capture_output=True, text=True).stdout
    'hello\\n'
    >>> xlchild.run(["sh", "-c", "echo oops >&2"], stdout=xlchild.PIPE,
    ...             stderr=xlchild.STDOUT, stdin=xlchild.DEVNULL).stdout
    b'oops\\n'
    """
    done = try_run(popenargs, input, capture_output, timeout, options)
    if done is not NOT_SIMPLE:
        if check:
            done.check_returncode()
        return done
    if options and (not _NATIVE.isdisjoint(options) or any(
            isinstance(options.get(name), (str, bytes, os.PathLike))
            for name in ("stdout", "stderr"))):
        if options.get("preexec_fn") is not None:
            raise ValueError("preexec_fn is not possible with %s" % ", ".join(
                sorted(_NATIVE.intersection(options)) or ["a path"]))
        if options.get("stdin") == subprocess.PIPE and input is None:
            input, options["stdin"] = b"", None
        return default_context().run(
            *popenargs, input=input, capture_output=capture_output,
            timeout=timeout, check=check, **native_options(options))
    if input is not None:
        if options.get("stdin") is not None:
            raise ValueError("stdin and input arguments may not both be "
                             "used.")
        options["stdin"] = subprocess.PIPE
    if capture_output:
        if options.get("stdout") is not None \
                or options.get("stderr") is not None:
            raise ValueError("stdout and stderr arguments may not be used "
                             "with capture_output.")
        options["stdout"] = options["stderr"] = subprocess.PIPE
    try:
        starting.ends = True
        with _public.Popen(*popenargs, **options) as process:
            try:
                starting.ends = False
                process._xl_lost_raises = False  # the result's Status says it
                out = err = None
                if process.stdin is process.stdout is process.stderr is None:
                    process.wait(timeout=timeout)
                else:
                    out, err = process.communicate(input, timeout=timeout)
            except subprocess.TimeoutExpired as expired:
                _end(process, expired)
                raise
            except BaseException:  # Popen.__exit__ waits
                process.kill()
                raise
    finally:
        starting.ends = False
    done = CompletedProcess(process.args, process.returncode, out, err,
                            status=getattr(process, "status", None))
    if check:
        done.check_returncode()
    return done


def _end(process, expired):
    """Kill it and wait for it. Where the kill is refused (it has become
    another user's) it is let go of, and the exception says both."""
    try:
        process.kill()
    except PermissionError as refused:
        process.returncode = -9  # nobody waits for it here
        getattr(process, "_xl_let_go", int)()
        raise unkilled(expired, refused)
    process.wait()


def call(*popenargs, timeout=None, **options):
    """Run a command; return its returncode. As subprocess.call.

    >>> import xlchild
    >>> xlchild.call("exit 3", shell=True)
    3
    """
    done = NOT_SIMPLE
    if subprocess.PIPE not in (options.get("stdin"), options.get("stdout"),
                               options.get("stderr")):
        done = try_run(popenargs, None, False, timeout, options)
    if done is not NOT_SIMPLE:
        return done.returncode
    try:
        starting.ends = True
        with _public.Popen(*popenargs, **options) as process:
            try:
                starting.ends = False
                return process.wait(timeout=timeout)
            except subprocess.TimeoutExpired as expired:
                _end(process, expired)
                raise
            except BaseException:  # Popen.__exit__ waits
                process.kill()
                raise
    finally:
        starting.ends = False


def check_call(*popenargs, **options):
    """Run a command; CalledProcessError unless it exited with 0.

    >>> import xlchild
    >>> xlchild.check_call(["true"])
    0
    >>> try:
    ...     xlchild.check_call(["sh", "-c", "exit 1"])
    ... except xlchild.SubprocessError as error:
    ...     print(xlchild.list2cmdline(error.cmd), error.returncode)
    sh -c "exit 1" 1
    >>> issubclass(xlchild.CalledProcessError, xlchild.SubprocessError)
    True
    """
    code = _public.call(*popenargs, **options)
    if code:
        args = options.get("args")
        raise subprocess.CalledProcessError(
            code, popenargs[0] if args is None else args)
    return 0


def check_output(*popenargs, timeout=None, **options):
    """Run a command; return its stdout, CalledProcessError on failure.

    >>> import xlchild
    >>> xlchild.check_output(["echo", "hello"], text=True)
    'hello\\n'
    """
    for name in ("stdout", "check"):
        if name in options:
            raise ValueError("%s argument not allowed, it will be "
                             "overridden." % name)
    if "input" in options and options["input"] is None:
        # nothing to read, rather than what this process reads
        text = options.get("text") or options.get("universal_newlines") \
            or options.get("encoding") or options.get("errors")
        options["input"] = "" if text else b""
    return _public.run(*popenargs, stdout=subprocess.PIPE, timeout=timeout,
               check=True, **options).stdout


def getstatusoutput(cmd, **options):
    """Run cmd in a shell: (returncode, output of both streams as text).

    The last newline is taken off. As subprocess.getstatusoutput.

    >>> import xlchild
    >>> xlchild.getstatusoutput("echo oops >&2; exit 3")
    (3, 'oops')
    """
    try:
        data = _public.check_output(cmd, shell=True, text=True,
                            stderr=subprocess.STDOUT, **options)
        code = 0
    except subprocess.CalledProcessError as error:
        data = error.output
        code = error.returncode
    return code, data[:-1] if data[-1:] == "\n" else data


def getoutput(cmd, **options):
    """Run cmd in a shell; its output. As subprocess.getoutput.

    >>> import xlchild
    >>> xlchild.getoutput("echo hello")
    'hello'
    """
    return _public.getstatusoutput(cmd, **options)[1]
