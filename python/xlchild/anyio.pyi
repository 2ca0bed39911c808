"""The types of xlchild.anyio; checked against the code by the tests."""
from typing import Any, Callable, Iterable, Mapping, Optional, Union

import anyio.abc

from . import (Account, CompletedProcess, Family, Status, _Env, _File, _Id,
               _Ids, _Kill, _Limits, _Signals, _Text, _Argv)

__all__ = ["Process", "family", "open_process", "run_process"]

class Process(anyio.abc.Process):
    def __init__(self, process: Any, popen: Any, end: Any,
                 stdin: Optional[anyio.abc.ByteSendStream],
                 stdout: Optional[anyio.abc.ByteReceiveStream],
                 stderr: Optional[anyio.abc.ByteReceiveStream]) -> None: ...
    async def aclose(self) -> None: ...
    async def wait(self) -> int: ...
    def terminate(self) -> None: ...
    def kill(self) -> None: ...
    def send_signal(self, signal: int) -> None: ...
    @property
    def pid(self) -> int: ...
    @property
    def returncode(self) -> Optional[int]: ...
    @property
    def status(self) -> Optional[Status]: ...
    @property
    def account(self) -> Optional[Account]: ...
    @property
    def family(self) -> Optional[Family]: ...
    @property
    def stdin(self) -> Optional[anyio.abc.ByteSendStream]: ...
    @property
    def stdout(self) -> Optional[anyio.abc.ByteReceiveStream]: ...
    @property
    def stderr(self) -> Optional[anyio.abc.ByteReceiveStream]: ...

def family(when: str = ..., *, first_signal: int = ..., grace: float = ...,
           holds: Union[None, str, Iterable[str]] = ...,
           cgroup_parent: Optional[_Text] = ...) -> Family: ...
async def open_process(
    command: Union[_Text, _Argv], *, stdin: _File = ..., stdout: _File = ...,
    stderr: _File = ..., cwd: Optional[_Text] = ..., env: _Env = ...,
    start_new_session: bool = ..., fds: Optional[Mapping[int, int]] = ...,
    pass_fds: Iterable[int] = ..., flags: int = ..., kill: _Kill = ...,
    on_free: Optional[int] = ..., path: Optional[_Text] = ...,
    executable: Optional[_Text] = ..., new_session: bool = ...,
    new_group: bool = ..., process_group: Optional[int] = ...,
    group: _Id = ..., gid: _Id = ..., groups: _Ids = ...,
    extra_groups: _Ids = ..., user: _Id = ..., uid: _Id = ...,
    keep_groups: bool = ..., umask: Optional[int] = ...,
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
    command: Union[_Text, _Argv], *, input: Any = ..., stdin: _File = ...,
    stdout: _File = ..., stderr: _File = ..., check: bool = ...,
    cwd: Optional[_Text] = ..., env: _Env = ..., start_new_session: bool = ...,
    fds: Optional[Mapping[int, int]] = ..., pass_fds: Iterable[int] = ...,
    flags: int = ..., kill: _Kill = ..., on_free: Optional[int] = ...,
    path: Optional[_Text] = ..., executable: Optional[_Text] = ...,
    new_session: bool = ..., new_group: bool = ...,
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
