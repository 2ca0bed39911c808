"""run() and its friends, on the process's own Context."""
import subprocess

from ._context import default_context

__all__ = ["run", "spawn", "check_call", "check_output", "call"]


def spawn(args, **options):
    """Start a child on the default context: see Context.spawn.

    >>> import xlchild
    >>> xlchild.spawn(["true"]).wait().success
    True
    """
    return default_context().spawn(args, **options)


def run(args, **options):
    """Run a command to completion: see Context.run.

    >>> import xlchild
    >>> xlchild.run(["echo", "hello"], capture_output=True, text=True).stdout
    'hello\\n'
    """
    return default_context().run(args, **options)


def call(args, **options):
    """Run a command; return its returncode."""
    return run(args, **options).returncode


def check_call(args, **options):
    """Run a command; CalledProcessError unless it exited with 0."""
    run(args, check=True, **options)
    return 0


def check_output(args, **options):
    """Run a command; return its stdout, CalledProcessError on failure."""
    return run(args, check=True, stdout=subprocess.PIPE, **options).stdout
