"""Processes that act at once do no more than one would."""

import subprocess
import sys
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.otel_metrics.remediation.desks import HOSTS, Desk, request
from tests.otel_metrics.remediation.workers import SELF, WITH_TESTS, engine_of

WAIT_S = 60.0


def together(folder: Path, verb: str, processes: int, count: int) -> list[str]:
    """Run a verb in processes that begin at once, and return what each said."""
    command = [sys.executable, "-m", SELF, str(folder), verb]
    started = [
        subprocess.Popen(
            [*command, str(n), str(count)], stdout=subprocess.PIPE, text=True, env=WITH_TESTS
        )
        for n in range(processes)
    ]
    deadline = time.monotonic() + WAIT_S
    while len(list(folder.glob("ready-*"))) < processes and time.monotonic() < deadline:
        time.sleep(0.01)
    (folder / "go").touch()
    said = [each.communicate(timeout=500)[0] for each in started]
    assert [each.returncode for each in started] == [0] * processes
    return said


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_storm_runs_exactly_what_the_limits_allow(desk: Desk) -> None:
    """M4: of 10,000 requests by four processes for 49 hosts 30 run, on at most 9 hosts, at most 4
    on each, and at most 6 of the one playbook."""
    together(desk.folder, "storm", 4, 2_500)
    runs = [run for run in engine_of(desk.folder)[1].history(limit=1_000) if run.kind == "run"]
    by_playbook = Counter(run.request.playbook for run in runs)
    by_target = Counter(run.request.target.id for run in runs)

    assert len(desk.words()) == len(runs) == 30
    assert by_playbook["scale-workers"] <= 6
    assert len(by_target) <= 9
    assert max(by_target.values()) <= 4
    assert Counter(run.result for run in runs) == {"succeeded": 30}
    assert Counter(result for _, result in desk.audit.told()) == {
        "admitted": 30,
        "intended": 30,
        "succeeded": 30,
    }
    assert desk.faults() == []


def test_threads_of_a_process_run_each_key_once(desk: Desk) -> None:
    """Eight threads ask for the same twenty, each for a target of its own."""
    asked = [request(key=f"key-{n}", target=HOSTS[n], metric=None) for n in range(20)]
    with ThreadPoolExecutor(8) as threads:
        outcomes = list(threads.map(desk.engine.handle, asked * 8))

    assert len(desk.words()) == 20
    assert Counter(each.result for each in outcomes)["succeeded"] == 20
    assert desk.faults() == []


@pytest.mark.slow
def test_a_key_runs_in_one_of_many_processes(desk: Desk) -> None:
    """Eight processes are told the same eight alerts: each is acted on by one of them."""
    said = together(desk.folder, "same", 8, 8)
    outcomes = Counter(line for each in said for line in each.splitlines())

    assert len(desk.words()) == 8
    assert outcomes["succeeded"] == 8
    assert outcomes["succeeded"] + outcomes["repeated"] + outcomes["limited"] == 64
    assert desk.faults() == []
