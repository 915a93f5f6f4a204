"""The built-in queries against a real SQLite database of the documented schema."""

import sqlite3
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Final

import pytest

from otel_metrics.catalog import builtin
from otel_metrics.catalog.queries import problem_of

SCHEMA: Final = """
CREATE TABLE tasks (id INTEGER PRIMARY KEY, queue TEXT NOT NULL, status TEXT NOT NULL,
  created_at TIMESTAMP NOT NULL, started_at TIMESTAMP, finished_at TIMESTAMP);
CREATE TABLE workers (id TEXT PRIMARY KEY, pool TEXT NOT NULL, busy BOOLEAN NOT NULL,
  seen_at TIMESTAMP NOT NULL);
CREATE TABLE sessions (id INTEGER PRIMARY KEY, started_at TIMESTAMP NOT NULL);
CREATE TABLE sources (id INTEGER PRIMARY KEY, status TEXT NOT NULL, is_new BOOLEAN NOT NULL,
  checked_at TIMESTAMP NOT NULL);
CREATE TABLE sandbox_runs (id INTEGER PRIMARY KEY, passed BOOLEAN NOT NULL,
  finished_at TIMESTAMP NOT NULL);
CREATE TABLE plans (id INTEGER PRIMARY KEY, status TEXT NOT NULL, finished_at TIMESTAMP);
CREATE TABLE actions (id INTEGER PRIMARY KEY, autonomous BOOLEAN NOT NULL,
  done_at TIMESTAMP NOT NULL);
CREATE TABLE approvals (id INTEGER PRIMARY KEY, status TEXT NOT NULL, asked_at TIMESTAMP NOT NULL);
"""
NOW: Final = datetime(2026, 1, 1, 12, tzinfo=UTC)

Rows = list[tuple[object, ...]]


def ago(**passed: float) -> str:
    """Return a time before now, as the database keeps it."""
    return (NOW - timedelta(**passed)).strftime("%Y-%m-%d %H:%M:%S")


RECENT, OLD = ago(minutes=1), ago(minutes=6)
ROWS: Final[dict[str, Rows]] = {
    "tasks": [
        (1, "emails", "pending", ago(seconds=90), None, None),
        (2, "emails", "pending", ago(seconds=30), None, None),
        (3, "emails", "done", ago(hours=2), ago(hours=1), ago(hours=1)),
        (4, "thumbnails", "running", ago(hours=2), RECENT, None),
    ],
    "workers": [
        ("a", "small", True, RECENT),
        ("b", "small", False, RECENT),
        ("c", "small", True, OLD),
        ("d", "large", True, RECENT),
    ],
    "sessions": [(1, RECENT), (2, RECENT), (3, OLD)],
    "sources": [
        (1, "verified", True, RECENT),
        (2, "verified", False, RECENT),
        (3, "rejected", False, RECENT),
        (4, "blocked", False, RECENT),
        (5, "blocked", True, OLD),
    ],
    "sandbox_runs": [(1, True, RECENT), (2, False, RECENT), (3, False, OLD)],
    "plans": [
        (1, "succeeded", RECENT),
        (2, "failed", RECENT),
        (3, "rolled_back", RECENT),
        (4, "succeeded", RECENT),
        (5, "running", None),
        (6, "rolled_back", OLD),
    ],
    "actions": [(1, True, RECENT), (2, True, RECENT), (3, True, RECENT), (4, False, RECENT)],
    "approvals": [(1, "pending", OLD), (2, "pending", RECENT), (3, "approved", RECENT)],
}
QUERIES: Final = {
    metric.name: metric.source.query
    for metric in builtin().metrics.values()
    if metric.source is not None and metric.source.type == "sql" and metric.source.query
}


@pytest.fixture
def database() -> Iterator[sqlite3.Connection]:
    connection = sqlite3.connect(":memory:")
    connection.executescript(SCHEMA)
    yield connection
    connection.close()


def filled(database: sqlite3.Connection) -> sqlite3.Connection:
    for table, rows in ROWS.items():
        marks = ", ".join("?" * len(rows[0]))
        database.executemany(f"INSERT INTO {table} VALUES ({marks})", rows)
    return database


def answers(database: sqlite3.Connection) -> dict[str, Rows]:
    times = {"now": ago(), "since": ago(minutes=5)}
    return {
        name: sorted(database.execute(query, times).fetchall()) for name, query in QUERIES.items()
    }


def test_every_query_gives_the_figure_that_its_metric_promises(
    database: sqlite3.Connection,
) -> None:
    """Of each queue and pool, and of the last 5 minutes where the metric says so."""
    assert answers(filled(database)) == {
        "executor.queue_depth": [("emails", 2), ("thumbnails", 0)],
        "executor.task_latency": [("emails", ago(seconds=90)), ("thumbnails", ago())],
        "executor.worker_utilization": [("large", 100.0), ("small", 50.0)],
        "learning.sessions_started": [(2,)],
        "learning.sources_verified": [(50.0,)],
        "learning.sandbox_pass_rate": [(50.0,)],
        "learning.governance_blocks": [(1,)],
        "learning.source_freshness_ratio": [(25.0,)],
        "autonomy.plan_success_rate": [(50.0,)],
        "autonomy.approvals_pending": [(2,)],
        "autonomy.autonomy_ratio": [(75.0,)],
        "autonomy.rollback_rate": [(25.0,)],
    }


def test_where_nothing_was_done_a_count_is_0_and_a_share_is_not_there(
    database: sqlite3.Connection,
) -> None:
    """A share of nothing would look like all good, or like all bad."""
    found = answers(database)

    counts = {
        "learning.sessions_started",
        "learning.governance_blocks",
        "autonomy.approvals_pending",
    }
    of_each = {name for name in QUERIES if name.startswith("executor.")}
    assert {name for name, rows in found.items() if rows == [(0,)]} == counts
    assert {name for name, rows in found.items() if rows == []} == of_each
    assert {name for name, rows in found.items() if rows == [(None,)]} == (
        QUERIES.keys() - counts - of_each
    )


@pytest.mark.parametrize("name", QUERIES)
def test_every_built_in_query_is_one_that_a_file_may_have(name: str) -> None:
    """What is refused of a user is not done by us."""
    assert problem_of(QUERIES[name]) is None
