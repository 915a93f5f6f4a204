"""Limits on what tenants, skills and agents spend, in tokens and dollars."""

from otel_metrics.budgets.current import (
    define,
    list,  # noqa: A004  # the command's word; callers write `budgets.list()`
    remaining,
    remove,
    reserve,
    spend,
    use,
)
from otel_metrics.budgets.ledger import BudgetLedger
from otel_metrics.budgets.limits import Standing
from otel_metrics.budgets.receipt import Receipt
from otel_metrics.budgets.reservation import Reservation
from otel_metrics.errors import BudgetError, BudgetExceeded, BudgetUnavailable

__all__ = [
    "BudgetError",
    "BudgetExceeded",
    "BudgetLedger",
    "BudgetUnavailable",
    "Receipt",
    "Reservation",
    "Standing",
    "define",
    "list",
    "remaining",
    "remove",
    "reserve",
    "spend",
    "use",
]
