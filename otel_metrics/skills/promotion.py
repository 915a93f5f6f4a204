"""How a skill stands: its state, the gates before the next one, what would return it. Pure.

A skill moves one state at a time, towards production by a promotion and back by a rollback
(production to staged) or a demotion (staged to prototype).
"""

from collections.abc import Sequence
from dataclasses import dataclass

from otel_metrics.skills import readings as read
from otel_metrics.skills.checks import Check
from otel_metrics.skills.gates import gates
from otel_metrics.skills.readings import History
from otel_metrics.skills.stages import PROMOTIONS, ROLLBACKS, State
from otel_metrics.skills.thresholds import Thresholds
from otel_metrics.skills.triggers import triggers

__all__ = ["Standing", "next_state", "standing", "state_before"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """How a skill stands.

    Attributes:
        since: when it entered its state, Unix seconds; None where it never moved.
        to_state: the state that it may be promoted to; None in production.
        gates: those before that state.
        triggers: those that return it to staged; none unless it is in production.
    """

    state: State
    since: float | None
    to_state: State | None
    gates: tuple[Check, ...]
    triggers: tuple[Check, ...]

    @property
    def firing(self) -> tuple[Check, ...]:
        """The triggers that fire."""
        return tuple(check for check in self.triggers if check.met)

    @property
    def unmet(self) -> tuple[Check, ...]:
        """The gates that are not met."""
        return tuple(check for check in self.gates if not check.met)


def standing(history: History, thresholds: Thresholds, *, now: float) -> Standing:
    """Return how a skill stands at a time, in Unix seconds."""
    state = read.state(history)
    to_state = next_state(state)
    return Standing(
        state=state,
        since=read.moment(history.moves[-1]) if history.moves else None,
        to_state=to_state,
        gates=gates(history, thresholds, to_state=to_state, now=now) if to_state else (),
        triggers=triggers(history, thresholds.rollback) if state == "production" else (),
    )


def next_state(state: State) -> State | None:
    """Return the state that a promotion leads to; None from production."""
    return _after(state, PROMOTIONS)


def state_before(state: State) -> State | None:
    """Return the state that a rollback or a demotion leads to; None from prototype."""
    return _after(state, ROLLBACKS)


def _after(state: State, edges: Sequence[tuple[State, State]]) -> State | None:
    return next((target for origin, target in edges if origin == state), None)
