"""Runs of agents: success, duration, quality; particulars in the event."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from otel_metrics import executions
from otel_metrics.testing import Captured, capture

SUCCEEDED: dict[str, str | bool] = {
    "gen_ai.agent.name": "reviewer",
    "agent.execution.success": True,
}
FAILED: dict[str, str | bool] = {"gen_ai.agent.name": "reviewer", "agent.execution.success": False}


def test_runs_count_by_success(captured_telemetry: Captured) -> None:
    """A success rate is a division of two counters."""
    executions.record("reviewer", success=True)
    executions.record("reviewer", success=True)
    executions.record("reviewer", success=False)

    assert captured_telemetry.value("agent.executions", SUCCEEDED) == 2
    assert captured_telemetry.value("agent.executions", FAILED) == 1


def test_duration_and_quality_are_recorded_where_they_are_known(
    captured_telemetry: Captured,
) -> None:
    """A run without them is left out of their distribution."""
    executions.record("reviewer", success=True)
    executions.record("reviewer", success=True, execution_time_s=12.5, quality_score=0.75)

    assert captured_telemetry.value("agent.execution.duration", SUCCEEDED) == 12.5
    assert captured_telemetry.value("agent.execution.quality", SUCCEEDED) == 0.75
    assert captured_telemetry.count("agent.execution.quality") == 1


def test_the_particulars_are_in_the_event(captured_telemetry: Captured) -> None:
    """Everything that was given, and nothing that was not."""
    executions.record(
        "reviewer",
        success=False,
        execution_time_s=1,
        quality_score=0.5,
        primary_metric={"name": "coverage", "value": 0.91, "target": 0.9},
        session_id="s-1",
        metadata={"branch": "main"},
        idempotency_key="k-1",
    )

    assert captured_telemetry.event("agent.execution").attributes == {
        **FAILED,
        "execution_time_s": 1.0,
        "quality_score": 0.5,
        "primary_metric": {"name": "coverage", "value": 0.91, "target": 0.9},
        "session.id": "s-1",
        "metadata": {"branch": "main"},
        "idempotency_key": "k-1",
    }


def test_ids_that_look_like_secrets_stay_apart(captured_telemetry: Captured) -> None:
    """An event has their hashes, not them."""
    ids = [f"sk-live-1234567890abcdef{each}" for each in "123"]
    for each in ids:
        executions.record("reviewer", success=True, session_id=each, idempotency_key=each)

    events = [event.attributes for event in captured_telemetry.events]
    assert len({event["session.id"] for event in events}) == 3
    assert len({event["idempotency_key"] for event in events}) == 3
    assert "sk-live" not in str(events)


@pytest.mark.parametrize("success", [1, 1.0])
def test_a_success_from_a_database_is_one(captured_telemetry: Captured, success: bool) -> None:
    """1 and 0 stand for true and false."""
    executions.record("reviewer", success=success)

    assert captured_telemetry.value("agent.executions", SUCCEEDED) == 1


@pytest.mark.parametrize("success", [None, "yes", 2])
def test_a_success_that_is_neither_is_rejected(success: bool) -> None:
    """A guess would make a rate that nobody can trust."""
    with capture(strict=False) as seen:
        executions.record("reviewer", success=success)

    rejected = {"metric": "agent.executions", "reason": "not_a_bool"}
    assert seen.value("metric.rejected", rejected) == 1
    assert seen.events == []


@pytest.mark.parametrize("quality", [-0.1, 1.1, float("nan"), "good"])
def test_a_quality_outside_0_to_1_loses_only_itself(quality: float) -> None:
    """The run is recorded."""
    with capture(strict=False) as seen:
        executions.record("reviewer", success=True, quality_score=quality)

    assert seen.value("agent.executions", SUCCEEDED) == 1
    assert seen.count("agent.execution.quality") == 0
    assert "quality_score" not in seen.event("agent.execution").attributes


@given(anything=st.tuples(*[st.none() | st.integers() | st.floats() | st.text() | st.binary()] * 4))
def test_recording_never_raises(anything: tuple[Any, ...]) -> None:
    """Whatever is given."""
    a, b, c, d = anything
    with capture(strict=False):
        executions.record(a, success=b, execution_time_s=c, quality_score=d)
        executions.record("reviewer", success=True, primary_metric=a, metadata=b, session_id=c)
