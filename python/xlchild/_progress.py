"""A progress bar if there is a terminal and something that can draw one."""
import sys

__all__ = ["progress"]


class _Quiet:
    """Draws nothing."""

    def advance(self, count=1):
        """count more are done."""

    def close(self):
        """The end."""


class _Tqdm(_Quiet):
    def __init__(self, total, label, stream):
        import tqdm
        self._bar = tqdm.tqdm(total=total, desc=label, file=stream,
                              unit="", leave=False, dynamic_ncols=True)

    def advance(self, count=1):
        self._bar.update(count)

    def close(self):
        self._bar.close()


class _Rich(_Quiet):
    def __init__(self, total, label, stream):
        from rich.console import Console
        from rich.progress import (BarColumn, MofNCompleteColumn, Progress,
                                   TextColumn, TimeRemainingColumn)
        self._bar = Progress(
            TextColumn("{task.description}"), BarColumn(),
            MofNCompleteColumn(), TimeRemainingColumn(), transient=True,
            console=Console(file=stream))
        self._task = self._bar.add_task(label, total=total)
        self._bar.start()

    def advance(self, count=1):
        self._bar.advance(self._task, count)

    def close(self):
        self._bar.stop()


def progress(total, label="", stream=None, wanted=True):
    """A bar for total steps (None: unknown), with advance() and close()."""
    stream = stream or sys.stderr
    if not wanted or not stream.isatty():
        return _Quiet()
    for kind in (_Rich, _Tqdm):
        try:
            return kind(total, label, stream)
        except ImportError:
            continue
    return _Quiet()
