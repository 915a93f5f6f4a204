"""The report: figures that were computed by hand, whatever the order of the events."""

import random

import pytest

from otel_metrics.sovereignty import report as reports
from otel_metrics.sovereignty.report import Event, Target, TooMuchError, binned, reported
from tests.otel_metrics.sovereignty.happened import HOUR, MINUTE, T0, happened


def test_percent_per_layer_and_hour() -> None:
    """Three of four, one of two, none of one; of a layer without work nothing is said."""
    events = [
        *happened("perception_cache_hit", 3),
        *happened("perception_vlm_call"),
        *happened("decision_rule_hit"),
        *happened("decision_llm_call"),
        *happened("narration_llm", at=HOUR),
        *happened("api_call", at=HOUR),
    ]
    first, second = reported(events).hours

    assert [first.seen.percent(layer) for layer in range(3)] == [75.0, 50.0, None]
    assert [second.seen.percent(layer) for layer in range(3)] == [None, None, 0.0]
    assert (first.number, second.number) == (1, 2)
    assert (first.start_s, second.start_s) == (T0, T0 + HOUR)
    assert (first.seen.events, second.seen.events) == (6, 2)


def test_hours_begin_with_the_minute_of_the_first_event() -> None:
    """An event 59 minutes later is of the first hour, one after 60 of the second."""
    made = reported(
        [
            *happened("api_call", at=30),
            *happened("api_call", at=59 * MINUTE),
            *happened("api_call", at=60 * MINUTE),
        ]
    )

    assert [(hour.number, hour.seen.events) for hour in made.hours] == [(1, 2), (2, 1)]


def test_the_order_of_events_changes_nothing() -> None:
    """An archive has them writer after writer."""
    events = [
        event
        for minute in range(200)
        for event in happened("perception_cache_hit", at=minute * MINUTE, cost_usd=0.25)
    ]
    shuffled = list(events)
    random.Random(1).shuffle(shuffled)

    assert reported(shuffled).hours == reported(events).hours


def test_hours_without_events_are_left_out() -> None:
    """After a night the hours go on where the clock is."""
    made = reported([*happened("api_call"), *happened("api_call", at=10 * HOUR)])

    assert [hour.number for hour in made.hours] == [1, 11]


def test_cost_is_what_events_say() -> None:
    """Of any type, in the hour that it was; text that is a number counts, other text does not."""
    made = reported(
        [
            *happened("api_cost", cost_usd=0.5),
            *happened("decision_llm_call", cost_usd="0.25"),
            *happened("api_cost", cost_usd="dear"),
            *happened("api_cost", cost_usd=-1),
            *happened("api_cost", cost_usd=True),
            *happened("api_cost", at=HOUR, cost_usd=1),
            Event(T0 + 2 * HOUR, "api_cost", cost_usd=2.0),
        ]
    )

    assert [hour.seen.cost_usd for hour in made.hours] == [0.75, 1.0, 2.0]
    assert made.cost_usd == 3.75
    assert made.cost_per_hour == 3.75 / 2


def test_cost_per_hour_of_a_short_time_is_of_one_hour() -> None:
    """A minute is not blown up to an hour."""
    assert reported(happened("api_cost", cost_usd=0.1)).cost_per_hour == 0.1


def test_targets_are_of_the_first_and_the_fourth_hour() -> None:
    """90 percent of perception in the first, 99 in the fourth; what is reached exactly is met."""
    made = reported(
        [
            *happened("perception_cache_hit", 9),
            *happened("perception_vlm_call", 1),
            *happened("perception_cache_hit", 98, at=3 * HOUR),
            *happened("perception_vlm_call", 2, at=3 * HOUR),
        ]
    )

    assert made.targets == [
        Target(1, 90.0, 90.0, "met", "90.0 % of perception in hour 1"),
        Target(4, 99.0, 98.0, "not met", "98.0 % of perception in hour 4"),
    ]
    assert [(hour.target, hour.verdict) for hour in made.hours] == [
        (90.0, "met"),
        (99.0, "not met"),
    ]


def test_targets_that_have_no_figure_say_why() -> None:
    """The events end before, or are of other things."""
    made = reported([*happened("api_call"), *happened("perception_cache_hit", at=HOUR)])

    assert [(each.verdict, each.reason) for each in made.targets] == [
        ("cannot be computed", "no perception was recorded in hour 1"),
        ("cannot be computed", "the events end in hour 2"),
    ]


def test_sessions_are_in_the_order_of_their_starts() -> None:
    """With their own figures; the start that was recorded wins over the first event."""
    made = reported(
        [
            *happened("perception_vlm_call", 2, session="late", at=HOUR, local=True),
            *happened("api_call", 3, session="early", at=10),
            *happened("decision_llm_call", session="early", at=40, cost_usd=0.5),
        ]
    )
    reports.with_session(made, "early", game="chess", started_s=T0 - 60, ended_s=T0 + 90)
    reports.with_session(made, "unknown", game="go")
    early, late = made.by_start

    assert (early.session_id, early.game, early.started_s, early.ended_s) == (
        *("early", "chess"),
        *(T0 - 60, T0 + 90),
    )
    assert (early.api_calls, early.model_calls, early.seen.cost_usd) == (3, 1, 0.5)
    assert (late.session_id, late.vision_calls, late.model_calls) == ("late", 2, 0)


def test_steps_hold_all_that_happened() -> None:
    """Five minutes each, from the first event on; empty ones are left out."""
    made = reported(event for at in (0, 4, 5, 20) for event in happened("api_call", at=at * MINUTE))

    assert [(at, step.events) for at, step in binned(made, 5)] == [(0, 2), (5, 1), (20, 1)]


def test_events_of_too_many_minutes_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Memory has a bound, and the message says what to do."""
    monkeypatch.setattr(reports, "MINUTES_MAX", 2)

    with pytest.raises(TooMuchError, match="narrow with --since and --until"):
        reported(event for at in range(3) for event in happened("api_call", at=at * MINUTE))


def test_events_of_too_many_sessions_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    """They are in the hours, and not in a session."""
    monkeypatch.setattr(reports, "SESSIONS_MAX", 1)
    made = reported([*happened("api_call", session="a"), *happened("api_call", 2, session="b")])

    assert (list(made.sessions), made.left_out, made.events) == (["a"], 2, 3)
