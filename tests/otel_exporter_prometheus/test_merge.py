"""Families of several processes become one set, as each family's rule says."""

from collections.abc import Callable, Sequence
from functools import reduce
from random import Random
from typing import cast

import pytest
from hypothesis import given, strategies

from otel_exporter_prometheus.merge import UNSET_BOUNDS, Family, Rule, in_buckets, together
from otel_exporter_prometheus.naming import Instrument
from otel_exporter_prometheus.points import Buckets, Number, Octaves, Point
from otel_exporter_prometheus.snapshot import decode, encode, totals
from tests.otel_exporter_prometheus.family_strategies import families


def family(
    instrument: Instrument,
    points: dict[str, Point],
    *,
    name: str = "x",
    rule: Rule = "sum",
    unit: str = "",
    bounds: tuple[float, ...] = (),
) -> Family:
    return Family(
        name=name,
        kind="histogram" if instrument == "histogram" else "gauge",
        unit=unit,
        description="",
        source=(name, instrument),
        rule=rule,
        bounds=bounds,
        series=points,
    )


def merged(*parts: Family) -> dict[str, Point]:
    """Return the series of one family that several processes show."""
    shown, dropped = together([[part] for part in parts])
    assert dropped == []
    (one,) = shown
    return one.series


@pytest.mark.parametrize(
    ("rule", "value"),
    [("sum", 6), ("min", 1), ("max", 3), ("newest", 2)],
)
def test_a_gauge_merges_by_its_rule(rule: Rule, value: int) -> None:
    """Three processes set 1, 2 and 3, the second of them last."""
    points = [Number(1, 10), Number(2, 30), Number(3, 20)]

    series = merged(*(family("gauge", {"": point}, rule=rule) for point in points))

    assert cast("Number", series[""]).value == value


def test_counters_are_added_by_series() -> None:
    """Labels that only one process has stay."""
    one = family("counter", {'a="1"': Number(1), 'a="2"': Number(2)})
    other = family("counter", {'a="2"': Number(5), 'a="3"': Number(7)})

    assert merged(one, other) == {'a="1"': Number(1), 'a="2"': Number(7), 'a="3"': Number(7)}


def test_a_total_that_every_process_reads_is_not_added() -> None:
    """The rule `max` on a counter: of the machine's CPU time there is one."""
    parts = [family("counter", {"": Number(value)}, rule="max") for value in (5, 9, 7)]

    assert merged(*parts) == {"": Number(9)}


def test_histograms_are_added_bucket_by_bucket() -> None:
    """Counts and sum."""
    one = family("histogram", {"": Buckets([1, 2, 3], 10.0)}, bounds=(1.0, 2.0))
    other = family("histogram", {"": Buckets([10, 20, 30], 0.5)}, bounds=(1.0, 2.0))

    assert merged(one, other) == {"": Buckets([11, 22, 33], 10.5)}


def test_exponential_histograms_share_bounds_after_merging() -> None:
    """Octaves are added first; then one set of bounds holds all of them."""
    one = family("histogram", {"": Octaves(1, {0: 2}, 1.0)}, bounds=UNSET_BOUNDS)
    other = family("histogram", {"": Octaves(0, {0: 1, 2: 4}, 9.0)}, bounds=UNSET_BOUNDS)

    (shown,) = in_buckets(together([[one], [other]])[0])

    assert shown.bounds == (0.0, 1.0, 2.0, 4.0)
    assert shown.series == {"": Buckets([1, 3, 0, 4, 0], 10.0)}


@pytest.mark.parametrize(
    ("other", "reason"),
    [
        (family("gauge", {"": Number(1)}), "type"),
        (family("counter", {"": Number(1)}, unit="s"), "unit"),
        (family("histogram", {"": Buckets([1], 1)}, name="y", bounds=()), "bounds"),
        (family("histogram", {"": Octaves(0, {}, 0)}, name="y", bounds=UNSET_BOUNDS), "type"),
        (family("gauge", {"": Number(1)}, name="y_sum"), "clash"),
    ],
)
def test_what_cannot_stand_beside_the_first_is_left_out(other: Family, reason: str) -> None:
    """Two versions of a service may differ; the page never shows a name twice."""
    first = [
        family("counter", {"": Number(1)}),
        family("histogram", {"": Buckets([1, 2], 1)}, name="y", bounds=(1.0,)),
    ]

    shown, dropped = together([first, [other]])

    assert shown == first
    assert [each.reason for each in dropped] == [reason]


def test_there_are_no_more_families_than_a_page_holds() -> None:
    """The limit is that of a page, not of a process."""
    parts = [[family("counter", {"": Number(1)}, name=f"x{number}")] for number in range(3)]

    shown, dropped = together(parts, families_max=2)

    assert [each.name for each in shown] == ["x0", "x1"]
    assert [each.reason for each in dropped] == ["limit"]


@pytest.mark.slow
@given(families(), families())
def test_the_parts_stay_as_they_are(one: list[Family], other: list[Family]) -> None:
    """They are read again for the next page."""
    before = encode(one)[0], encode(other)[0]

    together([one, other, one])

    assert (encode(one)[0], encode(other)[0]) == before


@pytest.mark.slow
@given(families(), families(), families())
def test_folding_the_dead_one_by_one_is_adding_them_at_once(
    one: list[Family], two: list[Family], three: list[Family]
) -> None:
    """What is kept of ended processes does not depend on how often it was folded."""
    parts = [totals(part) for part in (one, two, three)]

    at_once = together(parts)[0]
    one_by_one: list[Family] = reduce(
        lambda kept, part: decode(encode(together([kept, part])[0])[0]), parts, []
    )

    assert _counts(one_by_one) == _counts(at_once)


def _counts(of: list[Family]) -> dict[tuple[str, str], object]:
    """Return the whole numbers: sums of floats depend on their order."""
    found: dict[tuple[str, str], object] = {}
    for each in of:
        for labels, point in each.series.items():
            if isinstance(point, Buckets):
                found[each.name, labels] = list(point.bucket_counts)
            elif isinstance(point, Octaves):
                found[each.name, labels] = (point.least, point.counts)
            elif isinstance(point, Number) and isinstance(point.value, int):
                found[each.name, labels] = point.value
    return found


POINTS: dict[str, Callable[[float], Point]] = {
    "counter": lambda value: Number(value),
    "histogram": lambda value: Buckets([1], value),
    "exponential histogram": lambda value: Octaves(0, {1: 1}, value),
}
AMOUNTS = strategies.lists(strategies.floats(0, 1e300), min_size=2, max_size=6)


def added(points: Sequence[Point], *, up: bool = False) -> Point:
    """Return what stands for the same series of several processes."""
    bounds = UNSET_BOUNDS if isinstance(points[0], Octaves) else ()
    instrument: Instrument = "counter" if isinstance(points[0], Number) else "histogram"
    parts = [[family(instrument, {"": point}, bounds=bounds)] for point in points]
    ((one,), _) = together(parts, up=up)
    return one.series[""]


def total(point: Point) -> float:
    """Return a counter's value or a histogram's sum."""
    amount = point.value if isinstance(point, Number) else cast("Buckets", point).sum
    assert amount is not None
    return amount


@pytest.mark.parametrize("kind", POINTS)
@given(amounts=AMOUNTS, dice=strategies.randoms())
def test_a_sum_does_not_depend_on_the_order(kind: str, amounts: list[float], dice: Random) -> None:
    """Owners change; to Prometheus a sum whose last digit goes down is a restart from zero."""
    points = [POINTS[kind](amount) for amount in amounts]
    shuffled = dice.sample(points, len(points))

    assert total(added(points)) == total(added(shuffled))


@pytest.mark.parametrize("kind", POINTS)
@given(living=AMOUNTS, dead=AMOUNTS)
def test_a_sum_does_not_go_down_when_the_dead_are_folded(
    kind: str, living: list[float], dead: list[float]
) -> None:
    """What is kept of them counts for no less in later sums than they did."""
    shown = [POINTS[kind](amount) for amount in living]
    ended = [POINTS[kind](amount) for amount in dead]
    folded = reduce(lambda kept, point: added([kept, point], up=True), ended)

    assert total(added([*shown, folded])) >= total(added([*shown, *ended]))


def test_whole_numbers_stay_whole() -> None:
    """However large, and with a few that are not."""
    assert added([Number(2**60), Number(1)]) == Number(2**60 + 1)
    assert added([Number(2), Number(0.5)]) == Number(2.5)
    assert added([Number(float("inf")), Number(float("-inf"))]) != Number(0.0)
