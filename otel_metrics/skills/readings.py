"""What was recorded of one skill: plain records in the field names of the skill files.

Wherever records come from, a file, the archive or a caller's list, they are read here and nowhere
else: what a field holds that it should not hold is left out and counted. Numbers are taken by their
decimal digits, so that a mean of 0.85 and 0.95 is 0.9, and not a little less.
"""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final, TypeVar

from otel_metrics.skills.stages import STATES, State

__all__ = [
    "FIELDS",
    "History",
    "Reading",
    "Readings",
    "Record",
    "durations",
    "exceptions",
    "fidelities",
    "last_promotion",
    "moment",
    "outcomes",
    "state",
    "verdict",
]

Record = Mapping[str, Any]

FIELDS: Final[Mapping[str, tuple[str, ...]]] = {
    "performance": ("timestamp", "execution_time_ms", "exception_occurred"),
    "outcome": ("timestamp", "correct", "decision", "expected_decision"),
    "fidelity": ("timestamp", "pattern_fidelity"),
}
"""What is read of each kind of record: a long history is kept without the rest."""

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class History:
    """The records of one skill.

    Attributes:
        moves: promotions and rollbacks, in the order in which they were made.
    """

    performance: Sequence[Record] = ()
    outcomes: Sequence[Record] = ()
    fidelity: Sequence[Record] = ()
    moves: Sequence[Record] = ()


@dataclass(frozen=True, slots=True)
class Reading:
    """One value at one time, in Unix seconds; `record` is what it was read from."""

    time: float
    value: Decimal
    record: Record


@dataclass(frozen=True, slots=True)
class Readings:
    """What one field says over time, the oldest first.

    Attributes:
        left_out: records that do not say it, or no time.
    """

    kept: Sequence[Reading]
    left_out: int = 0

    def __len__(self) -> int:
        return len(self.kept)

    def last(self, count: int) -> "Readings":
        """Return the newest `count`."""
        return Readings(self.kept[-count:] if count > 0 else ())

    def within(self, since: float, until: float) -> "Readings":
        """Return those of a time, both ends included."""
        return Readings([each for each in self.kept if since <= each.time <= until])

    def before(self, time: float) -> "Readings":
        """Return those before a time, which is not included."""
        return Readings([each for each in self.kept if each.time < time])

    def since(self, time: float) -> "Readings":
        """Return those from a time on, which is included."""
        return Readings([each for each in self.kept if each.time >= time])


def fidelities(history: History) -> Readings:
    """Return the fidelities, 0 to 1."""
    return _readings(history.fidelity, lambda record: _share(record.get("pattern_fidelity")))


def outcomes(history: History) -> Readings:
    """Return the verdicts: 1 for a correct outcome, 0 for another. An unverified one has none."""
    return _readings(history.outcomes, lambda record: _flag(record.get("correct")))


def exceptions(history: History) -> Readings:
    """Return for each execution 1 where it raised, and 0 where it did not."""
    return _readings(history.performance, lambda record: _flag(record.get("exception_occurred")))


def durations(history: History) -> Readings:
    """Return the durations, in milliseconds."""
    return _readings(history.performance, lambda record: _amount(record.get("execution_time_ms")))


def state(history: History) -> State:
    """Return where the last move led; a skill that never moved is a prototype."""
    for record in reversed(history.moves):
        for known in STATES:
            if record.get("to_state") == known:
                return known
    return STATES[0]


def last_promotion(history: History) -> float | None:
    """Return when the skill was last promoted, in Unix seconds."""
    for record in reversed(history.moves):
        if record.get("event_type") == "promotion":
            return moment(record)
    return None


def moment(record: Record) -> float | None:
    """Return when a record was made, in Unix seconds; None where it does not say so."""
    time = _amount(record.get("timestamp"))
    return None if time is None else float(time)


def verdict(correct: object) -> bool | None:
    """Return whether an outcome was correct; None where nobody knows."""
    flag = _flag(correct)
    return None if flag is None else bool(flag)


def _readings(records: Iterable[Record], read: Callable[[Record], Decimal | None]) -> Readings:
    kept: list[Reading] = []
    left_out = 0
    for record in records:
        time, value = moment(record), read(record)
        if time is None or value is None:
            left_out += 1
        else:
            kept.append(Reading(time, value, record))
    kept.sort(key=lambda reading: reading.time)  # stable: records of one time keep their order
    return Readings(kept, left_out)


def _share(value: object) -> Decimal | None:
    number = _amount(value)
    return number if number is not None and number <= 1 else None


def _amount(value: object) -> Decimal | None:
    """Return a finite number that is not negative, by its decimal digits."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    if not 0 <= value < math.inf:
        return None
    return Decimal(value) if isinstance(value, int) else Decimal(repr(float(value)))


def _flag(value: object) -> Decimal | None:
    return Decimal(int(value)) if isinstance(value, bool | int) and value in (0, 1) else None
