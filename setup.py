"""Builds the Python package: the extension with the C core inside.

What the package says of itself stands in pyproject.toml, what a source
distribution holds in MANIFEST.in.

SWIG writes the wrapper into the build folder; nothing generated lands in the
source tree. A source distribution has the wrapper inside, in generated/, and
needs no SWIG. The core's symbols stay hidden, so that the extension gets along
with any other library of the same names in the process.

    python3 setup.py build --build-lib DIR     what `make python` does
    pip install --no-build-isolation .
"""
import glob
import importlib
import itertools
import os
import shutil
import shlex
import subprocess
import sysconfig

import setuptools
from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext
from setuptools.command.sdist import sdist

INTERFACE = "bindings/python/_libxl.i"
SHIPPED = "generated/_libxl_wrap.c"  # in a source distribution only
HIDDEN = '__attribute__((visibility("hidden")))'


def is_newer(made, sources):
    """It exists, and none of what it is made of has changed since."""
    return os.path.exists(made) and all(
        os.path.getmtime(source) < os.path.getmtime(made)
        for source in sources)


def run_swig(source, wrapper):
    """Write the wrapper for the interface file."""
    swig = os.environ.get("SWIG") or shutil.which("swig")
    if swig is None:
        raise SystemExit(
            "xlchild: the tree has no generated wrapper and there is no SWIG "
            "to make it; install swig (Debian: apt-get install swig), or "
            "build from the source distribution, which has it inside")
    os.makedirs(os.path.dirname(wrapper), exist_ok=True)
    subprocess.run([swig, "-python", "-noproxy", "-Ibindings", "-Ic/include",
                    "-outdir", os.path.dirname(wrapper), "-o", wrapper,
                    source], check=True)


def check_compiler(compiler, include_dirs):
    """Say what is missing before a compiler's hundred lines do not."""
    program = shlex.split(os.environ.get("CC") or "")[:1] \
        or list(getattr(compiler, "compiler_so", None) or [])[:1]
    if program and shutil.which(program[0]) is None:
        raise SystemExit(
            "xlchild: building it needs a C compiler, and there is no %r "
            "here; install gcc and Python's headers (Debian: apt-get install "
            "gcc libc6-dev python3-dev), or set CC, or take a wheel for this "
            "Python" % program[0])
    folders = [sysconfig.get_path("include"), *include_dirs]
    if not any(os.path.exists(os.path.join(folder, "Python.h"))
               for folder in folders if folder):
        raise SystemExit(
            "xlchild: building it needs Python's headers, and there is no "
            "%s/Python.h; install them (Debian: apt-get install python3-dev), "
            "or take a wheel for this Python" % folders[0])


# The child's half may not call what the stack protector calls.
UNGUARDED = ("c/src/start/child_setup.c", "c/src/kernel/probe_child.c",
             "c/src/kernel/keeper_child.c")


def hardening(compiler, flags):
    """The hardening flags that the compiler takes (c/hardening.sh)."""
    command = os.environ.get("CC")
    if not command:
        words = list(getattr(compiler, "compiler_so", None) or ["cc"])
        command = shlex.join(itertools.takewhile(
            lambda word: not word.startswith("-"), words))
    return subprocess.run(
        ["sh", "c/hardening.sh",
         *shlex.split(os.environ.get("CFLAGS") or ""), *flags],
        env=dict(os.environ, CC=command), check=True, text=True,
        stdout=subprocess.PIPE).stdout.split()


class WithWrapper(sdist):
    """sdist that puts SWIG's wrapper inside."""

    def make_release_tree(self, base_dir, files):
        """The files, and the wrapper."""
        super().make_release_tree(base_dir, files)
        wrapper = os.path.join(base_dir, SHIPPED)
        if not os.path.exists(wrapper):
            run_swig(INTERFACE, wrapper)


# A program beside the package: xlchild.services runs it.
PROGRAM = "xlchild/services/_keeper"
PROGRAM_SOURCES = sorted(glob.glob("bindings/keeper/*.c"))


class SwigBuild(build_ext):
    """build_ext that runs SWIG into the build folder first."""

    def run(self):
        """The extension, and the program."""
        super().run()
        self.build_program()

    def program_path(self):
        """Where it is to be: beside the package that is built."""
        if self.inplace:
            return os.path.join("python", PROGRAM)
        return os.path.join(self.build_lib, PROGRAM)

    def get_outputs(self):
        """The program is installed as well."""
        return super().get_outputs() + [self.program_path()]

    def build_program(self):
        """Small, and no Python inside."""
        made = self.program_path()
        if is_newer(made, glob.glob("bindings/keeper/*.[ch]")):
            return
        flags = ["-std=gnu11", "-O2", "-fPIE"]
        objects = self.compiler.compile(
            PROGRAM_SOURCES, output_dir=self.build_temp,
            extra_postargs=hardening(self.compiler, flags) + flags)
        os.makedirs(os.path.dirname(made), exist_ok=True)
        self.compiler.link_executable(
            objects, os.path.basename(made),
            output_dir=os.path.dirname(made),
            extra_postargs=["-pie", "-Wl,-z,relro,-z,now", *shlex.split(
                "%s %s" % (os.environ.get("CFLAGS") or "",
                           os.environ.get("LDFLAGS") or ""))])

    def build_extension(self, ext):
        """Generate the wrapper, then compile as usual."""
        check_compiler(self.compiler, self.include_dirs)
        ext.sources = [s for s in ext.sources if not s.endswith(".i")]
        wrapper = SHIPPED
        if not os.path.exists(wrapper):
            wrapper = os.path.join(self.build_temp, "_libxl_wrap.c")
            if not is_newer(wrapper, [INTERFACE] + ext.depends):
                run_swig(INTERFACE, wrapper)
        ext.sources.append(wrapper)
        ext.extra_compile_args = (
            hardening(self.compiler, ext.extra_compile_args)
            + ext.extra_compile_args)
        compile_one = self.compiler._compile

        def compile_with_exceptions(obj, src, ext, cc_args, args, pp_opts):
            if src in UNGUARDED:
                args = args + ["-fno-stack-protector", "-U_FORTIFY_SOURCE"]
            compile_one(obj, src, ext, cc_args, args, pp_opts)
        self.compiler._compile = compile_with_exceptions
        super().build_extension(ext)


def licence():
    """(what setup() is told of the licence, the classifiers for it): PEP 639's
    expression, or what setuptools before 77 knows (Debian 12's), or without
    the part of packaging that reads expressions (which Debian 13's lacks where
    python3-packaging is not installed)."""
    try:
        if int(setuptools.__version__.split(".")[0]) >= 77:
            importlib.import_module("packaging.licenses")
            return {"license_expression": "MIT"}, []
    except ImportError:
        pass
    return {"license": "MIT"}, ["License :: OSI Approved :: MIT License"]


os.makedirs("build", exist_ok=True)  # setuptools' own notes go there
CORE = sorted(glob.glob("c/src/*/*.c"))
BINDING = sorted(glob.glob("bindings/python/*.c"))
LICENCE, FOR_LICENCE = licence()
CLASSIFIERS = [
    "Development Status :: 4 - Beta",
    "Intended Audience :: Developers",
    "Intended Audience :: System Administrators",
    "Operating System :: POSIX :: Linux",
    "Programming Language :: C",
    "Programming Language :: Python :: 3",
    "Programming Language :: Python :: 3.8",
    "Programming Language :: Python :: 3.9",
    "Programming Language :: Python :: 3.10",
    "Programming Language :: Python :: 3.11",
    "Programming Language :: Python :: 3.12",
    "Programming Language :: Python :: 3.13",
    "Programming Language :: Python :: 3.14",
    "Programming Language :: Python :: Implementation :: CPython",
    "Topic :: Software Development :: Libraries",
    "Topic :: System :: Operating System",
    "Typing :: Typed",
]

setup(
    packages=["xlchild", "xlchild.pool", "xlchild.cli",
              "xlchild.services"],
    package_dir={"": "python"},
    package_data={"": ["*.pyi"], "xlchild": ["py.typed", "_site/*.py"]},
    data_files=[(folder, ["python/share/" + name]) for folder, name in (
        ("share/man/man1", "xlchild.1"),
        ("share/bash-completion/completions", "xlchild"),
        ("share/zsh/site-functions", "_xlchild"),
        ("share/fish/vendor_completions.d", "xlchild.fish"))],
    cmdclass={"build_ext": SwigBuild, "sdist": WithWrapper},
    ext_modules=[Extension(
        "xlchild._libxl",
        sources=[INTERFACE] + BINDING + CORE,
        depends=(["bindings/libxl.i"] + glob.glob("bindings/python/*.h")
                 + glob.glob("c/src/*/*.h") + glob.glob("c/include/*/*.h")),
        include_dirs=["bindings/python", "c/include", "c/src"],
        define_macros=[("LIBXL_API", HIDDEN)],
        extra_compile_args=["-std=gnu11", "-O2", "-fvisibility=hidden",
                            "-pthread", "-Wno-missing-field-initializers",
                            "-Wno-cast-function-type"],
        extra_link_args=["-pthread", "-Wl,-z,relro,-z,now"],
        libraries=["dl"],
    )],
    options={"egg_info": {"egg_base": "build"}},
    zip_safe=False,
    classifiers=CLASSIFIERS + FOR_LICENCE,
    **LICENCE,
)
