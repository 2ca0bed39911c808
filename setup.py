"""Builds the Python package: the extension with the C core inside.

What the package says of itself stands in pyproject.toml, what a source
distribution holds in MANIFEST.in.

SWIG writes the wrapper into the build folder; nothing generated lands in the
source tree. The core's symbols stay hidden, so that the extension gets along
with any other library of the same names in the process.

    python3 setup.py build --build-lib DIR     what `make python` does
    pip install --no-build-isolation .
"""
import glob
import os
import shutil
import subprocess

from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext

HIDDEN = '__attribute__((visibility("hidden")))'


def is_newer(made, sources):
    """It exists, and none of what it is made of has changed since."""
    return os.path.exists(made) and all(
        os.path.getmtime(source) < os.path.getmtime(made)
        for source in sources)


class SwigBuild(build_ext):
    """build_ext that runs SWIG into the build folder first."""

    def build_extension(self, ext):
        """Generate the wrapper, then compile as usual."""
        interface = [s for s in ext.sources if s.endswith(".i")]
        ext.sources = [s for s in ext.sources if not s.endswith(".i")]
        for source in interface:
            name = os.path.basename(source)[:-2] + "_wrap.c"
            wrapper = os.path.join(self.build_temp, name)
            ext.sources.append(wrapper)
            if is_newer(wrapper, [source] + ext.depends):
                continue
            os.makedirs(self.build_temp, exist_ok=True)
            swig = os.environ.get("SWIG") or shutil.which("swig") or "swig"
            command = [swig, "-python", "-noproxy", "-Ibindings",
                       "-Ic/include", "-outdir", self.build_temp,
                       "-o", wrapper, source]
            self.announce(" ".join(command), level=2)
            subprocess.run(command, check=True)
        super().build_extension(ext)


os.makedirs("build", exist_ok=True)  # setuptools' own notes go there
CORE = sorted(glob.glob("c/src/*/*.c"))
BINDING = sorted(glob.glob("bindings/python/*.c"))

setup(
    packages=["xlchild", "xlchild.pool", "xlchild.cli"],
    package_dir={"": "python"},
    package_data={"": ["*.pyi"], "xlchild": ["py.typed"]},
    data_files=[(folder, ["python/share/" + name]) for folder, name in (
        ("share/man/man1", "xlchild.1"),
        ("share/bash-completion/completions", "xlchild"),
        ("share/zsh/site-functions", "_xlchild"),
        ("share/fish/vendor_completions.d", "xlchild.fish"))],
    cmdclass={"build_ext": SwigBuild},
    ext_modules=[Extension(
        "xlchild._libxl",
        sources=["bindings/python/_libxl.i"] + BINDING + CORE,
        depends=(["bindings/libxl.i"] + glob.glob("bindings/python/*.h")
                 + glob.glob("c/src/*/*.h") + glob.glob("c/include/*/*.h")),
        include_dirs=["bindings/python", "c/include", "c/src"],
        define_macros=[("LIBXL_API", HIDDEN)],
        extra_compile_args=["-std=gnu11", "-O2", "-fvisibility=hidden",
                            "-pthread", "-Wno-missing-field-initializers",
                            "-Wno-cast-function-type"],
        extra_link_args=["-pthread"],
        libraries=["dl"],
    )],
    options={"egg_info": {"egg_base": "build"}},
    zip_safe=False,
)
