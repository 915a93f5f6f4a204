"""What budgets say: whom they are of, when their period begins and ends, what is left of them.

Pure: no clock, no file. Times are Unix microseconds. Periods are calendar hours, days and months
in UTC, which has no daylight saving time.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Final, Literal, NamedTuple

from otel_metrics.budgets.units import Unit, figure, public, shown

__all__ = [
    "DAY_US",
    "EACH",
    "GLOBAL",
    "PERIODS",
    "SCOPES",
    "Book",
    "Budget",
    "Charge",
    "Identity",
    "Match",
    "Outcome",
    "Period",
    "Scope",
    "Standing",
    "Use",
    "moment",
    "window",
    "windows",
]

Period = Literal["hour", "day", "month"]
PERIODS: Final[tuple[Period, ...]] = ("hour", "day", "month")

Scope = Literal["global", "tenant", "skill", "agent"]
SCOPES: Final[tuple[Scope, ...]] = ("global", "tenant", "skill", "agent")

GLOBAL: Final = ""
"""The subject of a global budget."""
EACH: Final = "*"
"""The subject of a budget that each tenant, skill or agent has to itself."""

Identity = tuple[int, int]
"""Time and nonce of an entry, and of the reservation that becomes it."""

HOUR_US: Final = 3_600_000_000
DAY_US: Final = 24 * HOUR_US
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """A limit on what somebody may spend in a period. Amounts in the smallest part of the unit."""

    id: int
    name: str
    scope: Scope
    subject: str
    unit: Unit
    period: Period
    limit: int
    soft_limit: int | None


@dataclass(frozen=True, slots=True)
class Charge:
    """What somebody spends or reserves; None in a unit that it does not touch."""

    tokens: int | None
    nano_usd: int | None
    tenant: str | None = None
    skill: str | None = None
    agent: str | None = None

    def amount(self, unit: Unit) -> int | None:
        """Return what is spent of a unit."""
        return self.tokens if unit == "tokens" else self.nano_usd

    def subjects(self) -> list[tuple[Scope, str]]:
        """Return whose budgets it touches."""
        found: list[tuple[Scope, str]] = [("global", GLOBAL)]
        if self.tenant is not None:
            found.append(("tenant", self.tenant))
        if self.skill is not None:
            found.append(("skill", self.skill))
        if self.agent is not None:
            found.append(("agent", self.agent))
        return found


class Match(NamedTuple):
    """A budget that a charge touches.

    Attributes:
        subject: whose part of it; the tenant itself where the budget is of each.
        holds: whether it limits the charge. One of each does not where the subject has its own.
    """

    budget: Budget
    subject: str
    holds: bool


class Book:
    """The budgets that there are, found by whom they are of."""

    def __init__(self, budgets: Iterable[Budget]) -> None:
        self._by_subject: dict[tuple[Scope, str], list[Budget]] = {}
        for budget in budgets:
            self._by_subject.setdefault((budget.scope, budget.subject), []).append(budget)

    def of(self, charge: Charge) -> list[Match]:
        """Return the budgets that a charge touches."""
        return [
            match
            for scope, subject in charge.subjects()
            for match in self._matches(scope, subject)
            if charge.amount(match.budget.unit) is not None
        ]

    def stands_in(self, budget: Budget, subject: str) -> bool:
        """Tell whether a subject has a budget of its own in place of one that is of each."""
        own = self._by_subject.get((budget.scope, subject), ())
        return budget.subject == EACH and any(
            each.unit == budget.unit and each.period == budget.period for each in own
        )

    def _matches(self, scope: Scope, subject: str) -> list[Match]:
        own = self._by_subject.get((scope, subject), ())
        of_each = self._by_subject.get((scope, EACH), ())
        return [
            *(Match(budget, subject, holds=True) for budget in own),
            *(Match(each, subject, holds=not self.stands_in(each, subject)) for each in of_each),
        ]


@dataclass(slots=True)
class Use:
    """What there is of one budget in one period, in the smallest part of its unit."""

    budget: Budget
    subject: str
    starts_us: int
    ends_us: int
    used: int = 0
    reserved: int = 0
    refusals: int = 0
    warned: bool = False
    holds: bool = True

    @property
    def name(self) -> str:
        """The budget's name in metrics: with its subject where it is of each."""
        of_each = self.budget.subject == EACH and self.subject != EACH
        return f"{self.budget.name}/{self.subject}" if of_each else self.budget.name

    @property
    def remaining(self) -> int:
        """What is left, never below zero."""
        return max(0, self.budget.limit - self.used - self.reserved)

    def has_room_for(self, amount: int) -> bool:
        """Tell whether an amount fits; an exact fit does."""
        return self.used + self.reserved + amount <= self.budget.limit

    def is_beyond_soft_limit(self) -> bool:
        """Tell whether more is used than the soft limit."""
        soft = self.budget.soft_limit
        return soft is not None and self.used > soft

    def standing(self) -> "Standing":
        """Return this as callers get it."""
        budget = self.budget
        unit = budget.unit
        soft = None if budget.soft_limit is None else public(budget.soft_limit, unit)
        return Standing(
            name=self.name,
            scope=budget.scope,
            subject=self.subject,
            unit=unit,
            period=budget.period,
            limit=public(budget.limit, unit),
            soft_limit=soft,
            used=public(self.used, unit),
            reserved=public(self.reserved, unit),
            remaining=public(self.remaining, unit),
            refusals=self.refusals,
            resets_at=moment(self.ends_us),
        )

    def refusal(self, requested: int) -> str:
        """Say why an amount is refused, what is left, and when the budget starts anew."""
        unit = self.budget.unit
        held = f", {figure(self.reserved, unit)} reserved" if self.reserved else ""
        return (
            f"budget {self.name}: {shown(requested, unit)} refused, "
            f"{figure(self.remaining, unit)} left of {figure(self.budget.limit, unit)} a "
            f"{self.budget.period} ({figure(self.used, unit)} used{held}); it starts anew at "
            f"{moment(self.ends_us):%Y-%m-%dT%H:%M:%SZ}: wait until then, spend less, or raise it "
            "with otel-metrics budgets set"
        )


@dataclass(slots=True)
class Outcome:
    """What became of a charge.

    Attributes:
        uses: the budgets that it touches, as they stand now.
        refused: those that have no room; then nothing was booked.
        warned: those whose soft limit it passed, the first time in their period.
        duplicate: it had been booked before.
        identity: of the reservation that was made.
    """

    uses: list[Use]
    refused: list[Use] = field(default_factory=list)
    warned: list[Use] = field(default_factory=list)
    duplicate: bool = False
    identity: Identity | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """How a budget stands in its period. Amounts are whole tokens, or dollars as exact `Decimal`.

    Attributes:
        name: of the budget; `NAME/SUBJECT` where it is one that each subject has to itself.
        scope: `global`, `tenant`, `skill` or `agent`.
        subject: the tenant, skill or agent; empty for a global one, `*` for each.
        unit: `tokens` or `USD`.
        period: `hour`, `day` or `month`, of the calendar in UTC.
        limit: what it allows in a period.
        soft_limit: more than this is warned of once a period.
        used: what is booked.
        reserved: what open reservations hold.
        remaining: what is left.
        refusals: spends that it refused.
        resets_at: when it starts anew, in UTC.
    """

    name: str
    scope: Scope
    subject: str
    unit: Unit
    period: Period
    limit: int | Decimal
    soft_limit: int | Decimal | None
    used: int | Decimal
    reserved: int | Decimal
    remaining: int | Decimal
    refusals: int
    resets_at: datetime


def window(period: Period, at_us: int) -> tuple[int, int]:
    """Return where the period that holds a time begins, and where the next one does."""
    if period == "month":
        at = moment(at_us)
        starts = datetime(at.year, at.month, 1, tzinfo=UTC)
        ends = datetime(at.year + at.month // 12, at.month % 12 + 1, 1, tzinfo=UTC)
        return _microseconds(starts), _microseconds(ends)
    length = HOUR_US if period == "hour" else DAY_US
    begins = at_us - at_us % length
    return begins, begins + length


def windows(at_us: int) -> Mapping[Period, tuple[int, int]]:
    """Return the period of each kind that holds a time."""
    return {period: window(period, at_us) for period in PERIODS}


def moment(at_us: int) -> datetime:
    """Return a time as a `datetime` in UTC."""
    return _EPOCH + timedelta(microseconds=at_us)


def _microseconds(at: datetime) -> int:
    return (at - _EPOCH) // timedelta(microseconds=1)
