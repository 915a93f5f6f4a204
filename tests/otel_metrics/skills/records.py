"""Records of a skill as services write them, with as little as gates and triggers look at."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

__all__ = ["DAY_S", "NOW", "fidelities", "move", "outcomes", "runs"]

NOW = 1_700_000_000.0
DAY_S = 86_400

Record = Mapping[str, Any]


def fidelities(values: Iterable[Any], *, start: float = NOW - 1000) -> Sequence[Record]:
    """Return a fidelity record a second."""
    return [
        {"timestamp": start + second, "pattern_fidelity": value}
        for second, value in enumerate(values)
    ]


def outcomes(
    verdicts: Iterable[Any],
    *,
    decision: Any = "approve",
    expected: Any = "approve",
    start: float = NOW - 1000,
) -> Sequence[Record]:
    """Return an outcome record a second."""
    return [
        {
            "timestamp": start + second,
            "decision": decision,
            "expected_decision": expected,
            "correct": verdict,
        }
        for second, verdict in enumerate(verdicts)
    ]


def runs(
    durations: Iterable[Any], *, raised: int = 0, start: float = NOW - 1000
) -> Sequence[Record]:
    """Return a performance record a second, of which the last `raised` ended with an exception."""
    every = list(durations)
    return [
        {
            "timestamp": start + second,
            "execution_time_ms": value,
            "exception_occurred": second >= len(every) - raised,
        }
        for second, value in enumerate(every)
    ]


def move(from_state: str, to_state: str, timestamp: float = NOW - 500) -> Record:
    """Return a promotion, or where it goes back a rollback."""
    back = (from_state, to_state) in (("production", "staged"), ("staged", "prototype"))
    return {
        "timestamp": timestamp,
        "from_state": from_state,
        "to_state": to_state,
        "event_type": "rollback" if back else "promotion",
    }
