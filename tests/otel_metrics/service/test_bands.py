"""The band that a value lies in."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from otel_metrics.catalog.model import Band, Bands
from otel_metrics.service.bands import band_of

LATENCY = Bands(good=Band(upper=350), critical=Band(lower=500))
SUCCESS = Bands(good=Band(lower=90), critical=Band(upper=75))
AUTONOMY = Bands(good=Band(lower=70, upper=85), critical=Band(lower=90, upper=60))

NUMBERS = st.floats(allow_nan=False, allow_infinity=False)


@pytest.mark.parametrize(
    ("bands", "value", "expected"),
    [
        (LATENCY, 350, "good"),
        (LATENCY, math.nextafter(350, math.inf), "warning"),
        (LATENCY, math.nextafter(500, 0), "warning"),
        (LATENCY, 500, "critical"),
        (SUCCESS, 90, "good"),
        (SUCCESS, 89.9, "warning"),
        (SUCCESS, 75, "critical"),
        (AUTONOMY, 70, "good"),
        (AUTONOMY, 85, "good"),
        (AUTONOMY, 69.9, "warning"),
        (AUTONOMY, 89.9, "warning"),
        (AUTONOMY, 90, "critical"),
        (AUTONOMY, 60, "critical"),
        (AUTONOMY, 0, "critical"),
        (Bands(good=Band(upper=0), critical=Band(lower=3)), 0, "good"),
        (Bands(good=Band(), critical=Band()), -1e300, "good"),
    ],
)
def test_bounds_belong_to_their_band(bands: Bands, value: float, expected: str) -> None:
    """Good is looked at first, then critical; one whose bounds part it has two sides."""
    assert band_of(value, bands) == expected


def test_a_metric_without_bands_has_no_band() -> None:
    """It is sampled all the same."""
    assert band_of(1.0, None) is None


@given(NUMBERS, NUMBERS, NUMBERS)
def test_what_is_good_stays_good_whatever_is_critical(value: float, one: float, two: float) -> None:
    """A value within the good band is good under every critical band."""
    low, high = min(one, two), max(one, two)
    bands = Bands(good=Band(lower=low, upper=high), critical=Band(lower=two, upper=one))

    assert (band_of(value, bands) == "good") == (low <= value <= high)
