"""Shows a session while it runs: one block that keeps changing, or plain lines where none can."""

from collections.abc import Callable
from types import TracebackType
from typing import Final, Self

from rich.console import Console
from rich.live import Live
from rich.text import Text

from otel_metrics.demo.session import Progress
from otel_metrics.demo.summary import sovereign_share, visits
from otel_metrics.demo.tally import Tally

__all__ = ["Display", "lines_of"]

PLAIN_INTERVAL_S: Final = 3.0
"""Between two plain lines."""
LIVE_INTERVAL_S: Final = 0.1
"""Between two changes of the block."""


class Display:
    """Shows the newest step, seldom enough that showing costs next to nothing.

    Args:
        console: where to; a terminal with colours gets the block, anything else plain lines.
        files: how many there are to visit.
        clock: seconds, monotonic.
    """

    def __init__(self, console: Console, files: int, clock: Callable[[], float]) -> None:
        self._console = console
        self._files = files
        self._clock = clock
        # Where colours are not wanted (NO_COLOR), no other escape is either.
        is_live = console.is_terminal and not (console.is_dumb_terminal or console.no_color)
        self._live = Live(console=console, auto_refresh=False, transient=True) if is_live else None
        self._every_s = LIVE_INTERVAL_S if is_live else PLAIN_INTERVAL_S
        self._began_s = self._shown_s = clock()

    def __enter__(self) -> Self:
        if self._live is not None:
            self._live.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._live is not None:
            self._live.stop()

    def show(self, step: Progress) -> None:
        """Show a step, if the last one was long enough ago."""
        now_s = self._clock()
        if now_s - self._shown_s < self._every_s:
            return
        self._shown_s = now_s
        lines = lines_of(step, self._files, now_s - self._began_s)
        if self._live is None:
            plain = "  ".join(lines[:2])
            self._console.print(plain, markup=False, highlight=False, soft_wrap=True)
            return
        block = Text("\n".join(lines), no_wrap=True, overflow="ellipsis")
        block.highlight_regex(r"\d[\d,.]*", "bold cyan")
        self._live.update(block, refresh=True)


def lines_of(step: Progress, files: int, elapsed_s: float) -> list[str]:
    """Return what there is to show of a step: how far, what came of it, what is told last.

    Args:
        step: the newest.
        files: how many there are to visit.
        elapsed_s: seconds since it began.
    """
    tally = step.tally
    per_s = tally.files / elapsed_s if elapsed_s > 0 else 0.0
    return [
        f"{elapsed_s:5.1f} s  {visits(tally.files, files)}, {per_s:.1f}/s",
        _outcomes(tally),
        f"{step.agent}: {step.told}",
    ]


def _outcomes(tally: Tally) -> str:
    skills = tally.skills.values()
    counts = {
        "correct": sum(skill.correct for skill in skills),
        "incorrect": sum(skill.incorrect for skill in skills),
        "unverified": sum(skill.unverified for skill in skills),
        "errors": sum(tally.errors.values()),
    }
    share = sovereign_share(tally.sovereignty) or 0.0
    said = ", ".join(f"{count:,} {name}" for name, count in counts.items())
    return f"{said}, {share:.0f} % sovereign"
