"""When a source is asked, and until when its answer counts."""

import math

from hypothesis import given
from hypothesis import strategies as st

from otel_metrics.service.turns import AGAIN_S, Turn
from tests.otel_metrics.service.sampling import declared


def turn(*, interval_s: float = 10.0, timeout_s: float = 4.0, due_s: float = 100.0) -> Turn:
    """Return the turn of a metric that is due."""
    metric = declared(interval_s=interval_s, timeout_s=timeout_s)
    assert metric.source is not None
    return Turn(metric, metric.source, read=dict, shared=False, due_s=due_s)


def test_a_source_is_asked_in_step_with_its_first_time() -> None:
    """However late the sampler's thread woke: the interval does not grow by what waking takes."""
    each = turn()
    each.begin(103.0)
    each.end(104.0)

    assert each.next_s == 110.0


def test_intervals_that_went_by_are_not_made_up() -> None:
    """A machine that slept asks once, and not once for each interval."""
    each = turn()
    each.begin(147.0)
    each.end(148.0)

    assert each.next_s == 150.0


def test_a_question_fails_with_its_timeout_and_then_once_an_interval() -> None:
    """Counted from when it was asked, not from when it was due."""
    each = turn()
    each.begin(103.0)
    assert each.next_s == 107.0
    each.be_late(107.0)

    assert each.next_s == 117.0


def test_a_source_that_answered_late_is_asked_at_its_next_interval() -> None:
    """And not at once, or what is overloaded would be asked without a pause."""
    each = turn()
    each.begin(100.0)
    each.be_late(104.0)
    each.end(136.0)

    assert each.next_s == 140.0


def test_another_source_is_asked_at_once() -> None:
    """And then at the metric's interval."""
    each = turn()
    each.begin(100.0)
    each.end(101.0)
    each.change(dict, shared=False, now_s=103.0)
    assert each.next_s == 103.0
    each.begin(103.0)

    assert each.due_s == 113.0


def test_a_source_that_changes_all_the_time_is_asked_once_in_a_while() -> None:
    """However often a service registers its function anew."""
    each = turn()
    each.begin(100.0)
    each.end(100.1)
    for now_s in (100.2, 100.4, 100.6):
        each.change(dict, shared=False, now_s=now_s)

    assert each.next_s == 100.0 + AGAIN_S


def test_a_source_is_asked_as_soon_as_the_one_in_its_place_has_answered() -> None:
    """However late that was."""
    each = turn()
    each.begin(100.0)
    each.change(dict, shared=False, now_s=102.0)
    each.be_late(104.0)
    each.end(115.0)

    assert each.next_s <= 115.0


def test_what_was_taken_back_is_asked_again_when_it_is_there_again() -> None:
    """At once where an interval has gone by; meanwhile there is nothing to do."""
    each = turn()
    each.begin(100.0)
    each.end(101.0)
    each.change(None, shared=False, now_s=102.0)
    assert each.next_s == math.inf
    each.change(dict, shared=False, now_s=150.0)

    assert each.next_s == 150.0


def test_the_answer_of_a_source_that_changed_meanwhile_is_of_no_use() -> None:
    """The next question is another source's."""
    each = turn()
    each.begin(100.0)
    each.change(dict, shared=False, now_s=101.0)

    assert each.is_late
    each.end(102.0)
    each.begin(110.0)
    assert not each.is_late


@given(
    st.floats(0.05, 1e5),
    st.floats(0, 1e6),
    st.lists(st.floats(0, 1e6), min_size=1, max_size=20),
)
def test_a_source_is_never_asked_twice_in_one_interval(
    interval_s: float, due_s: float, delays: list[float]
) -> None:
    """Of the times `due`, `due + interval`, … each is asked for at most once, and none is in the
    past, whenever the sampler's thread wakes."""
    each = turn(interval_s=interval_s, due_s=due_s)
    steps = []
    for delay_s in delays:
        now_s = each.due_s + delay_s
        each.begin(now_s)
        assert each.due_s > now_s - interval_s * 1e-6
        steps.append(math.floor((each.due_s - due_s) / interval_s + 0.5))
        each.end(now_s)

    assert steps == sorted(set(steps))
