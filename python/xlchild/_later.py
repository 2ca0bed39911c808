"""Something to do as soon as a module has been imported, if it ever is.

_install.py waits so for asyncio and uvloop, which it does not import itself.
"""
import sys

__all__ = ["forget", "when_imported"]


class _Finder:
    """On sys.meta_path while there is something to wait for."""

    def __init__(self):
        self.actions = {}
        self._asked = set()

    def find_spec(self, name, path=None, target=None):
        """What the other finders find, with the action behind it."""
        action = self.actions.get(name)
        if action is None or name in self._asked:
            return None
        self._asked.add(name)
        try:
            spec = self._others(name, path, target)
        finally:
            self._asked.discard(name)
        loader = getattr(spec, "loader", None)
        if loader is None or isinstance(loader, type) \
                or not hasattr(loader, "exec_module"):
            return spec
        execute = loader.exec_module

        def exec_module(module):
            del loader.exec_module  # the loader's own again
            execute(module)
            action = self.actions.pop(name, None)
            if action is not None:
                action(module)

        loader.exec_module = exec_module
        return spec

    def _others(self, name, path, target):
        for finder in list(sys.meta_path):
            find = getattr(finder, "find_spec", None)
            if finder is not self and find is not None:
                spec = find(name, path, target)
                if spec is not None:
                    return spec
        return None


_finder = _Finder()


def when_imported(name, action):
    """Call action(module): now, or when it has been imported."""
    module = sys.modules.get(name)
    if module is not None:
        action(module)
        return
    _finder.actions[name] = action
    if _finder not in sys.meta_path:
        sys.meta_path.insert(0, _finder)


def forget():
    """Nothing is waited for any more."""
    _finder.actions.clear()
    if _finder in sys.meta_path:
        sys.meta_path.remove(_finder)
