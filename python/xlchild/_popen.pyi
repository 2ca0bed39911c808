"""The types of Popen; checked against the code by the tests."""
import resource
import subprocess
from typing import (Any, AnyStr, Callable, Iterable, Mapping, Optional, Union,
                    overload)

from . import (Account, Context, Family, Status, _Env, _File, _Id, _Ids, _Kill, _Limits,
               _NotTrue, _Signals, _Text, _True, _Argv)

class Popen(subprocess.Popen[AnyStr]):
    tag: int
    @overload
    def __init__(
        self: Popen[str], args: Union[_Text, _Argv], *rest: Any,
        context: Optional[Context] = ..., event: bool = ..., tag: int = ...,
        stdin: _File = ..., stdout: _File = ..., stderr: _File = ...,
        shell: bool = ..., text: _True, encoding: Optional[str] = ...,
        errors: Optional[str] = ..., universal_newlines: Optional[bool] = ...,
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
        family: Optional[Family] = ..., report_stops: bool = ..., account: bool = ...,
        search_path: Optional[_Text] = ...,
        exited_grace_ms: Optional[int] = ..., restore_signals: bool = ...,
        close_fds: bool = ..., bufsize: int = ...,
        preexec_fn: Optional[Callable[[], Any]] = ..., startupinfo: None = ...,
        creationflags: int = ..., pipesize: int = ...
    ) -> None: ...
    @overload
    def __init__(
        self: Popen[bytes], args: Union[_Text, _Argv], *rest: Any,
        context: Optional[Context] = ..., event: bool = ..., tag: int = ...,
        stdin: _File = ..., stdout: _File = ..., stderr: _File = ...,
        shell: bool = ..., text: _NotTrue = ..., encoding: None = ...,
        errors: None = ..., universal_newlines: _NotTrue = ...,
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
        family: Optional[Family] = ..., report_stops: bool = ..., account: bool = ...,
        search_path: Optional[_Text] = ...,
        exited_grace_ms: Optional[int] = ..., restore_signals: bool = ...,
        close_fds: bool = ..., bufsize: int = ...,
        preexec_fn: Optional[Callable[[], Any]] = ..., startupinfo: None = ...,
        creationflags: int = ..., pipesize: int = ...
    ) -> None: ...
    @overload
    def __init__(
        self: Popen[Any], args: Union[_Text, _Argv], *rest: Any,
        context: Optional[Context] = ..., event: bool = ..., tag: int = ...,
        stdin: _File = ..., stdout: _File = ..., stderr: _File = ...,
        shell: bool = ..., text: Optional[bool] = ...,
        encoding: Optional[str] = ..., errors: Optional[str] = ...,
        universal_newlines: Optional[bool] = ..., env: _Env = ...,
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
        close_fds: bool = ..., bufsize: int = ...,
        preexec_fn: Optional[Callable[[], Any]] = ..., startupinfo: None = ...,
        creationflags: int = ..., pipesize: int = ...
    ) -> None: ...
    def send_signal(self, sig: int) -> None: ...
    @property
    def status(self) -> Optional[Status]: ...
    @property
    def account(self) -> Optional[Account]: ...
    @property
    def rusage(self) -> Optional[resource.struct_rusage]: ...
    def __del__(self, *args: Any, _warn: Callable[..., None] = ...,
                **kwargs: Any) -> None: ...
