"""Numbers: what every reader takes for the same number."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.utils import floatToGoString

from otel_exporter_prometheus.numbers import le, sample_value


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0"),
        (True, "1"),
        (2**70, "1180591620717411303424"),
        (0.5, "0.5"),
        (float("nan"), "NaN"),
        (float("inf"), "+Inf"),
        (float("-inf"), "-Inf"),
        (Decimal("1.5"), "1.5"),
    ],
)
def test_sample_value(value: object, text: str) -> None:
    """Every kind of number is written so that readers find the same number."""
    assert sample_value(value) == text


@pytest.mark.parametrize("value", ["1", None, 10**400, [1]])
def test_what_is_no_number_is_refused(value: object) -> None:
    """Junk is an error here, and not a line that fails somebody's scrape."""
    with pytest.raises((TypeError, ValueError)):
        sample_value(value)


@pytest.mark.parametrize(
    ("bound", "text"),
    [
        (0, "0.0"),
        (-0.0, "0.0"),
        (1, "1.0"),
        (2.5, "2.5"),
        (100000, "100000.0"),
        (1e6, "1e+06"),
        (1234567.5, "1.2345675e+06"),
        (0.0001, "0.0001"),
        (1e-05, "1e-05"),
        (-2.5, "-2.5"),
    ],
)
def test_le(bound: float, text: str) -> None:
    """Bounds are in the canonical form of OpenMetrics."""
    assert le(bound) == text


@given(st.floats(allow_nan=False, min_value=1e-300, max_value=1e300))
def test_le_is_a_float_in_one_form(bound: float) -> None:
    """A bound reads back as itself, in the form that the official client writes."""
    assert float(le(bound)) == bound
    if bound >= 1e-4:
        assert le(bound) == floatToGoString(bound)  # type: ignore[no-untyped-call]  # theirs
