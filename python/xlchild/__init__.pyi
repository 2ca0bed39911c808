"""The public names and their types; checked against the code by the tests."""
import enum
import resource
import subprocess
from os import PathLike
from subprocess import CalledProcessError as CalledProcessError
from subprocess import SubprocessError as SubprocessError
from subprocess import TimeoutExpired as TimeoutExpired
from subprocess import list2cmdline as list2cmdline
from typing import (IO, Any, Callable, Dict, FrozenSet, Iterable, Iterator,
                    Mapping, NamedTuple, Optional, Tuple, TypeVar, Union)

from typing_extensions import Literal, Protocol

from . import _libxl
from ._context import Context as Context
from ._context import default_context as default_context
from ._family import Family as Family
from ._popen import Popen as Popen
from ._run import call as call
from ._run import check_call as check_call
from ._run import check_output as check_output
from ._run import getoutput as getoutput
from ._run import getstatusoutput as getstatusoutput
from ._run import run as run
from ._run import spawn as spawn

__version__: str
__all__ = [
    "AbortedError", "Account", "BusyError", "CalledProcessError",
    "CompletedProcess", "ConflictError", "Context", "DEVNULL", "Diagnosis",
    "ERROR_NOT_READY", "EndedBy", "Event", "EventType", "FD_CLOSED", "FD_NULL",
    "Family", "FreePolicy", "InvalidArgumentError", "KillPolicy", "KillScope",
    "Lost", "LostError", "LostReason", "NotFoundError", "PIPE", "Popen",
    "Process", "Report", "STDOUT", "SigchldOwner", "Source", "SpawnError",
    "Status", "StatusKind", "SubprocessError", "SystemFailure",
    "TimeoutExpired", "UnavailableError", "XlchildError", "call", "check_call",
    "check_output", "default_context", "getoutput", "getstatusoutput",
    "install", "list2cmdline", "postfork_child_noexec", "report",
    "route_unknown_children", "run", "spawn", "start_time", "uninstall",
]

DEVNULL: int
PIPE: int
STDOUT: int
FD_CLOSED: int
FD_NULL: int
ERROR_NOT_READY: int

_Text = Union[str, bytes, "PathLike[Any]"]

class _Words(Protocol):
    """A sequence of words, which a string is not."""
    def __contains__(self, word: object, /) -> bool: ...
    def __iter__(self) -> Iterator[_Text]: ...
    def __len__(self) -> int: ...
    def __getitem__(self, at: int, /) -> _Text: ...

_Argv = Union[_Words, Tuple[_Text, ...]]
_Batched = Union[_Argv, Tuple[_Argv, Dict[str, Any]]]
_Env = Union[None, Mapping[str, _Text], Mapping[bytes, _Text]]
_Id = Union[None, int, str]
_Ids = Optional[Iterable[Union[int, str]]]
_Kill = Optional[Tuple[int, float, int]]
_Limits = Optional[Iterable[Tuple[Union[int, str], int, int]]]
_Signals = Optional[Iterable[int]]
_File = Union[None, int, IO[Any]]
_Output = Union[_File, _Text]
_T = TypeVar("_T")
_True = Literal[True]
_NotTrue = Optional[Literal[False]]

class SigchldOwner(enum.IntEnum):
    LIBXL = 0
    MAINLOOP = 1
    LIBXL_ALWAYS = 2
    SELECTIVE_REAP = 3
    NONE = 4

class KillScope(enum.IntEnum):
    PROCESS = 0
    GROUP = 1
    CGROUP = 2

class FreePolicy(enum.IntEnum):
    DETACH = 0
    KILL = 1
    LEAVE = 2

class EndedBy(enum.IntEnum):
    UNKNOWN = 0
    ITSELF = 1
    TIMEOUT = 2
    ABORT = 3
    KILL = 4
    MEMORY = 5
    OTHERS = 6

class EventType(enum.IntEnum):
    OPERATION_COMPLETE = 4
    EXIT = 32
    STARTED = 33
    STOPPED = 34
    CONTINUED = 35

class StatusKind(enum.Enum):
    EXITED = "exited"
    SIGNALED = "signaled"
    LOST = "lost"

class LostReason(enum.IntEnum):
    STOLEN = 1
    IGNORED = 2
    NOT_PASSED = 3
    NOT_OURS = 4
    NUMBER_REUSED = 5
    LEFT = 6
    NEVER_RAN = 7
    @property
    def text(self) -> str: ...

class Source(enum.IntEnum):
    NONE = 0
    REAPED = 1
    PASSED = 2
    PIDFD = 3

class Lost:
    reason: LostReason
    def __init__(self, reason: int) -> None: ...
    def __lt__(self, other: object) -> bool: ...
    def __gt__(self, other: object) -> bool: ...
    def __le__(self, other: object) -> bool: ...
    def __ge__(self, other: object) -> bool: ...

class Status:
    EXITED = StatusKind.EXITED
    SIGNALED = StatusKind.SIGNALED
    LOST = StatusKind.LOST
    def __init__(self, result: Tuple[Any, ...]) -> None: ...
    @property
    def pid(self) -> int: ...
    @property
    def raw(self) -> Optional[int]: ...
    @property
    def lost(self) -> Optional[LostReason]: ...
    @property
    def source(self) -> Source: ...
    @property
    def kind(self) -> StatusKind: ...
    @property
    def exitcode(self) -> Optional[int]: ...
    @property
    def signal(self) -> Optional[int]: ...
    @property
    def core_dumped(self) -> bool: ...
    @property
    def returncode(self) -> Union[int, Lost]: ...
    @property
    def success(self) -> bool: ...
    def __bool__(self) -> bool: ...
    @property
    def rusage(self) -> Optional[resource.struct_rusage]: ...

class Account(NamedTuple):
    ended_by: EndedBy
    perhaps: bool
    core_dumped: Optional[bool]
    sent_by: Optional[EndedBy]
    sent_signal: Optional[int]
    exec_seconds: Optional[float]
    end_seconds: Optional[float]
    rusage: Optional[resource.struct_rusage]
    memory_kills: Optional[int]
    cpu_seconds: Optional[float]
    memory_peak: Optional[int]
    pids_peak: Optional[int]
    memory_stall_seconds: Optional[float]
    cpu_stall_seconds: Optional[float]
    io_stall_seconds: Optional[float]

class KillPolicy(NamedTuple):
    signal: int = ...
    grace: float = ...
    scope: int = ...

class Event:
    type: int
    process: Optional[Process]
    status: Optional[Status]
    user: int
    completed: Optional[CompletedProcess[bytes]]
    rc: Optional[int]
    signal: Optional[int]
    def __init__(self, kind: int, user: int) -> None: ...

class CompletedProcess(subprocess.CompletedProcess[_T]):
    status: Optional[Status]
    account: Optional[Account]
    timed_out: bool
    aborted: bool
    held_open: bool
    stdin_written: int
    dropped: Tuple[int, int]
    def __init__(self, args: Any, returncode: Union[int, Lost],
                 stdout: Optional[_T] = ..., stderr: Optional[_T] = ..., *,
                 status: Optional[Status] = ...) -> None: ...
    @property
    def rusage(self) -> Optional[resource.struct_rusage]: ...
    @property
    def lost(self) -> Optional[LostReason]: ...

class Diagnosis(NamedTuple):
    mode_asked: SigchldOwner
    mode_in_force: SigchldOwner
    reason: Optional[str]
    facilities: FrozenSet[str]
    handler_wanted: bool
    handler_installed: bool
    handler_displaced: bool
    sigchld_ignored: bool
    sigchld_blocked: bool
    handler_object: Optional[str]
    children: int
    words: str

class XlchildError(Exception):
    code: int
    stage: Optional[str]
    errno: Optional[int]
    def __init__(self, message: str = ..., code: Optional[int] = ...,
                 errno: Optional[int] = ...) -> None: ...
    @property
    def name(self) -> str: ...

class InvalidArgumentError(XlchildError, ValueError):
    argument: Optional[str]

class BusyError(XlchildError): ...
class NotFoundError(XlchildError, LookupError): ...
class ConflictError(XlchildError): ...
class UnavailableError(XlchildError): ...
class AbortedError(XlchildError): ...

class LostError(XlchildError, ChildProcessError):  # type: ignore[misc]
    status: Optional[Status]

class SystemFailure(XlchildError, OSError):  # type: ignore[misc]
    def __init__(self, message: str = ..., code: Optional[int] = ...,
                 errno: Optional[int] = ...) -> None: ...

class SpawnError(XlchildError, OSError):  # type: ignore[misc]
    argument: Optional[str]
    def __new__(cls, stage: str = ..., errno: int = ...,
                filename: Optional[_Text] = ..., code: int = ...,
                argument: Optional[str] = ...) -> SpawnError: ...
    def __init__(self, stage: str = ..., errno: int = ...,
                 filename: Optional[_Text] = ..., code: int = ...,
                 argument: Optional[str] = ...) -> None: ...
    def __reduce__(self) -> Tuple[Any, ...]: ...

class Process:
    context: Context
    id: int
    pid: Optional[int]
    args: Any
    user: int
    def __init__(self, context: Context, args: Any,
                 user: int = ...) -> None: ...
    def __del__(self, _warn: Callable[..., None] = ...) -> None: ...
    def wait(self, timeout: Optional[float] = ...) -> Status: ...
    def poll(self) -> Optional[Status]: ...
    @property
    def status(self) -> Optional[Status]: ...
    @property
    def returncode(self) -> Union[None, int, Lost]: ...
    @property
    def account(self) -> Optional[Account]: ...
    def send_signal(self, signal: int, *, scope: int = ...) -> None: ...
    def kill_signal(self, signal: int, *, scope: int = ...) -> None: ...
    def kill(self, signal: int = ..., *, scope: int = ...) -> bool: ...
    def terminate(self, signal: int = ..., *, grace: Optional[float] = ...,
                  scope: int = ...) -> bool: ...
    def detach(self) -> None: ...

class _Router:
    def __call__(self, pid: int, status: Status) -> bool: ...
    def install(self) -> None: ...
    def uninstall(self) -> None: ...
    def waitpid(self, pid: int, options: int) -> Tuple[int, int]: ...
    def wait(self) -> Tuple[int, int]: ...
    def wait3(self, options: int
              ) -> Tuple[int, int, resource.struct_rusage]: ...
    def wait4(self, pid: int, options: int
              ) -> Tuple[int, int, resource.struct_rusage]: ...
    def waitid(self, idtype: int, ident: int, options: int) -> Any: ...
    def system(self, command: _Text) -> int: ...
    def pidfd_open(self, pid: int, flags: int = ...) -> int: ...

route_unknown_children: _Router

def postfork_child_noexec() -> None: ...
def start_time(pid: int) -> int: ...

class Report:
    installed: bool
    through: Dict[str, int]
    past: Dict[str, int]
    def __init__(self, installed: bool, through: Dict[str, int],
                 past: Dict[str, int]) -> None: ...

def install() -> bool: ...
def uninstall() -> bool: ...
def report() -> Report: ...
