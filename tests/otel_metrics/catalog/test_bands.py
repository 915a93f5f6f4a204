"""Bands of catalog files: what holds, and which pairs are refused as they cross."""

from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from otel_metrics.catalog.bands import bands
from otel_metrics.catalog.fields import Fields, Report
from otel_metrics.catalog.model import Band, Bands
from otel_metrics.yaml_source import parse

Bounds = dict[str, float]

values = st.integers(-5, 5).map(float)
bounds = st.fixed_dictionaries({}, optional={"lower": values, "upper": values}).filter(bool)


def read(text: str) -> tuple[Bands | None, list[str]]:
    report = Report("own.yaml")
    fields = Fields(parse(f"bands: {text}".encode(), name="own.yaml"), "", report, known=("bands",))
    found = bands(fields, report)
    return found, [f"{it.key}: {it.message}; {it.remedy}" for it in report.problems]


def said(**named: Bounds) -> str:
    return str({name: dict(found) for name, found in named.items()}).replace("'", "")


@pytest.mark.parametrize(
    ("text", "good", "critical"),
    [
        ("{good: {upper: 70}, critical: {lower: 85}}", (None, 70), (85, None)),
        ("{good: {upper: 70}, critical: {lower: 70}}", (None, 70), (70, None)),
        ("{good: {lower: 80}, critical: {upper: 60}}", (80, None), (None, 60)),
        (
            "{good: {lower: 70, upper: 85}, critical: {lower: 90, upper: 60}}",
            (70, 85),
            (90, 60),
        ),
    ],
)
def test_bands_that_do_not_cross_hold(
    text: str, good: tuple[Any, Any], critical: tuple[Any, Any]
) -> None:
    """One side or two, and one bound may be both's: it is good."""
    found, problems = read(text)

    assert problems == []
    assert found == Bands(
        good=Band(lower=good[0], upper=good[1]), critical=Band(lower=critical[0], upper=critical[1])
    )


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (
            "{good: {upper: 90}, critical: {lower: 85}}",
            "bands.critical: crosses good: both have the values from 85 to 90",
        ),
        (
            "{good: {upper: 70}, critical: {upper: 60}}",
            "bands.critical: crosses good: both have the values up to 60",
        ),
        (
            "{good: {lower: 70, upper: 85}, critical: {lower: 80, upper: 60}}",
            "bands.critical: crosses good: both have the values from 80 to 85",
        ),
        (
            "{good: {upper: 70}, warning: {lower: 60, upper: 80}, critical: {lower: 80}}",
            "bands.warning: crosses good: both have the values from 60 to 70",
        ),
        (
            "{good: {lower: 2, upper: 1}, critical: {lower: 3}}",
            "bands.good: lower is above upper; swap them",
        ),
        (
            "{good: {upper: 1}, critical: {lower: high}}",
            "bands.critical.lower: is 'high', a text; make it a finite number",
        ),
    ],
)
def test_bands_that_cannot_be_told_apart_are_refused(text: str, problem: str) -> None:
    """With the values that are in both."""
    _, problems = read(text)

    remedy = "; move a bound, so that good ends where it begins" if "crosses" in problem else ""
    assert problems == [problem + remedy]


def has(band: Bounds, value: float) -> bool:
    """Tell whether a band of the file has a value, as the documentation says."""
    lower, upper = band.get("lower", -100.0), band.get("upper", 100.0)
    return lower <= value <= upper if lower <= upper else value >= lower or value <= upper


@given(bounds, bounds)
def test_bands_cross_exactly_where_both_have_the_same_values(
    good: Bounds, critical: Bounds
) -> None:
    """Looked for in quarters: two ranges that share more than a bound share one of them."""
    reversed_good = good.get("lower", -100.0) > good.get("upper", 100.0)

    found, problems = read(said(good=good, critical=critical))

    shared = [
        step / 4 for step in range(-25, 26) if has(good, step / 4) and has(critical, step / 4)
    ]
    crosses = any(after - before == 0.25 for before, after in pairwise(shared))
    if reversed_good:
        assert problems == ["bands.good: lower is above upper; swap them"]
    else:
        assert bool(problems) == crosses
        assert problems or found is not None
