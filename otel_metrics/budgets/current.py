"""The ledger that this process uses, and its verbs as functions.

`use` names it once; `configure(budgets_db=...)` does so with `OTEL_PYTHON_METRICS_BUDGETS_DB`.
There is none by default: a ledger in memory would not be exact over the processes of a service.

Each function but `use` and `reserve` is the method of `BudgetLedger` of that name, and has its
arguments, result and errors; without a ledger it raises `BudgetUnavailable`.

Threads: `_ledger` is replaced whole.
"""

import inspect
import os
from collections.abc import Callable
from functools import wraps
from typing import Any, Concatenate, ParamSpec, TypeVar

from otel_metrics.budgets.ledger import RESERVED_FOR_S, BudgetLedger
from otel_metrics.budgets.recorder import Gauges
from otel_metrics.budgets.reservation import Actual, Asked, Given, Reserving, Whose
from otel_metrics.errors import BudgetUnavailable

__all__ = ["define", "list", "remaining", "remove", "reserve", "spend", "use"]

P = ParamSpec("P")
R = TypeVar("R")

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
        >>> try:
        ...     budgets.spend(2_000_000, tenant="acme")
        ... except budgets.BudgetExceeded as refused:
        ...     print(refused.remaining, refused.unit)
        1498800 tokens
    """
    global _ledger
    if ledger is not None and not isinstance(ledger, BudgetLedger):
        ledger = BudgetLedger(ledger)
    _ledger = ledger
    Gauges(
        lambda wait_s, rows_max: ledger.uses(wait_s=wait_s, rows_max=rows_max) if ledger else ()
    ).register()


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


def _used() -> BudgetLedger:
    if _ledger is None:
        raise BudgetUnavailable(
            "no ledger of budgets is named, so nothing can be spent; set "
            "OTEL_PYTHON_METRICS_BUDGETS_DB to a file and call otel_metrics.configure(), or call "
            "budgets.use(path)"
        )
    return _ledger


def _of_the_ledger(method: Callable[Concatenate[BudgetLedger, P], R]) -> Callable[P, R]:
    """Return a method of the ledger in use as a function."""

    @wraps(method)
    def function(*args: P.args, **kwargs: P.kwargs) -> R:
        return method(_used(), *args, **kwargs)

    _, *parameters = inspect.signature(method).parameters.values()
    function.__signature__ = inspect.signature(method).replace(parameters=parameters)  # type: ignore[attr-defined]  # what `help` and editors show
    function.__qualname__, function.__module__ = function.__name__, __name__
    return function


define = _of_the_ledger(BudgetLedger.define)
remove = _of_the_ledger(BudgetLedger.remove)
spend = _of_the_ledger(BudgetLedger.spend)
remaining = _of_the_ledger(BudgetLedger.remaining)
list = _of_the_ledger(BudgetLedger.list)  # noqa: A001  # the command's word; not used here
