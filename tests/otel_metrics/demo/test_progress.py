"""What is seen while a session runs."""

import io
from collections import Counter

from rich.console import Console

from otel_metrics.demo.progress import Display, lines_of
from otel_metrics.demo.session import Progress
from otel_metrics.demo.tally import SkillTally, Tally

TALLY = Tally(
    skills={
        "a": SkillTally(correct=1200, incorrect=3, errors=Counter({"SyntaxError": 1})),
        "b": SkillTally(correct=34, unverified=2),
    },
    files=100,
    sovereignty=Counter({"decision_rule_hit": 3, "decision_llm_call": 1}),
)
STEP = Progress("auditor", "os.py", "os.py: [bold]nothing[/] to report", TALLY)


def shown(*, terminal: bool, steps_at: list[float], no_color: bool = False) -> str:
    """Return what a display writes that began at 0 s."""
    out = io.StringIO()
    console = Console(
        file=out, force_terminal=terminal, no_color=no_color, width=80, color_system=None
    )
    with Display(console, 1790, iter([0.0, *steps_at]).__next__) as display:
        for _ in steps_at:
            display.show(STEP)
    return out.getvalue()


def test_a_step_says_how_far_what_came_of_it_and_what_was_found() -> None:
    """Each fits an 80 column terminal."""
    assert lines_of(STEP, 1790, 4.0) == [
        "  4.0 s  100 of 1,790 files, 25.0/s",
        "1,234 correct, 3 incorrect, 2 unverified, 1 errors, 75 % sovereign",
        "auditor: os.py: [bold]nothing[/] to report",
    ]


def test_the_first_step_divides_by_no_time() -> None:
    """A clock that has not moved stops nothing."""
    assert lines_of(STEP, 1790, 0.0)[0].endswith("files, 0.0/s")


def test_plain_lines_where_there_is_no_terminal() -> None:
    """A log gets one line every three seconds, without control characters."""
    assert shown(terminal=False, steps_at=[1.0, 3.5, 4.0]) == (
        "  3.5 s  100 of 1,790 files, 28.6/s  "
        "1,234 correct, 3 incorrect, 2 unverified, 1 errors, 75 % sovereign\n"
    )


def test_who_wants_no_colour_gets_no_escape_at_all() -> None:
    """With `NO_COLOR` a terminal gets what a log gets."""
    assert shown(terminal=True, no_color=True, steps_at=[1.0, 3.5, 4.0]) == (
        shown(terminal=False, steps_at=[1.0, 3.5, 4.0])
    )


def test_a_terminal_gets_a_block_that_is_gone_at_the_end() -> None:
    """What was found is shown as it is, brackets too; the cursor comes back."""
    written = shown(terminal=True, steps_at=[0.05, 1.0])

    assert "auditor: os.py: [bold]nothing[/] to report" in written
    assert "  1.0 s  100 of 1,790 files, 100.0/s" in written
    assert "  0.1 s" not in written
    assert written.count("\x1b[?25l") == written.count("\x1b[?25h") == 1
