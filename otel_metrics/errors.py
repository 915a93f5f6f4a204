"""The errors that this package raises on purpose, in one short tree.

    OtelMetricsError
    ├── ConfigurationError   a bad argument of `configure(...)`
    ├── CatalogError         a catalog file that does not hold
    ├── RecordingError       a value that cannot be recorded; raised in strict mode only
    └── BudgetError          a spend that is not booked
        ├── BudgetExceeded     more than a budget has left
        └── BudgetUnavailable  the ledger cannot be asked

What is wrong with a value is also a `ValueError`, so that callers need not import this module.
"""

from datetime import datetime
from decimal import Decimal

__all__ = [
    "BudgetError",
    "BudgetExceeded",
    "BudgetUnavailable",
    "CatalogError",
    "ConfigurationError",
    "OtelMetricsError",
    "RecordingError",
]


class OtelMetricsError(Exception):
    """Everything that this package raises on purpose."""


class ConfigurationError(OtelMetricsError, ValueError):
    """An argument of `configure(...)` or a command-line option is wrong."""


class CatalogError(OtelMetricsError, ValueError):
    """A catalog file does not hold; the message names every problem, each with file and line."""


class RecordingError(OtelMetricsError, ValueError):
    """A value cannot be recorded. Raised in strict mode; otherwise counted as `metric.rejected`."""


class BudgetError(OtelMetricsError):
    """A spend was not booked."""


class BudgetExceeded(BudgetError):  # noqa: N818  # the name that callers catch
    """A spend is more than a budget has left. It was not booked.

    Amounts are whole tokens, or dollars as exact `Decimal`.

    Attributes:
        message: says what is left and when the budget starts anew.
        budget: the budget's name; where several refuse, of the one that starts anew last.
        subject: the tenant, skill or agent that it is of; empty for a global one.
        unit: `tokens` or `USD`.
        limit: what the budget allows in a period.
        used: what is booked in this period.
        reserved: what open reservations hold of it.
        requested: what was asked for.
        remaining: what is left.
        resets_at: when it starts anew, in UTC.
    """

    def __init__(
        self,
        message: str,
        budget: str,
        subject: str,
        unit: str,
        limit: int | Decimal,
        used: int | Decimal,
        reserved: int | Decimal,
        requested: int | Decimal,
        remaining: int | Decimal,
        resets_at: datetime,
    ) -> None:
        # All of it in `args`, by position: so it passes through pickle, to another process.
        super().__init__(
            *(message, budget, subject, unit, limit, used, reserved, requested, remaining),
            resets_at,
        )
        self.message = message
        self.budget = budget
        self.subject = subject
        self.unit = unit
        self.limit = limit
        self.used = used
        self.reserved = reserved
        self.requested = requested
        self.remaining = remaining
        self.resets_at = resets_at

    def __str__(self) -> str:
        return self.message


class BudgetUnavailable(BudgetError):  # noqa: N818  # the name that callers catch
    """Whether a budget allows a spend cannot be told, so it is not allowed; the message says why
    and what to do."""
