"""Run a Python program with its children started through this library.

    python -m xlchild.under [--children] [--report[=FILE]] PROGRAM ARGS...
    python -m xlchild.under [OPTIONS] -m MODULE ARGS...
    python -m xlchild.under [OPTIONS] -c CODE ARGS...

PROGRAM is what python itself takes: a file, a folder or archive with a
__main__.py, or - for what is read from stdin. The program is run in this
process, as __main__, after xlchild.install().

--children       so are the Pythons that it starts, and theirs, by the
                 environment (PYTHONPATH, XLCHILD_UNDER); their own
                 sitecustomize is imported as before
--report         at the end, say on stderr what went through the library and
                 what did not, with --children of all of them together
--report=FILE    append that to FILE instead, a line of JSON a process
"""
import atexit
import builtins
import json
import os
import runpy
import sys
import tempfile
import types

from . import _starts
from ._install import install

__all__ = ["main"]

SITE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "_site")
UNDER = "XLCHILD_UNDER"
REPORT = "XLCHILD_UNDER_REPORT"
_SAFE = getattr(sys.flags, "safe_path", False) or sys.flags.isolated
_USAGE = "usage: python -m xlchild.under [--children] [--report[=FILE]]" \
    " PROGRAM|-m MODULE|-c CODE [ARGS...]"


class _Options:
    """What stands before the program."""

    def __init__(self, words):
        self.children = False
        self.report = False
        self.file = None
        words = list(words)
        while words and words[0].startswith("--"):
            word = words.pop(0)
            if word == "--":
                break
            name, given, value = word.partition("=")
            if word == "--children":
                self.children = True
            elif name == "--report":
                self.report = True
                self.file = os.path.abspath(value) if value else None
                if given and not value:
                    raise ValueError("--report= without a file")
            elif word in ("--help", "-h"):
                raise SystemExit(__doc__)
            else:
                raise ValueError("no such option: %s" % word)
        if words[:1] == ["-h"]:
            raise SystemExit(__doc__)
        if not words:
            raise ValueError("no program")
        self.how = words[0] if words[0] in ("-m", "-c") else None
        if self.how is None and words[0].startswith("-") and words[0] != "-":
            raise ValueError("no such option: %s" % words[0])
        if self.how is not None:
            del words[0]
            if not words:
                raise ValueError("%s without an argument" % self.how)
        self.program = words[0]
        self.arguments = words[1:]


def _line():
    """This process's counts, for a file."""
    counted = _starts.report()
    return json.dumps({"pid": os.getpid(),
                       "argv": list(getattr(sys, "argv", [])),
                       "through": counted.through, "past": counted.past})


def _append(path):
    """One write, so that the lines of several processes stay apart; what has
    been said is not said again. The file is there already."""
    counted = _starts.report()
    if not (counted.through or counted.past):
        return
    try:
        fd = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC)
    except FileNotFoundError:  # whoever wanted it is gone
        return
    except OSError as error:
        print("xlchild.under: %s: %s" % (path, error.strerror),
              file=sys.stderr)
        return
    try:
        os.write(fd, _line().encode() + b"\n")
    finally:
        os.close(fd)
    _starts.reset()


def summed(path):
    """The Report of all the processes that have written to a file.

    >>> import tempfile
    >>> from xlchild import under
    >>> with tempfile.NamedTemporaryFile("w") as file:
    ...     for _ in range(2):
    ...         done = file.write('{"through": {"subprocess": 2}, "past": {}}')
    ...         done = file.write("\\n")
    ...     file.flush()
    ...     print(under.summed(file.name))
    4 starts through xlchild: subprocess 4
    0 past it
    """
    sums = {}, {}
    with open(path, encoding="utf-8") as file:
        for line in file:
            words = json.loads(line)
            for total, part in zip(sums, (words["through"], words["past"])):
                for name, number in part.items():
                    total[name] = total.get(name, 0) + number
    return _starts.Report(True, *sums)


def _report_to(path, keep):
    """At the very end: atexit's functions are called last in, first out. And
    before this process becomes another program."""
    own = os.getpid()

    def at_exit():
        _append(path)
        if not keep and os.getpid() == own:
            print(summed(path) if os.path.getsize(path)
                  else _starts.report(), file=sys.stderr)
            os.unlink(path)

    atexit.register(at_exit)
    _starts.before_exec(lambda: _append(path))


def _environment(file):
    """Of the Pythons that are started."""
    os.environ[UNDER] = "1"
    paths = os.environ.get("PYTHONPATH")
    os.environ["PYTHONPATH"] = SITE + (os.pathsep + paths if paths else "")
    if file is not None:
        os.environ[REPORT] = file


def start_in_child():
    """In a Python that was started by a program under --children: called by
    _site/sitecustomize.py."""
    install()
    file = os.environ.get(REPORT)
    if file:
        _report_to(file, True)


def _main_module():
    """A new __main__, as python begins with."""
    main_module = types.ModuleType("__main__")
    main_module.__builtins__ = builtins
    sys.modules["__main__"] = main_module
    return main_module


def _first_path(path):
    """What python puts before the other paths; -m has put cwd there."""
    if not _SAFE:
        sys.path[0] = path


def _run_code(code, main_module):
    exec(code, main_module.__dict__)


def _run_file(path):
    import importlib.machinery
    import io
    main_module = _main_module()
    if path == "-":
        sys.argv[0] = "-"
        _first_path("")
        _run_code(compile(sys.stdin.read(), "<stdin>", "exec"), main_module)
        return
    with io.open_code(os.path.abspath(path)) as file:
        source = file.read()
    _first_path(os.path.dirname(os.path.realpath(path)))
    main_module.__file__ = path
    main_module.__cached__ = None
    kind = importlib.machinery.SourceFileLoader
    if path.endswith(".pyc"):
        kind = importlib.machinery.SourcelessFileLoader
    main_module.__loader__ = kind("__main__", path)
    code = main_module.__loader__.get_code("__main__") \
        if kind is not importlib.machinery.SourceFileLoader \
        else compile(source, path, "exec")
    _run_code(code, main_module)


def _is_container(path):
    """A folder or an archive, with a __main__ in it."""
    import pkgutil
    return type(pkgutil.get_importer(path)).__name__ != "NoneType" \
        and (os.path.isdir(path) or not path.endswith((".py", ".pyc")))


def _run(options):
    path = options.program
    if sys.version_info >= (3, 9) and path != "-":
        path = os.path.join(os.getcwd(), path)
    sys.argv = [options.program] + options.arguments
    if options.how == "-c":
        sys.argv[0] = "-c"
        _first_path("")
        _run_code(compile(options.program + "\n", "<string>", "exec"),
                  _main_module())
    elif options.how == "-m":
        _main_module()
        _first_path(os.getcwd())
        runpy._run_module_as_main(options.program)
    elif path != "-" and _is_container(path):
        _main_module()
        if _SAFE:
            sys.path.insert(0, path)
        _first_path(path)
        runpy._run_module_as_main("__main__", False)
    else:
        _run_file(path)


def _without_us(error):
    """The traceback begins with the program's own frames."""
    traceback = first = error.__traceback__
    while traceback is not None:
        if traceback.tb_frame.f_globals is globals():
            first = traceback.tb_next
        traceback = traceback.tb_next
    return first


def main(words=None):
    """What python -m xlchild.under does; does not return before the program.

    >>> import subprocess, sys
    >>> print(subprocess.run(
    ...     [sys.executable, "-m", "xlchild.under", "--report", "-c",
    ...      "import subprocess; subprocess.call(['echo', 'hello'])"],
    ...     stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    ...     universal_newlines=True).stdout, end="")
    hello
    1 start through xlchild: subprocess 1
    0 past it
    """
    try:
        options = _Options(sys.argv[1:] if words is None else words)
    except ValueError as error:
        print("xlchild.under: %s\n%s" % (error, _USAGE), file=sys.stderr)
        raise SystemExit(2) from None
    file = options.file
    if options.how is None and options.program != "-" \
            and not os.path.exists(options.program):
        print("xlchild.under: can't open file %r: No such file or directory"
              % options.program, file=sys.stderr)
        raise SystemExit(2)
    if options.report and file is None:
        fd, file = tempfile.mkstemp(prefix="xlchild-under-")
        os.close(fd)
    elif file is not None:
        open(file, "ab").close()
    install()
    if options.report:
        _report_to(file, options.file is not None)
    if options.children:
        _environment(file)
    try:
        _run(options)
    except SystemExit:
        raise
    except BaseException:
        theirs = sys.excepthook  # Python's or the program's

        def excepthook(kind, error, traceback):
            error.__traceback__ = _without_us(error)
            theirs(kind, error, error.__traceback__)

        sys.excepthook = excepthook
        raise


if __name__ == "__main__":
    # this module's other copy, which has a name that others can import
    from xlchild.under import main as _main
    _main()
