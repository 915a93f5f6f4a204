"""The state that the efficiency gauges show."""

from collections import Counter

import pytest

from otel_metrics.demo.state import state_of
from otel_metrics.demo.tally import SkillTally, Tally


def test_a_state_is_made_of_the_tally() -> None:
    """Runs that raised, wrong outcomes and what was told, in the gauges' words; E is P ÷ D."""
    skill = SkillTally(
        correct=3,
        incorrect=1,
        overlooked=1,
        told=5,
        confirmed=2,
        errors=Counter({"SyntaxError": 2}),
    )
    state = state_of(Tally(skills={"a": skill}, passes=4))

    entropy = 0.8112781244591328
    assert state == {
        "gaps": 2,
        "misfits": 1,
        "false_pieces": 1,
        "entropy": pytest.approx(entropy),
        "total_issues": 5,
        "closed_issues": 2,
        "passing_tests": 3,
        "total_tests": 4,
        "efficiency": pytest.approx(5 / (4 + 2 + 1 + 1 + 1.5 * entropy)),
        "tick": 4,
    }


def test_nothing_done_is_no_trouble() -> None:
    """Before the first pass there is no entropy, and the efficiency is that of one tick."""
    state = state_of(Tally())

    assert (state["entropy"], state["efficiency"], state["total_tests"]) == (0, 1.0, 0)
