"""What people see of a figure."""

import pytest

from otel_metrics.skills.checks import shown


@pytest.mark.parametrize(
    ("figure", "threshold", "text"),
    [
        (None, ">= 0.9", ""),
        (100, ">= 100", "100"),
        (0.9123456, ">= 0.9", "0.9123"),
        (0.9, ">= 0.9", "0.9"),
        (0.899999, ">= 0.9", "0.899999"),
        (0.0499999, "< 0.05", "0.0499999"),
        (3.00001, "> 3", "3.00001"),
    ],
)
def test_a_figure_shows_on_which_side_of_its_threshold_it_is(
    figure: float | None, threshold: str, text: str
) -> None:
    """It is rounded only as far as that stays true."""
    assert shown(figure, threshold) == text
