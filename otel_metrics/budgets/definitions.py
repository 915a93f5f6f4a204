"""The budgets that a ledger holds: what defines them, changes them and takes them away.

Every function is given a connection inside a transaction.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from otel_metrics.budgets.limits import EACH, GLOBAL, Book, Budget, window
from otel_metrics.budgets.units import Unit

if TYPE_CHECKING:  # what loads sqlite3 is loaded when a ledger is made
    from sqlite3 import Connection

    from otel_metrics.budgets.store import Store

__all__ = ["BUDGETS_MAX", "COLUMN", "book_of", "budgets", "define", "remove"]

BUDGETS_MAX: Final = 10_000
"""Budgets that one ledger holds; one of each (`*`) is one of them."""

COLUMN: Final[Mapping[Unit, str]] = {"tokens": "tokens", "USD": "nano_usd"}
"""Where entries and reservations have an amount."""
# By chance, not the next number: a copy that is put back would reach it with other budgets.
_CHANGED: Final = "UPDATE state SET generation = abs(random() / 4)"


def define(connection: "Connection", budget: Budget, now_us: int) -> None:
    """Add a budget, or change the one of that name.

    One that changes whom or what it is of begins anew, with what was spent in this period.

    Raises:
        ValueError: there are `BUDGETS_MAX`.
    """
    known = next(iter(budgets(connection, budget.name)), None)
    if known is not None and budget == replace(
        known, id=budget.id, limit=budget.limit, soft_limit=budget.soft_limit
    ):
        connection.execute(
            "UPDATE budgets SET hard_limit = ?, soft_limit = ? WHERE id = ?",
            (budget.limit, budget.soft_limit, known.id),
        )
        if known.soft_limit != budget.soft_limit:
            connection.execute("UPDATE usage SET warned = 0 WHERE budget = ?", (known.id,))
    else:
        remove(connection, budget.name)
        _add(connection, budget, now_us)
    connection.execute(_CHANGED)


def remove(connection: "Connection", name: str) -> bool:
    """Remove a budget; what was spent stays booked."""
    if not name.isprintable():  # half a surrogate pair, too, which SQLite does not take
        return False
    row = connection.execute("SELECT id FROM budgets WHERE name = ?", (name,)).fetchone()
    if row is None:
        return False
    connection.execute("DELETE FROM usage WHERE budget = ?", row)
    connection.execute("DELETE FROM budgets WHERE id = ?", row)
    connection.execute(_CHANGED)
    return True


def book_of(connection: "Connection", store: "Store", generation: int) -> Book:
    """Return the budgets that there are, read again when one was changed."""
    if store.book[0] != generation:
        store.book = (generation, Book(budgets(connection)))
    return store.book[1]


def budgets(connection: "Connection", name: str | None = None) -> list[Budget]:
    """Return the budgets that a ledger holds, by name; or the one of a name, if there is one."""
    rows = connection.execute(
        "SELECT id, name, scope, subject, unit, period, hard_limit, soft_limit FROM budgets "
        "WHERE :name IS NULL OR name = :name ORDER BY name",
        {"name": name},
    )
    return [
        Budget(
            id=row[0],
            name=row[1],
            scope=row[2],
            subject=row[3],
            unit=row[4],
            period=row[5],
            limit=row[6],
            soft_limit=row[7],
        )
        for row in rows
    ]


def _add(connection: "Connection", budget: Budget, now_us: int) -> None:
    (there,) = connection.execute("SELECT count(*) FROM budgets").fetchone()
    if there >= BUDGETS_MAX:
        raise ValueError(
            f"{budget.name}: there are {BUDGETS_MAX} budgets; let one be of each (*) in place of "
            "many"
        )
    made = connection.execute(
        "INSERT INTO budgets (name, scope, subject, unit, period, hard_limit, soft_limit) "
        "VALUES (?, ?, ?, ?, ?, ?, ?)",
        (
            *(budget.name, budget.scope, budget.subject, budget.unit, budget.period),
            *(budget.limit, budget.soft_limit),
        ),
    ).lastrowid
    starts_us, ends_us = window(budget.period, now_us)
    whose = f"'{GLOBAL}'" if budget.scope == "global" else budget.scope
    spent = COLUMN[budget.unit]
    connection.execute(
        "INSERT INTO usage (budget, subject, starts_us, used) "  # noqa: S608  # our own words
        f"SELECT :budget, {whose}, :starts, sum({spent}) FROM entries "
        f"WHERE at_us >= :starts AND at_us < :ends AND {spent} IS NOT NULL "
        f"AND {whose} IS NOT NULL AND (:subject = '{EACH}' OR {whose} = :subject) GROUP BY {whose}",
        {"budget": made, "starts": starts_us, "ends": ends_us, "subject": budget.subject},
    )
