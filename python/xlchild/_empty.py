"""Who is told that a family is empty: callbacks, and tasks that wait for it.

Used by Family (_family.py). A family is asked once, however many wait for it,
and so long is kept; whoever no longer waits costs nothing.
"""
from _thread import RLock

from ._awaited import Awaited
from ._errors import NotFoundError, XlchildError

__all__ = ["Asked", "Emptying"]


class Asked:
    """What the library answers to, once; it passes that on. While somebody
    is to be told, it keeps the Family."""

    def __init__(self, family, tell):
        self._over = False
        self._lock = RLock()
        self._family = family
        self._tells = [tell]

    def add(self, tell, family):
        """tell(family, error) is called, too; False: too late."""
        with self._lock:
            if not self._over:
                self._family = family
                self._tells.append(tell)
            return not self._over

    def remove(self, tell):
        """It need not be called any more."""
        with self._lock:
            if tell in self._tells:
                self._tells.remove(tell)
            if not self._tells:
                self._family = None

    def __call__(self, code):
        """The library's answer."""
        with self._lock:
            self._over = True
            family, self._family = self._family, None
        error = None
        if code:
            error = NotFoundError("family: it was closed", code) \
                if code == NotFoundError.code else \
                XlchildError("family: its hold has slipped: nobody can tell "
                             "whether it is empty", code)
        failed = None
        while self._tells:
            try:
                self._tells[0](family, error)
            except BaseException as raised:
                failed = failed or raised
            del self._tells[0]
        if failed is not None:
            raise failed


class Emptying(Awaited):
    """A task that waits. What it is told may be lost where a handler raises:
    it looks by itself now and then, too."""

    SLICE = 1.0

    def __init__(self, family):
        super().__init__(family.context)
        self._family = family

    async def over(self, seconds):
        """Whether it is empty, so many seconds later at most."""
        await self._over(seconds)
        if self._context.closed:
            raise ValueError("the Context is closed")
        return self._family._wait_now()

    def _look(self):
        if not self._told:
            try:
                self._told = self._family._wait_now()
            except (XlchildError, ValueError):
                self._told = True  # over() raises it
        return self._told

    def _begin(self):
        super()._begin()
        self._family._tell(self._hear)

    def _hear(self, _, __):
        self.told()

    def _forget(self):
        super()._forget()
        self._family._untell(self._hear)
