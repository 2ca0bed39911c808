"""Why the extension cannot be imported, and what to do about it.

Imported by __init__.py only then.
"""
import glob
import os
import sysconfig

__all__ = ["explanation"]


def explanation(folder, error):
    """The words for an ImportError of _libxl, in the package's folder."""
    wanted = sysconfig.get_config_var("EXT_SUFFIX") or ".so"
    found = sorted(os.path.basename(path) for path in
                   glob.glob(os.path.join(folder, "_libxl*.so")))
    remedy = "build it with this Python: pip install . in the source " \
        "folder, or make python there and build/python on PYTHONPATH"
    if not found:
        return "xlchild in %s has no extension module _libxl%s; %s" % (
            folder, wanted, remedy)
    if "_libxl" + wanted not in found and "_libxl.abi3.so" not in found:
        return "xlchild in %s was built for another Python (%s, not " \
            "_libxl%s); %s" % (folder, ", ".join(found), wanted, remedy)
    return "the extension module of xlchild in %s cannot be loaded: %s" % (
        folder, error)
