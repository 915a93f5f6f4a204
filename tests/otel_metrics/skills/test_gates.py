"""Each gate of a promotion at its boundary, and what cannot be computed."""

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from otel_metrics.skills.checks import Check
from otel_metrics.skills.gates import gates
from otel_metrics.skills.readings import History
from otel_metrics.skills.stages import State
from otel_metrics.skills.thresholds import Production, Thresholds
from tests.otel_metrics.skills.records import DAY_S, NOW, fidelities, outcomes, runs

SAID = Thresholds(positive_decisions=("approve",), critical_decisions=("block",))


def gate(
    name: str, history: History, to_state: State = "staged", thresholds: Thresholds = SAID
) -> Check:
    """Return one gate."""
    found = {each.name: each for each in gates(history, thresholds, to_state=to_state, now=NOW)}
    return found[name]


def test_the_gates_to_each_state() -> None:
    """Four to staged, six to production, none to prototype."""
    names: dict[State, list[str]] = {
        state: [each.name for each in gates(History(), SAID, to_state=state, now=NOW)]
        for state in ("prototype", "staged", "production")
    }

    assert names == {
        "prototype": [],
        "staged": ["fidelity", "correct", "false_positive_rate", "critical_false_negatives"],
        "production": [
            "performance_records",
            "outcome_records",
            "fidelity_records",
            "fidelity",
            "correct",
            "exceptions",
        ],
    }


def test_nothing_recorded_meets_nothing() -> None:
    """Each gate says what it lacks, and none is met."""
    for state in ("staged", "production"):
        for check in gates(History(), SAID, to_state=state, now=NOW):
            assert (check.met, bool(check.missing)) == (False, True), check


@pytest.mark.parametrize("to_state", ["staged", "production"])
@pytest.mark.parametrize(
    ("values", "met"),
    [
        ([0.9], True),
        ([0.9] * 100, True),
        ([0.85, 0.95], True),
        ([0.8, 1], True),
        ([0.8999999999999999], False),
        ([0.9] * 99 + [0.8999], False),
    ],
)
def test_a_mean_fidelity_of_0_90_is_enough(to_state: State, values: list[float], met: bool) -> None:
    """By its decimal digits, and nothing less."""
    found = gate("fidelity", History(fidelity=fidelities(values)), to_state)

    assert (found.met, bool(found.missing)) == (met, not met)


@pytest.mark.parametrize("to_state", ["staged", "production"])
@pytest.mark.parametrize(("correct", "met"), [(85, True), (84, False)])
def test_a_mean_correct_of_0_85_is_enough(to_state: State, correct: int, met: bool) -> None:
    """85 of 100 are."""
    verdicts = outcomes([True] * correct + [False] * (100 - correct))

    assert gate("correct", History(outcomes=verdicts), to_state).met is met


@given(st.lists(st.integers(0, 1000), min_size=1, max_size=60))
def test_a_mean_is_exact_in_decimal_digits(thousandths: list[int]) -> None:
    """For every list of fidelities with three decimals, as the sum in whole numbers says."""
    found = gate("fidelity", History(fidelity=fidelities(each / 1000 for each in thousandths)))

    assert found.met == (Fraction(sum(thousandths), len(thousandths)) >= 900)


@pytest.mark.parametrize(("false_positives", "met"), [(0, True), (4, True), (5, False)])
def test_five_percent_false_positives_are_too_many(false_positives: int, met: bool) -> None:
    """Of 100 outcomes 4 are fewer than 5 %, and 5 are not."""
    found = gate(
        "false_positive_rate",
        History(
            outcomes=[
                *outcomes([True] * (100 - false_positives)),
                *outcomes([False] * false_positives, expected="block"),
            ]
        ),
    )

    assert (found.met, found.figure) == (met, false_positives / 100)


def test_an_incorrect_outcome_that_is_not_positive_is_no_false_positive() -> None:
    """Only `decision` decides that, as JSON compares it: true is not 1."""
    wrong = [*outcomes([False], decision="reject"), *outcomes([False], decision=1)]
    thresholds = Thresholds(positive_decisions=("approve", True))

    found = gate("false_positive_rate", History(outcomes=wrong), thresholds=thresholds)
    assert (found.met, found.figure) == (True, 0)


def test_a_decision_may_be_any_data() -> None:
    """A list is compared item by item, however it was kept."""
    thresholds = Thresholds(positive_decisions=([1, {"a": [True]}],))
    wrong = outcomes([False], decision=(1, {"a": (True,)}))

    found = gate("false_positive_rate", History(outcomes=wrong), thresholds=thresholds)
    assert found.figure == 1


@pytest.mark.parametrize(
    ("outcome", "met"),
    [
        (outcomes([False], expected="block"), False),
        (outcomes([True], expected="block"), True),
        (outcomes([False], expected="approve"), True),
    ],
)
def test_one_critical_false_negative_is_too_many(outcome: list[object], met: bool) -> None:
    """It is an incorrect outcome of which a critical decision was expected."""
    history = History(outcomes=[*outcomes([True] * 1000), *outcome])  # type: ignore[list-item]  # records

    assert gate("critical_false_negatives", history).met is met


@pytest.mark.parametrize(
    ("name", "setting"),
    [
        ("false_positive_rate", "positive_decisions"),
        ("critical_false_negatives", "critical_decisions"),
    ],
)
def test_decisions_that_nobody_listed_meet_no_gate(name: str, setting: str) -> None:
    """An empty list is a statement; no list is none, and the gate says which one is missing."""
    history = History(outcomes=outcomes([True] * 100))

    silent = gate(name, history, thresholds=Thresholds())
    assert (silent.met, silent.figure) == (False, None)
    assert setting in silent.missing
    said = Thresholds(positive_decisions=(), critical_decisions=())
    assert gate(name, history, thresholds=said).met


@pytest.mark.parametrize("field", ["decision", "expected_decision"])
@pytest.mark.parametrize("masked", [True, False])
def test_an_incorrect_outcome_whose_decision_was_not_kept_is_not_judged(
    field: str, masked: bool
) -> None:
    """Masked or left out by the content rule: nobody knows, and the gate says so."""
    (wrong,) = outcomes([False])
    kept = {key: value for key, value in wrong.items() if key != field}
    history = History(outcomes=[{**kept, field: "[redacted]"} if masked else kept])
    name = "false_positive_rate" if field == "decision" else "critical_false_negatives"

    found = gate(name, history)
    assert (found.met, found.figure) == (False, None)
    assert found.missing == f"1 incorrect outcome without {field}"


@pytest.mark.parametrize(("count", "met"), [(99, False), (100, True)])
@pytest.mark.parametrize("kind", ["performance", "outcome", "fidelity"])
def test_production_asks_for_100_records_of_each_kind(kind: str, count: int, met: bool) -> None:
    """Whenever they were made; 99 are too few, and one more is missing."""
    long_ago = NOW - 400 * DAY_S
    history = History(
        performance=runs([100] * count, start=long_ago),
        outcomes=outcomes([True] * count, start=long_ago),
        fidelity=fidelities([1] * count, start=long_ago),
    )

    found = gate(f"{kind}_records", history, "production")
    assert (found.met, found.missing) == (met, "" if met else "1 more")


def test_records_that_say_nothing_do_not_count() -> None:
    """An outcome without a verdict is none of the 100, and the gate says how many those are."""
    history = History(outcomes=outcomes([True] * 99 + [None]))

    found = gate("outcome_records", history, "production")
    assert (found.met, found.figure) == (False, 99)
    assert found.missing == "1 more (1 without a usable value do not count)"


@pytest.mark.parametrize(
    "odd", [None, "0.9", True, float("nan"), float("inf"), -0.1, 1.1, {}, [0.9]]
)
def test_what_is_no_fidelity_is_left_out(odd: object) -> None:
    """Beside others it changes no mean; alone it is no figure."""
    assert gate("fidelity", History(fidelity=fidelities([0.9, odd]))).figure == 0.9
    alone = gate("fidelity", History(fidelity=fidelities([odd])))
    assert (alone.figure, alone.met) == (None, False)


@pytest.mark.parametrize("time", [None, "yesterday", True, float("nan")])
def test_a_record_without_a_time_is_left_out(time: object) -> None:
    """Nobody knows which window it is of."""
    found = gate("fidelity", History(fidelity=[{"timestamp": time, "pattern_fidelity": 0.9}]))

    assert found.figure is None


def test_the_window_is_seven_days_both_ends_included() -> None:
    """A record of exactly seven days ago counts, one a second older does not, nor one to come."""
    inside = [*fidelities([1.0], start=NOW - 7 * DAY_S), *fidelities([1.0], start=NOW)]
    outside = [*fidelities([0.0], start=NOW - 7 * DAY_S - 1), *fidelities([0.0], start=NOW + 1)]

    found = gate("fidelity", History(fidelity=[*outside, *inside]), "production")
    assert (found.met, found.figure) == (True, 1)
    old = gate("fidelity", History(fidelity=outside), "production")
    assert (old.met, old.missing) == (False, "none in the last 7 days")


def test_the_way_to_staged_has_no_window() -> None:
    """All records count, however old."""
    assert gate("fidelity", History(fidelity=fidelities([0.9], start=1.0))).met


def test_one_exception_within_the_window_is_too_many() -> None:
    """One before it is not; without any execution in it nothing is known."""
    before = runs([100], raised=1, start=NOW - 7 * DAY_S - 1)
    fine, raised = runs([100] * 50), runs([100] * 50, raised=1)

    assert gate("exceptions", History(performance=[*before, *fine]), "production").met
    found = gate("exceptions", History(performance=raised), "production")
    assert (found.met, found.figure, found.missing) == (False, 1, "1 of 50 executions raised")
    none = gate("exceptions", History(performance=before), "production")
    assert (none.met, none.figure, none.missing) == (
        False,
        None,
        "no execution in the last 7 days",
    )


def test_a_skill_may_have_thresholds_of_its_own() -> None:
    """The gate shows them."""
    own = Thresholds(production=Production(records_min=2, window_days=0.5))
    history = History(fidelity=fidelities([1, 1], start=NOW - DAY_S))

    assert gate("fidelity_records", history, "production", own).met
    assert not gate("fidelity", history, "production", own).met
    assert gate("fidelity", history, "production", own).about == "mean fidelity, last 0.5 days"
