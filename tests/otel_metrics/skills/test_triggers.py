"""Each trigger of a rollback at its boundary, and what fires none."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from otel_metrics.skills.checks import Check
from otel_metrics.skills.readings import History
from otel_metrics.skills.thresholds import Rollback
from otel_metrics.skills.triggers import TRIGGERS, triggers
from tests.otel_metrics.skills.records import NOW, fidelities, move, outcomes, runs

PROMOTED = NOW - 500


def trigger(name: str, history: History, asked: Rollback | None = None) -> Check:
    """Return one trigger."""
    return {each.name: each for each in triggers(history, asked or Rollback())}[name]


def after(durations: list[float], *, before: list[float] | None = None) -> History:
    """Return a skill that ran before its last promotion and after it."""
    earlier = [100.0] * 100 if before is None else before
    return History(
        performance=[
            *runs(earlier, start=PROMOTED - len(earlier)),
            *runs(durations, start=PROMOTED),
        ],
        moves=[move("staged", "production", PROMOTED)],
    )


def test_nothing_recorded_fires_nothing() -> None:
    """Each trigger says what it lacks."""
    found = triggers(History(), Rollback())

    assert [each.name for each in found] == list(TRIGGERS)
    assert [(each.met, each.figure) for each in found] == [(False, None)] * 4
    assert all(each.missing for each in found)


@pytest.mark.parametrize(
    ("values", "fires"),
    [
        ([0.85] * 10, False),
        ([0.8, 0.9] * 5, False),
        ([0.85] * 9 + [0.8499], True),
        ([0.1] * 50 + [0.85] * 10, False),
        ([1.0] * 50 + [0.8] * 10, True),
        ([0.0] * 9, False),
    ],
)
def test_fidelity_drops_below_0_85_over_the_last_ten(values: list[float], fires: bool) -> None:
    """0.85 itself is enough, older ones do not count, and nine are too few to say."""
    history = History(fidelity=fidelities(values))

    assert trigger("pattern_fidelity_drop", history).met is fires


@pytest.mark.parametrize(
    ("count", "raised", "fires"),
    [(20, 1, False), (20, 2, True), (19, 19, False), (40, 2, True), (40, 1, False)],
)
def test_exceptions_over_five_percent_of_the_last_twenty(
    count: int, raised: int, fires: bool
) -> None:
    """One of twenty is 5 %, and not over it; nineteen are too few to say."""
    history = History(performance=runs([100] * count, raised=raised))

    assert trigger("high_exception_rate", history).met is fires


@pytest.mark.parametrize(("correct", "fires"), [(8, False), (7, True)])
def test_correct_drops_below_0_80_over_the_last_ten(correct: int, fires: bool) -> None:
    """8 of 10 are enough."""
    history = History(outcomes=outcomes([True] * correct + [False] * (10 - correct)))

    assert trigger("outcome_quality_drop", history).met is fires


def test_an_outcome_without_a_verdict_is_none_of_the_last_ten() -> None:
    """The ten that have one count."""
    verdicts = [*[False] * 5, *[True] * 5, *[None] * 20]

    assert trigger("outcome_quality_drop", History(outcomes=outcomes(verdicts))).figure == 0.5


@pytest.mark.parametrize(("duration", "fires"), [(300.0, False), (300.1, True)])
def test_a_duration_over_three_times_the_baseline(duration: float, fires: bool) -> None:
    """Three times itself is not over it; what happened is told."""
    found = trigger("high_execution_time", after([100.0, duration]))

    assert (found.met, found.missing) == (fires, "300.1 ms against 100 ms" if fires else "")


def test_three_times_a_tenth_is_three_tenths() -> None:
    """By decimal digits."""
    assert not trigger("high_execution_time", after([0.3], before=[0.1] * 100)).met
    assert trigger("high_execution_time", after([0.30001], before=[0.1] * 100)).met


def test_the_baseline_is_the_median_of_the_100_durations_before_the_last_promotion() -> None:
    """Older ones do not count, nor later ones, and 99 are too few."""
    before = [9000.0] * 30 + [1.0] * 50 + [200.0] * 50
    found = trigger("high_execution_time", after([5000.0] * 200 + [50.0], before=before))
    assert found.figure == pytest.approx(50 / 100.5)

    few = trigger("high_execution_time", after([5000.0], before=[100.0] * 99))
    assert (few.met, few.figure) == (False, None)
    assert few.missing == "no baseline: 1 duration too few before the last promotion"


def test_without_a_promotion_or_a_run_since_there_is_no_duration_to_compare() -> None:
    """It says which of both is missing."""
    never = History(performance=runs([100.0] * 200 + [9000.0]))

    assert "no promotion" in trigger("high_execution_time", never).missing
    assert (
        "1 record too few since the promotion" in trigger("high_execution_time", after([])).missing
    )


def test_the_last_promotion_counts_and_no_rollback_does() -> None:
    """A rollback since has not moved the baseline."""
    history = after([301.0])
    moves = [
        move("prototype", "staged", PROMOTED - 90),
        *history.moves,
        move("production", "staged", PROMOTED + 1),
    ]
    moved = History(performance=history.performance, moves=moves)

    assert trigger("high_execution_time", moved).figure == 3.01


def test_how_many_durations_count_can_be_set() -> None:
    """The median of several, so that one slow run fires nothing."""
    asked = Rollback(duration_records=3)

    assert not trigger("high_execution_time", after([100, 100, 9000]), asked).met
    assert trigger("high_execution_time", after([100, 9000, 9000]), asked).met


@given(st.lists(st.sampled_from([0.0, 0.5, 0.84, 0.85, 0.86, 1.0, None, "x"]), max_size=40))
def test_what_is_no_fidelity_changes_nothing(values: list[object]) -> None:
    """With or without records that say nothing, each trigger is the same."""
    usable = [value for value in values if isinstance(value, float)]

    assert trigger("pattern_fidelity_drop", History(fidelity=fidelities(values))).figure == (
        trigger("pattern_fidelity_drop", History(fidelity=fidelities(usable))).figure
    )
