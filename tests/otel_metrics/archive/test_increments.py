"""How many: the increments of an archive come to what was recorded, whatever happened between."""

import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from otel_metrics import archive
from tests.otel_metrics.archive.recorded import (
    DELTA,
    batch,
    compress,
    exporter,
    gauge,
    histogram,
    record,
    total,
)


def _increases(folder: Path, columns: str = "increase") -> list[tuple[object, ...]]:
    with archive.connect(folder) as db:
        return db.execute(f"SELECT {columns} FROM increments ORDER BY time, increase").fetchall()


def _sum(folder: Path) -> float:
    with archive.connect(folder) as db:
        found = db.execute("SELECT coalesce(sum(increase), 0) FROM increments").fetchone()
    assert found is not None
    return float(found[0])


def test_a_first_point_counts_from_zero_and_the_next_from_it(tmp_path: Path) -> None:
    """The process began at zero, at the point's start."""
    record(tmp_path, [total(5, 10)], [total(7, 20)], [total(7, 30)])

    assert _increases(tmp_path) == [(5.0,), (2.0,), (0.0,)]


def test_an_interval_begins_where_the_one_before_it_ended(tmp_path: Path) -> None:
    """The first begins where the series did."""
    record(tmp_path, [total(5, 10)], [total(7, 20)])

    found = _increases(tmp_path, "epoch_ns(start) // 1000000000 % 100")

    assert found == [(0,), (10,)]


def test_a_restarted_process_counts_from_zero(tmp_path: Path) -> None:
    """Its writer is another one, and so is its start."""
    record(tmp_path, [total(5, 10)])
    record(tmp_path, [total(3, 30, start_s=20)], [total(4, 40, start_s=20)])

    assert _sum(tmp_path) == 5 + 4


def test_a_value_that_falls_was_reset(tmp_path: Path) -> None:
    """An observed counter may begin again without a new start."""
    record(tmp_path, [total(5, 10)], [total(2, 20)], [total(3, 30)])

    assert _increases(tmp_path) == [(5.0,), (2.0,), (1.0,)]


def test_two_writers_at_once_are_two_series(tmp_path: Path) -> None:
    """Worker processes of one service each count from zero."""
    first, second = exporter(tmp_path), exporter(tmp_path)
    for step in range(1, 4):
        first.export(batch(total(10 * step, step)))
        second.export(batch(total(step, step + 0.5)))
    first.shutdown()
    second.shutdown()

    assert _sum(tmp_path) == 30 + 3


def test_a_point_that_was_exported_twice_counts_once(tmp_path: Path) -> None:
    """An export that failed half way is tried again, unchanged."""
    deltas = total(4, 10, temporality=DELTA, name="delta")
    record(tmp_path, [total(5, 10), deltas], [total(5, 10), deltas], [total(6, 20)])

    assert _sum(tmp_path) == 6 + 4


def test_delta_points_are_taken_as_they_are(tmp_path: Path) -> None:
    """They say the increase themselves."""
    points = [
        [total(value, at, start_s=at - 10, temporality=DELTA)]
        for value, at in ((5, 10), (3, 20), (3, 30))
    ]
    record(tmp_path, *points)

    assert _sum(tmp_path) == 11


def test_an_up_down_counter_gives_differences(tmp_path: Path) -> None:
    """Falling is what it does; it is no reset."""
    record(tmp_path, *[[total(value, value, monotonic=False)] for value in (5, 2, 4)])

    assert sorted(_increases(tmp_path)) == [(-3.0,), (2.0,), (5.0,)]


def test_a_gauge_has_no_increments(tmp_path: Path) -> None:
    """It does not count."""
    record(tmp_path, [gauge(5, 10)])

    assert _increases(tmp_path) == []


def test_a_histogram_gives_counts_sums_and_buckets(tmp_path: Path) -> None:
    """Over several intervals too, and across a reset."""
    record(
        tmp_path,
        [histogram((1, 0, 0), 0.5, 10)],
        [histogram((1, 2, 0), 10.5, 20)],
        [histogram((0, 0, 1), 20.0, 40, start_s=30)],
    )

    assert _increases(tmp_path, "increase, sum_increase, counts_increase") == [
        (1.0, 0.5, [1, 0, 0]),
        (2.0, 10.0, [0, 2, 0]),
        (1.0, 20.0, [0, 0, 1]),
    ]


def test_a_clock_that_is_set_back_is_no_reset(tmp_path: Path) -> None:
    """Points are in the order in which they were written."""
    record(tmp_path, [total(10, 100)], [total(15, 40)], [total(20, 50)])

    assert _sum(tmp_path) == 20


def test_a_series_goes_on_across_segments(tmp_path: Path) -> None:
    """Rotation is nobody's business but the writer's."""
    writer = exporter(tmp_path, rotate_bytes=2**16)
    for step in range(1, 2_001):
        writer.export(batch(total(step, step)))
    writer.shutdown()
    compress(tmp_path)

    assert len(list(tmp_path.glob("metrics/*/*/*.zst"))) > 2
    assert _sum(tmp_path) == 2_000


def test_a_window_does_not_cut_off_the_point_before_it(tmp_path: Path) -> None:
    """What is asked for begins with a difference, not with the total."""
    record(tmp_path, [total(5, 10)], [total(7, 20)], [total(8, 30)])

    with archive.connect(tmp_path, since=1_790_000_000 * 10**9 + 15 * 10**9) as db:
        assert db.execute("SELECT sum(increase) FROM increments").fetchone() == (3.0,)


@pytest.mark.slow
@settings(max_examples=25)
@given(
    st.lists(
        st.lists(st.lists(st.integers(0, 9), min_size=1, max_size=5), min_size=1, max_size=3),
        min_size=1,
        max_size=3,
    ),
    st.booleans(),
)
def test_increments_come_to_the_true_total(
    processes: list[list[list[int]]], compressed: bool
) -> None:
    """Whatever processes there were, at once or not, and however often each began anew.

    A process is a list of lives of its counter, each with a start of its own; a life is the list
    of what was added before each collection.
    """
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for number, lives in enumerate(processes):
            writer = exporter(folder)
            at = number * 3  # they overlap
            for life in lives:
                start, value = at, 0
                for added in life:
                    at, value = at + 1, value + added
                    writer.export(batch(total(value, at, start_s=start)))
            writer.shutdown()
        if compressed:
            compress(folder)

        assert _sum(folder) == sum(sum(life) for lives in processes for life in lives)
