"""Many processes append to one agent's files, and one is killed at any moment."""

import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from otel_metrics.executions import ExecutionFiles
from otel_metrics.line_files import BadLine

pytestmark = pytest.mark.slow

PROCESSES = 6
APPENDS = 250
SHARED = 50
WORKER = """
import sys
from otel_metrics.executions import ExecutionFiles
project, name, appends, shared = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
files = ExecutionFiles(project)
for number in range(appends):
    key = f"{name}-{number}"
    if files.append("a", success=True, idempotency_key=key, metadata={"x": "y" * (number % 500)}):
        print(key, flush=True)
    if number < shared:
        files.append("a", success=False, idempotency_key=f"shared-{number}")
"""

FOREIGN = 1_000
WITHOUT_A_LOCK = """
import json, sys, time
with open(sys.argv[1], "ab", buffering=0) as file:
    for number in range(int(sys.argv[2])):
        record = {"agent": "a", "success": True, "idempotency_key": f"foreign-{number}"}
        file.write(json.dumps(record).encode() + b"\\n")
        time.sleep(0.0003)
"""


def test_every_acknowledged_run_is_there_once(tmp_path: Path) -> None:
    """None interleaved, a key that all of them say once, and the summary that of the file."""
    seed = random.randrange(2**32)
    print("seed", seed)
    workers = [
        subprocess.Popen(
            [sys.executable, "-c", WORKER, str(tmp_path), str(number), str(APPENDS), str(SHARED)],
            stdout=subprocess.PIPE,
            text=True,
        )
        for number in range(PROCESSES)
    ]
    victim = workers[0]
    assert victim.stdout is not None
    acknowledged = [victim.stdout.readline().strip()]
    time.sleep(random.Random(seed).uniform(0, 0.3))
    victim.send_signal(signal.SIGKILL)
    for worker in workers:
        acknowledged += worker.communicate(timeout=100)[0].split()
    files = ExecutionFiles(tmp_path)
    bad: list[BadLine] = []
    keys = [record["idempotency_key"] for record in files.records("a", bad=bad)]
    folder = tmp_path / ".kaizen" / "metrics" / "a"

    assert victim.returncode == -signal.SIGKILL
    assert len(acknowledged) >= (PROCESSES - 1) * APPENDS
    assert set(acknowledged) <= set(keys)
    assert len(keys) == len(set(keys))
    assert {f"shared-{number}" for number in range(SHARED)} <= set(keys)
    assert len(bad) <= 1
    assert files.summary("a")["execution_count"] == len(keys)
    assert json.loads((folder / "summary.json").read_text()) == files.summary("a")


def test_a_summary_never_goes_backwards(tmp_path: Path) -> None:
    """Whoever reads it while others append sees a whole one, and counts that only rise."""
    files = ExecutionFiles(tmp_path)
    files.append("a", success=True)
    path = tmp_path / ".kaizen" / "metrics" / "a" / "summary.json"
    workers = [
        subprocess.Popen(
            [sys.executable, "-c", WORKER, str(tmp_path), str(number), "150", "0"],
            stdout=subprocess.DEVNULL,
        )
        for number in range(2)
    ]
    seen = [0]
    while any(worker.poll() is None for worker in workers):
        seen.append(json.loads(path.read_text())["execution_count"])
        files.summary("a")
    seen.append(json.loads(path.read_text())["execution_count"])

    assert seen == sorted(seen)
    assert seen[-1] == 301


def test_runs_that_are_recorded_while_old_ones_are_pruned_stay(tmp_path: Path) -> None:
    """The file is replaced under writers that wait for it."""
    files = ExecutionFiles(tmp_path)
    done = threading.Event()
    kept = []

    def write() -> None:
        for number in range(300):
            files.append("a", success=True, timestamp=1_000_000)
            if files.append("a", success=True, idempotency_key=str(number)):
                kept.append(str(number))
        done.set()

    thread = threading.Thread(target=write)
    thread.start()
    while not done.is_set():
        files.folder.prune("a", time.time() - 3600)
    thread.join()
    files.folder.prune("a", time.time() - 3600)

    assert [record["idempotency_key"] for record in files.records("a")] == kept
    assert files.summary("a")["execution_count"] == len(kept) == 300


@pytest.mark.parametrize("start", ["fork", "threads"])
def test_a_fork_and_threads_share_the_files(tmp_path: Path, start: str) -> None:
    """With one object: in a child that inherits it, and in threads."""
    files = ExecutionFiles(tmp_path)
    files.append("a", success=True, idempotency_key="first")

    def write(name: str) -> None:
        for number in range(40):
            assert files.append("a", success=True, idempotency_key=f"{name}-{number}")
            assert files.append("a", success=True, idempotency_key="first")

    if start == "fork":
        children = []
        for name in "bcd":
            pid = os.fork()
            if not pid:
                try:
                    write(name)
                    os._exit(0)
                finally:
                    os._exit(1)
            children.append(pid)
        write("e")
        assert [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in children] == [0, 0, 0]
    else:
        threads = [threading.Thread(target=write, args=(name,)) for name in "bcde"]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    keys = [record["idempotency_key"] for record in files.records("a")]
    assert len(keys) == len(set(keys)) == 161
    assert files.summary("a")["execution_count"] == 161


def test_lines_of_who_asks_for_no_lock_are_counted_and_their_keys_known(tmp_path: Path) -> None:
    """Whenever they come: between the appends of others and in the middle of one."""
    files = ExecutionFiles(tmp_path)
    files.append("a", success=True)
    path = tmp_path / ".kaizen" / "metrics" / "a" / "executions.jsonl"
    foreign = subprocess.Popen([sys.executable, "-c", WITHOUT_A_LOCK, str(path), str(FOREIGN)])
    ours = 1
    while foreign.poll() is None:
        ours += files.append("a", success=True)

    assert files.summary("a")["execution_count"] == ours + FOREIGN
    for number in range(FOREIGN):
        key = {"agent": "a", "success": False, "idempotency_key": f"foreign-{number}"}
        assert files.keep(key).is_duplicate
