"""What a skill must reach to be promoted, and what returns it to staged. Plain data, per skill.

The defaults are those that services and their readers already go by. Which decisions are positive
and which are critical is known to nobody but the skill's owner, so there is no default: a gate that
needs to know is not met until they are said, be it as none.
"""

from dataclasses import dataclass, field
from typing import Any, Final

__all__ = ["DEFAULTS", "Production", "Rollback", "Staged", "Thresholds"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Staged:
    """What leads from prototype to staged; over all records."""

    fidelity_min: float = 0.90
    correct_min: float = 0.85
    false_positive_rate_below: float = 0.05
    critical_false_negatives_max: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Production:
    """What leads from staged to production; the means and the exceptions over a window of days."""

    records_min: int = 100
    window_days: float = 7
    fidelity_min: float = 0.90
    correct_min: float = 0.85
    exceptions_max: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Rollback:
    """What returns a skill from production to staged.

    Attributes:
        fidelity_records, exception_records, correct_records: how many of the last records count.
        duration_records: likewise; of these durations the median counts.
        baseline_records: of how many durations before the last promotion the median is the
            baseline.
        duration_factor_max: a duration over so many times the baseline is too long.
    """

    fidelity_min: float = 0.85
    fidelity_records: int = 10
    exception_rate_max: float = 0.05
    exception_records: int = 20
    correct_min: float = 0.80
    correct_records: int = 10
    duration_factor_max: float = 3
    duration_records: int = 1
    baseline_records: int = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Thresholds:
    """All thresholds of one skill.

    Attributes:
        positive_decisions: those by which an incorrect outcome is a false positive; None where
            nobody has said.
        critical_decisions: those that must not be missed: an incorrect outcome of which one was
            expected is a critical false negative; None likewise.
    """

    staged: Staged = field(default_factory=Staged)
    production: Production = field(default_factory=Production)
    rollback: Rollback = field(default_factory=Rollback)
    positive_decisions: tuple[Any, ...] | None = None
    critical_decisions: tuple[Any, ...] | None = None


DEFAULTS: Final = Thresholds()
