"""Stores for tests: telemetry with one, and a look into the file and into the archive."""

import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.resources import Resource

import otel_metrics
from otel_metrics import Telemetry
from otel_metrics.archive.feed import EventFeed
from otel_metrics.sovereignty.rows import EVENTS, Event, Position, of_event

__all__ = ["archived", "await_condition", "configured", "rows"]

EVENT_ROWS = """
SELECT name, number, timestamp, event_type, session_id, metadata_json, events.cost_usd
FROM events LEFT JOIN writers ON writers.id = writer
"""


@contextmanager
def configured(tmp_path: Path, path: Path) -> Iterator[Telemetry]:
    """Run telemetry with an archive and a store."""
    # The global provider has the name that an earlier test gave it, whose events these are not.
    own = MeterProvider(resource=Resource({"service.name": "shop"}), shutdown_on_exit=False)
    telemetry = otel_metrics.configure(
        meter_provider=own,
        metrics_exporter=["ndjson"],
        ndjson_path=tmp_path / "archive",
        sovereignty_db=path,
        host_metrics="off",
        exit_timeout="20s",  # a busy machine
    )
    try:
        yield telemetry
    finally:
        telemetry.shutdown()


def rows(path: Path) -> set[tuple[object, ...]]:
    """Return the events of a database, as an outsider sees them."""
    with closing(sqlite3.connect(path, timeout=10)) as connection:
        found = connection.execute(EVENT_ROWS).fetchall()
    assert len(found) == len(set(found))
    return set(found)


def archived(folder: Path) -> set[tuple[object, ...]]:
    """Return the events of an archive, as rows."""
    found = [
        of_event(fed.name, fed.attributes, fed.time_ns, Position(*fed[1:4]))
        for fed in EventFeed(path=str(folder), prefix=EVENTS).events_after({})
        if fed.name
    ]
    events = [tuple(row) for row in found if isinstance(row, Event)]
    assert len(events) == len(set(events))
    return set(events)


def await_condition(holds: Callable[[], bool], seconds: float = 30) -> None:
    """Wait until something is so."""
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.01)
