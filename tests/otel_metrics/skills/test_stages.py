"""Promotions and rollbacks: counted, kept with who and why, and the state that follows."""

from collections.abc import Callable

import pytest

from otel_metrics import skills
from otel_metrics.testing import Captured, capture


def test_a_promotion_moves_the_state(captured_telemetry: Captured) -> None:
    """One state is 1, the others are 0."""
    skills.record_promotion("triage", from_state="prototype", to_state="staged")
    skills.record_promotion("triage", from_state="staged", to_state="production")

    states = {
        state: captured_telemetry.value(
            "skill.state", {"gen_ai.skill.name": "triage", "skill.state": state}
        )
        for state in ("prototype", "staged", "production")
    }
    assert captured_telemetry.value("skill.promotions") == 2
    assert states == {"prototype": 0, "staged": 0, "production": 1}


def test_a_rollback_moves_the_state_back(captured_telemetry: Captured) -> None:
    """It says whether a check or a person decided."""
    skills.record_rollback(
        "triage", from_state="production", to_state="staged", trigger_reason="outcome_quality_drop"
    )

    about: dict[str, str | bool] = {
        "gen_ai.skill.name": "triage",
        "skill.promotion.from": "production",
        "skill.promotion.to": "staged",
        "skill.rollback.automated": True,
    }
    staged = {"gen_ai.skill.name": "triage", "skill.state": "staged"}
    assert captured_telemetry.value("skill.rollbacks", about) == 1
    assert captured_telemetry.value("skill.state", staged) == 1


def test_a_promotion_event_keeps_who_and_why(captured_telemetry: Captured) -> None:
    """Approver, ticket, reason and checks are in the event only; the id is made of the second."""
    skills.record_promotion(
        "triage",
        from_state="staged",
        to_state="production",
        approver="j.doe",
        approval_ticket="OPS-1",
        reason="gates met",
        automated_checks={"fidelity": True},
        timestamp=1_700_000_000.5,
    )

    event = captured_telemetry.event("skill.promotion").attributes
    assert event == {
        "gen_ai.skill.name": "triage",
        "skill.promotion.from": "staged",
        "skill.promotion.to": "production",
        "event_id": "promo_triage_1700000000",
        "approver": "j.doe",
        "approval_ticket": "OPS-1",
        "reason": "gates met",
        "automated_checks": {"fidelity": True},
    }


def test_two_rollbacks_in_a_second_have_two_ids(captured_telemetry: Captured) -> None:
    """From the second on the id has a suffix."""
    for _ in range(2):
        skills.record_rollback(
            "twice", from_state="production", to_state="staged", timestamp=1_700_000_001
        )

    ids = [event.attributes["event_id"] for event in captured_telemetry.events]
    assert ids == ["rollback_twice_1700000001", "rollback_twice_1700000001_2"]


@pytest.mark.parametrize(
    "record",
    [
        lambda: skills.record_promotion("t", from_state="prototype", to_state="production"),
        lambda: skills.record_promotion("t", from_state="stagd", to_state="production"),  # type: ignore[arg-type]  # a typo
        lambda: skills.record_rollback("t", from_state="production", to_state="prototype"),
        lambda: skills.record_rollback("t", from_state=[], to_state=None),  # type: ignore[arg-type]  # nonsense
    ],
)
def test_a_step_that_is_none_is_rejected(record: Callable[[], None]) -> None:
    """Skills move one state at a time; nothing is recorded of another step."""
    with capture(strict=False) as seen:
        record()

    assert seen.value("metric.rejected") == 1
    assert seen.events == []
