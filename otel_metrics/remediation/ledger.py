"""The ledger: one file in which the processes of a host share runs, limits and approvals.

Each decision is one transaction that no other writes beside, and on the disk when it returns: what
may run is known before anything runs, and no power cut takes it back.

A ledger is of one service: what was run by it stands in that service's audit, where a successor
finds it should the ledger be lost. Its id tells its entries from those of other ledgers.

Threads: any; see `otel_metrics.sqlite`.
"""

import contextlib
import hashlib
import os
import secrets
import socket
import sqlite3
from collections.abc import Callable
from typing import Final, TypeVar

from otel_metrics.remediation.clock import Clock, Now, now_of
from otel_metrics.remediation.errors import LedgerError
from otel_metrics.remediation.liveness import Presence
from otel_metrics.remediation.tables import SCHEMA
from otel_metrics.sqlite import Database, DatabaseError

__all__ = ["Ledger", "is_successor"]

_ID_BYTES: Final = 8

R = TypeVar("R")


class Ledger:
    """A ledger's file.

    Args:
        service: whose it is; empty for who only looks, decides, or goes by no audit.

    Attributes:
        path: the file.
        presence: says which processes that use it are alive.
    """

    def __init__(
        self, path: str | os.PathLike[str], clock: Clock | None = None, *, service: str = ""
    ) -> None:
        self._database = Database(path, SCHEMA, synced=True)
        self._clock = clock or Clock()
        self._boot: str | None = None
        self._service = service
        self.path = self._database.path
        self.presence = Presence(f"{self.path}.processes")

    def write(self, work: Callable[[sqlite3.Connection, Now], R]) -> R:
        """Run `work` in one transaction that no other writes beside.

        Raises:
            LedgerError: the file cannot be written, or is another service's; nothing was.
        """
        try:
            with self._database.write() as connection:
                self._name(connection)
                return work(connection, now_of(connection, self._clock, keep=True))
        except DatabaseError as error:
            raise LedgerError(str(error)) from error

    def read(self, work: Callable[[sqlite3.Connection, Now], R]) -> R:
        """Run `work` on one state of the file.

        Raises:
            LedgerError: the file cannot be read, or is another service's.
        """
        self._tell_boot()
        try:
            with self._database.read() as connection:
                self._of(connection)
                return work(connection, now_of(connection, self._clock, keep=False))
        except DatabaseError as error:
            raise LedgerError(str(error)) from error

    def _name(self, connection: sqlite3.Connection) -> None:
        """Give the ledger its id, and the service whose it is, where it has none yet."""
        ledger, service = self._of(connection)
        named = (ledger or _new_id(self.path), service or self._service)
        if named != (ledger, service):
            connection.execute("UPDATE head SET ledger = ?, service = ?", named)

    def _of(self, connection: sqlite3.Connection) -> tuple[str, str]:
        """Return the ledger's id and service, which may not be another than ours."""
        ledger, service = connection.execute("SELECT ledger, service FROM head").fetchone()
        if service and self._service and service != self._service:
            raise LedgerError(
                f"{self.path}: is the ledger of the service {service!r}, not of "
                f"{self._service!r}; give each service a ledger of its own"
            )
        return ledger, service

    def _tell_boot(self) -> None:
        """Have the ledger's time go on by this boot's clock, also where nothing else is written."""
        boot, _ = self._clock.boot()
        if boot != self._boot:
            with contextlib.suppress(LedgerError):  # who may only read does
                self.write(lambda *_: None)
                self._boot = boot

    def owner(self) -> str:
        """Return what this process is called in the ledger as long as it lives.

        Raises:
            LedgerError: it cannot be said that it lives.
        """
        try:
            return self.presence.id()
        except OSError as error:
            raise LedgerError(str(error)) from error

    def is_alive(self, owner: str) -> bool:
        """Tell whether a process lives; one of which that cannot be told does."""
        try:
            return self.presence.is_alive(owner)
        except OSError:
            return True

    def close(self, *, wait_s: float | None = None) -> None:
        """Say that this process does nothing more, and close the file, if who uses it is done in
        that time."""
        self.presence.leave()
        self._database.close(wait_s=wait_s)


def is_successor(ledger: str, of: str) -> bool:
    """Tell whether the ledger of an id is, or took the place of, the one of another id."""
    return ledger.partition("-")[0] == of.partition("-")[0]


def _new_id(path: str) -> str:
    """Return an id that no other ledger has, and that begins alike for the same place: a file that
    is lost is followed by one there, while another one is another ledger."""
    place = f"{socket.gethostname()}:{os.path.realpath(path)}"
    return f"{hashlib.sha256(place.encode()).hexdigest()[:16]}-{secrets.token_hex(_ID_BYTES)}"
