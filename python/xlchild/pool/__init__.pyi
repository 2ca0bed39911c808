"""The types of xlchild.pool; checked against the code by the tests."""
from typing import (Any, Callable, Iterable, Iterator, List, Mapping,
                    Optional, Protocol, Tuple, Union)

from typing_extensions import Self

from .. import (Account, Lost, Status, _Env, _File, _Id, _Ids, _Kill, _Limits,
                _Signals, _Text, _Argv)

__all__ = ["Halt", "Pool", "Result", "run_many"]

_Command = Union[_Argv, Tuple[_Argv, bytes]]

class _Executor(Protocol):
    @property
    def submit(self) -> Callable[..., Any]: ...

class _SpoolFile(Protocol):
    @property
    def size(self) -> int: ...
    def writer(self) -> int: ...
    def read(self, limit: int = ...) -> bytes: ...
    def pieces(self, size: Optional[int] = ...) -> Iterator[bytes]: ...
    def close(self) -> None: ...

class _Spool(Protocol):
    def take(self, result: Result, /) -> Tuple[_SpoolFile, _SpoolFile]: ...
    def close(self) -> None: ...

class Halt:
    when: Optional[str]
    def __init__(self, text: str = ...) -> None: ...
    def of(self, total: int) -> None: ...
    def after(self, success: bool) -> Optional[str]: ...

class Result:
    index: int
    args: Any
    status: Optional[Status]
    error: Optional[BaseException]
    stdout: Optional[bytes]
    stderr: Optional[bytes]
    timed_out: bool
    cancelled: bool
    attempts: int
    started: float
    seconds: float
    host: Optional[str]
    account: Optional[Account]
    files: Optional[Tuple[Optional[_SpoolFile], Optional[_SpoolFile]]]
    def __init__(self, index: int, args: Any,
                 given: Optional[bytes] = ...) -> None: ...
    @property
    def success(self) -> bool: ...
    @property
    def returncode(self) -> Union[None, int, Lost]: ...

class Pool:
    jobs: int
    attempts: int
    backoff: float
    delay: float
    timeout: Optional[float]
    total_timeout: Optional[float]
    halt: str
    out_of_time: bool
    def __init__(
        self, jobs: int = ..., *, capture: bool = ...,
        capture_limit: int = ...,
        on_output: Optional[Callable[[Result, int, bytes], object]] = ...,
        timeout: Optional[float] = ..., total_timeout: Optional[float] = ...,
        attempts: int = ..., backoff: float = ..., delay: float = ...,
        halt: str = ..., fail_fast: bool = ..., starters: int = ...,
        executor: Optional[_Executor] = ..., spool: Optional[_Spool] = ...,
        owner: int = ...,
        childproc_exited_callback: Optional[Callable[[int, Status], Any]] = ...,
        stdin: _File = ..., stdout: _File = ..., stderr: _File = ...,
        search: bool = ..., env: _Env = ..., cwd: Optional[_Text] = ...,
        fds: Optional[Mapping[int, int]] = ..., pass_fds: Iterable[int] = ...,
        flags: int = ..., kill: _Kill = ..., on_free: Optional[int] = ...,
        path: Optional[_Text] = ..., executable: Optional[_Text] = ...,
        new_session: bool = ..., start_new_session: bool = ...,
        new_group: bool = ..., process_group: Optional[int] = ...,
        group: _Id = ..., gid: _Id = ..., groups: _Ids = ...,
        extra_groups: _Ids = ..., user: _Id = ..., uid: _Id = ...,
        keep_groups: bool = ..., umask: Optional[int] = ...,
        nice: Optional[int] = ..., rlimits: _Limits = ...,
        sigmask: _Signals = ..., sigignore: _Signals = ...,
        pdeathsig: Optional[int] = ..., ctty_fd: Optional[int] = ...,
        cgroup: Optional[_Text] = ..., report_stops: bool = ...,
        search_path: Optional[_Text] = ...,
        exited_grace_ms: Optional[int] = ..., restore_signals: bool = ...,
        close_fds: bool = ..., family: Optional[str] = ...,
        account: bool = ...
    ) -> None: ...
    def __enter__(self) -> Self: ...
    def __exit__(self, *_: object) -> None: ...
    def close(self) -> None: ...
    def stop(self) -> None: ...
    def cancel(self, at_once: bool = ...) -> None: ...
    @property
    def running(self) -> int: ...
    def as_completed(self, commands: Iterable[_Command]
                     ) -> Iterator[Result]: ...
    def map(self, commands: Iterable[_Command],
            window: int = ...) -> Iterator[Result]: ...
    def batches(self, commands: Iterable[_Command],
                window: int = ...) -> Iterator[List[Result]]: ...

def run_many(
    commands: Iterable[_Command], jobs: int = ..., *, keep_order: bool = ...,
    capture: bool = ..., capture_limit: int = ...,
    on_output: Optional[Callable[[Result, int, bytes], object]] = ...,
    timeout: Optional[float] = ..., total_timeout: Optional[float] = ...,
    attempts: int = ..., backoff: float = ..., delay: float = ...,
    halt: str = ..., fail_fast: bool = ..., starters: int = ...,
    executor: Optional[_Executor] = ..., spool: Optional[_Spool] = ...,
    owner: int = ...,
    childproc_exited_callback: Optional[Callable[[int, Status], Any]] = ...,
    stdin: _File = ..., stdout: _File = ..., stderr: _File = ...,
    search: bool = ..., env: _Env = ..., cwd: Optional[_Text] = ...,
    fds: Optional[Mapping[int, int]] = ..., pass_fds: Iterable[int] = ...,
    flags: int = ..., kill: _Kill = ..., on_free: Optional[int] = ...,
    path: Optional[_Text] = ..., executable: Optional[_Text] = ...,
    new_session: bool = ..., start_new_session: bool = ...,
    new_group: bool = ..., process_group: Optional[int] = ...,
    group: _Id = ..., gid: _Id = ..., groups: _Ids = ...,
    extra_groups: _Ids = ..., user: _Id = ..., uid: _Id = ...,
    keep_groups: bool = ..., umask: Optional[int] = ...,
    nice: Optional[int] = ..., rlimits: _Limits = ..., sigmask: _Signals = ...,
    sigignore: _Signals = ..., pdeathsig: Optional[int] = ...,
    ctty_fd: Optional[int] = ..., cgroup: Optional[_Text] = ...,
    report_stops: bool = ..., search_path: Optional[_Text] = ...,
    exited_grace_ms: Optional[int] = ..., restore_signals: bool = ...,
    close_fds: bool = ..., family: Optional[str] = ..., account: bool = ...
) -> List[Result]: ...
