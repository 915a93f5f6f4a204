"""Of a service's processes one asks the database and the host; each asks its own functions."""

import os
import signal
import sqlite3
from collections import defaultdict
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from otel_exporter_ndjson import read
from tests.e2e.services import PATIENCE_S, Service, until

if TYPE_CHECKING:
    from tests.e2e.conftest import Archived

pytestmark = pytest.mark.slow

SAMPLES = 2
"""So many times a process samples the database before it is killed."""
QUEUE, HOST, OWN = "executor.queue_depth", "infra.memory_utilization", "infra.pod_ready_ratio"
CATALOG = f"""
file_format: definition/2
metric_refinements:
  - {{id: test.queue, ref: {QUEUE}, annotations: {{source: {{interval: 1s}}}}}}
  - {{id: test.host, ref: {HOST}, annotations: {{source: {{interval: 1s}}}}}}
  - {{id: test.own, ref: {OWN}, annotations: {{source: {{interval: 1s}}}}}}
"""
PROGRAM = f"""
import os
import otel_metrics
from otel_metrics import service
service.register("{OWN}", lambda: {{str(os.getpid()): 100.0}})
otel_metrics.configure()
for _ in range(2):
    if os.fork() == 0:
        break
os.read(0, 1)
"""


def samples(archived: "Archived", metric: str) -> dict[int, list[int]]:
    """Return when each process sampled a metric, in nanoseconds."""
    records = list(read(archived.root, signal="events")) if archived.root.exists() else []
    writers = {  # after them: a writer may have begun just now
        each["writer"]["instance"]: each["writer"]["pid"] for each in archived.lines("segment")
    }
    found: defaultdict[int, list[int]] = defaultdict(list)
    for record in records:
        about = record.data["attributes"]
        if record.data["event"] != "service.sample" or record.time_ns is None:
            continue
        if about["payload"]["metric_id"] == metric:
            found[writers[record.instance]].append(record.time_ns)
    return dict(found)


def test_one_process_asks_the_database_and_each_its_own_functions(
    service: Callable[..., Service], archived: "Archived", tmp_path: Path
) -> None:
    """When it is killed another one asks, and the host too; no two ever do at once."""
    with sqlite3.connect(tmp_path / "tasks.db") as database:
        database.execute("CREATE TABLE tasks (queue TEXT, status TEXT, created_at TIMESTAMP)")
        database.execute("INSERT INTO tasks VALUES ('mail', 'pending', '2026-01-01 00:00:00')")
    database.close()
    (tmp_path / "often.yaml").write_text(CATALOG)
    env = {
        "OTEL_PYTHON_METRICS_CATALOG": str(tmp_path / "often.yaml"),
        "OTEL_PYTHON_METRICS_SERVICE_SQL_URL": f"sqlite:///{tmp_path / 'tasks.db'}",
    }
    program = service(PROGRAM, env=env)
    until(lambda: len(samples(archived, OWN)) == 3)
    holders: list[int] = []
    for _ in range(3):
        until(lambda: _enough(archived, holders))
        (holder,) = set(samples(archived, QUEUE)) - set(holders)
        holders.append(holder)
        os.kill(holder, signal.SIGKILL)
    by_database, by_host = samples(archived, QUEUE), samples(archived, HOST)

    assert set(holders) == set(samples(archived, OWN))
    assert holders[0] == program.pid
    assert set(by_host) == set(holders)
    for ended, begun in pairwise(by_database[holder] for holder in holders):
        assert max(ended) < min(begun) < max(ended) + PATIENCE_S * 1e9


def _enough(archived: "Archived", before: list[int]) -> bool:
    """Tell whether a process has sampled database and host for a while, after others."""
    both = [samples(archived, metric) for metric in (QUEUE, HOST)]
    return all(
        any(len(times) >= SAMPLES for each, times in found.items() if each not in before)
        for found in both
    )
