"""What happens inside one transaction of the ledger: check and book, hold and settle, define.

The entries are the truth: one for each spend. What is used of a budget is kept beside them as
their sum, in the same transaction, so that no crash can part the two. Open reservations are summed
when they are asked for, so that one that has expired holds nothing, whoever died with it.

Every function is given a connection inside a transaction, and takes the time after the transaction
has begun: two processes cannot see each other's periods in the wrong order.
"""

import os
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from otel_metrics.budgets.limits import (
    DAY_US,
    EACH,
    GLOBAL,
    SCOPES,
    Book,
    Budget,
    Charge,
    Identity,
    Match,
    Outcome,
    Scope,
    Use,
    window,
    windows,
)
from otel_metrics.budgets.units import UNITS, Unit

if TYPE_CHECKING:  # what loads sqlite3 is loaded when a ledger is made
    from sqlite3 import Connection

    from otel_metrics.budgets.store import Store

__all__ = [
    "BUDGETS_MAX",
    "define",
    "hold",
    "new_identity",
    "overview",
    "release",
    "remove",
    "settle",
    "spend",
    "uses_of",
]

BUDGETS_MAX: Final = 10_000
"""Budgets that one ledger holds; one of each (`*`) is one of them."""
KEPT_US: Final = 40 * DAY_US
"""How long entries are kept: longer than the longest period, so that a budget that is defined late
counts what was spent before."""
PRUNE_EVERY: Final = 512
"""One spend in so many also removes old entries."""
PRUNE_MAX: Final = 2_048
"""Entries that it removes at most: more than were added since."""
OVERVIEW_MAX: Final = 100_000
"""Rows that an overview reads at most."""

_COLUMN: Final[Mapping[Unit, str]] = {"tokens": "tokens", "USD": "nano_usd"}


def _held_statement(unit: Unit, scope: Scope) -> str:
    whose = f"'{GLOBAL}'" if scope == "global" else scope
    return (
        f"SELECT coalesce(sum({_COLUMN[unit]}), 0) FROM reservations "  # noqa: S608  # our own words
        f"WHERE at_us >= ? AND at_us < ? AND expires_us > ? AND {whose} = ?"
    )


_HELD: Final = {(unit, scope): _held_statement(unit, scope) for unit in UNITS for scope in SCOPES}
_BOOK: Final = (
    "INSERT INTO usage (budget, subject, starts_us, used, warned) VALUES (?, ?, ?, ?, ?) "
    "ON CONFLICT (starts_us, budget, subject) "
    "DO UPDATE SET used = used + excluded.used, warned = max(warned, excluded.warned)"
)
# By chance, not the next number: a copy that is put back would reach it with other budgets.
_CHANGED: Final = "UPDATE state SET generation = abs(random() / 4)"
_RESERVE: Final = "INSERT INTO reservations VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)"
_REFUSE: Final = (
    "INSERT INTO usage (budget, subject, starts_us, refusals) VALUES (?, ?, ?, 1) "
    "ON CONFLICT (starts_us, budget, subject) DO UPDATE SET refusals = refusals + 1"
)


def spend(
    connection: "Connection", store: "Store", charge: Charge, now_us: int, key: str | None
) -> Outcome:
    """Book a charge if every budget that it touches has room, else count the refusals.

    Raises:
        ValueError: its key is of another charge.
    """
    _must_be_open(connection, store)
    uses = uses_of(connection, store, charge, now_us)
    known = None if key is None else _known(connection, key)
    if known is not None and known != charge:
        raise _taken(key)
    if known is not None:
        return Outcome(uses, duplicate=True)
    if key is not None and _is_open_for_others(connection, charge, key, now_us):
        raise _taken(key)
    refused = _without_room(connection, uses, charge)
    if refused:
        return Outcome(uses, refused)
    return _booked(connection, uses, charge, new_identity(now_us), key)


def hold(
    connection: "Connection",
    store: "Store",
    charge: Charge,
    now_us: int,
    key: str | None,
    *,
    for_us: int,
) -> Outcome:
    """Reserve a charge if every budget that it touches has room, else count the refusals.

    Raises:
        ValueError: its key is of another charge.
    """
    _must_be_open(connection, store)
    connection.execute("DELETE FROM reservations WHERE expires_us <= ?", (now_us,))
    uses = uses_of(connection, store, charge, now_us)
    known = None if key is None else _known(connection, key)
    if known is not None and not _may_have_come_to(charge, known):
        raise _taken(key)
    if known is not None:
        return Outcome(uses, duplicate=True)
    joined = None if key is None else _joined(connection, charge, key, now_us + for_us)
    if joined is not None:
        return Outcome(uses, identity=joined)
    refused = _without_room(connection, uses, charge)
    if refused:
        return Outcome(uses, refused)
    identity = new_identity(now_us)
    connection.execute(_RESERVE, (*identity, now_us + for_us, *_fields(charge), key))
    for use in uses:
        use.reserved += charge.amount(use.budget.unit) or 0
        connection.execute(_BOOK, (use.budget.id, use.subject, use.starts_us, 0, 0))
    return Outcome(uses, identity=identity)


def settle(
    connection: "Connection",
    store: "Store",
    charge: Charge,
    identity: Identity,
    now_us: int,
    key: str | None,
) -> Outcome:
    """Book what a reservation came to, in the period in which it was made: it is a fact, and not
    checked. A second time changes nothing, however often the answer was lost."""
    release(connection, identity)
    if key is not None:  # booked once, whoever else retries it: nothing is left to hold
        connection.execute(
            "DELETE FROM reservations WHERE key = ? AND tenant IS ? AND skill IS ? AND agent IS ?",
            (key, charge.tenant, charge.skill, charge.agent),
        )
    uses = _uses(connection, store, charge, identity[0], now_us)
    booked = "SELECT 1 FROM entries WHERE at_us = ? AND nonce = ?"
    known = None if key is None else _known(connection, key)
    is_retry = known is not None and known.subjects() == charge.subjects()
    if is_retry or connection.execute(booked, identity).fetchone():
        return Outcome(uses, duplicate=True)
    # Its key may have been taken by others after it had expired; it is booked all the same.
    return _booked(connection, uses, charge, identity, key if known is None else None)


def release(connection: "Connection", identity: Identity) -> None:
    """Give back what a reservation holds; where its key is open elsewhere, that holds it on."""
    asked = "SELECT tokens, nano_usd, key FROM reservations WHERE at_us = ? AND nonce = ?"
    held = connection.execute(asked, identity).fetchone()
    connection.execute("DELETE FROM reservations WHERE at_us = ? AND nonce = ?", identity)
    if held is not None and held[2] is not None:
        connection.execute(
            "UPDATE reservations SET tokens = tokens + ?, nano_usd = nano_usd + ? WHERE "
            "(at_us, nonce) = (SELECT at_us, nonce FROM reservations WHERE key = ? LIMIT 1)",
            held,
        )


def uses_of(connection: "Connection", store: "Store", charge: Charge, now_us: int) -> list[Use]:
    """Return how the budgets that a charge touches stand."""
    return _uses(connection, store, charge, now_us, now_us)


def define(connection: "Connection", budget: Budget, now_us: int) -> None:
    """Add a budget, or change the one of that name.

    One that changes whom or what it is of begins anew, with what was spent in this period.

    Raises:
        ValueError: there are `BUDGETS_MAX`.
    """
    known = next(iter(_budgets(connection, budget.name)), None)
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


def overview(
    connection: "Connection", store: "Store", now_us: int, *, rows_max: int = OVERVIEW_MAX
) -> list[Use]:
    """Return how every budget stands; one of each (`*`) itself, and for each subject that spent."""
    (generation,) = connection.execute("SELECT generation FROM state").fetchone()
    book = _book(connection, store, generation)
    held = _held_by_budget_of(connection, now_us)
    spans = windows(now_us)
    found: list[Use] = []
    for budget in _budgets(connection):
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


def _book(connection: "Connection", store: "Store", generation: int) -> Book:
    """Return the budgets that there are, read again when one was changed."""
    if store.book[0] != generation:
        store.book = (generation, Book(_budgets(connection)))
    return store.book[1]


def _budgets(connection: "Connection", name: str | None = None) -> list[Budget]:
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
    spent = _COLUMN[budget.unit]
    connection.execute(
        "INSERT INTO usage (budget, subject, starts_us, used) "  # noqa: S608  # our own words
        f"SELECT :budget, {whose}, :starts, sum({spent}) FROM entries "
        f"WHERE at_us >= :starts AND at_us < :ends AND {spent} IS NOT NULL "
        f"AND {whose} IS NOT NULL AND (:subject = '{EACH}' OR {whose} = :subject) GROUP BY {whose}",
        {"budget": made, "starts": starts_us, "ends": ends_us, "subject": budget.subject},
    )


def _must_be_open(connection: "Connection", store: "Store") -> None:
    (opened,) = connection.execute("SELECT opened FROM state").fetchone()
    if not opened:
        store.must_be_open(connection)


def _uses(
    connection: "Connection", store: "Store", charge: Charge, at_us: int, now_us: int
) -> list[Use]:
    """Return the budgets that a charge touches, as they stand in the period of `at_us`."""
    generation, any_held = connection.execute(
        "SELECT generation, EXISTS (SELECT 1 FROM reservations) FROM state"
    ).fetchone()
    matches = _book(connection, store, generation).of(charge)
    return [_use(connection, match, at_us, now_us, any_held=any_held) for match in matches]


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


def _joined(connection: "Connection", charge: Charge, key: str, expires_us: int) -> Identity | None:
    """Return a reservation beside the open one of a key: a retry of what is still at work.

    One of a key holds the amount, in the period of the first; the others hold nothing meanwhile.
    """
    at_us, *fields = connection.execute(
        "SELECT min(at_us), tenant, skill, agent, max(tokens), max(nano_usd) FROM reservations "
        "WHERE key = ?",
        (key,),
    ).fetchone()
    if at_us is None:
        return None
    if tuple(fields) != _fields(charge):
        raise _taken(key)
    identity = new_identity(at_us)
    nothing = replace(
        charge,
        tokens=None if charge.tokens is None else 0,
        nano_usd=None if charge.nano_usd is None else 0,
    )
    connection.execute(_RESERVE, (*identity, expires_us, *_fields(nothing), key))
    connection.execute(
        "UPDATE reservations SET expires_us = max(expires_us, ?) WHERE key = ?", (expires_us, key)
    )
    return identity


def _without_room(connection: "Connection", uses: Iterable[Use], charge: Charge) -> list[Use]:
    """Return the budgets that refuse, and count it."""
    refused = [
        use
        for use in uses
        if use.holds and not use.has_room_for(charge.amount(use.budget.unit) or 0)
    ]
    for use in refused:
        connection.execute(_REFUSE, (use.budget.id, use.subject, use.starts_us))
        use.refusals += 1
    return refused


def _booked(
    connection: "Connection",
    uses: list[Use],
    charge: Charge,
    identity: Identity,
    key: str | None,
) -> Outcome:
    outcome = Outcome(uses)
    for use in uses:
        amount = charge.amount(use.budget.unit) or 0
        use.used += amount
        warns = use.holds and not use.warned and use.is_beyond_soft_limit()
        if warns:
            use.warned = True
            outcome.warned.append(use)
        row = (use.budget.id, use.subject, use.starts_us, amount, int(warns))
        connection.execute(_BOOK, row)
    connection.execute(
        "INSERT INTO entries VALUES (?, ?, ?, ?, ?, ?, ?, ?)", (*identity, *_fields(charge), key)
    )
    if identity[1] % PRUNE_EVERY == 0:
        _prune(connection, identity[0] - KEPT_US)
    return outcome


def _prune(connection: "Connection", before_us: int) -> None:
    connection.execute(
        "DELETE FROM entries WHERE (at_us, nonce) IN (SELECT at_us, nonce FROM entries "
        "WHERE at_us < ? ORDER BY at_us LIMIT ?)",
        (before_us, PRUNE_MAX),
    )
    connection.execute("DELETE FROM usage WHERE starts_us < ?", (before_us,))


def _known(connection: "Connection", key: str) -> Charge | None:
    """Return what was booked by a key."""
    asked = "SELECT tokens, nano_usd, tenant, skill, agent FROM entries WHERE key = ?"
    found = connection.execute(asked, (key,)).fetchone()
    return None if found is None else Charge(*found)


def _may_have_come_to(reserved: Charge, booked: Charge) -> bool:
    """Tell whether what is booked may be a reservation's: its amounts are what the call took."""
    return reserved.subjects() == booked.subjects() and all(
        reserved.amount(unit) is None or booked.amount(unit) is not None for unit in UNITS
    )


def _is_open_for_others(connection: "Connection", charge: Charge, key: str, now_us: int) -> bool:
    found = connection.execute(
        "SELECT 1 FROM reservations WHERE key = ? AND expires_us > ? "
        "AND NOT (tenant IS ? AND skill IS ? AND agent IS ?)",
        (key, now_us, charge.tenant, charge.skill, charge.agent),
    ).fetchone()
    return found is not None


def _taken(key: str | None) -> ValueError:
    return ValueError(
        f"idempotency_key={key}: is of another spend, of another amount, unit, tenant, skill "
        "or agent; give each spend a key of its own"
    )


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


def _fields(charge: Charge) -> tuple[object, ...]:
    return charge.tenant, charge.skill, charge.agent, charge.tokens, charge.nano_usd


def new_identity(now_us: int) -> Identity:
    """Return what tells an entry from all others."""
    # Not from `random`, whose state forked children share.
    return now_us, int.from_bytes(os.urandom(8), "big") >> 2
