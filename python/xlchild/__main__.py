"""python -m xlchild: see xlchild.cli."""
import _signal as signal  # the built-in half: the other is slow to import
import sys


def main():
    """The command line, as a program of its own; its exit status.

    Until it has handlers of its own there is nothing to tidy up. Ctrl-C ends
    it then as any program: a KeyboardInterrupt gets lost where it comes while
    Python imports something.
    """
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    from . import cli
    return cli.main()


if __name__ == "__main__":
    sys.exit(main())
