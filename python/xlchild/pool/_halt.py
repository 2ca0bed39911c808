"""When a pool stops before the end of the list: GNU parallel's --halt.

Used by the scheduler (_schedule.py), which asks it after every end.
"""

__all__ = ["Halt"]

_KINDS = ("fail", "success", "done")


class Halt:
    """``never``, or ``WHEN,WHAT=N``, for example ``now,fail=1``.

    WHEN is ``soon`` (nothing more starts, what runs goes on) or ``now`` (what
    runs is ended too); WHAT is ``fail``, ``success`` or ``done``; N is a
    count, or a percentage (of the commands ended so far, from the third on;
    or of all of them, where of() has said how many).

    >>> from xlchild.pool import Halt
    >>> halt = Halt("soon,fail=2")
    >>> halt.after(False), halt.after(True), halt.after(False)
    (None, None, 'soon')
    """

    def __init__(self, text="never"):
        self.when = None
        self._kind = None
        self._count = self._share = None
        self._seen = dict.fromkeys(_KINDS, 0)
        if text == "never":
            return
        when, _, rest = text.partition(",")
        kind, _, limit = rest.partition("=")
        number = limit[:-1] if limit.endswith("%") else limit
        if when not in ("soon", "now") or kind not in _KINDS \
                or not (number.isascii() and number.isdigit()) \
                or int(number) < 1:
            raise ValueError("halt must be never, or soon or now with "
                             "fail=N, success=N or done=N: %r" % text)
        self.when = when
        self._kind = kind
        if limit.endswith("%"):
            self._share = int(number) / 100
        else:
            self._count = int(number)

    def of(self, total):
        """There are so many commands: a percentage is one of all of them.

        >>> from xlchild.pool import Halt
        >>> halt = Halt("now,fail=50%")
        >>> halt.of(2)
        >>> halt.after(False)
        'now'
        """
        if self._share is not None:
            self._count = self._share * total

    def after(self, success):
        """A command ended: None, or ``soon`` or ``now``: stop."""
        if self.when is None:
            return None
        seen = self._seen
        seen["done"] += 1
        seen["success" if success else "fail"] += 1
        if self._count is not None:
            reached = seen[self._kind] >= self._count
        else:
            reached = seen["done"] >= 3 \
                and seen[self._kind] >= self._share * seen["done"]
        return self.when if reached else None
