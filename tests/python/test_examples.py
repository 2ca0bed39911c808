"""Every public name has an example where help() shows it, and each is run.

A class or a function has one in its docstring. A method or a property is
used by one in the docstrings of its class; constants, and exceptions that are
subprocess's own, by any.
"""
import doctest
import importlib
import inspect
import pkgutil
import re
import types

import pytest

import xlchild

PUBLIC = {name: importlib.import_module(name) for name in (
    "xlchild", "xlchild.aio", "xlchild.anyio", "xlchild.cli", "xlchild.pool",
    "xlchild.trio", "xlchild.services")}
THINGS = {(module, name): getattr(PUBLIC[module], name)
          for module in PUBLIC for name in PUBLIC[module].__all__}
OURS = {key: thing for key, thing in THINGS.items()
        if callable(thing) and thing.__module__.startswith("xlchild")}
CALLED = (types.FunctionType, types.MethodDescriptorType, staticmethod,
          classmethod, property, types.GetSetDescriptorType)


def modules():
    """Every module of the package that can be imported."""
    return ["xlchild"] + [
        module.name for module in pkgutil.walk_packages(
            xlchild.__path__, "xlchild.")
        if module.name != "xlchild.__main__"]


def examples(thing):
    """What is run of its docstring."""
    return "".join(example.source for example in
                   doctest.DocTestParser().get_examples(thing.__doc__ or ""))


def members(cls):
    """name -> what one calls or asks for in it, bases of ours included."""
    return {name: thing for base in reversed(cls.__mro__)
            if base.__module__.startswith("xlchild")
            for name, thing in vars(base).items()
            if isinstance(thing, CALLED) and not name.startswith("_")}


@pytest.mark.parametrize("name", modules())
def test_what_the_docstrings_show_is_so(name):
    module = importlib.import_module(name)
    assert module.__doc__ or name.endswith("._libxl")
    assert doctest.testmod(module, optionflags=doctest.ELLIPSIS).failed == 0


def test_the_examples_are_found():
    """Those of methods, of the extension's and of subpackages, too."""
    finder = doctest.DocTestFinder(exclude_empty=True)
    found = {test.name for name in modules()
             for test in finder.find(importlib.import_module(name))
             if test.examples}
    assert {"xlchild._context.Context.spawn", "xlchild._libxl.Ctx.beforepoll",
            "xlchild.aio.run", "xlchild.pool._schedule.Pool.stop"} <= found


@pytest.mark.parametrize("module, name", OURS)
def test_a_public_name_has_an_example(module, name):
    thing = OURS[module, name]
    shown = examples(thing)
    assert shown, "no example in its docstring"
    if not isinstance(thing, type):
        return
    inside = members(thing)
    shown += "".join(map(examples, inside.values()))
    shown += "".join(map(examples, thing.__mro__))
    for member, what in inside.items():
        assert inspect.getdoc(what), member
        assert re.search(r"\.%s\b" % member, shown), \
            "no example uses .%s" % member


def test_a_constant_is_used_by_an_example():
    shown = "".join(examples(what) for thing in OURS.values() for what in (
        [thing] + list(members(thing).values() if isinstance(thing, type)
                       else ())))
    unused = [name for _, name in THINGS.keys() - OURS.keys()
              if not re.search(r"\bxlchild\.%s\b" % name, shown)]
    assert unused == []
