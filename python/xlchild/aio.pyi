"""The types of xlchild.aio; checked against the code by the tests."""
import sys
from asyncio import SubprocessProtocol, SubprocessTransport
from asyncio import subprocess as _subprocess
from typing import (Any, Callable, Iterable, Mapping, NoReturn, Optional,
                    Tuple, TypeVar, Union, overload)

from . import (Account, CompletedProcess, Family, Status, _Env, _File, _Id,
               _Ids, _Kill, _Limits, _NotTrue, _Output, _Signals, _Text,
               _True, _Argv)

__all__ = ["Process", "create_subprocess_exec", "create_subprocess_shell",
           "family", "run", "subprocess_exec", "subprocess_shell",
           "install_child_watcher", "new_child_watcher"]

_Protocol = TypeVar("_Protocol", bound=SubprocessProtocol)

class Process(_subprocess.Process):
    @property
    def status(self) -> Optional[Status]: ...
    @property
    def account(self) -> Optional[Account]: ...
    @property
    def family(self) -> Optional[Family]: ...

def family(when: str = ..., *, first_signal: int = ..., grace: float = ...,
           holds: Union[None, str, Iterable[str]] = ...,
           cgroup_parent: Optional[_Text] = ...) -> Family: ...
async def create_subprocess_exec(
    program: _Text, *args: _Text, stdin: _File = ..., stdout: _File = ...,
    stderr: _File = ..., limit: Optional[int] = ..., env: _Env = ...,
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
async def create_subprocess_shell(
    cmd: Union[str, bytes], stdin: _File = ..., stdout: _File = ...,
    stderr: _File = ..., limit: Optional[int] = ..., *, env: _Env = ...,
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
async def subprocess_exec(
    protocol_factory: Callable[[], _Protocol], program: _Text, *args: _Text,
    stdin: _File = ..., stdout: _File = ..., stderr: _File = ...,
    env: _Env = ..., cwd: Optional[_Text] = ...,
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
    family: Union[None, str, Family] = ..., report_stops: bool = ...,
    account: bool = ..., search_path: Optional[_Text] = ...,
    exited_grace_ms: Optional[int] = ..., restore_signals: bool = ...,
    close_fds: bool = ..., preexec_fn: Optional[Callable[[], Any]] = ...,
    startupinfo: None = ..., creationflags: int = ..., pipesize: int = ...
) -> Tuple[SubprocessTransport, _Protocol]: ...
async def subprocess_shell(
    protocol_factory: Callable[[], _Protocol], cmd: Union[str, bytes], *,
    stdin: _File = ..., stdout: _File = ..., stderr: _File = ...,
    env: _Env = ..., cwd: Optional[_Text] = ...,
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
    family: Union[None, str, Family] = ..., report_stops: bool = ...,
    account: bool = ..., search_path: Optional[_Text] = ...,
    exited_grace_ms: Optional[int] = ..., restore_signals: bool = ...,
    close_fds: bool = ..., preexec_fn: Optional[Callable[[], Any]] = ...,
    startupinfo: None = ..., creationflags: int = ..., pipesize: int = ...
) -> Tuple[SubprocessTransport, _Protocol]: ...
@overload
async def run(
    args: Union[_Text, _Argv], *, stdin: _File = ..., stdout: _Output = ...,
    stderr: _Output = ..., input: Any = ..., capture_output: bool = ...,
    timeout: Optional[float] = ..., check: bool = ..., shell: bool = ...,
    capture_limit: int = ...,
    on_output: Optional[Callable[[int, bytes], Any]] = ...,
    linger_eof: bool = ..., text: _True, encoding: Optional[str] = ...,
    errors: Optional[str] = ..., universal_newlines: Optional[bool] = ...,
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
    family: Union[None, str, Family] = ..., report_stops: bool = ...,
    account: bool = ..., search_path: Optional[_Text] = ...,
    exited_grace_ms: Optional[int] = ..., restore_signals: bool = ...,
    close_fds: bool = ..., preexec_fn: Optional[Callable[[], Any]] = ...,
    startupinfo: None = ..., creationflags: int = ..., pipesize: int = ...
) -> CompletedProcess[str]: ...
@overload
async def run(
    args: Union[_Text, _Argv], *, stdin: _File = ..., stdout: _Output = ...,
    stderr: _Output = ..., input: Any = ..., capture_output: bool = ...,
    timeout: Optional[float] = ..., check: bool = ..., shell: bool = ...,
    capture_limit: int = ...,
    on_output: Optional[Callable[[int, bytes], Any]] = ...,
    linger_eof: bool = ..., text: _NotTrue = ..., encoding: None = ...,
    errors: None = ..., universal_newlines: _NotTrue = ..., search: bool = ...,
    env: _Env = ..., cwd: Optional[_Text] = ...,
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
    family: Union[None, str, Family] = ..., report_stops: bool = ...,
    account: bool = ..., search_path: Optional[_Text] = ...,
    exited_grace_ms: Optional[int] = ..., restore_signals: bool = ...,
    close_fds: bool = ..., preexec_fn: Optional[Callable[[], Any]] = ...,
    startupinfo: None = ..., creationflags: int = ..., pipesize: int = ...
) -> CompletedProcess[bytes]: ...
@overload
async def run(
    args: Union[_Text, _Argv], *, stdin: _File = ..., stdout: _Output = ...,
    stderr: _Output = ..., input: Any = ..., capture_output: bool = ...,
    timeout: Optional[float] = ..., check: bool = ..., shell: bool = ...,
    capture_limit: int = ...,
    on_output: Optional[Callable[[int, bytes], Any]] = ...,
    linger_eof: bool = ..., text: Optional[bool] = ...,
    encoding: Optional[str] = ..., errors: Optional[str] = ...,
    universal_newlines: Optional[bool] = ..., search: bool = ...,
    env: _Env = ..., cwd: Optional[_Text] = ...,
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
    family: Union[None, str, Family] = ..., report_stops: bool = ...,
    account: bool = ..., search_path: Optional[_Text] = ...,
    exited_grace_ms: Optional[int] = ..., restore_signals: bool = ...,
    close_fds: bool = ..., preexec_fn: Optional[Callable[[], Any]] = ...,
    startupinfo: None = ..., creationflags: int = ..., pipesize: int = ...
) -> CompletedProcess[Any]: ...

if sys.version_info < (3, 14):
    from asyncio import AbstractChildWatcher
    def install_child_watcher() -> AbstractChildWatcher: ...
    def new_child_watcher() -> AbstractChildWatcher: ...
else:
    def install_child_watcher() -> NoReturn: ...
    def new_child_watcher() -> NoReturn: ...
