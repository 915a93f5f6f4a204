"""What a transaction came to, as callers get it: a receipt, or the error that says no."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from otel_metrics.budgets import recorder
from otel_metrics.budgets.limits import Charge, Outcome, Standing, Use
from otel_metrics.budgets.units import public
from otel_metrics.errors import BudgetExceeded

__all__ = ["Receipt", "receipt_of"]


@dataclass(frozen=True, slots=True)
class Receipt:
    """A spend that was booked.

    Attributes:
        is_duplicate: its idempotency key had been booked before, so nothing was now.
        is_checked: False where the ledger could not be asked and `when_unavailable` is `allow`.
    """

    _uses: tuple[Use, ...] = field(default=(), repr=False)
    is_duplicate: bool = False
    is_checked: bool = True

    @property
    def budgets(self) -> tuple[Standing, ...]:
        """How the budgets that it touches stand after it."""
        return tuple(use.standing() for use in self._uses if use.holds)


def receipt_of(
    outcome: Outcome,
    charge: Charge,
    refusals: recorder.Refusals,
    *,
    vendor: str | None = None,
    model: str | None = None,
) -> Receipt:
    """Count and tell what a transaction did.

    Raises:
        BudgetExceeded: it refused.
    """
    recorder.tell(outcome, charge, refusals)
    if outcome.refused:
        raise _exceeded(outcome.refused, charge)
    if not outcome.duplicate:
        recorder.count_tokens(charge, vendor, model)
    return Receipt(tuple(outcome.uses), is_duplicate=outcome.duplicate)


def _exceeded(refused: Sequence[Use], charge: Charge) -> BudgetExceeded:
    """Return the error that names the budget for which the caller has to wait longest."""
    use = max(refused, key=lambda use: use.ends_us)
    requested = charge.amount(use.budget.unit) or 0
    standing = use.standing()
    return BudgetExceeded(
        use.refusal(requested),
        standing.name,
        standing.subject,
        standing.unit,
        standing.limit,
        standing.used,
        standing.reserved,
        public(requested, standing.unit),
        standing.remaining,
        standing.resets_at,
    )
