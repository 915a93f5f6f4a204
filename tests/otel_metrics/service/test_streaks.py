"""Streaks: three samples in a row in a band are told once."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from otel_metrics.service.samples import BandName, Resource, Sample
from otel_metrics.service.streaks import RUN_LENGTH, STREAKS_MAX, Streaks

BANDS = {"g": "good", "w": "warning", "c": "critical", "n": None}
INTERVAL_S = 30.0
GAP = " "
"""A sample that is missing."""


def told(story: str, *, every_s: float = INTERVAL_S) -> str:
    """Return which samples of a story complete a run: their letters, and dots for the others."""
    streaks = Streaks(lambda _: INTERVAL_S)
    answers = []
    for number, letter in enumerate(story, start=1):
        if letter == GAP:
            streaks.interrupt("m", "r")
            answers.append(GAP)
            continue
        band = streaks.take(seen(BANDS[letter], at=1000 + number * every_s))  # type: ignore[arg-type] # of the table
        answers.append("." if band is None else band[0])
    return "".join(answers)


def seen(band: BandName | None, *, at: float, resource: str = "r") -> Sample:
    """Return a sample in a band."""
    return Sample(
        metric="m", resource=Resource("host", resource), value=1.0, observed_at=at, band=band
    )


@pytest.mark.parametrize(
    ("story", "answers"),
    [
        ("www", "..w"),
        ("ccc", "..c"),
        ("ggggg", "....."),
        ("nnnnn", "....."),
        ("wwgww", "....."),
        ("wwcww", "....."),
        ("wwwwwwwww", "..w......"),
        ("wwwccc", "..w..c"),
        ("wwwcccwww", "..w..c..w"),
        ("cccgccc", "..c...c"),
        ("ccnccc", ".....c"),
        ("cc ccc", ".. ..c"),
        ("ccc ccc", "..c ..."),
        ("cc c", ".. ."),
        ("c c c c", ". . . ."),
        (" ccc", " ..c"),
    ],
)
def test_a_run_is_told_once(story: str, answers: str) -> None:
    """Until the metric has left the band; a sample that is missing is no leaving, and no run."""
    assert told(story) == answers


def test_a_gap_in_time_begins_a_new_run() -> None:
    """A sampler that slept has not seen what was between."""
    assert told("ccccc", every_s=2.5 * INTERVAL_S) == "....."
    assert told("ccccc", every_s=1.5 * INTERVAL_S) == "..c.."


def test_a_run_has_its_values() -> None:
    """The last so many in a row, and none of before a sample that was missing."""
    streaks = Streaks(lambda _: INTERVAL_S)
    found = []
    for number in range(1, 6):
        at = 1000 + number * INTERVAL_S
        streaks.take(replace(seen("critical", at=at), value=float(number)))
        found.append(streaks.values("m", "r"))
    streaks.interrupt("m", "r")
    streaks.take(replace(seen("critical", at=2000.0), value=9.0))

    assert found == [(1.0,), (1.0, 2.0), (1.0, 2.0, 3.0), (2.0, 3.0, 4.0), (3.0, 4.0, 5.0)]
    assert (streaks.values("m", "r"), streaks.values("m", "other")) == ((9.0,), ())


def test_samples_that_come_too_soon_make_no_run() -> None:
    """A function that is registered anew is asked at once: a moment is no state that lasts."""
    assert told("ccccccc", every_s=0.2 * INTERVAL_S) == "......c"
    assert told("cgcgccc", every_s=0.2 * INTERVAL_S) == "......."


@pytest.mark.parametrize("times", [(30.0, 60.0, 60.0), (30.0, 60.0, 45.0), (90.0, 60.0, 30.0)])
def test_a_sample_out_of_order_begins_a_new_run(times: tuple[float, ...]) -> None:
    """As after a clock that was set back."""
    streaks = Streaks(lambda _: INTERVAL_S)

    assert [streaks.take(seen("critical", at=at)) for at in times] == [None, None, None]


def test_resources_have_runs_of_their_own() -> None:
    """Three hosts that are critical once are none that stays so."""
    streaks = Streaks(lambda _: INTERVAL_S)

    answers = [
        streaks.take(seen("critical", at=30.0 * turn, resource=resource))
        for turn in (1, 2, 3)
        for resource in ("a", "b")
    ]

    assert answers == [None, None, None, None, "critical", "critical"]


def test_only_so_many_are_counted() -> None:
    """What was not heard of for longest is forgotten, and begins anew."""
    streaks = Streaks(lambda _: INTERVAL_S)
    for at in (30.0, 60.0):
        streaks.take(seen("critical", at=at))
    for number in range(STREAKS_MAX):
        streaks.take(seen("good", at=60.0, resource=f"r{number}"))

    assert streaks.take(seen("critical", at=90.0)) is None


@given(st.text("gwcn ", max_size=60))
def test_whatever_happens_what_is_told_was_so(story: str) -> None:
    """Each band that is told was seen in the last three samples, none of them missing; and it is
    not told again before another was seen."""
    last: str | None = None
    for at, answer in enumerate(told(story)):
        if story[at] not in (GAP, last):
            last = None
        if answer in "wc":
            assert story[at + 1 - RUN_LENGTH : at + 1] == answer * RUN_LENGTH
            assert last is None
            last = answer
