"""A host that has been made odd before its main (tests/c/dirty.c): starts
tests/helpers/witness.c by fork and exec alone, by each row of
tests/vectors/witness_options.tsv, and in each way of the package.

usage: witness_host.py WITNESS REPORT; called by test_witness.py, with
dirty.so preloaded. Prints {how: report} as JSON.
"""
import asyncio
import json
import os
import subprocess
import sys

import tables

import xlchild
import xlchild.aio
import xlchild.pool

WITNESS, REPORT = sys.argv[1:]
COMMAND = [WITNESS, REPORT]


def report(start):
    """What the witness says that start() starts and waits for."""
    with open(REPORT, "w", encoding="utf-8"):
        os.chmod(REPORT, 0o666)
    status = start()
    assert status == 0, (start, status)
    with open(REPORT, encoding="utf-8") as file:
        return file.read()


def bare():
    """The kernel's fork and exec, and nothing more."""
    pid = os.fork()
    if not pid:
        try:
            os.execv(WITNESS, COMMAND)
        finally:
            os._exit(127)
    return os.waitpid(pid, 0)[1]


def by_row(ctx, row):
    """As the row has it."""
    options = tables.options(row["settings"], {})[1]
    process = xlchild.Process(ctx, COMMAND)
    process.id, process.pid = ctx._spawn(COMMAND, options, 0, 0)
    process._held = True
    return process.wait().returncode


async def in_asyncio():
    process = await xlchild.aio.create_subprocess_exec(*COMMAND)
    return await process.wait()


def in_a_pool():
    result, = xlchild.pool.run_many([COMMAND])
    return result.returncode


WAYS = {
    "spawn": lambda ctx: xlchild.spawn(COMMAND).wait().returncode,
    "Context.spawn": lambda ctx: ctx.spawn(COMMAND).wait().returncode,
    "Context.run": lambda ctx: ctx.run(COMMAND).returncode,
    "Popen": lambda ctx: xlchild.Popen(COMMAND).wait(),
    "run": lambda ctx: xlchild.run(COMMAND).returncode,
    "run, timeout": lambda ctx: xlchild.run(COMMAND, timeout=60).returncode,
    "call": lambda ctx: xlchild.call(COMMAND),
    "aio": lambda ctx: asyncio.run(in_asyncio()),
    "aio.run": lambda ctx: asyncio.run(xlchild.aio.run(COMMAND)).returncode,
    "pool": lambda ctx: in_a_pool(),
    "subprocess": lambda ctx: subprocess.call(COMMAND),
}


def main():
    told = {"bare": report(bare)}
    with xlchild.Context() as ctx:
        for row in tables.rows("witness_options.tsv"):
            if row["needs"] != "root" or os.geteuid() == 0:
                told["row " + row["id"]] = report(lambda: by_row(ctx, row))
        for name, start in WAYS.items():
            told[name] = report(lambda: start(ctx))
    json.dump(told, sys.stdout)


main()
