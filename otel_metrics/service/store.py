"""Samples of open windows, and snapshots of those that are closed, in an SQLite file.

The processes of a service share it. A sample is in the file when `add` returns. A window is closed
by whoever comes first, in one transaction that keeps its snapshot and removes its samples, so that
a kill at any moment leaves either both or neither: no snapshot is lost, none is there twice.

The event of a snapshot is emitted after its row is kept, and the row says so in the same
transaction. A kill in between has the event emitted again, with the same `snapshot_id`.

Threads: any; see `otel_metrics.sqlite`. Pages are read through a connection of their own.
"""

import contextlib
import math
import os
import sqlite3
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Final, Protocol

from otel_metrics.service import history, open_rows
from otel_metrics.service.history import Question
from otel_metrics.service.samples import BandName, Recommendation, Resource
from otel_metrics.service.snapshots import Latest, Over, Plan, id_of, snapshot_of
from otel_metrics.service.tables import SCHEMA
from otel_metrics.service.windows import Observation, Window, as_late, window_of
from otel_metrics.sqlite import Database

__all__ = [
    "AHEAD_S",
    "ANNOUNCED_AT_ONCE",
    "ENTRIES_MAX",
    "GRACE_S",
    "LATEST_MAX",
    "RETENTION_S",
    "SILENT_S",
    "Emit",
    "ServiceStore",
]

GRACE_S: Final = 1.0
"""A window is closed so long after its end: what is under way still counts in it."""
AHEAD_S: Final = 2 * 86_400.0
"""A window that begins later than this is no more waited for: a clock was wrong."""
ENTRIES_MAX: Final = 1_000_000
"""What open windows may hold together: 26 metrics of 120 resources in a window of 5 minutes, once a
second."""
CLOSED_AT_ONCE: Final = 100
"""Windows that are closed in one transaction."""
ANNOUNCED_AT_ONCE: Final = 20
"""Events that are emitted in one transaction, during which others wait."""
RETENTION_S: Final = 90 * 86_400.0
"""Snapshots of windows that ended longer ago are removed."""
FORGOTTEN_AT_ONCE: Final = 500
"""So many in a transaction."""
SILENT_S: Final = 7 * 86_400.0
"""A resource that gave no value for so long is known no more; longer than any window."""
LATEST_MAX: Final = 10_000
"""Newest values that are returned, and that are kept in memory where there is no file."""
ASKED_FOR_S: Final = 1.0
"""A page that takes longer to find is given up."""
STEPS: Final = 10_000
"""Instructions of SQLite's between two looks at the clock."""


class Emit(Protocol):
    """Emits an event, as `otel_metrics.events.emit`."""

    def __call__(
        self, name: str, attributes: Mapping[str, object], *, timestamp_ns: int | None = None
    ) -> None: ...


class ServiceStore:
    """Windows of service telemetry in one SQLite file.

    Args:
        path: the file; made when it is first used.

    Attributes:
        path: the file, absolute.
        is_full: whether open windows hold so much that no more should be added, as of the last
            `forget`.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self._database = Database(path, SCHEMA)
        self._reader = Database(path, SCHEMA, looks_for_damage=False)
        self.path = self._database.path
        self.is_full = False

    def add(
        self, observations: Sequence[Observation], *, now: float, length_s: int, wait_s: float
    ) -> list[bool]:
        """Keep what counts in windows of that length; tell of each whether it came too late.

        A sample whose window is closed counts as late, in the one of `now` or the next that is
        open.

        Raises:
            DatabaseError: nothing was kept.
        """
        with self._database.write(wait_s=wait_s) as connection:
            return [_add(connection, seen, now, length_s) for seen in observations]

    def bands_in(
        self, metric: str, resource_id: str, window: Window, *, wait_s: float
    ) -> Counter[BandName | None]:
        """Return how many samples of an open window lie in each band.

        Raises:
            DatabaseError: it cannot be read.
        """
        with self._reader.read(wait_s=wait_s) as connection:
            return open_rows.bands_in(connection, metric, resource_id, window)

    def recommend(self, recommendation: Recommendation, *, wait_s: float) -> None:
        """Keep what is to be a derived action of the snapshot of its window.

        Raises:
            DatabaseError: it was not kept.
        """
        with self._database.write(wait_s=wait_s) as connection:
            open_rows.recommend(connection, recommendation)

    def close_due(
        self, *, now: float, length_s: int, plan: Callable[[str], Plan], wait_s: float
    ) -> bool:
        """Close windows that are over, and tell whether there may be more.

        Raises:
            DatabaseError: none was closed.
        """
        before = window_of(max(0.0, now - GRACE_S), length_s).start
        with self._database.write(wait_s=wait_s) as connection:
            due = open_rows.over(
                connection,
                before=before,
                beyond=now + AHEAD_S,
                length_s=length_s,
                most=CLOSED_AT_ONCE,
            )
            for of in due:
                _close(connection, of, now, plan(of.metric))
        return len(due) == CLOSED_AT_ONCE

    def announce(self, emit: Emit, *, wait_s: float, deadline_s: float = math.inf) -> bool:
        """Emit the events of snapshots that were kept, and tell whether there may be more.

        Inside a transaction, so that of several processes one emits each. After that reading of the
        monotonic clock none is begun: an archive that waits for its disk takes its time for each.

        Raises:
            DatabaseError: it is not sure that all was emitted, and some will be once more.
        """
        with self._database.write(wait_s=wait_s) as connection:
            records = history.unannounced(connection, ANNOUNCED_AT_ONCE)
            for record in records:
                if time.monotonic() >= deadline_s:
                    return True
                emit("service.snapshot", record)
                history.announced(connection, record["snapshot_id"])
        return len(records) == ANNOUNCED_AT_ONCE

    def forget(self, now: float, *, wait_s: float) -> bool:
        """Remove what is too old, a little at a time, and look whether there is room; tell whether
        there may be more.

        Raises:
            DatabaseError: nothing was removed.
        """
        with self._database.write(wait_s=wait_s) as connection:
            removed = history.forget_before(connection, now - RETENTION_S, FORGOTTEN_AT_ONCE)
            open_rows.forget_silent(connection, now - SILENT_S)
            self.is_full = open_rows.count(connection) >= ENTRIES_MAX
        return removed == FORGOTTEN_AT_ONCE

    def latest(self) -> list[Latest]:
        """Return what is known last of each metric and resource.

        Raises:
            DatabaseError: it cannot be read.
        """
        with self._reader.read() as connection, _in_time(connection):
            return open_rows.latest(connection, LATEST_MAX)

    def knows(self, resource: Resource) -> bool:
        """Tell whether a resource has or had a value.

        Raises:
            DatabaseError: it cannot be read.
        """
        with self._reader.read() as connection, _in_time(connection):
            return open_rows.knows(connection, resource)

    def page(self, question: Question) -> list[dict[str, object]]:
        """Return records of snapshots, the newest first.

        Raises:
            DatabaseError: they cannot be read, or not within `ASKED_FOR_S`.
        """
        with self._reader.read() as connection, _in_time(connection):
            return history.page(connection, question)

    def close(self, deadline_s: float | None = None) -> None:
        """Close the file, if there is time until that reading of the monotonic clock for those who
        use it; the next use opens it again."""
        for database in (self._database, self._reader):
            left_s = None if deadline_s is None else deadline_s - time.monotonic()
            database.close(wait_s=left_s)


def _add(connection: sqlite3.Connection, seen: Observation, now: float, length_s: int) -> bool:
    window = window_of(seen.entry.at, length_s)
    series = seen.metric, seen.resource.id
    is_late = history.is_closed(connection, id_of(*series, window))
    if is_late:
        seen = as_late(seen, history.open_from(connection, *series, now))
    open_rows.add(connection, seen)
    return is_late


def _close(connection: sqlite3.Connection, of: Over, now: float, plan: Plan) -> None:
    if history.is_closed(connection, id_of(*of)):  # one of another length, which ended with it
        at = history.open_from(connection, of.metric, of.resource_id, now)
        open_rows.be_late(connection, of, at)
        return
    resource, entries = open_rows.entries_of(connection, of)
    actions = open_rows.actions_of(connection, of)
    history.keep(connection, snapshot_of(of, resource, entries, actions, plan=plan, now=now))
    open_rows.remove(connection, of)


@contextlib.contextmanager
def _in_time(connection: sqlite3.Connection) -> Iterator[None]:
    """Let SQLite give up what takes longer than `ASKED_FOR_S`."""
    deadline = time.monotonic() + ASKED_FOR_S
    connection.set_progress_handler(lambda: time.monotonic() > deadline, STEPS)
    try:
        yield
    finally:
        connection.set_progress_handler(None, STEPS)
