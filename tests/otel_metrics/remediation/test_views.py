"""Steps and times as people read them."""

import shlex

from hypothesis import given
from hypothesis import strategies as st

from otel_metrics.remediation.views import as_time, plan_lines


def test_an_argument_with_blanks_is_one() -> None:
    """Who approves sees where one argument ends."""
    assert plan_lines([["/bin/scale", "--to", "a b", ""], ["POST", "https://hooks.example/x"]]) == [
        "/bin/scale --to 'a b' ''",
        "POST https://hooks.example/x",
    ]


def test_times_are_utc_to_the_second() -> None:
    """None is none."""
    assert (as_time(1_795_876_200.9), as_time(None)) == ("2026-11-28T14:30:00Z", None)


@given(st.lists(st.text(), min_size=1, max_size=5))
def test_a_shell_would_read_the_same(step: list[str]) -> None:
    """What is shown can be typed."""
    assert shlex.split(plan_lines([step])[0]) == step
