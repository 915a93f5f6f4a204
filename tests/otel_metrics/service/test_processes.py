"""Processes of one service that sample and close windows together, by the real clock."""

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from otel_metrics.service.history import PAGE_MAX, Question
from otel_metrics.service.store import ServiceStore
from tests.otel_metrics.service.kept import Kept

DEADLINE_S = 120.0
PROCESSES = 4
SAMPLES = 300
WORKER = """
import json, sys, time
from otel_metrics.catalog.loader import builtin
from otel_metrics.service.keeper import Keeper
from otel_metrics.service.samples import Resource, Sample
from otel_metrics.service.store import ServiceStore

emitted = []
def emit(name, attributes, *, timestamp_ns=None):
    emitted.append(attributes["snapshot_id"])
keeper = Keeper(builtin().metrics, window_s=1, store=ServiceStore("service.db"), emit=emit)
keeper.start()
for number in range(int(sys.argv[1])):
    keeper.take(Sample(metric="infra.cpu_utilization", resource=Resource("host", "h"),
                       value=1.0, observed_at=time.time(), band="good"))
    time.sleep(0.01)
keeper.stop(time.monotonic() + 60)
print(json.dumps(emitted))
"""


@pytest.mark.slow
def test_each_window_of_a_service_is_closed_by_one_process(tmp_path: Path) -> None:
    """Every sample counts once, and every event is emitted once."""
    command = [sys.executable, "-c", WORKER, str(SAMPLES)]
    workers = [
        subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE) for _ in range(PROCESSES)
    ]
    emitted: list[Any] = []
    for worker in workers:
        said, _ = worker.communicate(timeout=DEADLINE_S)
        emitted += json.loads(said)
    store = ServiceStore(tmp_path / "service.db")
    last = Kept(store, window_s=1, now=time.time() + 60)
    last.pass_(0)
    emitted += [snapshot["snapshot_id"] for snapshot in last.snapshots()]
    rows = store.page(Question(limit=PAGE_MAX))
    store.close()

    assert sorted(emitted) == sorted(str(row["snapshot_id"]) for row in rows)
    counted = [row["stats"]["sample_count"] + row["late_samples"] for row in rows]  # type: ignore[index] # a mapping
    assert sum(counted) == PROCESSES * SAMPLES
