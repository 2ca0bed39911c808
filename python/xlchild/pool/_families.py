"""A family for each job: made with it, ended by its policy when it has ended.

Used by the runners of _local.py. A job whose family is being ended is over
when that is empty; until then it is leaving, and counts as running.
"""
from .._errors import XlchildError
from .._family import make

__all__ = ["Families", "policy_named"]


def policy_named(options):
    """The policy's name, out of the options; None: no family is needed."""
    when = options.pop("family", None)
    if when is not None and not isinstance(when, str):
        raise TypeError("family: each command of a pool has one of its own: "
                        "the name of a policy is needed, not %r" % (when,))
    return when


class Families:
    """Those of one pool."""

    def __init__(self, context, when, kill):
        self._context = context
        self._options = (when, int(kill[0]), kill[1], None, None)
        self._leaving = {}  # by the number of the question, is it empty
        self._over = []
        self._hurried = False
        make(context, *self._options).close()  # or it raises why not

    def __len__(self):
        return len(self._leaving) + len(self._over)

    def join(self, result, options):
        """The options of a start, with a family of its own."""
        result._ended_early = False
        result._family = family = make(self._context, *self._options)
        return dict(options, family=family._named())

    @staticmethod
    def drop(result):
        """There is no child, or nobody is to be ended."""
        family, result._family = result._family, None
        if family is not None:
            family.close()

    def ended(self, results):
        """Those of them that are over, and those that left meanwhile."""
        for result in results:
            if result.status is None or not self._is_ending(result):
                self.drop(result)
                self._over.append(result)
                continue
            cell = []
            try:
                self._context._family_when_empty(result._family._id, None,
                                                 cell)
            finally:  # also of a handler's exception
                if cell:
                    self._leaving[cell[0]] = result
                else:
                    self._over.append(result)
            if self._hurried:
                self.hurry()
        over, self._over = self._over, []
        return over

    def _is_ending(self, result):
        family = result._family
        if family.when != "never" and not family.ending \
                and result._ended_early:
            try:
                family.end(*self._options[1:3])
            except XlchildError:
                pass  # it cannot be reached
        return family.ending

    def empty(self, number):
        """An answer has come: that job is over. False: it is no answer."""
        result = self._leaving.pop(number, None)
        if result is not None:
            self._over.append(result)
            self.drop(result)
        return result is not None

    def hurry(self):
        """Those that are leaving are killed at once, now and later."""
        self._hurried = True
        for result in list(self._leaving.values()):
            try:
                result._family.end()
            except XlchildError:
                pass  # it is gone, or cannot be reached
