"""Keeps sovereignty events and sessions in an SQLite file, and answers questions about them.

Several processes may write one file. What is recorded goes to the archive first, where there is
one; a row that a kill, a full queue or a damaged file cost is taken from there again.

Threads: any may call. An event that the object itself is given is written by the caller where the
database is free, so that it is there when the call returns; all else is written by the store's one
thread (`writer.py`), and no caller waits for a lock. Questions have a connection of their own.
"""

import atexit
import contextlib
import logging
import multiprocessing
import multiprocessing.util
import os
import threading
import time
import weakref
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from types import TracebackType
from typing import Any, Final, Self, TypeVar

from otel_metrics import events, values
from otel_metrics.errors import OtelMetricsError
from otel_metrics.sovereignty import queries
from otel_metrics.sovereignty.catch_up import Archive, CatchUp
from otel_metrics.sovereignty.kinds import EVENT_TYPES, LAYERS, accepted
from otel_metrics.sovereignty.queries import HOUR_S, Snapshot
from otel_metrics.sovereignty.recorder import Happened, record_event, record_mark
from otel_metrics.sovereignty.rows import (
    ENDED,
    EVENTS,
    STARTED,
    Event,
    Mark,
    UnusableEventError,
    of_event,
    stored_text,
)
from otel_metrics.sovereignty.tables import SCHEMA, insert
from otel_metrics.sovereignty.writer import QueueFullError, Writer
from otel_metrics.sqlite import DamagedError, Database, DatabaseError, ForeignDatabaseError

__all__ = ["DEFAULT_PATH", "SovereigntyStore"]

DEFAULT_PATH: Final = "data/sovereignty_metrics.db"
OPEN_WAIT_S: Final = 0.5
"""How long the constructor waits for other processes; after that the store's thread does."""
OWN_ROWS_WAIT_S: Final = 0.25
"""How long a question waits for what this process has recorded to be written."""
CLOSE_WAIT_S: Final = 2.0
"""How long `close` and the end of the interpreter wait for the queue, where nothing is said."""
FLUSH_WAIT_S: Final = 10.0
"""How long `flush` waits, where nothing is said."""
CHECKPOINT_COMMITS: Final = 1_000
"""Transactions after which the store's thread shortens the `-wal`."""
LOST_INTERVAL_S: Final = 60.0
"""Lost rows are named at most this often."""
ROW_BYTES: Final = 200
"""Of a row in the queue, beside its text."""

_logger = logging.getLogger("otel_metrics.sovereignty")

Answer = TypeVar("Answer")


class SovereigntyStore:
    """Events and sessions in an SQLite file.

    What is recorded here also counts in the catalog's instruments and is emitted as an event, as
    `sovereignty.record` does. Recording raises for arguments, never for disks.

    Args:
        path: the file; its folder is made where it is missing.

    Attributes:
        path: the file, absolute.
        lost: rows that this object was given and could not keep, by reason; also records of the
            archive that it follows which cannot be kept as rows.

    Raises:
        ValueError: the file is no database of this kind.

    Example:
        >>> from otel_metrics.sovereignty import SovereigntyStore
        >>> store = SovereigntyStore("data/sovereignty_metrics.db")
        >>> store.record("decision_rule_hit", {"rule": "refund-under-20"}, session_id="s-1")
        >>> store.get_sovereignty_pct("decision", 3600)
        100.0
    """

    name: str = "sovereignty_db"
    events: str = EVENTS

    def __init__(self, path: str | os.PathLike[str] = DEFAULT_PATH) -> None:
        self._database = Database(path, SCHEMA, autocheckpoint=False)
        self._reader = Database(path, SCHEMA, looks_for_damage=False)
        self.path: str = self._database.path
        self.lost: Counter[str] = Counter()
        self._lost_told_at: float | None = None
        self._catch_up: CatchUp | None = None
        self._commits = 0
        self._moves_told: set[str] = set()
        self._pid = os.getpid()
        self._writer: Writer[Event | Mark] = Writer(self.name, self._write, self._idle)
        try:
            with self._database.write(wait_s=OPEN_WAIT_S):
                pass
        except ForeignDatabaseError as error:
            raise ValueError(str(error)) from error
        except DatabaseError as error:
            _logger.warning("%s: %s; rows wait until it can be used", self.name, error)
        self._tell_moves()
        _end_with_the_process(self)

    def record(
        self,
        event_type: str,
        metadata: Mapping[str, object] | None = None,
        *,
        session_id: str | None = None,
    ) -> None:
        """Keep one event; arguments as for `sovereignty.record`.

        Raises:
            ValueError: `event_type` is none of the nine.
        """
        kind = _one_of("event_type", event_type, EVENT_TYPES)
        self._keep(record_event(kind, metadata, session_id, filed_at=self.path))

    def start_session(self, session_id: str, game: str) -> None:
        """Say that a session begins. One that has begun stays as it is; one that ended runs again.

        Raises:
            ValueError: `session_id` is no text, or empty; `game` is no text.
        """
        self._keep(record_mark(STARTED, _session_id(session_id), _game(game), filed_at=self.path))

    def end_session(self, session_id: str) -> None:
        """Say that a session ends. Of several ends the first holds. One of a session that nobody
        has begun is kept: the beginning may still come, from another process.

        Raises:
            ValueError: `session_id` is no text, or empty.
        """
        self._keep(record_mark(ENDED, _session_id(session_id), None, filed_at=self.path))

    def get_sovereignty_pct(self, layer: str, time_window: timedelta | float) -> float:
        """Return the share of a layer's work that was done without a model, 0 to 100.

        Args:
            layer: perception, decision or narration.
            time_window: how far back from now; a timedelta or seconds.

        Returns:
            0.0 where there was no work; `snapshot` tells the two apart.

        Raises:
            ValueError: an argument is none of these.
            DatabaseError: the file cannot be read.
        """
        named = _one_of("layer", layer, LAYERS)
        return self._totals(time_window).share(named)["sovereignty_pct"]

    def get_cost_per_hour(self, time_window: timedelta | float) -> float:
        """Return what the window cost, in USD per hour; argument and errors as above."""
        return self._totals(time_window).cost_usd * HOUR_S / queries.seconds(time_window)

    def get_skills_crystallized(self, session_id: str | None = None) -> int:
        """Return how many skills crystallised, in a session or in all.

        A session whose id looks like a secret is found by it, though only its hash is kept.

        Raises:
            DatabaseError: the file cannot be read.
        """
        kept = events.prepared(
            {"session.id": values.identifier(session_id)}
        )  # as the recorder keeps it
        named = stored_text(kept.get("session.id"))
        return self._ask(lambda connection: queries.count_crystallized(connection, named))

    def snapshot(self, time_window: timedelta | float = HOUR_S) -> Snapshot:
        """Return shares, cost and crystallised skills as plain data; errors as above."""
        window_s = queries.seconds(time_window)
        now = time.time()
        return self._ask(
            lambda connection: queries.snapshot(connection, now=now, window_s=window_s)
        )

    def flush(self, timeout: float = FLUSH_WAIT_S) -> bool:
        """Write what waits, and tell whether that was done within `timeout` seconds."""
        return self._writer.flush(time.monotonic() + timeout)

    def close(self, deadline_s: float | None = None) -> None:
        """Write what waits, until this reading of the monotonic clock (default: 2 s from now), and
        close the file. A later call opens it again."""
        deadline = time.monotonic() + CLOSE_WAIT_S if deadline_s is None else deadline_s
        if not self._writer.close(deadline):
            waiting = self._writer.waiting
            self._lose("not_written_at_the_end", waiting, f"{waiting} rows still waited at the end")
        self._database.close()
        self._reader.close()

    def __enter__(self) -> Self:
        """Return the store."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Close it."""
        self.close()

    def take(self, name: str, attributes: Mapping[str, Any], time_ns: int) -> None:
        """Keep an event that was emitted, as `sovereignty.record` does.

        Raises:
            QueueFullError: too many wait to be written.
            UnusableEventError: it lacks what a row needs.
        """
        row = of_event(name, attributes, time_ns)
        if row is None:
            return
        try:
            self._put(row)
        except QueueFullError:
            self._look_again()
            raise

    def follow(self, archive: Archive) -> None:
        """Take from this archive, from now on, what the file lacks."""
        self._catch_up = CatchUp(self._database, archive)
        self._writer.wake()

    @property
    def trouble(self) -> str | None:
        """Why rows cannot be written at the moment; None where they can."""
        return self._writer.trouble

    def wait(self, deadline: float) -> str | None:
        """Write what waits; return what is left at `deadline` (monotonic clock), in words."""
        if self._writer.flush(deadline):
            return None
        why = f": {self._writer.trouble}" if self._writer.trouble else ""
        return f"{self._writer.waiting} rows wait{why}"

    def after_fork(self) -> None:
        """Begin anew in a forked child, once: what waits is the parent's."""
        if self._pid == os.getpid():
            return
        self._pid = os.getpid()
        self.lost.clear()
        self._writer.begin_anew()
        if self._catch_up is not None:
            self._catch_up.begin_anew()

    def _keep(self, happened: Happened | None) -> None:
        try:
            row = None if happened is None else of_event(*happened)
            if row is not None and not self._write_at_once(row):
                self._put(row)
        except UnusableEventError as error:
            self._lose(error.reason, 1, str(error))
        except QueueFullError as error:
            self._lose("queue_full", 1, str(error))
            self._look_again()

    def _write_at_once(self, row: Event | Mark) -> bool:
        """Write a row where nobody else is at it; False where it has to wait."""
        if not self._writer.is_idle:
            return False
        try:
            with self._database.write(wait_s=0) as connection:
                insert(connection, [row])
        except OtelMetricsError:
            return False  # the store's thread tries again, and says what is wrong
        self._commits += 1
        if self._commits % CHECKPOINT_COMMITS == 0:
            self._writer.wake()
        elif self._has_more_to_do():
            self._writer.remind()
        return True

    def _put(self, row: Event | Mark) -> None:
        size = ROW_BYTES + (len(row.metadata_json) if isinstance(row, Event) else 0)
        self._writer.put(row, size)

    def _write(self, rows: Sequence[Event | Mark], patience_s: float) -> None:
        """Write a batch. On the store's thread."""
        try:
            self._insert(rows, patience_s)
        except DamagedError:
            self._insert(rows, patience_s)  # into a new file
        self._commits += 1
        if self._commits % CHECKPOINT_COMMITS == 0:
            self._database.checkpoint()
        self._tell_moves()
        if self._has_more_to_do():
            self._writer.remind()

    def _insert(self, rows: Sequence[Event | Mark], patience_s: float) -> None:
        with self._database.write(wait_s=patience_s) as connection:
            insert(connection, rows)

    def _idle(self) -> float | None:
        """Do what there is to do beside. On the store's thread."""
        if self._commits >= CHECKPOINT_COMMITS:
            self._commits = 0
            self._database.checkpoint()
        pause_s = None if self._catch_up is None else self._step(self._catch_up)
        self._tell_moves()
        return pause_s

    def _step(self, catch_up: CatchUp) -> float | None:
        """Catch up a little, and count what has to be left out."""
        before = catch_up.unusable
        pause_s = catch_up.step()
        if catch_up.unusable > before:
            self.lost["unusable_in_archive"] += catch_up.unusable - before
        return pause_s

    def _has_more_to_do(self) -> bool:
        return self._catch_up is not None and self._catch_up.is_due

    def _look_again(self) -> None:
        """Let what found no room be taken from the archive, where there is one."""
        if self._catch_up is not None:
            self._catch_up.ask_again()

    def _totals(self, time_window: timedelta | float) -> queries.Totals:
        now, window_s = time.time(), queries.seconds(time_window)
        return self._ask(
            lambda connection: queries.totals(connection, since=now - window_s, until=now)
        )

    def _ask(self, question: Callable[[Any], Answer]) -> Answer:
        """Return an answer that counts what this process has recorded, unless it cannot be
        written."""
        if self._writer.trouble is None:
            self._writer.flush(time.monotonic() + OWN_ROWS_WAIT_S)
        moved = len(self._reader.moved_aside)
        try:
            with contextlib.suppress(DamagedError), self._reader.read() as connection:
                return question(connection)
            with self._reader.read() as connection:  # of a new file, in place of the damaged one
                return question(connection)
        finally:
            if len(self._reader.moved_aside) > moved:
                self._look_again()
                self._writer.wake()

    def _tell_moves(self) -> None:
        """Say once of a damaged file where it is now."""
        for aside in [*self._database.moved_aside, *self._reader.moved_aside]:
            if aside in self._moves_told:
                continue
            self._moves_told.add(aside)
            remedy = (
                "what it held is taken from the archive, in the background"
                if self._catch_up is not None
                else "otel-metrics sovereignty rebuild takes what it held from the archive"
            )
            _logger.warning(
                "%s: %s was damaged and is now %s; %s", self.name, self.path, aside, remedy
            )

    def _lose(self, reason: str, rows: int, why: str) -> None:
        """Count rows that are not kept, and say so at most once a minute."""
        self.lost[reason] += rows
        now = time.monotonic()
        if self._lost_told_at is None or now - self._lost_told_at >= LOST_INTERVAL_S:
            self._lost_told_at = now
            _logger.warning("%s: %s: not kept: %s", self.name, self.path, why)


class _Alive:
    """The stores of this process, for its forks and its end. The lock guards the set."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.stores: weakref.WeakSet[SovereigntyStore] = weakref.WeakSet()
        self.registered = False

    def after_fork(self) -> None:
        """Let each begin anew."""
        self.lock = threading.Lock()
        for store in list(self.stores):
            store.after_fork()

    def close(self) -> None:
        """Let each write what waits, all within `CLOSE_WAIT_S`."""
        deadline = time.monotonic() + CLOSE_WAIT_S
        for store in list(self.stores):
            store.close(deadline)


_alive: Final = _Alive()


def _end_with_the_process(store: SovereigntyStore) -> None:
    with _alive.lock:
        _alive.stores.add(store)
        if _alive.registered:
            return
        _alive.registered = True
    atexit.register(_alive.close)
    # Forked children of multiprocessing skip atexit, but not its finalizers.
    if multiprocessing.parent_process() is not None:
        _finalize_child(_alive)
    multiprocessing.util.register_after_fork(_alive, _finalize_child)
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=_alive.after_fork)


def _finalize_child(alive: _Alive) -> None:
    multiprocessing.util.Finalize(None, alive.close, exitpriority=0)


def _one_of(argument: str, given: object, choices: Sequence[str]) -> str:
    shown = values.label(given)  # plain, whatever it was
    if isinstance(shown, str) and shown in choices:
        return shown
    raise ValueError(f"{argument}={shown!r}: is not known; give {accepted(shown, choices)}")


def _session_id(given: str) -> str:
    taken = values.text(given) if issubclass(type(given), str) else ""
    if not taken:
        raise ValueError(f"session_id={values.label(given)!r}: give a text that is not empty")
    return taken


def _game(given: str) -> str:
    if not issubclass(type(given), str):
        raise ValueError(f"game={values.label(given)!r}: give a text")
    return values.text(given)
