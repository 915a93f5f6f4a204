"""The archive's events as the records of the skill files."""

from typing import Any

from otel_metrics import skills
from otel_metrics.skills.archived import Event, histories
from otel_metrics.skills.history import RECORD_ID
from otel_metrics.skills.readings import History, fidelities, last_promotion, state
from otel_metrics.testing import Captured

NS = 1_000_000_000


def test_what_is_recorded_comes_back_as_records(captured_telemetry: Captured) -> None:
    """In the field names of the files, each skill apart, moves in the order of their times."""
    skills.record_performance("triage", execution_time_ms=120, execution_id="e-1", timestamp=5)
    skills.record_outcome("triage", decision="a", expected_decision="b", timestamp=6)
    skills.record_fidelity("mail", patterns_followed=3, patterns_missed=1, timestamp=7)
    skills.record_rollback("triage", from_state="staged", to_state="prototype", timestamp=9)
    skills.record_promotion("triage", from_state="prototype", to_state="staged", timestamp=8)
    times = [5, 6, 7, 9, 8]
    events: list[Event] = [
        (event.name, event.attributes, time * NS)
        for event, time in zip(captured_telemetry.events, times, strict=True)
    ]

    found = histories(events)
    assert list(found) == ["mail", "triage"]
    triage = found["triage"]
    assert triage.performance == [
        {"timestamp": 5.0, "execution_time_ms": 120.0, "exception_occurred": False}
    ]
    assert triage.outcomes == [
        {"timestamp": 6.0, "correct": False, "decision": "a", "expected_decision": "b"}
    ]
    assert [each["to_state"] for each in triage.moves] == ["staged", "prototype"]
    assert (state(triage), last_promotion(triage)) == ("prototype", 8.0)
    assert [float(each.value) for each in fidelities(found["mail"]).kept] == [0.75]


def event(time_ns: int = NS, **attributes: Any) -> Event:
    """Return the event of a run."""
    about = {"gen_ai.skill.name": "triage", "execution_id": "e-1", "execution_time_ms": 1.0}
    return ("skill.performance", {**about, **attributes}, time_ns)


def test_an_event_and_its_import_count_once() -> None:
    """Whichever comes first, and though a file's time has fewer digits; what is alike and was
    recorded twice counts twice."""
    at_ns = 1_795_850_117_433_714_900
    imported = event(at_ns - 200, **{RECORD_ID: "r-1"})
    other = event(at_ns + 5_000, **{RECORD_ID: "r-2"})

    for events in ([imported, other, event(at_ns)], [event(at_ns), other, imported]):
        assert len(histories(events)["triage"].performance) == 2
    assert len(histories([event(), event()])["triage"].performance) == 2
    assert len(histories([imported, imported, other])["triage"].performance) == 2


def test_an_event_without_a_skill_is_of_none() -> None:
    """Whatever wrote it."""
    assert histories([("skill.outcome", {}, NS)]) == {}


def test_a_decision_that_an_event_does_not_say_is_not_none() -> None:
    """The content rule may have left it out."""
    attributes = {"gen_ai.skill.name": "triage", "correct": False}

    found = histories([("skill.outcome", attributes, NS)])
    assert found == {"triage": History(outcomes=[{"timestamp": 1.0, "correct": False}], moves=[])}
