"""The two names of pytest-relaxed, which Debian has not, that invoke's tests
import: run.py puts this folder on the path of both runs."""
import functools
import io
import sys

import pytest


def trap(function):
    """What it prints can be asked of sys.stdout and sys.stderr."""
    @functools.wraps(function)
    def trapped(*args, **kwargs):
        before = sys.stdout, sys.stderr
        sys.stdout, sys.stderr = io.StringIO(), io.StringIO()
        try:
            return function(*args, **kwargs)
        finally:
            sys.stdout, sys.stderr = before
    return trapped


def raises(kind):
    """The test passes if it raises that."""
    def decorate(function):
        @functools.wraps(function)
        def caught(*args, **kwargs):
            with pytest.raises(kind):
                function(*args, **kwargs)
        return caught
    return decorate
