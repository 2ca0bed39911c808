"""The types of Context; checked against the code by the tests."""
from typing import (Any, Callable, Iterable, List, Mapping, Optional, Union,
                    overload)

from typing_extensions import Self

from . import (CompletedProcess, Diagnosis, Event, Family, Process, SpawnError,
               Status, _Batched, _Env, _File, _Id, _Ids, _Kill, _Limits,
               _NotTrue, _Output, _Signals, _Text, _True, _Argv, _libxl)

class Context(_libxl.Ctx):
    def __new__(cls, owner: int = ..., *, log_level: int = ...,
                fork_replacement: Optional[Callable[[], int]] = ...,
                childproc_exited_callback: Optional[
                    Callable[[int, Status], Any]] = ...) -> Context: ...
    def __init__(self, owner: int = ..., *, log_level: int = ...,
                 fork_replacement: Optional[Callable[[], int]] = ...,
                 childproc_exited_callback: Optional[
                     Callable[[int, Status], Any]] = ...) -> None: ...
    def __enter__(self) -> Self: ...
    def __exit__(self, *_: Any) -> None: ...
    def close(self) -> None: ...
    @property
    def forked(self) -> bool: ...
    def setmode(self, owner: int, *,
                fork_replacement: Optional[Callable[[], int]] = ...,
                childproc_exited_callback: Optional[
                    Callable[[int, Status], Any]] = ...) -> None: ...
    def childproc_exited(self, pid: int,
                         status: Union[int, Status]) -> bool: ...
    def sigchld_occurred(self) -> None: ...
    def diagnose(self) -> Diagnosis: ...
    def spawn(
        self, args: _Argv, *, event: bool = ...,
        on_exit: Optional[Callable[[Process, Status], Any]] = ...,
        tag: Optional[int] = ..., user: _Id = ..., stdin: _File = ...,
        stdout: _File = ..., stderr: _File = ..., search: bool = ...,
        env: _Env = ..., cwd: Optional[_Text] = ...,
        fds: Optional[Mapping[int, int]] = ..., pass_fds: Iterable[int] = ...,
        flags: int = ..., kill: _Kill = ..., on_free: Optional[int] = ...,
        path: Optional[_Text] = ..., executable: Optional[_Text] = ...,
        new_session: bool = ..., start_new_session: bool = ...,
        new_group: bool = ..., process_group: Optional[int] = ...,
        group: _Id = ..., gid: _Id = ..., groups: _Ids = ...,
        extra_groups: _Ids = ..., uid: _Id = ..., keep_groups: bool = ...,
        umask: Optional[int] = ..., nice: Optional[int] = ...,
        rlimits: _Limits = ..., sigmask: _Signals = ...,
        sigignore: _Signals = ..., pdeathsig: Optional[int] = ...,
        ctty_fd: Optional[int] = ..., cgroup: Optional[_Text] = ...,
        family: Optional[Family] = ...,
        report_stops: bool = ..., account: bool = ..., search_path: Optional[_Text] = ...,
        exited_grace_ms: Optional[int] = ..., restore_signals: bool = ...,
        close_fds: bool = ...
    ) -> Process: ...
    async def spawn_async(
        self, args: _Argv, *, tag: Optional[int] = ..., user: _Id = ..., stdin: _File = ...,
        stdout: _File = ..., stderr: _File = ..., search: bool = ...,
        env: _Env = ..., cwd: Optional[_Text] = ...,
        fds: Optional[Mapping[int, int]] = ..., pass_fds: Iterable[int] = ...,
        flags: int = ..., kill: _Kill = ..., on_free: Optional[int] = ...,
        path: Optional[_Text] = ..., executable: Optional[_Text] = ...,
        new_session: bool = ..., start_new_session: bool = ...,
        new_group: bool = ..., process_group: Optional[int] = ...,
        group: _Id = ..., gid: _Id = ..., groups: _Ids = ...,
        extra_groups: _Ids = ..., uid: _Id = ..., keep_groups: bool = ...,
        umask: Optional[int] = ..., nice: Optional[int] = ...,
        rlimits: _Limits = ..., sigmask: _Signals = ...,
        sigignore: _Signals = ..., pdeathsig: Optional[int] = ...,
        ctty_fd: Optional[int] = ..., cgroup: Optional[_Text] = ...,
        family: Optional[Family] = ...,
        report_stops: bool = ..., account: bool = ..., search_path: Optional[_Text] = ...,
        exited_grace_ms: Optional[int] = ..., restore_signals: bool = ...,
        close_fds: bool = ...
    ) -> Process: ...
    def spawn_many(
        self, commands: Iterable[_Batched], *, event: bool = ...,
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
        cgroup: Optional[_Text] = ...,
        family: Optional[Family] = ..., report_stops: bool = ..., account: bool = ...,
        search_path: Optional[_Text] = ...,
        exited_grace_ms: Optional[int] = ..., restore_signals: bool = ...,
        close_fds: bool = ...
    ) -> List[Union[Process, SpawnError]]: ...
    def family(self, when: str = ..., *, first_signal: int = ...,
               grace: float = ...,
               holds: Union[None, str, Iterable[str]] = ...,
               cgroup_parent: Optional[_Text] = ...) -> Family: ...
    def set_starters(self, count: int) -> None: ...
    def adopt(self, pid: int = ..., *, start_time: int = ...,
              pidfd: int = ..., event: bool = ...) -> Process: ...
    def kill(self, process: Union[Process, int], signal: int = ..., *,
             scope: int = ...) -> bool: ...
    @property
    def child_count(self) -> int: ...
    def events(self, timeout: Optional[float] = ..., *, max: int = ...,
               types: Optional[Iterable[int]] = ...) -> List[Event]: ...
    def wait_event(self, timeout: Optional[float] = ..., *,
                   types: Optional[Iterable[int]] = ...) -> Event: ...
    def register_callbacks(self,
                           event_occurs: Optional[
                               Callable[[Event], Any]] = ..., *,
                           types: Optional[Iterable[int]] = ...,
                           disaster: Optional[
                               Callable[[int, str, int], Any]] = ...
                           ) -> None: ...
    def evenable_exit(self, pid: int = ..., user: int = ...) -> int: ...
    def evdisable_exit(self, number: int) -> None: ...
    def osevent_register(self, hooks: Any) -> None: ...
    def fileno(self) -> int: ...
    @property
    def disaster_latched(self) -> int: ...
    @overload
    def run(
        self, args: Union[_Text, _Argv], *, stdin: _File = ...,
        stdout: _Output = ..., stderr: _Output = ..., input: Any = ...,
        capture_output: bool = ..., timeout: Optional[float] = ...,
        check: bool = ..., shell: bool = ..., capture_limit: int = ...,
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
        nice: Optional[int] = ..., rlimits: _Limits = ...,
        sigmask: _Signals = ..., sigignore: _Signals = ...,
        pdeathsig: Optional[int] = ..., ctty_fd: Optional[int] = ...,
        cgroup: Optional[_Text] = ...,
        family: Union[None, str, Family] = ..., report_stops: bool = ..., account: bool = ...,
        search_path: Optional[_Text] = ...,
        exited_grace_ms: Optional[int] = ..., restore_signals: bool = ...,
        close_fds: bool = ...
    ) -> CompletedProcess[str]: ...
    @overload
    def run(
        self, args: Union[_Text, _Argv], *, stdin: _File = ...,
        stdout: _Output = ..., stderr: _Output = ..., input: Any = ...,
        capture_output: bool = ..., timeout: Optional[float] = ...,
        check: bool = ..., shell: bool = ..., capture_limit: int = ...,
        on_output: Optional[Callable[[int, bytes], Any]] = ...,
        linger_eof: bool = ..., text: _NotTrue = ..., encoding: None = ...,
        errors: None = ..., universal_newlines: _NotTrue = ...,
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
        cgroup: Optional[_Text] = ...,
        family: Union[None, str, Family] = ..., report_stops: bool = ..., account: bool = ...,
        search_path: Optional[_Text] = ...,
        exited_grace_ms: Optional[int] = ..., restore_signals: bool = ...,
        close_fds: bool = ...
    ) -> CompletedProcess[bytes]: ...
    @overload
    def run(
        self, args: Union[_Text, _Argv], *, stdin: _File = ...,
        stdout: _Output = ..., stderr: _Output = ..., input: Any = ...,
        capture_output: bool = ..., timeout: Optional[float] = ...,
        check: bool = ..., shell: bool = ..., capture_limit: int = ...,
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
        nice: Optional[int] = ..., rlimits: _Limits = ...,
        sigmask: _Signals = ..., sigignore: _Signals = ...,
        pdeathsig: Optional[int] = ..., ctty_fd: Optional[int] = ...,
        cgroup: Optional[_Text] = ...,
        family: Union[None, str, Family] = ..., report_stops: bool = ..., account: bool = ...,
        search_path: Optional[_Text] = ...,
        exited_grace_ms: Optional[int] = ..., restore_signals: bool = ...,
        close_fds: bool = ...
    ) -> CompletedProcess[Any]: ...
    def start(
        self, args: _Argv, *, stdin: _File = ..., stdout: _Output = ...,
        stderr: _Output = ..., input: Any = ..., capture_output: bool = ...,
        timeout: Optional[float] = ..., capture_limit: int = ...,
        on_output: Optional[Callable[[int, bytes], Any]] = ...,
        linger_eof: bool = ..., search: bool = ..., env: _Env = ...,
        cwd: Optional[_Text] = ..., fds: Optional[Mapping[int, int]] = ...,
        pass_fds: Iterable[int] = ..., flags: int = ..., kill: _Kill = ...,
        on_free: Optional[int] = ..., path: Optional[_Text] = ...,
        executable: Optional[_Text] = ..., new_session: bool = ...,
        start_new_session: bool = ..., new_group: bool = ...,
        process_group: Optional[int] = ..., group: _Id = ..., gid: _Id = ...,
        groups: _Ids = ..., extra_groups: _Ids = ..., user: _Id = ...,
        uid: _Id = ..., keep_groups: bool = ..., umask: Optional[int] = ...,
        nice: Optional[int] = ..., rlimits: _Limits = ...,
        sigmask: _Signals = ..., sigignore: _Signals = ...,
        pdeathsig: Optional[int] = ..., ctty_fd: Optional[int] = ...,
        cgroup: Optional[_Text] = ...,
        family: Optional[Family] = ..., report_stops: bool = ..., account: bool = ...,
        search_path: Optional[_Text] = ...,
        exited_grace_ms: Optional[int] = ..., restore_signals: bool = ...,
        close_fds: bool = ...
    ) -> int: ...
    def abort(self, number: int) -> bool: ...

def default_context() -> Context: ...
