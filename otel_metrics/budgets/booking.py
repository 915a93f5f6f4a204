"""What happens inside one transaction of the ledger: check and book, hold and settle.

The entries are the truth: one for each spend. What is used of a budget is kept beside them as
their sum, in the same transaction, so that no crash can part the two.

Every function is given a connection inside a transaction, and takes the time after the transaction
has begun: two processes cannot see each other's periods in the wrong order.
"""

import os
from collections.abc import Iterable
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from otel_metrics.budgets.limits import DAY_US, Charge, Identity, Outcome, Use
from otel_metrics.budgets.standings import uses_at, uses_of
from otel_metrics.budgets.units import UNITS

if TYPE_CHECKING:  # what loads sqlite3 is loaded when a ledger is made
    from sqlite3 import Connection

    from otel_metrics.budgets.store import Store

__all__ = ["hold", "new_identity", "release", "settle", "spend"]

KEPT_US: Final = 40 * DAY_US
"""How long entries are kept: longer than the longest period, so that a budget that is defined late
counts what was spent before."""
PRUNE_EVERY: Final = 512
"""One spend in so many also removes old entries."""
PRUNE_MAX: Final = 2_048
"""Entries that it removes at most: more than were added since."""
_BOOK: Final = (
    "INSERT INTO usage (budget, subject, starts_us, used, warned) VALUES (?, ?, ?, ?, ?) "
    "ON CONFLICT (starts_us, budget, subject) "
    "DO UPDATE SET used = used + excluded.used, warned = max(warned, excluded.warned)"
)
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
    uses = uses_at(connection, store, charge, identity[0], now_us)
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


def _must_be_open(connection: "Connection", store: "Store") -> None:
    (opened,) = connection.execute("SELECT opened FROM state").fetchone()
    if not opened:
        store.must_be_open(connection)


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


def _fields(charge: Charge) -> tuple[object, ...]:
    return charge.tenant, charge.skill, charge.agent, charge.tokens, charge.nano_usd


def new_identity(now_us: int) -> Identity:
    """Return what tells an entry from all others."""
    # Not from `random`, whose state forked children share.
    return now_us, int.from_bytes(os.urandom(8), "big") >> 2
