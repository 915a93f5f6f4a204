"""Writes the audit, entry by entry, in the order in which the ledger decided.

What is to be said is put into the ledger's outbox in the transaction that decides it, and is said
here: by the process that decided it or, should that have died, by any other. One process at a time
says entries, by an `flock`, so that the chain has one order. Whoever dies between the line and the
commit that takes note of it leaves an entry that may have been said: it is then looked for in the
archive, and adopted or said.

Threads: any; `_lock` guards the descriptor of the file that is locked.
"""

import contextlib
import fcntl
import json
import logging
import os
import sqlite3
import threading
import time
import weakref
from collections.abc import Callable, Iterator, Mapping
from typing import Final, NamedTuple

from otel_metrics.outages import Outage
from otel_metrics.remediation.audit import FIRST_HASH, LEDGER, AuditSink, Entry, canonical, sealed
from otel_metrics.remediation.clock import Now
from otel_metrics.remediation.errors import LedgerError
from otel_metrics.remediation.ledger import Ledger

__all__ = ["OUTBOX_MAX", "Emit", "Entries", "Trail", "put", "said", "waiting"]

Entries = Callable[[], Iterator[Entry]]
"""Returns the fields of every entry of the audit, in any order."""
Emit = Callable[[str, Mapping[str, object]], None]

OUTBOX_MAX: Final = 10_000
"""Entries that may wait for the audit; with more nothing is decided any more."""
LOCK_WAIT_S: Final = 10.0
"""How long it is waited for another process that says entries."""
PAUSE_S: Final = 0.002
FILE_MODE: Final = 0o600

_logger = logging.getLogger("otel_metrics.remediation")


class _Waiting(NamedTuple):
    """The oldest entry that waits, and its place in the chain."""

    id: int
    event: str
    entry: Entry
    was_tried: bool


def said(entries: Entries | None) -> Iterator[Entry]:
    """Return every entry that was said; an archive that is not there yet has none.

    Raises:
        LedgerError: the audit cannot be read.
    """
    seen = False
    try:
        for entry in entries() if entries is not None else ():
            seen = True
            yield entry
    except OSError as error:
        if seen or not isinstance(error, FileNotFoundError):
            raise LedgerError(f"the audit could not be read: {error}") from error


def put(connection: sqlite3.Connection, event: str, entry: Entry) -> None:
    """Have an entry said, once the transaction is committed."""
    row = (event, canonical(dict(entry)))
    connection.execute("INSERT INTO outbox (event, entry) VALUES (?, ?)", row)


def waiting(connection: sqlite3.Connection) -> int:
    """Return how many entries wait for the audit."""
    return int(connection.execute("SELECT count(*) FROM outbox").fetchone()[0])


class Trail:
    """The audit of one ledger.

    Args:
        sink: where entries are said; None leaves them to processes that have one.
        entries: reads what was said, to find what may have been; None finds nothing.
        emit: is told each entry as an event once it is on the disk.
    """

    def __init__(
        self, ledger: Ledger, sink: AuditSink | None, entries: Entries | None, emit: Emit
    ) -> None:
        self._ledger = ledger
        self._sink = sink
        self._entries = entries
        self._emit = emit
        self._outage = Outage(_logger)
        self._begin_anew()
        _trails.add(self)

    def _begin_anew(self) -> None:
        self._lock = threading.Lock()
        self._descriptor: int | None = None

    @property
    def is_kept(self) -> bool:
        """Whether this process can write the audit."""
        return self._sink is not None

    def flush(self) -> None:
        """Say everything that waits; when this returns it is on the disk.

        Raises:
            LedgerError: some of it is not, and must not be relied on.
        """
        if self._sink is None:
            return
        with self._alone():
            while self._say_next(self._sink):
                pass

    def try_to_flush(self) -> None:
        """Say what waits, or leave it for the next time and log that once."""
        try:
            self.flush()
        except LedgerError as error:
            self._outage.goes_on("remediation: the audit is not kept up: %s", error)
        else:
            self._outage.is_over("remediation: the audit is kept up again")

    def after_fork(self) -> None:
        """Begin anew in a forked child, which would hold the lock for its parent."""
        if self._descriptor is not None:
            with contextlib.suppress(OSError):
                os.close(self._descriptor)
        self._begin_anew()

    def _say_next(self, sink: AuditSink) -> bool:
        """Say the oldest entry that waits; False where there is none."""
        if self._ledger.read(lambda connection, _: waiting(connection)) == 0:
            return False
        found = self._ledger.write(_taken)
        if found is None:
            return False
        if not (found.was_tried and self._was_said(found.entry)):
            try:
                sink.say(found.event, found.entry)
            except OSError as error:
                raise LedgerError(f"the audit could not be written: {error}") from error
        self._ledger.write(lambda connection, _: _note_said(connection, found))
        self._emit(found.event, found.entry)
        return True

    def _was_said(self, wanted: Entry) -> bool:
        return any(each.get("entry_hash") == wanted["entry_hash"] for each in said(self._entries))

    @contextlib.contextmanager
    def _alone(self) -> Iterator[None]:
        """Keep other threads and processes from saying entries."""
        deadline = time.monotonic() + LOCK_WAIT_S
        if not self._lock.acquire(timeout=LOCK_WAIT_S):
            raise LedgerError("another thread writes the audit, and does not end")
        lock = self._lock
        try:
            self._descriptor = descriptor = _locked(f"{self._ledger.path}.audit-lock", deadline)
            try:
                yield
            finally:
                self._descriptor = None
                fcntl.flock(descriptor, fcntl.LOCK_UN)  # also of a forked child's copy
                os.close(descriptor)
        finally:
            lock.release()


def _taken(connection: sqlite3.Connection, now: Now) -> _Waiting | None:
    """Return the oldest entry that waits, and take note that it may be said from now on."""
    del now
    asked = "SELECT id, event, entry, tried FROM outbox ORDER BY id LIMIT 1"
    row = connection.execute(asked).fetchone()
    if row is None:
        return None
    number, event, entry, tried = row
    asked = "SELECT sequence, hash, ledger FROM head"
    sequence, last, ledger = connection.execute(asked).fetchone()
    connection.execute("UPDATE outbox SET tried = 1 WHERE id = ?", (number,))
    placed = sealed({**json.loads(entry), LEDGER: ledger}, sequence + 1, last or FIRST_HASH)
    return _Waiting(number, event, placed, bool(tried))


def _note_said(connection: sqlite3.Connection, found: _Waiting) -> None:
    place = (found.entry["sequence"], found.entry["entry_hash"])
    connection.execute("UPDATE head SET sequence = ?, hash = ?", place)
    connection.execute("DELETE FROM outbox WHERE id = ?", (found.id,))


def _locked(path: str, deadline: float) -> int:
    try:
        flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
        descriptor = os.open(path, flags, FILE_MODE)
    except OSError as error:
        raise LedgerError(f"{path}: {error.strerror or error}") from error
    try:
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if time.monotonic() >= deadline:
                    raise LedgerError(
                        f"{path}: another process writes the audit, and does not end"
                    ) from None
                time.sleep(PAUSE_S)
            else:
                return descriptor
    except BaseException:
        os.close(descriptor)
        raise


_trails: Final = weakref.WeakSet[Trail]()


def _after_fork() -> None:
    for trail in list(_trails):
        trail.after_fork()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
