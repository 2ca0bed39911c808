"""xlchild.pool on a dask cluster: a scheduler, two workers, on loopback."""
import asyncio
import gc
import json
import os
import signal
import subprocess
import sys
import threading
import time

import pytest
from conftest import CHILD

pytest.importorskip("distributed", reason="needs python3-distributed")

from xlchild.pool import Pool  # noqa: E402

pytestmark = pytest.mark.own_process

# The first time, says which worker it has, and stays until it is killed.
ONCE = """
if mkdir "$1/taken" 2>/dev/null; then
    echo $PPID > "$1/worker"
    exec 3> "$1/fifo"
    exec "$2" pause
fi
echo again
"""


def dask(program, *arguments):
    """A scheduler or a worker, as a process of its own."""
    return subprocess.Popen(
        [sys.executable, "-W", "ignore", "-m",
         "distributed.cli.dask_" + program, "--no-dashboard",
         *map(str, arguments)],
        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL)


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    """(the scheduler's address, the pids of the workers)."""
    folder = tmp_path_factory.mktemp("dask")
    where = folder / "scheduler.json"
    processes = [dask("scheduler", "--host", "127.0.0.1", "--port", 0,
                      "--scheduler-file", where)]
    try:
        for _ in range(600):
            if where.exists() and where.read_text().rstrip().endswith("}"):
                break
            assert processes[0].poll() is None
            time.sleep(0.1)
        address = json.loads(where.read_text())["address"]
        processes += [dask("worker", address, "--no-nanny", "--nthreads", 4,
                           "--host", "127.0.0.1", "--local-directory",
                           folder / str(n)) for n in range(2)]
        yield address, [process.pid for process in processes[1:]]
    finally:
        for process in reversed(processes):
            process.kill()
            process.wait()


def client_of(address, workers):
    """A client, once so many workers are there."""
    from distributed import Client
    client = Client(address, timeout=60, set_as_default=False)
    client.wait_for_workers(workers, timeout=60)
    return client


@pytest.mark.filterwarnings("default")
def test_a_killed_worker_loses_nothing(cluster, tmp_path):
    """Its commands run at the other one; its children die with it; each
    command is reported exactly once."""
    address, workers = cluster
    os.mkfifo(tmp_path / "fifo")
    killed = []

    def kill():
        with open(tmp_path / "fifo", "rb") as pipe:
            pid = int((tmp_path / "worker").read_text())
            if pid in workers and pid > 1:
                os.kill(pid, signal.SIGKILL)
                killed.append(pid)
            pipe.read()  # until the child of the dead worker is gone

    commands = [["sh", "-c", ONCE, "sh", str(tmp_path), CHILD]]
    commands += [[CHILD, "say", str(n), "exit", str(n % 200)]
                 for n in range(1, 300)]
    thread = threading.Thread(target=kill)
    thread.start()
    with client_of(address, 2) as client, \
            Pool(32, executor=client) as pool:
        done = list(pool.as_completed(commands))
    thread.join()
    for loop in [o for o in gc.get_objects()
                 if isinstance(o, asyncio.BaseEventLoop)]:
        if not loop.is_running():
            loop.close()  # dask leaves the client's open
    assert killed
    assert sorted(r.index for r in done) == list(range(300))
    assert [r.error for r in done if r.error] == []
    for result in done:
        assert result.returncode == result.index % 200
        assert result.stdout == (b"%d\n" % result.index if result.index
                                 else b"again\n")


def test_the_command_line_on_a_cluster(cluster, tmp_path):
    address, _ = cluster
    report = tmp_path / "report"
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-m", "xlchild", "-k", "-j8",
         "--scheduler", address, "--report", report, CHILD, "say", "{}",
         "exit", "{}", ":::", *map(str, range(20))],
        stdout=subprocess.PIPE, timeout=100)
    assert done.returncode == 19
    assert done.stdout == b"".join(b"%d\n" % n for n in range(20))
    rows = [json.loads(line) for line in report.read_text().splitlines()]
    assert [row["exit"] for row in rows] == list(range(20))
    assert {row["host"] for row in rows} == {os.uname().nodename}


def test_no_scheduler_is_said():
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-m", "xlchild", "--scheduler",
         "tcp://127.0.0.1:1", "echo", ":::", "a"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=100)
    assert (done.returncode, done.stdout) == (255, b"")
    assert b"xlchild: --scheduler tcp://127.0.0.1:1: " in done.stderr
