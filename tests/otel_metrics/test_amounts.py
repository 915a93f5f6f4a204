"""What a recorder looks into before it hands it on."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from otel_metrics.amounts import amount, count, flag, name, never_raises, timestamp_ns
from otel_metrics.testing import Captured, capture


@pytest.mark.parametrize(("given_", "taken"), [(0, 0.0), (1.5, 1.5), (Decimal("0.1"), 0.1)])
def test_an_amount_is_a_float(given_: object, taken: float) -> None:
    """Whatever kind of number it was."""
    assert amount("metric", given_) == taken


def test_an_amount_below_zero_is_taken_where_it_may_be(captured_telemetry: Captured) -> None:
    """And refused elsewhere."""
    assert amount("metric", -1, negative=True) == -1.0
    with pytest.raises(ValueError, match="below zero"):
        amount("metric", -1)


def test_an_amount_over_its_most_is_told_the_range(captured_telemetry: Captured) -> None:
    """The message is what a reader needs."""
    with pytest.raises(ValueError, match="a number from 0 to 1"):
        amount("metric", 1.01, most=1)


@pytest.mark.parametrize("given_", [True, 1, 1.0])
def test_what_equals_true_is_true(given_: object) -> None:
    """Databases keep flags as numbers."""
    assert flag("metric", given_) is True


def test_a_time_is_kept_in_nanoseconds() -> None:
    """None is now, which is not ours to say."""
    assert timestamp_ns("event", 1.5) == 1_500_000_000
    assert timestamp_ns("event", None) is None


@pytest.mark.parametrize("given_", ["", None, 7, b"x"])
def test_what_is_no_name_is_rejected(given_: object) -> None:
    """A name is text, and there is some of it."""
    with capture(strict=False) as seen:
        assert name("metric", given_, "a name") is None

    assert seen.value("metric.rejected", {"metric": "metric", "reason": "no_name"}) == 1


@never_raises("metric")
def _record(value: object) -> None:
    len(value)  # type: ignore[arg-type]  # what is no collection raises TypeError


def test_what_would_leave_a_recorder_is_counted() -> None:
    """And in strict mode is the project's own error."""
    with capture(strict=False) as seen:
        _record(7)
    with capture(), pytest.raises(ValueError, match="do not raise TypeError"):
        _record(7)

    assert seen.value("metric.rejected", {"metric": "metric", "reason": "hostile_value"}) == 1


def test_a_call_that_does_not_fit_is_a_type_error() -> None:
    """Though a recorder that raises TypeError is not: the program is wrong, not its data."""
    with capture(strict=False) as seen, pytest.raises(TypeError, match="positional argument"):
        _record()  # type: ignore[call-arg]  # that is the point

    assert seen.value("metric.rejected") == 0


@given(
    anything=st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.decimals()
    | st.text()
    | st.binary()
    | st.lists(st.integers())
)
def test_what_is_none_is_counted_and_never_raises(anything: object) -> None:
    """Each refusal is one of `metric.rejected`."""
    with capture(strict=False) as seen:
        taken = [amount("m", anything), count("m", anything), flag("m", anything)]

    assert seen.value("metric.rejected") == taken.count(None)
