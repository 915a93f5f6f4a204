"""Of a service's processes one asks the database and the host; each asks its own functions."""

import contextlib
import os
import signal
import sqlite3
import sys
from collections import defaultdict
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from otel_exporter_ndjson import read
from tests.e2e.services import PATIENCE_S, Samples, Service, free_port, until

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


APP = f"""
import os
import otel_metrics
from otel_metrics import service
service.register("{OWN}", lambda: {{str(os.getpid()): 100.0}})
otel_metrics.configure()
def wsgi(environ, start_response):
    start_response("200 OK", [])
    return [b""]
async def asgi(scope, receive, send):
    pass
"""
"""An application that answers anything, since nothing is asked of it."""
WORKERS = 2
SERVERS = {
    "gunicorn": ["gunicorn", "--timeout", "120", "shop:wsgi", "--bind"],
    "uvicorn": ["uvicorn", "shop:asgi", "--lifespan", "off", "--port"],
}
ON_PAGE = {
    QUEUE: "executor_queue_depth",
    HOST: "infra_memory_utilization_percent",
    OWN: "infra_pod_ready_ratio_percent",
}
SCRAPES = 20
"""Pages that are read one after the other; on a busy machine a value may be missing from one."""


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
    _tasks(tmp_path)(1)
    program = service(PROGRAM, env=_env(tmp_path))
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


@pytest.mark.parametrize("server", SERVERS)
def test_workers_of_a_server_show_each_shared_metric_once(
    service: Callable[..., Service], archived: "Archived", tmp_path: Path, server: str
) -> None:
    """When the one that samples is killed another does, and what the dead one saw is gone."""
    tasks = _tasks(tmp_path)
    tasks(1)
    (tmp_path / "shop.py").write_text(APP)
    port = free_port()
    address = f"127.0.0.1:{port}" if "gunicorn" in server else f"{port}"
    program = service(
        command=[sys.executable, "-m", *SERVERS[server], address, "--workers", f"{WORKERS}"],
        env={**_env(tmp_path), "OTEL_METRICS_EXPORTER": "ndjson,prometheus"},
    )
    until(lambda: _depths(program) == [1])
    until(lambda: len(program.page().series(ON_PAGE[OWN])) >= WORKERS)
    until(lambda: program.page().series(ON_PAGE[HOST]))
    holders: list[int] = []
    until(lambda: _enough(archived, []) and _note(archived, holders))
    (holder,) = holders
    before = [program.page() for _ in range(SCRAPES)]
    os.kill(holder, signal.SIGKILL)
    tasks(4)
    seen = _depths_until(program, 5)
    after = [program.page() for _ in range(SCRAPES)]
    until(lambda: _enough(archived, [holder]))

    assert max(len(page.series(ON_PAGE[HOST])) for page in before + after) == 1
    assert all(depths in ([1], [], [5]) for depths in seen)
    assert all(_depths_on(page) in ([], [5]) for page in after)
    assert f'"{holder}"' not in str(list(after[-1].series(ON_PAGE[OWN])))


def _note(archived: "Archived", holders: list[int]) -> bool:
    """Note who samples the database, unless a segment is compressed meanwhile."""
    with contextlib.suppress(FileNotFoundError):
        holders.extend(samples(archived, QUEUE))
        return True
    return False


def _depths(program: Service) -> list[float]:
    """Return what the page shows of the queue, one value a series."""
    return _depths_on(program.page())


def _depths_until(program: Service, depth: float) -> list[list[float]]:
    """Return what each page shows of the queue, until one shows this."""
    seen: list[list[float]] = []

    def is_seen() -> bool:
        seen.append(_depths(program))
        return seen[-1] == [depth]

    until(is_seen)
    return seen


def _depths_on(page: Samples) -> list[float]:
    return list(page.series(ON_PAGE[QUEUE]).values())


def _tasks(folder: Path) -> Callable[[int], None]:
    """Make a database, and return what puts tasks into its one queue."""

    def put(count: int) -> None:
        row = ("mail", "pending", "2026-01-01 00:00:00")
        with contextlib.closing(sqlite3.connect(folder / "tasks.db")) as database, database:
            database.executemany("INSERT INTO tasks VALUES (?, ?, ?)", [row] * count)

    with contextlib.closing(sqlite3.connect(folder / "tasks.db")) as database, database:
        database.execute("CREATE TABLE tasks (queue TEXT, status TEXT, created_at TIMESTAMP)")
    return put


def _env(folder: Path) -> dict[str, str]:
    """Return variables of a service that asks often, and a database."""
    (folder / "often.yaml").write_text(CATALOG)
    return {
        "OTEL_PYTHON_METRICS_CATALOG": str(folder / "often.yaml"),
        "OTEL_PYTHON_METRICS_SERVICE_SQL_URL": f"sqlite:///{folder / 'tasks.db'}",
        "OTEL_PYTHON_METRICS_SERVICE_DB": str(folder / "service.db"),
    }


def _enough(archived: "Archived", before: list[int]) -> bool:
    """Tell whether a process has sampled database and host for a while, after others."""
    try:
        both = [samples(archived, metric) for metric in (QUEUE, HOST)]
    except FileNotFoundError:  # a segment was compressed meanwhile
        return False
    return all(
        any(len(times) >= SAMPLES for each, times in found.items() if each not in before)
        for found in both
    )
