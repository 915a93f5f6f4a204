"""The five conditions of graduation: met, not met, or what is missing to say so."""

from collections.abc import Iterable

import pytest

from otel_metrics.sovereignty.graduation import Condition, conditions
from otel_metrics.sovereignty.report import Event, reported
from tests.otel_metrics.sovereignty.happened import HOUR, MINUTE, happened

LONG = [*happened("decision_rule_hit", session="s"), *happened("api_cost", at=HOUR, session="s")]


def judged(name: str, events: Iterable[Event]) -> Condition:
    """Return one of the conditions."""
    (found,) = [each for each in conditions(reported(events)) if each.name == name]
    return found


def verdict(name: str, events: Iterable[Event]) -> tuple[str, float | None]:
    """Return what was said of one of them, and its figure."""
    found = judged(name, events)
    return found.verdict, found.figure


def test_there_are_five() -> None:
    """In the words of the targets, in their order."""
    assert [each.about for each in conditions(reported([]))] == [
        "no vision call after minute 15 of a session",
        "fewer than 5 cloud calls in a session",
        "no cloud narration in a session",
        "earned more than spent",
        "24 hours without a human",
    ]


def test_without_events_nothing_can_be_computed() -> None:
    """And nothing is met."""
    found = conditions(reported([]))

    assert {each.verdict for each in found} == {"cannot be computed"}
    assert all(each.reason and each.figure is None for each in found)


@pytest.mark.parametrize(
    ("minutes", "expected"),
    [((), ("met", 0.0)), ((15,), ("met", 15.0)), ((1, 16), ("not met", 16.0))],
)
def test_vision_is_asked_of_after_minute_fifteen(
    minutes: tuple[int, ...], expected: tuple[str, float]
) -> None:
    """Of the newest session; a call in minute 15 still may be."""
    calls = [
        event
        for minute in minutes
        for event in happened("perception_vlm_call", at=minute * MINUTE, session="s")
    ]

    assert verdict("vision", [*LONG, *calls]) == expected


def test_vision_of_a_short_session_is_not_known() -> None:
    """It has not come so far."""
    found = judged("vision", happened("perception_vlm_call", session="s"))

    assert (found.verdict, found.reason) == (
        "cannot be computed",
        "session s lasted 0.0 minutes; it takes more than 15",
    )


@pytest.mark.parametrize(
    ("events", "expected"),
    [
        (happened("api_call", 4, session="s"), ("met", 4)),
        (happened("api_call", 5, session="s"), ("not met", 5)),
        (happened("decision_llm_call", 5, session="s"), ("not met", 5)),
        (happened("decision_llm_call", 5, session="s", local=True), ("met", 0)),
        (
            [
                *happened("api_call", 4, session="s"),
                *happened("decision_llm_call", 2, session="s"),
                *happened("narration_llm", 2, session="s"),
            ],
            ("met", 4),
        ),
        (happened("api_call", 9), ("cannot be computed", None)),
    ],
)
def test_cloud_calls_are_api_calls_or_calls_of_models(
    events: list[Event], expected: tuple[str, float | None]
) -> None:
    """Whichever are more: a call is recorded as one of them or as both."""
    assert verdict("cloud calls", events) == expected


def test_the_newest_session_is_judged() -> None:
    """What an earlier one did is past."""
    events = [
        *happened("api_call", 9, session="earlier"),
        *happened("api_call", 1, at=HOUR, session="newest"),
    ]

    assert verdict("cloud calls", events) == ("met", 1)


@pytest.mark.parametrize(
    ("events", "expected"),
    [
        (happened("narration_template", session="s"), ("met", 0)),
        (happened("narration_llm", session="s"), ("not met", 1)),
        (happened("narration_llm", session="s", local=True), ("met", 0)),
        (happened("api_call", session="s"), ("cannot be computed", None)),
    ],
)
def test_narration_is_cloud_unless_it_says_local(
    events: list[Event], expected: tuple[str, float | None]
) -> None:
    """A template and a local model are not."""
    assert verdict("narration", events) == expected


@pytest.mark.parametrize(
    ("events", "expected"),
    [
        (
            [*happened("api_cost", cost_usd=1.0), *happened("api_call", earned_usd=1.5)],
            ("met", 0.5),
        ),
        ([*happened("api_cost", cost_usd=1.0, earned_usd=1.0)], ("not met", 0.0)),
        (happened("decision_rule_hit", earned_usd=2), ("met", 2.0)),
        (happened("api_cost", cost_usd=1.0), ("cannot be computed", None)),
        (happened("api_call", earned_usd=1.0), ("cannot be computed", None)),
    ],
)
def test_earned_is_compared_with_spent(
    events: list[Event], expected: tuple[str, float | None]
) -> None:
    """Where both are known: cloud calls that nobody priced were not free."""
    assert verdict("economy", events) == expected


def test_what_is_missing_is_named() -> None:
    """All of it."""
    assert judged("economy", happened("api_call", 2)).reason == (
        "no event says earned_usd in its metadata and 2 cloud calls and no event says cost_usd"
    )
    assert judged("unattended", happened("api_call")).reason == (
        "no event says in its metadata whether a human took part (human: true or false)"
    )


def hourly(hours: int, *, humans: Iterable[int] = ()) -> list[Event]:
    """Return an event an hour, the first of which says that humans are marked."""
    return [
        event
        for hour in range(hours)
        for event in happened("decision_rule_hit", at=hour * HOUR, human=hour in humans)
    ]


@pytest.mark.parametrize(
    ("events", "expected"),
    [
        (hourly(25), ("met", 24.0)),
        (hourly(24), ("not met", 23.0)),
        (hourly(25, humans=[12]), ("not met", 12.0)),
        (hourly(40, humans=[15]), ("not met", pytest.approx(24 - 1 / 60))),
        (hourly(41, humans=[15]), ("met", pytest.approx(25 - 1 / 60))),
        ([*hourly(2), *happened("api_call", at=100 * HOUR)], ("not met", 1.0)),
    ],
)
def test_a_day_without_a_human_is_one_at_work(
    events: list[Event], expected: tuple[str, float]
) -> None:
    """Between two interventions, and without a pause of more than an hour."""
    assert verdict("unattended", events) == expected
