"""What processes publish to each other: whole, or left out and said."""

import math
from decimal import Decimal

import pytest
from hypothesis import given

from otel_exporter_prometheus.merge import Family
from otel_exporter_prometheus.points import Number
from otel_exporter_prometheus.snapshot import decode, decode_folded, encode, encode_folded, totals
from tests.otel_exporter_prometheus.family_strategies import families


def gauge(value: object) -> Family:
    """Return a gauge of one series, whatever its value is."""
    return Family(
        name="g",
        kind="gauge",
        unit="",
        description="",
        source=("g", "gauge"),
        rule="newest",
        series={"": Number(value, 1)},  # type: ignore[arg-type] # on purpose
    )


@given(families())
def test_what_is_published_is_what_is_read(given_families: list[Family]) -> None:
    """Every number, label, bound and exemplar comes back, int and float kept apart."""
    published, dropped = encode(given_families)

    assert dropped == []
    assert decode(published) == given_families
    assert encode(decode(published))[0] == published


@given(families())
def test_what_is_kept_of_the_dead_is_what_is_read(given_families: list[Family]) -> None:
    """The file of ended processes has their ids and their families."""
    folded = decode_folded(encode_folded({"a": 1.5}, given_families))

    assert folded.folded == {"a": 1.5}
    assert folded.shown() == given_families


@given(families())
def test_only_totals_outlive_a_process(given_families: list[Family]) -> None:
    """What it gauged, up-down counters included, ends with it."""
    kept = {family.source[1] for family in totals(given_families)}

    assert kept <= {"counter", "histogram"}


@pytest.mark.parametrize("value", [math.inf, -math.inf, True, Decimal("1.5"), 2**70, -(2**70)])
def test_a_number_of_another_kind_arrives(value: float) -> None:
    """Infinities, booleans, decimals, and integers too large for the format are numbers too."""
    published, dropped = encode([gauge(value)])

    assert dropped == []
    point = decode(published)[0].series[""]
    assert isinstance(point, Number)
    assert point.value == value


def test_nan_arrives() -> None:
    """It is no number, and a value all the same."""
    point = decode(encode([gauge(math.nan)])[0])[0].series[""]

    assert isinstance(point, Number)
    assert math.isnan(point.value)


@pytest.mark.parametrize("value", ["text", None, object(), 10**400])
def test_what_is_no_number_costs_only_its_family(value: object) -> None:
    """The others are published, and what is missing is said."""
    published, dropped = encode([gauge(1), gauge(value), gauge(2)])

    assert [family.series[""] for family in decode(published)] == [Number(1, 1), Number(2, 1)]
    assert [(each.metric, each.reason) for each in dropped] == [("g", "junk")]


@pytest.mark.parametrize("damaged", [b"", b"\x00", b"\x91\x90", b"not a page", b"\xc1" * 20])
def test_a_damaged_file_is_a_value_error(damaged: bytes) -> None:
    """And nothing else, whatever is in it."""
    for read in (decode, decode_folded):
        with pytest.raises(ValueError):  # msgspec's own, of many texts
            read(damaged)
