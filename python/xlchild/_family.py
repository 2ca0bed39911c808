"""A child's whole family, held: Context.family() makes it.

The library's side is xlchild/family.h; the extension's bindings/python/
families.c. A start gets it as family=, which _spec.py hands to the extension.
Who is told that it is empty is in _empty.py.
"""
import contextlib
import warnings
from subprocess import TimeoutExpired

from . import _libxl
from ._cooperative import pause, sleeper
from ._errors import InvalidArgumentError, NotFoundError, UnavailableError, \
    XlchildError
from ._process import milliseconds, signal_number

__all__ = ["Family", "LAST_WAIT", "for_one_run", "gone", "make", "of_its_own"]

_WHEN = {"never": _libxl.LIBXL_FAMILY_NEVER,
         "timeout": _libxl.LIBXL_FAMILY_TIMEOUT,
         "failure": _libxl.LIBXL_FAMILY_FAILURE,
         "always": _libxl.LIBXL_FAMILY_ALWAYS}
_HOLDS = {"group": 1 << _libxl.LIBXL_HOLD_GROUP,
          "keeper": 1 << _libxl.LIBXL_HOLD_KEEPER,
          "cgroup": 1 << _libxl.LIBXL_HOLD_CGROUP}
LAST_WAIT = 10.0  # seconds, for who has been sent SIGKILL
_NOT_HERE = -4


def _wrong(argument, wanted):
    error = InvalidArgumentError("family: invalid argument: %s (it has to be "
                                 "%s)" % (argument, wanted))
    error.argument = argument
    return error


def _first_signal(number):
    number = signal_number(number)
    if not 0 <= number <= 64:
        raise _wrong("first_signal", "a signal's number; 0: SIGKILL at once")
    return number


def _grace(seconds):
    if seconds is None or seconds < 0:
        raise _wrong("grace", "seconds, 0 or more")
    return milliseconds(seconds)


def _bits(holds):
    if holds is None:
        return 0
    names = [holds] if isinstance(holds, str) else list(holds)
    if not names or not _HOLDS.keys() >= set(names):
        raise _wrong("holds", "some of 'group', 'keeper' and 'cgroup'; None: "
                     "'group' and 'cgroup'")
    return sum(_HOLDS[name] for name in set(names))


def make(context, when, first_signal, grace, holds, cgroup_parent):
    """The Family that Context.family() is asked for."""
    if when not in _WHEN:
        raise _wrong("when", "'never', 'timeout', 'failure' or 'always'")
    options = (_WHEN[when], _first_signal(first_signal), _grace(grace),
               _bits(holds), cgroup_parent)
    if context._families:
        _sweep(context)
    cell = []  # has the answer, whatever a signal handler raises
    try:
        context._family_new(*options, cell)
        return Family(context, *cell[0], when)
    except BaseException as error:
        for number, _ in cell:
            _libxl.libxl_family_free(context, number)
        if getattr(error, "code", None) == _NOT_HERE:
            raise UnavailableError(
                "family: holds: none of those that are allowed is to be had "
                "here; the log says why. 'group' asks for no rights",
                _NOT_HERE) from None
        if type(error) is InvalidArgumentError and not context.forked:
            raise _wrong("cgroup_parent", "the absolute path of a cgroup v2 "
                         "folder") from None
        raise


def of_its_own(context, when):
    """A Family for one child, by the name of its policy. It lets go of itself
    when nobody has it and it is empty."""
    family = make(context, when, 0, 0, None, None)
    family._quiet = True
    return family


async def gone(own, shield):
    """Whom its end is under way for has gone; then it goes itself, too. shield
    is a scope that no cancellation enters."""
    try:
        if own.ending:
            with shield:
                await own.wait_async(LAST_WAIT)
    finally:
        own.close()


@contextlib.contextmanager
def for_one_run(context, when):
    """A Family for one command, by the name of its policy; gone afterwards."""
    with make(context, when, 0, 0, None, None) as family:
        timed_out = False
        try:
            yield family
        except TimeoutExpired:
            timed_out = when != "never"
            raise
        finally:
            if timed_out or family.ending:
                family._wait(int(LAST_WAIT * 1000))


class Family:
    """A child, whom it has started, and they in turn; outlives the child.

    Made by :meth:`Context.family` before the child, and given to one start as
    ``family=``. It is held by a cgroup v2 of its own, which nobody leaves, or
    else by the child's process group, which daemons leave; or, where that is
    asked for, by a keeper, which nobody leaves, but whose child the child is,
    and not this process's. ``hold`` is "cgroup", "group" or "keeper", ``when``
    its policy. Close it, or use it as a context
    manager; it is closed with its Context at the latest, and in a forked child
    never. Safe in threads.

    >>> import xlchild
    >>> with xlchild.Context() as ctx, ctx.family(when="always") as family:
    ...     child = ctx.spawn(["sh", "-c", "sleep 1000 &"], family=family)
    ...     print(child.wait(), family.wait(), family.empty)
    exit 0 True True
    >>> xlchild.run(["sh", "-c", "sleep 1000 &"], family="always").returncode
    0
    """

    __slots__ = ("context", "cgroup", "when", "_id", "_asked_for", "_quiet",
                 "__weakref__")

    def __init__(self, context, number, cgroup, when):
        self.context = context
        self.cgroup = cgroup
        self.when = when
        self._id = number
        self._asked_for = None  # see _empty.py
        self._quiet = False  # may be forgotten

    def _named(self):
        """As the extension takes it with a start, for as long as that takes."""
        return (self.context, self._id, self)

    def _look(self):
        return self.context._family_look(self._id)

    @property
    def hold(self):
        """By what it is held: "cgroup", "keeper", "group"; "none": by nothing
        any more.

        >>> import xlchild
        >>> with xlchild.Context() as ctx:
        ...     with ctx.family(holds=["group"]) as family:
        ...         print(family.hold, family.why, family.cgroup)
        group the opts allow no better one None

        A keeper needs no rights, and daemons do not leave it:

        >>> daemon = ["sh", "-c", "setsid sleep 1000 &"]
        >>> with xlchild.Context() as ctx:
        ...     with ctx.family("always", holds="keeper") as family:
        ...         print(ctx.spawn(daemon, family=family).wait())
        ...         print(family.wait(), family.empty)
        exit 0
        True True
        """
        return _libxl.libxl_family_hold_name(self._look()[0])

    @property
    def why(self):
        """Why there is no better hold, in words; None: there is none."""
        return self._look()[1]

    @property
    def empty(self):
        """Nobody is in it now; True until its child is started."""
        return bool(self._look()[3])

    @property
    def ending(self):
        """It has been asked to end, or its policy has ended it.

        >>> import xlchild
        >>> with xlchild.Context() as ctx, ctx.family("failure") as family:
        ...     child = ctx.spawn(["true"], family=family)
        ...     print(child.wait(), family.ending, family.pid == child.pid)
        exit 0 False True
        """
        return bool(self._look()[4])

    @property
    def pid(self):
        """The child's; None until it is started."""
        return self._look()[5] or None

    def signal(self, number):
        """Send a signal to everybody in it; False if nobody is.

        By the cgroup or by pidfds: nobody else is ever hit. 0 only looks.

        >>> import signal, xlchild
        >>> with xlchild.Context() as ctx, ctx.family() as family:
        ...     child = ctx.spawn(["sleep", "1000"], family=family)
        ...     print(family.signal(signal.SIGTERM), child.wait())
        ...     print(family.wait(), family.signal(signal.SIGTERM))
        True signal SIGTERM
        True False
        """
        number = signal_number(number)
        return self._asked(_libxl.libxl_family_signal, number)

    def end(self, first_signal=0, grace=0.0):
        """End it: a first signal (0: SIGKILL), SIGKILL after grace seconds.

        False if nobody is in it. Does not wait; the SIGKILL comes while the
        context is pumped (wait, events). Asking again makes it come sooner.

        >>> import signal, xlchild
        >>> with xlchild.Context() as ctx, ctx.family() as family:
        ...     child = ctx.spawn(["sh", "-c", "trap '' TERM; sleep 1000 &"],
        ...                       family=family)
        ...     print(child.wait(), family.end(signal.SIGTERM, grace=0.05))
        ...     family.wait(timeout=10)
        exit 0 True
        True
        """
        return self._asked(_libxl.libxl_family_end,
                           _first_signal(first_signal), _grace(grace))

    def _asked(self, function, *arguments):
        try:
            function(self.context, self._id, *arguments)
        except NotFoundError:
            return False
        return True

    def wait(self, timeout=None):
        """Wait until it is empty: True; False after timeout seconds.

        None waits for ever. Any number of threads may. XlchildError if its
        hold has slipped, so that nobody can tell; NotFoundError if it is
        closed.
        """
        return self._wait(milliseconds(timeout))

    async def wait_async(self, timeout=None):
        """wait(), by a task of asyncio or trio: its loop goes on.

        The loop watches the context meanwhile. May be cancelled, and raises
        what wait() raises.

        >>> import asyncio, xlchild
        >>> async def main():
        ...     with xlchild.Context() as ctx, ctx.family("always") as family:
        ...         child = await ctx.spawn_async(
        ...             ["sh", "-c", "sleep 1000 &"], family=family)
        ...         return await family.wait_async(), child.poll()
        >>> asyncio.run(main())
        (True, <Status of ...: exit 0>)
        """
        from ._empty import Emptying  # few need it
        return await Emptying(self).over(
            None if timeout is None else max(0.0, timeout))

    def when_empty(self, callback):
        """Have callback(family, error) called once it is empty; once.

        It is called by whatever pumps the context, in any thread, perhaps
        before this returns: at once if it is empty, or never was started.
        error is None, or what wait() would raise: NotFoundError if it was
        closed meanwhile, itself or with its context. May be asked any number
        of times.

        >>> import xlchild
        >>> with xlchild.Context() as ctx, ctx.family("always") as family:
        ...     child = ctx.spawn(["sh", "-c", "sleep 1000 &"], family=family)
        ...     told = []
        ...     family.when_empty(lambda *answer: told.append(answer))
        ...     while not told:
        ...         taken = ctx.events(1)
        ...     print(told[0][0] is family, told[0][1], child.wait())
        True None exit 0
        """
        if not callable(callback):
            raise TypeError("callback must be callable, not %.100s"
                            % type(callback).__name__)
        self._tell(callback)

    def _tell(self, callback):
        from ._empty import Asked
        asked = self._asked_for
        if asked is not None and asked.add(callback, self):
            return
        asked = Asked(self, callback)
        self.context._family_when_empty(self._id, asked, None)
        self._asked_for = asked

    def _untell(self, callback):
        if self._asked_for is not None:
            self._asked_for.remove(callback)

    def _wait_now(self):
        return self.context._family_wait(self._id, 0)

    def _wait(self, ms):
        sleep = sleeper()
        if sleep is None or ms == 0:
            return self.context._family_wait(self._id, ms)
        return bool(pause(lambda: self.context._family_wait(self._id, 0),
                          sleep, None if ms < 0 else ms / 1000))

    def close(self):
        """Let go of it; who is in it lives on, unless its end is under way.

        Its policy is no more. A second close does nothing. BusyError while
        its child is being started.

        >>> import xlchild
        >>> with xlchild.Context() as ctx:
        ...     family = ctx.family()
        ...     family.close()
        ...     try:
        ...         family.wait()
        ...     except xlchild.NotFoundError:
        ...         print("closed")
        closed
        """
        if self.context.closed or self.context.forked:
            return
        self._asked(_libxl.libxl_family_free)

    def _give_up(self):
        """Its child is being ended, as by a time-out."""
        if self.when != "never" and not self.context.closed:
            try:
                self.end()
            except XlchildError:
                pass  # nobody can reach it, or may

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def __repr__(self):
        try:
            hold, _, started, empty, ending, pid = self._look()
        except (XlchildError, ValueError):
            return "<Family (closed)>"
        state = "not started" if not started else "empty" if empty \
            else "ending" if ending else "alive"
        return "<Family of %s by %s: %s>" % (
            pid or None, _libxl.libxl_family_hold_name(hold), state)

    def __del__(self, _warn=warnings.warn):
        context = getattr(self, "context", None)
        if context is None or context.closed or context.forked:
            return
        try:
            alive = self._look()[2:4] == (1, 0)
        except XlchildError:
            return  # it is closed
        if alive:  # its policy stays in force
            context._families.append(self._id)
            if not self._quiet:
                _warn("a family was not closed, and somebody is in it",
                      ResourceWarning, source=self)
        else:
            self._asked(_libxl.libxl_family_free)


def _sweep(context):
    """Let go of those that were forgotten alive, and have ended."""
    left, context._families = context._families, []
    for number in left:
        if context._family_look(number)[3]:
            _libxl.libxl_family_free(context, number)
        else:
            context._families.append(number)
