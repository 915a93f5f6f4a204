"""How budgets stand in their periods: what is used, what is reserved, what was refused.

What is used of a budget is kept beside its entries, as their sum. Open reservations are summed when
they are asked for, so that one that has expired holds nothing, whoever died with it.

Every function is given a connection inside a transaction.
"""

from typing import TYPE_CHECKING, Final

from otel_metrics.budgets.definitions import COLUMN, book_of, budgets
from otel_metrics.budgets.limits import (
    EACH,
    GLOBAL,
    SCOPES,
    Charge,
    Match,
    Scope,
    Use,
    window,
    windows,
)
from otel_metrics.budgets.units import UNITS, Unit

if TYPE_CHECKING:  # what loads sqlite3 is loaded when a ledger is made
    from sqlite3 import Connection

    from otel_metrics.budgets.store import Store

__all__ = ["OVERVIEW_MAX", "overview", "uses_at", "uses_of"]

OVERVIEW_MAX: Final = 100_000
"""Rows that an overview reads at most."""


def _held_statement(unit: Unit, scope: Scope) -> str:
    whose = f"'{GLOBAL}'" if scope == "global" else scope
    return (
        f"SELECT coalesce(sum({COLUMN[unit]}), 0) FROM reservations "  # noqa: S608  # our own words
        f"WHERE at_us >= ? AND at_us < ? AND expires_us > ? AND {whose} = ?"
    )


_HELD: Final = {(unit, scope): _held_statement(unit, scope) for unit in UNITS for scope in SCOPES}


def uses_of(connection: "Connection", store: "Store", charge: Charge, now_us: int) -> list[Use]:
    """Return how the budgets that a charge touches stand."""
    return uses_at(connection, store, charge, now_us, now_us)


def uses_at(
    connection: "Connection", store: "Store", charge: Charge, at_us: int, now_us: int
) -> list[Use]:
    """Return the budgets that a charge touches, as they stand in the period of `at_us`."""
    generation, any_held = connection.execute(
        "SELECT generation, EXISTS (SELECT 1 FROM reservations) FROM state"
    ).fetchone()
    matches = book_of(connection, store, generation).of(charge)
    return [_use(connection, match, at_us, now_us, any_held=any_held) for match in matches]


def overview(
    connection: "Connection", store: "Store", now_us: int, *, rows_max: int = OVERVIEW_MAX
) -> list[Use]:
    """Return how every budget stands; one of each (`*`) itself, and for each subject that spent."""
    (generation,) = connection.execute("SELECT generation FROM state").fetchone()
    book = book_of(connection, store, generation)
    held = _held_by_budget_of(connection, now_us)
    spans = windows(now_us)
    found: list[Use] = []
    for budget in budgets(connection):
        if len(found) >= rows_max:
            break
        starts_us, ends_us = spans[budget.period]
        if budget.subject == EACH:
            found.append(Use(budget, EACH, starts_us, ends_us))
        rows = connection.execute(
            "SELECT subject, used, refusals, warned FROM usage WHERE budget = ? AND starts_us = ? "
            "ORDER BY used DESC LIMIT ?",
            (budget.id, starts_us, max(1, rows_max - len(found))),
        ).fetchall()
        if not rows and budget.subject != EACH:
            rows = [(budget.subject, 0, 0, 0)]
        for subject, used, refusals, warned in rows:
            if budget.subject == EACH and book.stands_in(budget, subject):
                continue
            reserved = sum(
                amount
                for at_us, amount in held.get((budget.unit, budget.scope, subject), ())
                if starts_us <= at_us < ends_us
            )
            use = Use(budget, subject, starts_us, ends_us, used, reserved, refusals, bool(warned))
            found.append(use)
    return found


def _use(connection: "Connection", match: Match, at_us: int, now_us: int, *, any_held: bool) -> Use:
    budget, subject, holds = match
    starts_us, ends_us = window(budget.period, at_us)
    use = Use(budget, subject, starts_us, ends_us, holds=holds)
    row = connection.execute(
        "SELECT used, refusals, warned FROM usage "
        "WHERE budget = ? AND subject = ? AND starts_us = ?",
        (budget.id, subject, starts_us),
    ).fetchone()
    if row is not None:
        use.used, use.refusals, use.warned = row[0], row[1], bool(row[2])
    if any_held:
        asked = (starts_us, ends_us, now_us, subject)
        (use.reserved,) = connection.execute(_HELD[budget.unit, budget.scope], asked).fetchone()
    return use


def _held_by_budget_of(
    connection: "Connection", now_us: int
) -> dict[tuple[Unit, Scope, str], list[tuple[int, int]]]:
    """Return what is reserved, with its time, by unit and whom it is of."""
    held: dict[tuple[Unit, Scope, str], list[tuple[int, int]]] = {}
    rows = connection.execute(
        "SELECT at_us, tokens, nano_usd, tenant, skill, agent FROM reservations "
        "WHERE expires_us > ?",
        (now_us,),
    )
    for at_us, *fields in rows:
        charge = Charge(*fields)
        for unit in UNITS:
            amount = charge.amount(unit)
            for scope, subject in charge.subjects() if amount is not None else ():
                held.setdefault((unit, scope, subject), []).append((at_us, amount or 0))
    return held
