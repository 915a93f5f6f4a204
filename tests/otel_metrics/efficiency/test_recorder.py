"""The state of an orchestrated system, and what it does."""

from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from otel_metrics import efficiency
from otel_metrics.testing import Captured, capture

STATE = {
    "gaps": 5,
    "misfits": 2,
    "false_pieces": 1,
    "risk": 0.1,
    "backtracks": 0,
    "entropy": 0.81,
    "decay": 0.0,
    "phi": 3,
    "total_issues": 7,
    "closed_issues": 4,
    "passing_tests": 30,
    "total_tests": 40,
    "efficiency": 1.23,
    "tick": 10,
}
GAUGES = ("efficiency", "entropy", "gaps", "misfits", "false_pieces")


def _gauges(seen: Captured) -> list[float]:
    return [seen.value(f"pforge.{name}") for name in GAUGES]


@pytest.mark.parametrize("state", [STATE, SimpleNamespace(**STATE)], ids=["mapping", "object"])
def test_a_state_sets_its_five_gauges(captured_telemetry: Captured, state: object) -> None:
    """A mapping and an object alike."""
    efficiency.update_state_gauges(state)

    assert _gauges(captured_telemetry) == [1.23, 0.81, 5, 2, 1]


def test_the_newest_state_wins(captured_telemetry: Captured) -> None:
    """What it lacks keeps its value."""
    efficiency.update_state_gauges(STATE)
    efficiency.update_state_gauges({"efficiency": 2.0, "gaps": 0})

    assert _gauges(captured_telemetry) == [2.0, 0.81, 0, 2, 1]


def test_a_low_efficiency_is_a_dip(captured_telemetry: Captured) -> None:
    """The event carries the whole state."""
    efficiency.update_state_gauges(STATE | {"efficiency": 0.49})

    assert captured_telemetry.event("efficiency.dip").attributes == STATE | {"efficiency": 0.49}


def test_half_is_no_dip(captured_telemetry: Captured) -> None:
    """A dip is below 0.50."""
    efficiency.update_state_gauges({"efficiency": 0.5})

    assert captured_telemetry.events == []


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -1, "high"])
def test_a_field_that_is_no_number_is_left_out(value: object) -> None:
    """The others are set."""
    with capture(strict=False) as seen:
        efficiency.update_state_gauges(STATE | {"efficiency": value})

    assert seen.points("pforge.efficiency") == []
    assert seen.value("pforge.gaps") == 5
    assert seen.value("metric.rejected") == 1


def test_ticks_count_with_their_duration(captured_telemetry: Captured) -> None:
    """In seconds; the duration may be unknown."""
    efficiency.tick(0.25)
    efficiency.tick()

    assert captured_telemetry.value("pforge.ticks") == 2
    assert captured_telemetry.value("pforge.orchestrator.tick.duration") == 0.25


def test_what_the_system_does_is_counted(captured_telemetry: Captured) -> None:
    """Each in its counter, by its kind."""
    efficiency.agent_error("refactorer")
    efficiency.recovery_action("retry")
    efficiency.patch_applied()
    efficiency.rollback()

    assert captured_telemetry.value("pforge.agent.errors", {"agent_type": "refactorer"}) == 1
    assert captured_telemetry.value("pforge.recovery.actions", {"action_type": "retry"}) == 1
    assert captured_telemetry.value("pforge.patches.applied") == 1
    assert captured_telemetry.value("pforge.rollbacks") == 1


def test_agents_and_budgets_are_gauges(captured_telemetry: Captured) -> None:
    """The newest value of each kind or tenant."""
    efficiency.agents_active("refactorer", 3)
    efficiency.agents_active("refactorer", 2)
    efficiency.budget_usage("acme", 87.5)

    assert captured_telemetry.value("pforge.agents.active", {"agent_type": "refactorer"}) == 2
    assert captured_telemetry.value("pforge.budget.usage", {"tenant": "acme"}) == 87.5


def test_a_plan_is_an_event(captured_telemetry: Captured) -> None:
    """The backtest reads it; no metric carries a plan's id."""
    efficiency.record_plan("plan-1", -0.5, cost_usd=0.12)

    assert captured_telemetry.event("efficiency.plan").attributes == {
        "plan_id": "plan-1",
        "priority": -0.5,
        "cost_usd": 0.12,
    }


def test_a_plan_without_a_priority_is_rejected() -> None:
    """There is nothing to correlate."""
    with capture(strict=False) as seen:
        efficiency.record_plan("plan-1", float("nan"))

    assert seen.value("metric.rejected") == 1
    assert seen.events == []


class _Broken:
    @property
    def efficiency(self) -> float:
        raise RuntimeError("no")


class _Unready:
    efficiency = None


@pytest.mark.parametrize("state", [None, 7, "text", [], {}, SimpleNamespace(effort=1), _Broken()])
def test_what_is_no_state_sets_nothing(state: object) -> None:
    """It is counted as rejected, once, and raises nothing."""
    with capture(strict=False) as seen:
        efficiency.update_state_gauges(state)

    assert seen.names() == {"metric.rejected"}
    assert seen.value("metric.rejected") == 1


def test_a_misspelt_field_is_told_and_the_others_are_set() -> None:
    """With what was meant, in strict mode; elsewhere it is counted."""
    state = {"efficency": 0.4, "gaps": 3}
    with capture(), pytest.raises(ValueError, match=r"unknown_field.*did you mean efficiency\?"):
        efficiency.update_state_gauges(state)
    with capture(strict=False) as seen:
        efficiency.update_state_gauges(state)

    about = {"metric": "efficiency.state", "reason": "unknown_field"}
    assert seen.value("metric.rejected", about) == 1
    assert seen.value("pforge.gaps") == 3


def test_a_field_among_many_that_are_none_is_found() -> None:
    """However large the mapping is; it is one rejection."""
    with capture(strict=False) as seen:
        efficiency.update_state_gauges(dict.fromkeys(range(1000)) | {"gaps": 3})

    assert seen.value("pforge.gaps") == 3
    assert seen.value("metric.rejected") == 1


@pytest.mark.parametrize("state", [{"efficiency": None}, _Unready()])
def test_a_field_that_is_not_known_yet_is_a_field(
    captured_telemetry: Captured, state: object
) -> None:
    """None sets nothing and is nothing wrong."""
    efficiency.update_state_gauges(state)

    assert captured_telemetry.names() == set()


def test_what_the_state_does_not_say_is_computed(captured_telemetry: Captured) -> None:
    """The entropy from the tests, the efficiency from everything; a dip of it is a dip."""
    state = STATE | {"entropy": None, "passing_tests": 20, "phi": 0, "total_issues": 4}
    del state["efficiency"]
    efficiency.update_state_gauges(state)

    reached = 4 / (10 + 5 + 2 + 1 + 2 * 0.1 + 1.5)
    assert _gauges(captured_telemetry) == [pytest.approx(reached), 1.0, 5, 2, 1]
    dip = captured_telemetry.event("efficiency.dip").attributes
    assert dip == state | {"efficiency": pytest.approx(reached), "entropy": 1.0}


@pytest.mark.parametrize("field", ["tick", "gaps", "decay", "phi", "total_issues", "risk"])
def test_what_is_not_known_is_not_zero(captured_telemetry: Captured, field: str) -> None:
    """Without each field that it is computed from there is no efficiency."""
    efficiency.update_state_gauges(STATE | {"efficiency": None, field: None})

    assert captured_telemetry.points("pforge.efficiency") == []


def test_nothing_is_computed_from_what_is_no_number() -> None:
    """It is refused once; what is said and no number is not computed instead."""
    with capture(strict=False) as seen:
        efficiency.update_state_gauges(STATE | {"efficiency": None, "phi": float("nan")})
        efficiency.update_state_gauges(STATE | {"efficiency": None, "gaps": -1})
        efficiency.update_state_gauges(STATE | {"efficiency": "high"})

    assert seen.points("pforge.efficiency") == []
    assert seen.value("metric.rejected") == 3


@given(
    state=st.dictionaries(
        st.sampled_from(list(STATE)),
        st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary(),
    ),
    anything=st.none() | st.integers() | st.floats() | st.text(),
)
def test_recording_never_raises(state: dict[str, object], anything: Any) -> None:
    """Whatever is given."""
    with capture(strict=False):
        efficiency.update_state_gauges(state)
        efficiency.tick(anything)
        efficiency.agent_error(anything)
        efficiency.agents_active(anything, anything)
        efficiency.budget_usage(anything, anything)
        efficiency.record_plan(anything, anything, cost_usd=anything)
