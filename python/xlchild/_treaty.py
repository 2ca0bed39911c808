"""Who owns SIGCHLD: what Context (_context.py) is told, and what it says."""
import collections
import enum

from . import _libxl

__all__ = ["Diagnosis", "SigchldOwner", "diagnosis"]


class SigchldOwner(enum.IntEnum):
    """Who owns SIGCHLD and who reaps (Context.setmode).

    >>> import xlchild
    >>> with xlchild.Context(xlchild.SigchldOwner.LIBXL_ALWAYS) as ctx:
    ...     ctx.diagnose().handler_installed
    True
    """

    #: the library, while it has children; it reaps all of the process's
    LIBXL = _libxl.libxl_sigchld_owner_libxl
    #: the program, which passes statuses on; no signal state is touched
    MAINLOOP = _libxl.libxl_sigchld_owner_mainloop
    #: as LIBXL, but always
    LIBXL_ALWAYS = _libxl.libxl_sigchld_owner_libxl_always
    #: the library's handler, but only its own children are reaped
    SELECTIVE_REAP = \
        _libxl.libxl_sigchld_owner_libxl_always_selective_reap
    #: nobody: exits arrive through pidfds. The default
    NONE = _libxl.libxl_sigchld_owner_none

    @classmethod
    def _missing_(cls, value):
        raise ValueError("%r is not a valid SigchldOwner: SigchldOwner.%s"
                         % (value, ", .".join(cls.__members__)))


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
