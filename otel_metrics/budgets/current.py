"""The ledger that this process uses, and its verbs as functions.

`use` names it once; `configure(budgets_db=...)` does so with `OTEL_PYTHON_METRICS_BUDGETS_DB`.
There is none by default: a ledger in memory would not be exact over the processes of a service.

Threads: `_ledger` is replaced whole.
"""

import os
from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import Any

from otel_metrics.budgets.ledger import RESERVED_FOR_S, BudgetLedger
from otel_metrics.budgets.limits import Period, Standing
from otel_metrics.budgets.receipt import Receipt
from otel_metrics.budgets.recorder import Gauges
from otel_metrics.budgets.reservation import Actual, Asked, Given, Reserving, Whose
from otel_metrics.budgets.units import Amount, Unit
from otel_metrics.errors import BudgetUnavailable

__all__ = ["define", "list", "remaining", "remove", "reserve", "spend", "use"]

_ledger: BudgetLedger | None = None


def use(ledger: BudgetLedger | str | os.PathLike[str] | None) -> None:
    """Let the functions of this module, and the gauges of budgets, use a ledger; None: use none.

    Args:
        ledger: its file, or a `BudgetLedger` with options of its own.

    Example:
        >>> from otel_metrics import budgets
        >>> budgets.use("budgets.db")
        >>> budgets.spend(1200, tenant="acme").budgets[0].remaining
        1498800
    """
    global _ledger
    if ledger is not None and not isinstance(ledger, BudgetLedger):
        ledger = BudgetLedger(ledger)
    _ledger = ledger
    Gauges(
        lambda wait_s, rows_max: ledger.uses(wait_s=wait_s, rows_max=rows_max) if ledger else ()
    ).register()


def define(
    name: str,
    limit: Amount,
    *,
    unit: Unit = "tokens",
    period: Period = "day",
    soft_limit: Amount | None = None,
    tenant: str | None = None,
    skill: str | None = None,
    agent: str | None = None,
) -> None:
    """Add a budget, or change the one of that name; see `BudgetLedger.define`."""
    _used().define(
        name,
        limit,
        unit=unit,
        period=period,
        soft_limit=soft_limit,
        tenant=tenant,
        skill=skill,
        agent=agent,
    )


def remove(name: str) -> bool:
    """Remove a budget, and tell whether there was one; see `BudgetLedger.remove`."""
    return _used().remove(name)


def spend(
    tokens: Amount | None = None,
    *,
    usd: Amount | None = None,
    tenant: str | None = None,
    skill: str | None = None,
    agent: str | None = None,
    vendor: str | None = None,
    model: str | None = None,
    idempotency_key: str | None = None,
) -> Receipt:
    """Book tokens, dollars or both, if every budget has room; see `BudgetLedger.spend`.

    Raises:
        BudgetExceeded: a budget has less left; nothing was booked.
        BudgetUnavailable: the ledger cannot be asked, or none is named; nothing was booked.
        ValueError: an argument is not accepted.

    Example:
        >>> from otel_metrics import budgets
        >>> budgets.use("budgets.db")
        >>> try:
        ...     budgets.spend(2_000_000, tenant="acme")
        ... except budgets.BudgetExceeded as refused:
        ...     print(refused.remaining, refused.unit)
        1500000 tokens
    """
    return _used().spend(
        tokens,
        usd=usd,
        tenant=tenant,
        skill=skill,
        agent=agent,
        vendor=vendor,
        model=model,
        idempotency_key=idempotency_key,
    )


def reserve(
    tokens: Given = None,
    *,
    usd: Given = None,
    tenant: Whose = None,
    skill: Whose = None,
    agent: Whose = None,
    vendor: str | None = None,
    model: str | None = None,
    idempotency_key: Whose = None,
    time_limit_s: float = RESERVED_FOR_S,
    actual: Callable[[Any], Actual] | None = None,
) -> Reserving:
    """Hold an amount while a call runs, and book what the call came to; see `Reserving`.

    As a decorator it may be written before a ledger is named.
    """
    return Reserving(
        _used,
        Asked(tokens, usd, tenant, skill, agent, idempotency_key),
        vendor=vendor,
        model=model,
        time_limit_s=time_limit_s,
        actual=actual,
    )


def remaining(
    unit: Unit = "tokens",
    *,
    tenant: str | None = None,
    skill: str | None = None,
    agent: str | None = None,
) -> int | Decimal | None:
    """Return what such a spend may be at most now; see `BudgetLedger.remaining`."""
    return _used().remaining(unit, tenant=tenant, skill=skill, agent=agent)


def list() -> Sequence[Standing]:  # noqa: A001  # the command's word; `list` is not used here
    """Return how every budget stands, by name; see `BudgetLedger.list`."""
    return _used().list()


def _used() -> BudgetLedger:
    if _ledger is None:
        raise BudgetUnavailable(
            "no ledger of budgets is named, so nothing can be spent; set "
            "OTEL_PYTHON_METRICS_BUDGETS_DB to a file and call otel_metrics.configure(), or call "
            "budgets.use(path)"
        )
    return _ledger
