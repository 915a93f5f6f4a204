"""A line of blocks over time."""

import pytest

from otel_metrics.cli.skills.sparkline import WIDTH, sparkline


@pytest.mark.parametrize(
    ("points", "line"),
    [
        ([], ""),
        ([(5.0, 0.9)], "▅"),
        ([(5.0, 0.9), (5.0, 0.1)], "▅"),
        ([(0.0, 0.0), (1.0, 0.5), (2.0, 1.0), (3.0, 0.0)], "▁▅█▁"),
        ([(0.0, 0.0), (3.0, 1.0)], "▁  █"),
        ([(0.0, 0.0), (0.1, 1.0), (1.0, 0.0), (2.0, 0.0), (3.0, 0.0)], "█▁▁▁"),
    ],
)
def test_a_block_is_the_mean_of_its_span(points: list[tuple[float, float]], line: str) -> None:
    """Between the lowest mean and the highest; a span without a value is left empty."""
    assert sparkline(points, width=4) == line


def test_a_long_history_fits_a_line() -> None:
    """However many there are."""
    assert len(sparkline([(float(at), at % 7) for at in range(10_000)])) == WIDTH
