"""The types of xlchild.services; checked against the code by the tests."""
from os import PathLike
from typing import (Any, AsyncIterator, Callable, Dict, List, Optional,
                    Sequence, Union)

from typing_extensions import Literal, Self

from .. import Status, _Argv, _Env, _Id, _Ids, _Limits

__all__ = ["Backoff", "End", "Event", "Services", "State"]

_Path = Union[str, "PathLike[str]"]

class Backoff:
    first: float
    factor: float
    most: float
    settled: float
    restarts: float
    within: float
    def __init__(self, first: float = ..., factor: float = ...,
                 most: float = ..., settled: float = ...,
                 restarts: float = ..., within: float = ...) -> None: ...
    def delays(self, count: int) -> List[float]: ...
    def delay(self, failures: int) -> float: ...

class End:
    name: str
    run: str
    pid: int
    status: Status
    why: Optional[str]
    cause: str
    at: float
    def __init__(self, name: str, run: str, pid: int, status: Status,
                 why: Optional[str] = ..., cause: str = ...,
                 at: Optional[float] = ...) -> None: ...

class Event:
    kind: str
    name: str
    run: str
    pid: Optional[int]
    end: Optional[End]
    delay: Optional[float]
    error: Optional[BaseException]
    def __init__(self, kind: str, name: str = ..., run: str = ...,
                 pid: Optional[int] = ..., end: Optional[End] = ...,
                 delay: Optional[float] = ...,
                 error: Optional[BaseException] = ...) -> None: ...

class State:
    state: str
    pid: Optional[int]
    since: Optional[float]
    run: Optional[str]
    last_end: Optional[End]
    error: Optional[BaseException]
    def __init__(self, state: str, pid: Optional[int],
                 since: Optional[float], run: Optional[str],
                 last_end: Optional[End],
                 error: Optional[BaseException]) -> None: ...

class Services:
    def __init__(self, folder: _Path, *,
                 on_close: Literal["leave", "stop"] = ...) -> None: ...
    def __enter__(self) -> Self: ...
    def __exit__(self, kind: Any, *_: Any) -> None: ...
    def __del__(self, _warn: Callable[..., None] = ...) -> None: ...
    def close(self) -> None: ...
    def add(self, name: str, argv: _Argv, *,
            restart: Literal["never", "on-failure", "always"] = ...,
            backoff: Optional[Backoff] = ...,
            ready: Optional[Sequence[Any]] = ..., ready_within: float = ...,
            stop_signal: int = ..., stop_grace: float = ...,
            log: Optional[_Path] = ..., env: _Env = ...,
            cwd: Optional[_Path] = ..., user: _Id = ..., gid: _Id = ...,
            groups: _Ids = ..., umask: Optional[int] = ...,
            nice: Optional[int] = ..., rlimits: _Limits = ...) -> None: ...
    def remove(self, name: str) -> None: ...
    def names(self) -> List[str]: ...
    def start(self, name: str) -> None: ...
    def stop(self, name: str, *, wait: bool = ...) -> None: ...
    def restart(self, name: str) -> None: ...
    def status(self, name: str) -> State: ...
    def wait_ready(self, name: str,
                   timeout: Optional[float] = ...) -> bool: ...
    def left(self) -> Dict[str, int]: ...
    def stop_left(self) -> None: ...
    @property
    def kept_by(self) -> Optional[str]: ...
    def poll(self, timeout: Optional[float] = ...) -> List[Event]: ...
    def quit(self) -> None: ...
    def run_forever(self, on_event: Optional[Callable[[Event], object]] = ...
                    ) -> None: ...
    def fileno(self) -> int: ...
    def timeout(self) -> Optional[float]: ...
    def stream(self) -> AsyncIterator[Event]: ...
