"""The types of xlchild.trio; checked against the code by the tests."""
from typing import (Any, Awaitable, Callable, Iterable, Mapping, Optional,
                    Union)

from typing_extensions import Self

import trio

from . import (Account, CompletedProcess, Family, Lost, Status, _Env, _File,
               _Id, _Ids, _Kill, _Limits, _Signals, _Text, _Argv)

__all__ = ["Process", "family", "open_process", "run_process"]

_Code = Union[int, Lost]

class Process:
    stdin: Optional[trio.abc.SendStream]
    stdout: Optional[trio.abc.ReceiveStream]
    stderr: Optional[trio.abc.ReceiveStream]
    stdio: Optional[trio.StapledStream]
    args: Any
    family: Optional[Family]
    @property
    def pid(self) -> int: ...
    def __init__(self, popen: Any, hub: Any,
                 stdin: Optional[trio.abc.SendStream],
                 stdout: Optional[trio.abc.ReceiveStream],
                 stderr: Optional[trio.abc.ReceiveStream]) -> None: ...
    @property
    def returncode(self) -> Optional[_Code]: ...
    def poll(self) -> Optional[_Code]: ...
    @property
    def status(self) -> Optional[Status]: ...
    @property
    def account(self) -> Optional[Account]: ...
    async def wait(self) -> _Code: ...
    def send_signal(self, sig: int) -> None: ...
    def terminate(self) -> None: ...
    def kill(self) -> None: ...
    async def aclose(self) -> None: ...
    async def __aenter__(self) -> Self: ...
    async def __aexit__(self, *_: object) -> None: ...

def family(when: str = ..., *, first_signal: int = ..., grace: float = ...,
           holds: Union[None, str, Iterable[str]] = ...,
           cgroup_parent: Optional[_Text] = ...) -> Family: ...
async def open_process(
    command: Union[str, _Argv], *, stdin: _File = ..., stdout: _File = ...,
    stderr: _File = ..., shell: bool = ..., env: _Env = ...,
    cwd: Optional[_Text] = ..., fds: Optional[Mapping[int, int]] = ...,
    pass_fds: Iterable[int] = ..., flags: int = ..., kill: _Kill = ...,
    on_free: Optional[int] = ..., path: Optional[_Text] = ...,
    executable: Optional[_Text] = ..., new_session: bool = ...,
    start_new_session: bool = ..., new_group: bool = ...,
    process_group: Optional[int] = ..., group: _Id = ..., gid: _Id = ...,
    groups: _Ids = ..., extra_groups: _Ids = ..., user: _Id = ...,
    uid: _Id = ..., keep_groups: bool = ..., umask: Optional[int] = ...,
    nice: Optional[int] = ..., rlimits: _Limits = ..., sigmask: _Signals = ...,
    sigignore: _Signals = ..., pdeathsig: Optional[int] = ...,
    ctty_fd: Optional[int] = ..., cgroup: Optional[_Text] = ...,
    family: Union[None, str, Family] = ..., report_stops: bool = ...,
    account: bool = ..., search_path: Optional[_Text] = ...,
    exited_grace_ms: Optional[int] = ..., restore_signals: bool = ...,
    close_fds: bool = ..., preexec_fn: Optional[Callable[[], Any]] = ...,
    startupinfo: None = ..., creationflags: int = ..., pipesize: int = ...
) -> Process: ...
async def run_process(
    command: Union[str, _Argv], *,
    stdin: Union[_File, bytes, bytearray, memoryview] = ...,
    stdout: _File = ..., stderr: _File = ..., capture_stdout: bool = ...,
    capture_stderr: bool = ..., check: bool = ...,
    deliver_cancel: Optional[Callable[[Process], Awaitable[object]]] = ...,
    task_status: Any = ..., shell: bool = ..., env: _Env = ...,
    cwd: Optional[_Text] = ..., fds: Optional[Mapping[int, int]] = ...,
    pass_fds: Iterable[int] = ..., flags: int = ..., kill: _Kill = ...,
    on_free: Optional[int] = ..., path: Optional[_Text] = ...,
    executable: Optional[_Text] = ..., new_session: bool = ...,
    start_new_session: bool = ..., new_group: bool = ...,
    process_group: Optional[int] = ..., group: _Id = ..., gid: _Id = ...,
    groups: _Ids = ..., extra_groups: _Ids = ..., user: _Id = ...,
    uid: _Id = ..., keep_groups: bool = ..., umask: Optional[int] = ...,
    nice: Optional[int] = ..., rlimits: _Limits = ..., sigmask: _Signals = ...,
    sigignore: _Signals = ..., pdeathsig: Optional[int] = ...,
    ctty_fd: Optional[int] = ..., cgroup: Optional[_Text] = ...,
    family: Union[None, str, Family] = ..., report_stops: bool = ...,
    account: bool = ..., search_path: Optional[_Text] = ...,
    exited_grace_ms: Optional[int] = ..., restore_signals: bool = ...,
    close_fds: bool = ..., preexec_fn: Optional[Callable[[], Any]] = ...,
    startupinfo: None = ..., creationflags: int = ..., pipesize: int = ...
) -> CompletedProcess[bytes]: ...
