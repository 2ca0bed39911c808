"""xlchild.pool on a dask cluster: a scheduler, two workers, on loopback."""
import asyncio
import contextlib
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

pytestmark = [pytest.mark.own_process, pytest.mark.filterwarnings("default")]

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


@contextlib.contextmanager
def running(folder, workers):
    """(the scheduler's address, the processes: its own, the workers')."""
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
                           folder / str(n)) for n in range(workers)]
        yield address, processes
    finally:
        for process in reversed(processes):
            process.kill()
            process.wait()


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    """(the scheduler's address, the pids of the workers)."""
    with running(tmp_path_factory.mktemp("dask"), 2) as (address, processes):
        yield address, [process.pid for process in processes[1:]]


def client_of(address, workers):
    """A client, once so many workers are there."""
    from distributed import Client
    client = Client(address, timeout=60, set_as_default=False)
    client.wait_for_workers(workers, timeout=60)
    return client


def close_loops():
    """Dask leaves the client's open."""
    for loop in [o for o in gc.get_objects()
                 if isinstance(o, asyncio.BaseEventLoop)]:
        if not loop.is_running():
            loop.close()


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
    close_loops()
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


# Says that it runs, and stays until it is killed.
STAY = 'exec 3> "$1"; exec "$2" pause'


def test_a_scheduler_that_is_gone_ends_it_all(tmp_path):
    """With the reason, and every command that was begun is told of."""
    os.mkfifo(tmp_path / "fifo")
    with running(tmp_path, 1) as (address, processes):
        client_of(address, 1).close()  # the worker is there
        close_loops()
        ours = subprocess.Popen(
            [sys.executable, "-W", "ignore", "-m", "xlchild", "-j4",
             "--scheduler", address, "--report", tmp_path / "report",
             "--retries", "3", "sh", "-c", STAY, "sh", tmp_path / "fifo",
             CHILD], stdin=subprocess.PIPE, stderr=subprocess.PIPE)
        ours.stdin.write(b"".join(b"%d\n" % n for n in range(50)))
        ours.stdin.flush()  # and more might come
        with open(tmp_path / "fifo", "rb"):
            processes[0].kill()
            processes[0].wait()
            _, err = ours.communicate(timeout=100)
    assert ours.returncode == 255
    words = [line for line in err.decode().splitlines()
             if line.startswith("xlchild: ")]
    rows = [json.loads(line) for line in
            (tmp_path / "report").read_text().splitlines()]
    # those that were to be tried again are not: they count as cancelled
    told = [row for row in rows if not row["cancelled"]]
    assert len(words) == len(told) and len(rows) < 50
    assert {row["seq"] for row in rows} >= {1, 2, 3, 4}
    assert not any(row["ok"] for row in rows)
    assert any("the dask scheduler %s is gone" % address in line
               for line in words)
    assert all("is gone" in line or "whether it ran is not known" in line
               for line in words)


def test_a_client_that_is_closed_meanwhile(cluster, tmp_path):
    """Each command is told of, once, also those that come later."""
    from xlchild.pool._result import ExecutorGone
    os.mkfifo(tmp_path / "fifo")
    client = client_of(cluster[0], 1)

    def close():
        with open(tmp_path / "fifo", "rb"):
            client.close()

    thread = threading.Thread(target=close)
    thread.start()
    command = ["sh", "-c", STAY, "sh", str(tmp_path / "fifo"), CHILD]
    with Pool(2, executor=client, attempts=5) as pool:
        done = list(pool.as_completed([command] * 10))
        # a pool that has nobody to run its commands still ends
        assert isinstance(next(pool.map([["true"]])).error, ExecutorGone)
    thread.join()
    close_loops()
    assert sorted(result.index for result in done) == list(range(10))
    assert all(result.status is None for result in done)
    assert all(isinstance(result.error, ExecutorGone)
               for result in done if result.index > 1)


def test_cancelling_where_the_client_is_closed(cluster):
    """It says no more than that it cannot."""
    client = client_of(cluster[0], 1)
    pool = Pool(2, executor=client)
    client.close()
    results = pool.as_completed([["true"]] * 3)
    assert next(results).status is None
    pool.cancel()
    pool.close()
    close_loops()
