"""Python's ways of having children, one a name.

usage: python_hosts.py WAY. Run by tests/hosts/driver.py; see ../README.md.
"""
import os
import sys

COUNT = 50
CHILD = os.environ["XLHOST_CHILD"]


def words(i):
    """The command of child number i."""
    return [CHILD, "sleep-ms", str(i % 16), "exit", str(101 + i)]


def tell(word):
    """Say it to the shim, or to nobody."""
    with open(os.environ["XLHOST_GO"], "w", encoding="ascii") as go:
        go.write(word + "\n")


def result(i, what):
    """What became of child number i: its code, or what went wrong."""
    if isinstance(what, BaseException):
        what = f"lost {type(what).__name__}: {what}"
    with open(os.environ["XLHOST_RESULT"], "a", encoding="utf-8") as file:
        file.write(f"{i} {what}\n")


def subprocess_popen():
    import subprocess

    tell("go")
    children = [subprocess.Popen(words(i)) for i in range(COUNT)]
    for i, child in enumerate(children):
        result(i, child.wait())


def os_waitpid():
    tell("go")
    children = [os.posix_spawn(CHILD, words(i), os.environ)
                for i in range(COUNT)]
    for i, pid in enumerate(children):
        try:
            result(i, os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
        except ChildProcessError as error:
            result(i, error)


def end_with(code):
    """What a process of multiprocessing's does."""
    os._exit(code)


def multiprocessing_process():
    import multiprocessing

    tell("go")
    children = [multiprocessing.get_context("fork").Process(
        target=end_with, args=(101 + i,)) for i in range(COUNT)]
    for child in children:
        child.start()
    for i, child in enumerate(children):
        child.join()
        result(i, child.exitcode)


async def asyncio_main():
    import asyncio

    async def one(i):
        try:
            child = await asyncio.create_subprocess_exec(*words(i))
            result(i, await child.wait())
        except OSError as error:
            result(i, error)

    first = await asyncio.create_subprocess_exec(CHILD, "exit", "0")
    await first.wait()
    tell("go")
    await asyncio.gather(*map(one, range(COUNT)))


def asyncio_with(watcher):
    """asyncio with the child watcher of this name."""
    import asyncio

    def run():
        make = getattr(asyncio, watcher)
        loop = asyncio.new_event_loop()
        asyncio.set_event_loop(loop)
        watching = make()
        if hasattr(watching, "attach_loop"):
            watching.attach_loop(loop)
        asyncio.set_child_watcher(watching)
        loop.run_until_complete(asyncio_main())

    return run


def uvloop_run():
    import asyncio

    import uvloop

    uvloop.install()
    asyncio.run(asyncio_main())


def trio_run():
    import trio

    async def one(i):
        try:
            child = await trio.lowlevel.open_process(words(i))
            result(i, await child.wait())
        except OSError as error:
            result(i, error)

    async def main():
        async with trio.open_nursery() as nursery:
            for i in range(COUNT):
                nursery.start_soon(one, i)

    tell("go")
    trio.run(main)


def gevent_popen():
    import gevent.monkey

    gevent.monkey.patch_all()
    import gevent
    import gevent.subprocess

    def one(i):
        result(i, gevent.subprocess.Popen(words(i)).wait())

    gevent.subprocess.Popen([CHILD, "exit", "0"]).wait()
    tell("go")
    gevent.joinall([gevent.spawn(one, i) for i in range(COUNT)])


def eventlet_popen():
    import eventlet

    eventlet.monkey_patch()
    from eventlet.green import subprocess

    def one(i):
        result(i, subprocess.Popen(words(i)).wait())

    tell("go")
    pool = eventlet.GreenPool(COUNT)
    for i in range(COUNT):
        pool.spawn_n(one, i)
    pool.waitall()


def glib_watch():
    from gi.repository import GLib

    loop = GLib.MainLoop()
    living = [COUNT]

    def ended(pid, status, i):
        result(i, os.waitstatus_to_exitcode(status))
        living[0] -= 1
        if not living[0]:
            loop.quit()

    tell("go")
    for i in range(COUNT):
        pid = GLib.spawn_async(words(i),
                               flags=GLib.SpawnFlags.DO_NOT_REAP_CHILD)[0]
        GLib.child_watch_add(GLib.PRIORITY_DEFAULT, pid, ended, i)
    loop.run()


WATCHERS = {
    "asyncio-thread": "ThreadedChildWatcher",
    "asyncio-pidfd": "PidfdChildWatcher",
    "asyncio-safe": "SafeChildWatcher",
    "asyncio-fast": "FastChildWatcher",
    "asyncio-multi": "MultiLoopChildWatcher",
}
WAYS = {
    "subprocess": subprocess_popen,
    "waitpid": os_waitpid,
    "multiprocessing": multiprocessing_process,
    "trio": trio_run,
    "uvloop": uvloop_run,
    "gevent": gevent_popen,
    "eventlet": eventlet_popen,
    "glib": glib_watch,
}


def main():
    """Run one way, and stay until the shim has done its part."""
    way = sys.argv[1]
    if way in WATCHERS:
        asyncio_with(WATCHERS[way])()
    else:
        WAYS[way]()
    tell("done")
    with open(os.environ["XLHOST_END"], "rb", buffering=0) as end:
        end.read(4)


if __name__ == "__main__":
    main()
