"""The fixtures of pytest-jupyter, which Debian has not, that jupyter_client's
tests use: run.py puts the folder above on the path of both runs."""
import asyncio
import inspect

import pytest


@pytest.fixture
def jp_asyncio_loop():
    """The loop of the test and of its fixtures."""
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    yield loop
    loop.run_until_complete(loop.shutdown_asyncgens())
    loop.close()


@pytest.fixture
def jp_environ(tmp_path, monkeypatch):
    """Jupyter's folders are below tmp_path."""
    for name in ("JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR",
                 "JUPYTER_RUNTIME_DIR", "IPYTHONDIR"):
        folder = tmp_path / name.lower()
        folder.mkdir()
        monkeypatch.setenv(name, str(folder))


@pytest.hookimpl(tryfirst=True)
def pytest_fixture_setup(fixturedef, request):
    """A fixture that is a coroutine or an asynchronous generator."""
    function = fixturedef.func
    if inspect.isasyncgenfunction(function):
        loop = request.getfixturevalue("jp_asyncio_loop")

        def of_generator(*args, **kwargs):
            generator = function(*args, **kwargs)
            yield loop.run_until_complete(generator.__anext__())
            for _ in range(1):
                try:
                    loop.run_until_complete(generator.__anext__())
                except StopAsyncIteration:
                    return
        fixturedef.func = of_generator
    elif inspect.iscoroutinefunction(function):
        loop = request.getfixturevalue("jp_asyncio_loop")

        def of_coroutine(*args, **kwargs):
            return loop.run_until_complete(function(*args, **kwargs))
        fixturedef.func = of_coroutine


@pytest.hookimpl(tryfirst=True)
def pytest_pycollect_makeitem(collector, name, obj):
    """A coroutine function is a test like any other."""
    if collector.funcnamefilter(name) and inspect.iscoroutinefunction(obj):
        return list(collector._genfunctions(name, obj))
    return None


def pytest_runtest_setup(item):
    """Its loop is there before its other fixtures."""
    if inspect.iscoroutinefunction(getattr(item, "obj", None)) \
            and "jp_asyncio_loop" not in item.fixturenames:
        item.fixturenames.insert(0, "jp_asyncio_loop")


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem):
    """Run a coroutine function to its end."""
    if not inspect.iscoroutinefunction(pyfuncitem.obj):
        return None
    loop = pyfuncitem.funcargs["jp_asyncio_loop"]
    given = {name: pyfuncitem.funcargs[name]
             for name in pyfuncitem._fixtureinfo.argnames}
    loop.run_until_complete(pyfuncitem.obj(**given))
    return True
