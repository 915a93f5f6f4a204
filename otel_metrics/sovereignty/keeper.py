"""Brings rows into the file of a store, and says what is not kept.

Threads: `keep` and `take` run on the thread that records. A row of `keep` is written there where
nobody else is at the database; all else is written by the store's one thread (`writer.py`), which
also catches up with the archive, and no caller waits for a lock.

It lives as long as its thread has something to write, also where nobody holds the store any more.
"""

import logging
import os
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, Final

from otel_metrics.errors import OtelMetricsError
from otel_metrics.sovereignty.catch_up import Archive, CatchUp
from otel_metrics.sovereignty.lifetime import live_with_the_process
from otel_metrics.sovereignty.recorder import Happened
from otel_metrics.sovereignty.rows import Event, Mark, UnusableEventError, of_event
from otel_metrics.sovereignty.tables import SCHEMA, insert
from otel_metrics.sovereignty.writer import QueueFullError, Writer
from otel_metrics.sqlite import DamagedError, Database, DatabaseError, ForeignDatabaseError

__all__ = ["Keeper"]

OPEN_WAIT_S: Final = 0.5
"""How long the constructor waits for other processes; after that the store's thread does."""
CHECKPOINT_COMMITS: Final = 1_000
"""Transactions after which the store's thread shortens the `-wal`."""
LOST_INTERVAL_S: Final = 60.0
"""Lost rows are named at most this often."""
ROW_BYTES: Final = 200
"""Of a row in the queue, beside its text."""

_logger = logging.getLogger("otel_metrics.sovereignty")


class Keeper:
    """Writes the rows of one store.

    Args:
        path: the file.
        name: what the store is called in logs.

    Attributes:
        path: the file, absolute.
        lost: rows that could not be kept, by reason.
        reader: a connection for questions.

    Raises:
        ForeignDatabaseError: the file is no database of this kind.
    """

    def __init__(self, path: str | os.PathLike[str], name: str) -> None:
        self._database = Database(path, SCHEMA, autocheckpoint=False)
        self.reader = Database(path, SCHEMA, looks_for_damage=False)
        self.path = self._database.path
        self.lost: Counter[str] = Counter()
        self._name = name
        self._lost_told_at: float | None = None
        self._catch_up: CatchUp | None = None
        self._commits = 0
        self._moves_told: set[str] = set()
        self._pid = os.getpid()
        self._writer: Writer[Event | Mark] = Writer(name, self._write, self._idle)
        try:
            with self._database.write(wait_s=OPEN_WAIT_S):
                pass
        except ForeignDatabaseError:
            raise
        except DatabaseError as error:
            _logger.warning("%s: %s; rows wait until it can be used", name, error)
        self._tell_moves()
        live_with_the_process(self)

    def keep(self, happened: Happened | None) -> None:
        """Keep what was recorded; what finds no room or cannot be kept is counted."""
        try:
            row = None if happened is None else of_event(*happened)
            if row is not None and not self._write_at_once(row):
                self._put(row)
        except UnusableEventError as error:
            self._lose(error.reason, 1, str(error))
        except QueueFullError as error:
            self._lose("queue_full", 1, str(error))
            self._ask_again()

    def take(self, name: str, attributes: Mapping[str, Any], time_ns: int) -> None:
        """Queue the row of an event that was emitted.

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
            self._ask_again()
            raise

    def follow(self, archive: Archive) -> None:
        """Take from this archive, from now on, what the file lacks."""
        self._catch_up = CatchUp(self._database, archive)
        self._writer.wake()

    def look_again(self) -> None:
        """Look at once for what the file lacks, because another one is in its place."""
        self._ask_again()
        self._writer.wake()

    @property
    def trouble(self) -> str | None:
        """Why rows cannot be written at the moment; None where they can."""
        return self._writer.trouble

    @property
    def waiting(self) -> int:
        """How many rows wait."""
        return self._writer.waiting

    def flush(self, deadline: float) -> bool:
        """Write what waits, and tell whether that was done by `deadline` (monotonic clock)."""
        return self._writer.flush(deadline)

    def close(self, deadline_s: float) -> None:
        """Write what waits, until this reading of the monotonic clock, and close the file; a later
        row opens it again."""
        if not self._writer.close(deadline_s):
            waiting = self._writer.waiting
            self._lose("not_written_at_the_end", waiting, f"{waiting} rows still waited at the end")
        self._database.close()
        self.reader.close()

    def after_fork(self) -> None:
        """Begin anew in a forked child, once: what waits is the parent's, and what was lost."""
        if self._pid == os.getpid():
            return
        self._pid = os.getpid()
        self.lost.clear()
        self._writer.begin_anew()
        if self._catch_up is not None:
            self._catch_up.begin_anew()

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

    def _ask_again(self) -> None:
        """Let what found no room be taken from the archive, where there is one."""
        if self._catch_up is not None:
            self._catch_up.ask_again()

    def _tell_moves(self) -> None:
        """Say once of a damaged file where it is now."""
        for aside in [*self._database.moved_aside, *self.reader.moved_aside]:
            if aside in self._moves_told:
                continue
            self._moves_told.add(aside)
            remedy = (
                "what it held is taken from the archive, in the background"
                if self._catch_up is not None
                else "otel-metrics sovereignty rebuild takes what it held from the archive"
            )
            _logger.warning(
                "%s: %s was damaged and is now %s; %s", self._name, self.path, aside, remedy
            )

    def _lose(self, reason: str, rows: int, why: str) -> None:
        """Count rows that are not kept, and say so at most once a minute."""
        self.lost[reason] += rows
        now = time.monotonic()
        if self._lost_told_at is None or now - self._lost_told_at >= LOST_INTERVAL_S:
            self._lost_told_at = now
            _logger.warning("%s: %s: not kept: %s", self._name, self.path, why)
