"""Brings into a store what an archive has and the store has not: after a kill, a full queue, a
damaged file, or when the store is new. A record that is no row is left out and counted.

How far an archive was read is kept in the same transaction as the rows, so that a kill at any
moment costs no more than to read a little again. Of several processes one reads, the others wait.
An archive that is not there yet, or cannot be read to its end, is looked at again after a pause.

Threads: runs on the store's own thread, in small steps, so that new rows do not wait for it.
"""

import logging
import os
import secrets
import sqlite3
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final, Protocol

from otel_metrics.amounts import TIME_S_MAX
from otel_metrics.errors import OtelMetricsError
from otel_metrics.outages import Outage
from otel_metrics.sovereignty.rows import Event, Mark, Position, of_event
from otel_metrics.sovereignty.tables import insert
from otel_metrics.sqlite import Database

__all__ = [
    "AbsentArchiveError",
    "Archive",
    "Archived",
    "CatchUp",
    "Reached",
    "UnreadableArchiveError",
]

STEP_RECORDS_MAX: Final = 500
"""Records of one transaction, so that it is short."""
STEP_S: Final = 0.05
"""How long a step reads before it writes what it has."""
LEASE_S: Final = 10.0
"""A reader that does nothing for so long is taken for dead."""
WAIT_S: Final = 1.0
"""How long to wait for another reader before looking again."""
ABSENT_WAIT_S: Final = 2.0
"""How long to wait for an archive that is not there yet before looking again."""
AGAIN_LEAST_S: Final = 1.0
AGAIN_MOST_S: Final = 60.0
"""How long to wait after a reading that failed; each time twice as long as before."""
REST: Final = 1.0
"""Rest after a step, as a multiple of the time that it took: the service comes first."""

_logger = logging.getLogger("otel_metrics.sovereignty")

Reached = Mapping[tuple[str, str], tuple[int, int]]
"""How far an archive was read: service and writer's instance -> segment sequence and line."""


class UnreadableArchiveError(OtelMetricsError):
    """An archive cannot be read to its end; the message says why."""


class AbsentArchiveError(UnreadableArchiveError):
    """There is no archive yet."""


class Archived(Protocol):
    """A record of an archive and its place, or, without a name, only how far was read."""

    @property
    def service(self) -> str:
        """Whose it is."""

    @property
    def instance(self) -> str:
        """Who wrote it."""

    @property
    def sequence(self) -> int:
        """The number of its segment."""

    @property
    def line(self) -> int:
        """Its line in the segment."""

    @property
    def name(self) -> str:
        """The event's name."""

    @property
    def attributes(self) -> Mapping[str, Any]:
        """The event's attributes."""

    @property
    def time_ns(self) -> int | None:
        """When it was, in Unix nanoseconds."""


class Archive(Protocol):
    """Where lost rows can be found again."""

    @property
    def id(self) -> str:
        """What tells this archive from others; empty where there is none yet."""

    def events_after(self, reached: Reached) -> Iterator[Archived]:
        """Return this domain's events behind the places that were reached, and new places."""


class CatchUp:
    """Takes from one archive what one store lacks.

    Attributes:
        records: how many were read.
        unusable: how many of them were left out, because they cannot be kept as rows.
    """

    def __init__(self, database: Database, archive: Archive) -> None:
        self._database = database
        self._archive = archive
        self._complete: tuple[int, int] | None = None  # the file that was brought up to date
        self.records = self.unusable = 0
        self._unusable_told = 0
        self._outage = Outage(_logger)
        self.begin_anew()

    def begin_anew(self) -> None:
        """Leave to the parent process what it was reading, in a forked child."""
        self._holder = f"{os.getpid()}-{secrets.token_hex(4)}"
        self._reading: Iterator[Archived] | None = None
        self._reading_for: tuple[int, int] | None = None
        self._held: list[Archived] = []
        self._broken: Exception | None = None  # what ended the reading behind those held
        self._again_s = AGAIN_LEAST_S
        self._rest_until = 0.0

    @property
    def is_due(self) -> bool:
        """Whether the file that is open has not been brought up to date."""
        return self._complete is None or self._database.identity != self._complete

    def ask_again(self) -> None:
        """Look once more for what the archive has by now."""
        self._complete = None

    def step(self) -> float | None:
        """Take a few records; return in how many seconds to go on, None when all is there.

        A call before that time does nothing. What the archive refuses is logged when it begins and
        when it is over, and tried again ever more seldom.
        """
        begun = time.monotonic()
        if begun < self._rest_until:
            return self._rest_until - begun
        try:
            pause_s = self._advance()
        except AbsentArchiveError:
            pause_s = ABSENT_WAIT_S
        except UnreadableArchiveError as error:
            self._outage.goes_on("%s; it is tried again", error)
            pause_s = min(self._again_s, AGAIN_MOST_S)
            self._again_s = 2 * pause_s
        if pause_s is None:
            return None
        now = time.monotonic()
        pause_s = pause_s or REST * (now - begun)
        self._rest_until = now + pause_s
        return pause_s

    def run(self, progress: Callable[[int], None] = lambda _records: None) -> None:
        """Take all there is, without rest.

        Args:
            progress: told now and then how many records were read.

        Raises:
            UnreadableArchiveError: there is no archive, or it cannot be read to its end.
            DatabaseError: the store cannot be written.
        """
        self.ask_again()
        while (pause_s := self._advance()) is not None:
            progress(self.records)
            time.sleep(pause_s)

    def _advance(self) -> float | None:
        """Take a few records; return how long others need to be waited for, None when all is there.

        Raises:
            UnreadableArchiveError: the archive is absent, or refuses.
        """
        if self._reading is None:
            if not self.is_due:
                return None
            if not self._archive.id:
                raise AbsentArchiveError("there is no archive yet, or none whose id can be read")
            if not self._begin():
                return WAIT_S
        self._take()
        return 0.0 if self.is_due else None

    def _begin(self) -> bool:
        """Begin to read, unless another process does."""
        with self._database.write() as connection:
            if not self._lease(connection):
                return False
            rows = connection.execute(_REACHED, (self._archive.id,))
            reached = {(row[0], row[1]): (row[2], row[3]) for row in rows}
            self._reading_for = self._database.identity
        self._reading = self._archive.events_after(reached)
        self._held, self._broken = [], None
        return True

    def _take(self) -> None:
        """Bring the next few records, and how far they reach, into the store at once."""
        assert self._reading is not None
        if not self._held and self._broken is None:
            self._held, self._broken = _next(self._reading)
        records, broken = self._held, self._broken
        if (records or broken is None) and not self._keep(records):
            self._reading = None  # another file, or another reader: begin again
            return
        self._held, self._broken = [], None
        if broken is not None:
            self._reading = None
            message = f"the archive cannot be read to its end: {broken}"
            raise UnreadableArchiveError(message) from broken
        if not records:
            self._reading, self._complete = None, self._reading_for
            self._again_s = AGAIN_LEAST_S
            self._outage.is_over("the archive can be read again")
            self._tell_unusable()

    def _keep(self, records: Sequence[Archived]) -> bool:
        """Write records, none for that there are no more; False where it is not ours to do so."""
        taken = [_row(each) for each in records]
        with self._database.write() as connection:
            if self._database.identity != self._reading_for or not self._lease(connection):
                return False
            insert(connection, [row for row in taken if isinstance(row, Event | Mark)])
            last = {(each.service, each.instance): each for each in records}
            places = [(*writer, each.sequence, each.line) for writer, each in last.items()]
            connection.executemany(_REACH, [(self._archive.id, *place) for place in places])
            if not records:
                connection.execute(_RELEASE, (self._archive.id,))
        self.records += sum(bool(each.name) for each in records)
        self.unusable += taken.count(_UNUSABLE)
        return True

    def _tell_unusable(self) -> None:
        """Say once of a reading what was left out."""
        left_out, self._unusable_told = self.unusable - self._unusable_told, self.unusable
        if left_out:
            _logger.warning(
                "%d records of the archive cannot be kept as rows and were left out; "
                "otel-metrics archive cat shows them",
                left_out,
            )

    def _lease(self, connection: sqlite3.Connection) -> bool:
        """Be the one who reads for a while; False where another is."""
        now = time.time()
        taken = connection.execute(
            _LEASE, {"archive": self._archive.id, "holder": self._holder, "now": now, "s": LEASE_S}
        )
        return taken.rowcount > 0


def _next(reading: Iterator[Archived]) -> tuple[list[Archived], Exception | None]:
    """Return the next few records, and what the reading ended with where it is broken."""
    records: list[Archived] = []
    deadline = time.monotonic() + STEP_S
    try:
        for each in reading:
            records.append(each)
            if len(records) >= STEP_RECORDS_MAX or time.monotonic() >= deadline:
                break
    except Exception as error:  # noqa: BLE001  # whatever it is, what was read before is kept
        return records, error
    return records, None


def _row(record: Archived) -> Event | Mark | str | None:
    """Return a record as a row that the database takes, None for one of no interest."""
    at = Position(record.instance, record.sequence, record.line)
    try:
        row = of_event(record.name, record.attributes, record.time_ns, at)
        for value in row or ():
            if isinstance(value, str):
                value.encode()
    except Exception:  # noqa: BLE001  # whatever another program wrote must not stop the rest
        return _UNUSABLE
    return row if row is None or abs(row.timestamp) <= TIME_S_MAX else _UNUSABLE


_UNUSABLE: Final = "unusable"
_REACHED: Final = (
    "SELECT service, instance, sequence, line FROM archive_positions WHERE archive = ?"
)
_REACH: Final = """
INSERT INTO archive_positions VALUES (?, ?, ?, ?, ?)
ON CONFLICT DO UPDATE SET sequence = excluded.sequence, line = excluded.line
WHERE (excluded.sequence, excluded.line) > (sequence, line)
"""
_LEASE: Final = """
INSERT INTO archive_reader VALUES (:archive, :holder, :now + :s)
ON CONFLICT DO UPDATE SET holder = :holder, until = :now + :s
WHERE holder = :holder OR until NOT BETWEEN :now AND :now + :s
"""
_RELEASE: Final = "DELETE FROM archive_reader WHERE archive = ?"
