"""The types of xlchild.aio; checked against the code by the tests."""
import sys
from asyncio.subprocess import Process
from typing import Any, NoReturn, Optional, Union

from . import CompletedProcess, _Argv, _File, _Text

__all__ = ["create_subprocess_exec", "create_subprocess_shell", "run",
           "install_child_watcher", "new_child_watcher"]

async def create_subprocess_exec(program: _Text, *args: _Text,
                                 stdin: _File = ..., stdout: _File = ...,
                                 stderr: _File = ..., limit: int = ...,
                                 **options: Any) -> Process: ...
async def create_subprocess_shell(cmd: Union[str, bytes],
                                  stdin: _File = ..., stdout: _File = ...,
                                  stderr: _File = ..., limit: int = ...,
                                  **options: Any) -> Process: ...
async def run(args: Union[_Text, _Argv], *,
              input: Union[None, bytes, bytearray, memoryview] = ...,
              stdin: _File = ..., stdout: _File = ..., stderr: _File = ...,
              capture_output: bool = ..., timeout: Optional[float] = ...,
              check: bool = ..., shell: bool = ...,
              **options: Any) -> CompletedProcess[bytes]: ...

if sys.version_info < (3, 14):
    from asyncio import AbstractChildWatcher
    def install_child_watcher() -> AbstractChildWatcher: ...
    def new_child_watcher() -> AbstractChildWatcher: ...
else:
    def install_child_watcher() -> NoReturn: ...
    def new_child_watcher() -> NoReturn: ...
