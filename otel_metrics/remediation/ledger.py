"""The ledger: one file in which the processes of a host share runs, limits and approvals.

Each decision is one transaction that no other writes beside, and on the disk when it returns: what
may run is known before anything runs, and no power cut takes it back.

Threads: any; see `otel_metrics.sqlite`.
"""

import contextlib
import os
import sqlite3
from collections.abc import Callable
from typing import TypeVar

from otel_metrics.remediation.clock import Clock, Now, now_of
from otel_metrics.remediation.errors import LedgerError
from otel_metrics.remediation.liveness import Presence
from otel_metrics.remediation.tables import SCHEMA
from otel_metrics.sqlite import Database, DatabaseError

__all__ = ["Ledger"]

R = TypeVar("R")


class Ledger:
    """A ledger's file.

    Attributes:
        path: the file.
        presence: says which processes that use it are alive.
    """

    def __init__(self, path: str | os.PathLike[str], clock: Clock | None = None) -> None:
        self._database = Database(path, SCHEMA, synced=True)
        self._clock = clock or Clock()
        self._boot: str | None = None
        self.path = self._database.path
        self.presence = Presence(f"{self.path}.processes")

    def write(self, work: Callable[[sqlite3.Connection, Now], R]) -> R:
        """Run `work` in one transaction that no other writes beside.

        Raises:
            LedgerError: the file cannot be written; nothing was.
        """
        try:
            with self._database.write() as connection:
                return work(connection, now_of(connection, self._clock, keep=True))
        except DatabaseError as error:
            raise LedgerError(str(error)) from error

    def read(self, work: Callable[[sqlite3.Connection, Now], R]) -> R:
        """Run `work` on one state of the file.

        Raises:
            LedgerError: the file cannot be read.
        """
        self._tell_boot()
        try:
            with self._database.read() as connection:
                return work(connection, now_of(connection, self._clock, keep=False))
        except DatabaseError as error:
            raise LedgerError(str(error)) from error

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
