"""States and edges, and how a skill stands."""

import pytest

from otel_metrics import skills
from otel_metrics.skills.promotion import next_state, standing, state_before
from otel_metrics.skills.readings import History, state
from otel_metrics.skills.stages import STATES
from otel_metrics.skills.thresholds import Thresholds
from tests.otel_metrics.skills.records import NOW, fidelities, move, outcomes, runs

UP = (move("prototype", "staged"), move("staged", "production"))


def test_a_skill_moves_one_state_at_a_time() -> None:
    """Up by a promotion, down by a rollback or a demotion, and no other way."""
    assert [next_state(each) for each in STATES] == ["staged", "production", None]
    assert [state_before(each) for each in STATES] == [None, "prototype", "staged"]


@pytest.mark.parametrize(
    ("moves", "expected"),
    [
        ((), "prototype"),
        (UP[:1], "staged"),
        (UP, "production"),
        ((*UP, move("production", "staged")), "staged"),
        ((*UP, move("production", "staged"), move("staged", "prototype")), "prototype"),
        ((*UP, {"to_state": "retired", "event_type": "promotion"}), "production"),
        ((*UP, {"event_type": "promotion"}), "production"),
    ],
)
def test_a_skill_is_where_its_last_move_led(moves: tuple[dict[str, object]], expected: str) -> None:
    """As it was written, and whatever else is in the log."""
    assert state(History(moves=moves)) == expected


def test_triggers_are_of_production_only() -> None:
    """Elsewhere there is nothing to roll back; in production there is no further gate."""
    low = fidelities([0.1] * 10)

    staged = standing(History(fidelity=low, moves=UP[:1]), Thresholds(), now=NOW)
    assert (staged.state, staged.to_state, staged.triggers) == ("staged", "production", ())
    assert staged.since == NOW - 500
    production = standing(History(fidelity=low, moves=UP), Thresholds(), now=NOW)
    assert (production.to_state, production.gates) == (None, ())
    assert [each.name for each in production.firing] == ["pattern_fidelity_drop"]


def test_rollback_reasons_are_the_triggers_that_fire() -> None:
    """Each with its name and its figure, which are what a rollback record says."""
    found = skills.rollback_reasons(
        performance=runs([100] * 20, raised=2),
        outcomes=outcomes([False] * 10),
        fidelity=fidelities([0.9] * 10),
    )

    assert [(each.name, each.figure) for each in found] == [
        ("high_exception_rate", 0.1),
        ("outcome_quality_drop", 0.0),
    ]
    assert skills.rollback_reasons() == []
