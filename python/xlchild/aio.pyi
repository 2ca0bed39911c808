"""The types of xlchild.aio; checked against the code by the tests."""
import sys
from asyncio import SubprocessProtocol, SubprocessTransport
from asyncio.subprocess import Process
from typing import (Any, Callable, NoReturn, Optional, Tuple, TypeVar,
                    Union, overload)

from . import (CompletedProcess, _Argv, _File, _NotTrue, _Output, _Text,
               _True)

__all__ = ["create_subprocess_exec", "create_subprocess_shell", "run",
           "subprocess_exec", "subprocess_shell", "install_child_watcher",
           "new_child_watcher"]

_Bytes = Union[None, bytes, bytearray, memoryview]
_Protocol = TypeVar("_Protocol", bound=SubprocessProtocol)

async def create_subprocess_exec(program: _Text, *args: _Text,
                                 stdin: _File = ..., stdout: _File = ...,
                                 stderr: _File = ...,
                                 limit: Optional[int] = ...,
                                 **options: Any) -> Process: ...
async def create_subprocess_shell(cmd: Union[str, bytes],
                                  stdin: _File = ..., stdout: _File = ...,
                                  stderr: _File = ...,
                                  limit: Optional[int] = ...,
                                  **options: Any) -> Process: ...
async def subprocess_exec(
    protocol_factory: Callable[[], _Protocol], program: _Text, *args: _Text,
    stdin: _File = ..., stdout: _File = ..., stderr: _File = ...,
    **options: Any) -> Tuple[SubprocessTransport, _Protocol]: ...
async def subprocess_shell(
    protocol_factory: Callable[[], _Protocol], cmd: Union[str, bytes], *,
    stdin: _File = ..., stdout: _File = ..., stderr: _File = ...,
    **options: Any) -> Tuple[SubprocessTransport, _Protocol]: ...
@overload
async def run(args: Union[_Text, _Argv], *, input: Any = ...,
              stdin: _File = ..., stdout: _Output = ..., stderr: _Output = ...,
              capture_output: bool = ..., timeout: Optional[float] = ...,
              check: bool = ..., shell: bool = ...,
              text: _True, encoding: Optional[str] = ...,
              errors: Optional[str] = ...,
              universal_newlines: Optional[bool] = ...,
              capture_limit: int = ...,
              on_output: Optional[Callable[[int, bytes], Any]] = ...,
              linger_eof: bool = ...,
              kill: Optional[Tuple[int, float, int]] = ...,
              **options: Any) -> CompletedProcess[str]: ...
@overload
async def run(args: Union[_Text, _Argv], *, input: _Bytes = ...,
              stdin: _File = ..., stdout: _Output = ..., stderr: _Output = ...,
              capture_output: bool = ..., timeout: Optional[float] = ...,
              check: bool = ..., shell: bool = ...,
              text: _NotTrue = ..., encoding: None = ...,
              errors: None = ..., universal_newlines: _NotTrue = ...,
              capture_limit: int = ...,
              on_output: Optional[Callable[[int, bytes], Any]] = ...,
              linger_eof: bool = ...,
              kill: Optional[Tuple[int, float, int]] = ...,
              **options: Any) -> CompletedProcess[bytes]: ...
@overload
async def run(args: Union[_Text, _Argv], *, input: Any = ...,
              stdin: _File = ..., stdout: _Output = ..., stderr: _Output = ...,
              capture_output: bool = ..., timeout: Optional[float] = ...,
              check: bool = ..., shell: bool = ...,
              text: Optional[bool] = ..., encoding: Optional[str] = ...,
              errors: Optional[str] = ...,
              universal_newlines: Optional[bool] = ...,
              capture_limit: int = ...,
              on_output: Optional[Callable[[int, bytes], Any]] = ...,
              linger_eof: bool = ...,
              kill: Optional[Tuple[int, float, int]] = ...,
              **options: Any) -> CompletedProcess[Any]: ...

if sys.version_info < (3, 14):
    from asyncio import AbstractChildWatcher
    def install_child_watcher() -> AbstractChildWatcher: ...
    def new_child_watcher() -> AbstractChildWatcher: ...
else:
    def install_child_watcher() -> NoReturn: ...
    def new_child_watcher() -> NoReturn: ...
