"""Who owns SIGCHLD: what a Context (_context.py) says of it."""
import collections

from . import _libxl
from ._enums import SigchldOwner

__all__ = ["Diagnosis", "diagnosis"]


Diagnosis = collections.namedtuple(
    "Diagnosis", "mode_asked mode_in_force reason facilities handler_wanted "
    "handler_installed handler_displaced sigchld_ignored sigchld_blocked "
    "handler_object children words")
Diagnosis.__doc__ = """Who owns SIGCHLD now, which mode is in force and why.

``facilities`` is a set of names of what the kernel offers; ``handler_object``
is the object file that handles SIGCHLD ("" for none); ``words`` says it all
in a few lines.

>>> import xlchild
>>> seen = xlchild.default_context().diagnose()
>>> seen.mode_in_force.name, seen.handler_installed, seen.sigchld_ignored
('NONE', False, False)
"""


def diagnosis(found):
    """A Diagnosis, from the tuple of bindings/python/children.c."""
    prefix = "LIBXL_FACILITY_"
    facilities = frozenset(
        name[len(prefix):].lower() for name in dir(_libxl)
        if name.startswith(prefix) and found[3] & getattr(_libxl, name))
    return Diagnosis(SigchldOwner(found[0]), SigchldOwner(found[1]), found[2],
                     facilities, *map(bool, found[4:9]), *found[9:12])
