"""Found first on the PYTHONPATH of a Python that was started by a program
under `python -m xlchild.under --children`: puts it under xlchild, too.

This folder is not seen by the program, nor is the one that xlchild is in. A
sitecustomize of the program's own is imported instead of this one. A Python
for which the package was not built goes on without.
"""
import importlib.util
import os
import sys


def _put_under():
    here = os.path.dirname(os.path.abspath(__file__))
    sys.path[:] = [path for path in sys.path
                   if os.path.abspath(path or ".") != here]
    sys.path_importer_cache.pop(here, None)
    if os.environ.get("XLCHILD_UNDER") == "1":
        package = os.path.dirname(here)
        try:
            if "xlchild" not in sys.modules:
                spec = importlib.util.spec_from_file_location(
                    "xlchild", os.path.join(package, "__init__.py"),
                    submodule_search_locations=[package])
                module = importlib.util.module_from_spec(spec)
                sys.modules["xlchild"] = module
                try:
                    spec.loader.exec_module(module)
                except BaseException:
                    for name in list(sys.modules):
                        if name.partition(".")[0] == "xlchild":
                            del sys.modules[name]
                    raise
            from xlchild import under
            under.start_in_child()
        except ImportError:
            pass  # another Python than the one that it was built for


def _pass_on():
    """The sitecustomize that would have been found without this one."""
    this = sys.modules.pop("sitecustomize", None)
    try:
        import sitecustomize  # noqa: F401
    except ImportError as error:
        if getattr(error, "name", None) != "sitecustomize":
            raise
        if this is not None:
            sys.modules["sitecustomize"] = this


_put_under()
_pass_on()
