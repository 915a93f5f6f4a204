"""Records of skills: what is counted, what goes into the event, what is refused."""

import threading
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from otel_metrics import skills
from otel_metrics.testing import Captured, capture

ABOUT = {"gen_ai.skill.name": "triage", "gen_ai.agent.name": "support"}


def test_a_run_counts_with_its_duration_in_seconds(captured_telemetry: Captured) -> None:
    """Milliseconds given become seconds recorded, under skill and agent."""
    skills.record_performance("triage", execution_time_ms=250, agent="support")

    assert captured_telemetry.value("skill.executions", ABOUT) == 1
    assert captured_telemetry.value("skill.execution.duration", ABOUT) == 0.25


def test_a_failed_run_counts_under_its_error(captured_telemetry: Captured) -> None:
    """The class of the exception is `error.type`; without a class it is `_OTHER`."""
    skills.record_performance(
        "triage", execution_time_ms=1, exception_occurred=True, exception_type="ValueError"
    )
    skills.record_performance("triage", execution_time_ms=1, exception_occurred=True)

    named = {"gen_ai.skill.name": "triage", "error.type": "ValueError"}
    unnamed = {"gen_ai.skill.name": "triage", "error.type": "_OTHER"}
    assert captured_telemetry.value("skill.executions", named) == 1
    assert captured_telemetry.value("skill.executions", unnamed) == 1


def test_memory_is_recorded_in_bytes(captured_telemetry: Captured) -> None:
    """`memory_usage_mb` counts MiB."""
    skills.record_performance("triage", execution_time_ms=1, memory_usage_mb=1.5)

    assert captured_telemetry.value("skill.execution.memory") == 1.5 * 1024 * 1024


def test_a_run_makes_an_event_with_its_particulars(captured_telemetry: Captured) -> None:
    """The id is in the event and in no metric."""
    skills.record_performance(
        "triage", execution_id="run-7", execution_time_ms=250, agent="support", version="2"
    )

    assert captured_telemetry.event("skill.performance").attributes == {
        "gen_ai.skill.name": "triage",
        "gen_ai.agent.name": "support",
        "gen_ai.skill.version": "2",
        "execution_id": "run-7",
        "execution_time_ms": 250.0,
        "exception_occurred": False,
    }


def test_a_run_without_an_id_gets_one_of_its_own(captured_telemetry: Captured) -> None:
    """Two runs never share a generated id."""
    skills.record_performance("triage", execution_time_ms=1)
    skills.record_performance("triage", execution_time_ms=1)

    ids = {event.attributes["execution_id"] for event in captured_telemetry.events}
    assert len(ids) == 2


@pytest.mark.parametrize(
    ("decision", "expected", "outcome"),
    [("a", "a", "correct"), ("a", "b", "incorrect"), (1, 1.0, "correct"), (None, None, "correct")],
)
def test_an_outcome_is_correct_when_the_decision_equals_the_expected(
    captured_telemetry: Captured, decision: object, expected: object, outcome: str
) -> None:
    """`correct` is `decision == expected_decision`, None included."""
    skills.record_outcome("triage", decision=decision, expected_decision=expected)

    about = {"gen_ai.skill.name": "triage", "skill.outcome": outcome}
    assert captured_telemetry.value("skill.outcomes", about) == 1


def test_an_outcome_without_an_expectation_is_unverified(captured_telemetry: Captured) -> None:
    """It is neither correct nor incorrect, and has no score."""
    skills.record_outcome("triage", decision="a")

    event = captured_telemetry.event("skill.outcome").attributes
    about = {"gen_ai.skill.name": "triage", "skill.outcome": "unverified"}
    assert captured_telemetry.value("skill.outcomes", about) == 1
    assert "correct" not in event
    assert "gen_ai.evaluation.score.value" not in event


def test_a_verdict_given_by_the_caller_stands(captured_telemetry: Captured) -> None:
    """`correct=True` holds though the decision differs from the expected one."""
    skills.record_outcome("triage", decision="1.0", expected_decision="1", correct=True)

    assert captured_telemetry.event("skill.outcome").attributes["correct"] is True


def test_an_outcome_event_is_an_evaluation_too(captured_telemetry: Captured) -> None:
    """Tools that read the conventions' evaluation attributes find score, label and reason."""
    skills.record_outcome(
        "triage",
        execution_id="run-7",
        decision={"queue": "urgent"},
        expected_decision={"queue": "urgent"},
        confidence=0.9,
        reasoning="says so in the first line",
        agent="support",
    )

    assert captured_telemetry.event("skill.outcome").attributes == {
        **ABOUT,
        "skill.outcome": "correct",
        "execution_id": "run-7",
        "decision": {"queue": "urgent"},
        "expected_decision": {"queue": "urgent"},
        "correct": True,
        "confidence": 0.9,
        "reasoning": "says so in the first line",
        "gen_ai.evaluation.name": "skill.outcome",
        "gen_ai.evaluation.score.value": 1.0,
        "gen_ai.evaluation.score.label": "correct",
        "gen_ai.evaluation.explanation": "says so in the first line",
    }


@pytest.mark.parametrize("confidence", [-0.1, 1.5, float("nan"), float("inf"), "high", True])
def test_a_confidence_outside_0_to_1_loses_only_itself(confidence: float) -> None:
    """It is counted as rejected; the outcome is recorded."""
    with capture(strict=False) as seen:
        skills.record_outcome("triage", decision="a", confidence=confidence)

    assert seen.value("skill.outcomes") == 1
    assert seen.count("skill.outcome.confidence") == 0
    assert seen.value("metric.rejected") == 1


def test_a_confidence_outside_0_to_1_raises_in_strict_mode(captured_telemetry: Captured) -> None:
    """Tests find it, with what is accepted in the message."""
    with pytest.raises(ValueError, match="from 0 to 1"):
        skills.record_outcome("triage", decision="a", confidence=1.5)


class _Incomparable:
    def __eq__(self, other: object) -> bool:
        raise RuntimeError("no")

    __hash__ = None  # type: ignore[assignment]  # as arrays have it


class _Ambiguous:
    def __eq__(self, other: object) -> "_Ambiguous":  # type: ignore[override]  # as arrays have it
        return self

    def __bool__(self) -> bool:
        raise ValueError("ambiguous")

    __hash__ = None  # type: ignore[assignment]  # as arrays have it


@pytest.mark.parametrize("decision", [_Incomparable(), _Ambiguous()])
def test_what_cannot_be_compared_is_unverified(decision: object) -> None:
    """A comparison that raises, or gives no bool, never reaches the caller."""
    with capture(strict=False) as seen:
        skills.record_outcome("triage", decision=decision, expected_decision="a")

    about = {"gen_ai.skill.name": "triage", "skill.outcome": "unverified"}
    assert seen.value("skill.outcomes", about) == 1
    assert seen.value("metric.rejected") == 1


def test_fidelity_is_followed_by_expected(captured_telemetry: Captured) -> None:
    """Three of four patterns are 0.75; the patterns are counted by result."""
    skills.record_fidelity("triage", patterns_followed=["a", "b", "c"], patterns_missed=1)

    followed = {"gen_ai.skill.name": "triage", "skill.pattern.result": "followed"}
    missed = {"gen_ai.skill.name": "triage", "skill.pattern.result": "missed"}
    assert captured_telemetry.value("skill.fidelity") == 0.75
    assert captured_telemetry.value("skill.patterns", followed) == 3
    assert captured_telemetry.value("skill.patterns", missed) == 1


def test_fidelity_is_0_where_no_pattern_is_expected(captured_telemetry: Captured) -> None:
    """0 of 0 is no success."""
    skills.record_fidelity("triage", patterns_followed=0, patterns_missed=0)

    assert captured_telemetry.count("skill.fidelity") == 1
    assert captured_telemetry.value("skill.fidelity") == 0.0


def test_a_fidelity_that_is_given_stands(captured_telemetry: Captured) -> None:
    """The event keeps the patterns by name."""
    skills.record_fidelity(
        "triage",
        execution_id="run-7",
        pattern_fidelity=0.5,
        patterns_followed=["a"],
        patterns_missed=[],
        patterns_detail={"a": "line 3"},
    )

    assert captured_telemetry.value("skill.fidelity") == 0.5
    assert captured_telemetry.event("skill.fidelity").attributes == {
        "gen_ai.skill.name": "triage",
        "execution_id": "run-7",
        "pattern_fidelity": 0.5,
        "patterns_followed": ("a",),
        "patterns_missed": (),
        "patterns_detail": {"a": "line 3"},
    }


@pytest.mark.parametrize("name", ["", None, 7])
def test_a_skill_without_a_name_is_rejected(name: str) -> None:
    """There is nothing to count it under."""
    with capture(strict=False) as seen:
        skills.record_performance(name, execution_time_ms=1)
        skills.record_outcome(name, decision="a")
        skills.record_fidelity(name, patterns_followed=1, patterns_missed=0)
        skills.record_promotion(name, from_state="prototype", to_state="staged")
        skills.record_rollback(name, from_state="production", to_state="staged")

    assert seen.value("metric.rejected") == 5
    assert seen.events == []


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)


@given(anything=st.tuples(*[ANYTHING] * 6))
def test_recording_never_raises(anything: tuple[Any, ...]) -> None:
    """Whatever is given in place of names, numbers, flags and texts."""
    a, b, c, d, e, f = anything
    with capture(strict=False):
        skills.record_performance(a, execution_time_ms=b, agent=c, memory_usage_mb=d, timestamp=e)
        skills.record_performance("s", execution_time_ms=1, exception_occurred=a, exception_type=b)
        skills.record_outcome("s", decision=a, expected_decision=b, correct=c, confidence=d)
        skills.record_outcome("s", decision=a, execution_id=b, reasoning=e, timestamp=f)
        skills.record_fidelity("s", patterns_followed=a, patterns_missed=b, patterns_detail=c)
        skills.record_fidelity("s", patterns_followed=1, patterns_missed=0, pattern_fidelity=d)
        skills.record_promotion("s", from_state=a, to_state=b)
        skills.record_promotion("s", from_state="staged", to_state="production", approver=a)
        skills.record_rollback("s", from_state="production", to_state="staged", automated=a)


def test_records_of_many_threads_are_all_counted(captured_telemetry: Captured) -> None:
    """Recording is safe from any thread."""

    def work() -> None:
        for _ in range(200):
            skills.record_outcome("triage", decision="a", expected_decision="a")

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert captured_telemetry.value("skill.outcomes") == 800
    assert len(captured_telemetry.events) == 800
