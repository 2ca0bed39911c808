"""A Context's operations: a command from its start to its output.

The part of _context.py's Context that runs commands, and what aio.py and
_quick.py share with it. Next: _completed.py.
"""
import os

from . import _libxl
from ._cooperative import sleeper
from ._process import milliseconds
from ._spec import PIPE, account_cell, octets, spec_options, stream_pair

__all__ = ["Decoded", "Operations", "forwarded", "translated"]

_ACCOUNT = _libxl.LIBXL_SPAWN_ACCOUNT
_COMPLETE = _libxl.LIBXL_EVENT_TYPE_OPERATION_COMPLETE


class Operations:
    """Of Context, which is a Ctx of the extension's besides."""

    def run(self, args, *, stdin=None, input=None, stdout=None, stderr=None,
            capture_output=False, timeout=None, check=False, shell=False,
            text=None, encoding=None, errors=None, universal_newlines=None,
            capture_limit=0, on_output=None, linger_eof=True, kill=None,
            family=None, **options):
        """Run a command to completion; return a CompletedProcess.

        The keywords of subprocess.run; besides: capture_limit (bytes kept a
        stream, 0: all), on_output(stream, data) gets the output piecemeal
        (b"" is its end), linger_eof=False does not wait for a grandchild
        that holds the pipe, kill is the KillPolicy for timeouts (SIGKILL).
        stdout and stderr may be a path too. family is a Family of this
        Context, or a policy's name ("always", …; see family()) for one that
        is made for this command alone and gone when it returns.
        With account=True the result has an Account as ``account``, and so has
        an exception below but the last.

        Raises subprocess.TimeoutExpired, CalledProcessError (check),
        SpawnError.

        >>> import xlchild
        >>> with xlchild.Context() as ctx:
        ...     ctx.run(["tr", "a-z", "A-Z"], input="hello", text=True,
        ...             capture_output=True).stdout
        'HELLO'
        """
        if isinstance(family, str):
            return self._run_with_family(
                family, args, stdin=stdin, input=input, stdout=stdout,
                stderr=stderr, capture_output=capture_output, timeout=timeout,
                check=check, shell=shell, text=text, encoding=encoding,
                errors=errors, universal_newlines=universal_newlines,
                capture_limit=capture_limit, on_output=on_output,
                linger_eof=linger_eof, kill=kill, **options)
        if family is not None:
            options["family"] = family
        from ._completed import CompletedProcess, judged  # slow to import
        decoded = Decoded(text, encoding, errors, universal_newlines)
        args = forwarded(args, shell)
        request = self._request(args, stdin, decoded.encode(input), stdout,
                                stderr, capture_output, timeout,
                                capture_limit, on_output, linger_eof, kill,
                                options)
        sleep = sleeper()
        accounts = account_cell(request[1])
        if accounts is not None:
            from ._account import account_of
        outcome = self._run(*request) if sleep is None \
            else self._run_softly(request, sleep, accounts)
        done = decoded.decode(CompletedProcess._of(args, outcome))
        if accounts is not None:
            done.account = account_of(self if sleep is None else None,
                                      outcome[1][0], accounts)
        return judged(done, outcome, timeout, check, request)

    def _run_with_family(self, when, args, **options):
        """run() with a Family of its own."""
        from ._family import for_one_run  # few need it
        with for_one_run(self, when) as family:
            return self.run(args, family=family, **options)

    def start(self, args, *, stdin=None, input=None, stdout=None,
              stderr=None, capture_output=False, timeout=None,
              capture_limit=0, on_output=None, linger_eof=True, kill=None,
              **options):
        """As run(), but do not wait: an OPERATION_COMPLETE event comes.

        Returns the number that the event has as ``user``, and that abort()
        takes. The event's ``completed`` is the CompletedProcess, its ``rc``
        the code (0; ERROR_TIMEDOUT -9; ERROR_ABORTED -22).

        >>> import xlchild
        >>> with xlchild.Context() as ctx:
        ...     number = ctx.start(["echo", "x"], capture_output=True)
        ...     event = ctx.wait_event()
        ...     print(event.user == number, event.completed.stdout)
        True b'x\\n'
        """
        cell = []
        try:
            request = self._request(
                args, stdin, input, stdout, stderr, capture_output, timeout,
                capture_limit, on_output, linger_eof, kill, options)
            if self._accounts is None:
                self._accounts = {} if request[1]["flags"] & _ACCOUNT else None
            self._exec(*request, False, cell)
            self._children[("operation", cell[0])] = args
            return cell[0]
        except BaseException:
            for number in cell:
                self.abort(number)
            raise

    def abort(self, number):
        """End an operation early; False if it is finished.

        >>> import xlchild
        >>> with xlchild.Context() as ctx:
        ...     number = ctx.start(["sleep", "1000"])
        ...     print(ctx.abort(number), ctx.wait_event().completed.aborted)
        True True
        """
        return super()._abort(number)

    def _request(self, args, stdin, input, stdout, stderr, capture_output,
                 timeout, limit, on_output, linger_eof, kill, options):
        if input is not None:
            if stdin is not None:
                raise ValueError("stdin and input may not both be used")
            if isinstance(input, str):
                raise TypeError("input must be bytes, not str; or say "
                                "text=True")
            source = (_libxl.LIBXL_STREAM_BUFFER, octets(input))
        else:
            source = stream_pair(stdin, 0, limit, None)
        if capture_output:
            if stdout is not None or stderr is not None:
                raise ValueError("stdout and stderr may not be used with "
                                 "capture_output")
            stdout = stderr = PIPE
        ms = milliseconds(timeout)
        options = spec_options(kill=kill or (0, 0, 0), **options)
        return (args, options, source,
                stream_pair(stdout, 1, limit, on_output),
                stream_pair(stderr, 2, limit, on_output),
                1 if ms == 0 else ms, int(linger_eof), on_output)


class Decoded:
    """The text of a run, if it is text."""

    def __init__(self, text, encoding, errors, universal_newlines):
        self._encoding = None
        if text or universal_newlines or encoding or errors:
            self._encoding = encoding or "utf-8"
            self._errors = errors or "strict"

    def encode(self, given):
        """An input as bytes."""
        if self._encoding is not None and isinstance(given, str):
            return given.encode(self._encoding, self._errors)
        return given

    def decode(self, done):
        """The CompletedProcess, with its output as it is wanted."""
        if self._encoding is not None:
            for name in ("stdout", "stderr"):
                data = getattr(done, name)
                if data is not None:
                    setattr(done, name, translated(data, self._encoding,
                                                   self._errors))
        return done


def translated(data, encoding, errors):
    """Bytes as text with newlines alone, as subprocess has it."""
    return data.decode(encoding, errors).replace("\r\n", "\n") \
        .replace("\r", "\n")


def forwarded(args, shell):
    """What is executed: args of run(), by a shell or not."""
    if shell:
        return ["/bin/sh", "-c", args] if isinstance(args, str) \
            else ["/bin/sh", "-c"] + list(args)
    if isinstance(args, (str, bytes, os.PathLike)):
        return [args]
    return args
