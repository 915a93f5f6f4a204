"""The ledger's file: its tables, and when it is not to be trusted.

A budget that cannot be checked must not look like one that has room. So every trouble of the file
is a `BudgetUnavailable`, and a file that was begun because the one before it was damaged stays
closed until somebody has looked.

Threads: any; see `otel_metrics.sqlite`.
"""

import glob
import os
import sqlite3
import weakref
from collections.abc import Callable
from typing import Final, TypeVar

from otel_metrics.budgets.limits import Book
from otel_metrics.errors import BudgetUnavailable
from otel_metrics.sqlite import SUFFIXES, Database, DatabaseError, Schema

__all__ = ["Store"]

R = TypeVar("R")

SCHEMA: Final = Schema(
    name="a ledger of budgets",
    application_id=0x4F544D42,
    migrations=[
        """
        CREATE TABLE state (
            -- Another whenever a budget is changed, and of no other file nor copy of it.
            generation INTEGER NOT NULL,
            -- Whether anything may be spent by this file.
            opened INTEGER NOT NULL
        );
        INSERT INTO state VALUES (abs(random() / 4), 0);
        CREATE TABLE budgets (
            id INTEGER PRIMARY KEY AUTOINCREMENT,
            name TEXT NOT NULL UNIQUE,
            scope TEXT NOT NULL CHECK (scope IN ('global', 'tenant', 'skill', 'agent')),
            subject TEXT NOT NULL,
            unit TEXT NOT NULL CHECK (unit IN ('tokens', 'USD')),
            period TEXT NOT NULL CHECK (period IN ('hour', 'day', 'month')),
            hard_limit INTEGER NOT NULL CHECK (typeof(hard_limit) = 'integer'),
            soft_limit INTEGER
        );
        INSERT INTO budgets (name, scope, subject, unit, period, hard_limit)
            VALUES ('tenant-daily', 'tenant', '*', 'tokens', 'day', 1500000);
        CREATE TABLE entries ( -- one for each spend, in the order of time
            at_us INTEGER NOT NULL,
            nonce INTEGER NOT NULL,
            tenant TEXT, skill TEXT, agent TEXT,
            tokens INTEGER, nano_usd INTEGER,
            key TEXT,
            PRIMARY KEY (at_us, nonce)
        ) WITHOUT ROWID;
        CREATE UNIQUE INDEX entries_key ON entries (key) WHERE key IS NOT NULL;
        CREATE TABLE reservations ( -- each becomes the entry of the same time and nonce
            at_us INTEGER NOT NULL,
            nonce INTEGER NOT NULL,
            expires_us INTEGER NOT NULL,
            tenant TEXT, skill TEXT, agent TEXT,
            tokens INTEGER, nano_usd INTEGER,
            key TEXT,
            PRIMARY KEY (at_us, nonce)
        ) WITHOUT ROWID;
        CREATE INDEX reservations_expires ON reservations (expires_us);
        CREATE TABLE usage ( -- the sum of the entries of a budget in a period
            budget INTEGER NOT NULL,
            subject TEXT NOT NULL,
            starts_us INTEGER NOT NULL,
            used INTEGER NOT NULL DEFAULT 0 CHECK (typeof(used) = 'integer'),
            refusals INTEGER NOT NULL DEFAULT 0,
            warned INTEGER NOT NULL DEFAULT 0,
            PRIMARY KEY (starts_us, budget, subject)
        ) WITHOUT ROWID;
        """
    ],
)


class Store:
    """A ledger's file.

    Attributes:
        path: the file.
        book: the budgets that were read last, and the generation that they are of; changed inside
            transactions only.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self._database = Database(path, SCHEMA)
        # Whoever drops a ledger need not close it. At the end of the process nobody does: what
        # reads the gauges a last time would open it again.
        weakref.finalize(self, self._database.close).atexit = False
        self.path = self._database.path
        self.book = (-1, Book(()))

    def write(self, work: Callable[[sqlite3.Connection], R], *, wait_s: float) -> R:
        """Run `work` in one transaction that no other writes beside.

        Raises:
            BudgetUnavailable: the file cannot be written within `wait_s`.
        """
        try:
            with self._database.write(wait_s=wait_s) as connection:
                return work(connection)
        except DatabaseError as error:
            raise BudgetUnavailable(f"{error}; nothing was booked") from error

    def read(self, work: Callable[[sqlite3.Connection], R], *, wait_s: float) -> R:
        """Run `work` on one state of the file.

        Raises:
            BudgetUnavailable: the file cannot be read within `wait_s`.
        """
        try:
            with self._database.read(wait_s=wait_s) as connection:
                return work(connection)
        except DatabaseError as error:
            raise BudgetUnavailable(str(error)) from error

    def close(self) -> None:
        """Close the connection; the next use opens it again."""
        self._database.close()

    def damaged(self) -> str | None:
        """Return where a damaged ledger lies that this file was begun in place of, if one does."""
        found = glob.glob(f"{glob.escape(self.path)}.damaged-*")
        return max((_base(path) for path in found), default=None)

    def must_be_open(self, connection: sqlite3.Connection) -> None:
        """Open a new file for spending, unless it was begun in place of a damaged one.

        Raises:
            BudgetUnavailable: it was.
        """
        aside = self.damaged()
        if aside is not None:
            raise BudgetUnavailable(
                f"{self.path}: the ledger was damaged and lies at {aside}; what was spent is not "
                "known: put a copy back, or define the budgets anew and move the damaged one away"
            )
        connection.execute("UPDATE state SET opened = 1")


def _base(path: str) -> str:
    """Return a database's file for one of its files: of some only the others are left."""
    for suffix in SUFFIXES[1:]:
        path = path.removesuffix(suffix)
    return path
