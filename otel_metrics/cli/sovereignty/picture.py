"""Sovereignty over time as a picture by matplotlib, which is loaded when one is asked for."""

import importlib
import math
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from otel_metrics.cli.archive.curves import step_text
from otel_metrics.cli.archive.picture import MissingMatplotlibError
from otel_metrics.sovereignty.kinds import LAYERS
from otel_metrics.sovereignty.report import (
    HOUR_S,
    MINUTE_S,
    TARGETS,
    Minute,
    Report,
    binned,
)

__all__ = ["MissingMatplotlibError", "draw", "step_minutes"]

STEPS_MAX: Final = 120
_STEPS: Final = (
    *(1, 2, 5, 10, 15, 30, 60, 120, 180, 360, 720),
    *(1440, 2880, 10080, 43200, 129600, 525600),
)
"""Minutes."""
_SIZE_INCHES: Final = (10, 6)
_DPI: Final = 120
_COLOURS: Final = ("#0072B2", "#D55E00", "#009E73")
"""Told apart by most who see colours otherwise (Okabe and Ito)."""
_MARKERS: Final = ("o", "s", "^")
_ROOM_ABOVE: Final = 95
"""Below so many percent there is room for words above a line."""
_COST: Final = "#999999"


def draw(report: Report, file: str, kind: str) -> None:
    """Write a picture; its kind is an ending without the dot.

    Raises:
        MissingMatplotlibError: matplotlib is not installed.
        OSError: the file cannot be written.
    """
    try:
        figures: Any = importlib.import_module("matplotlib.figure")
        agg: Any = importlib.import_module("matplotlib.backends.backend_agg")
        dates: Any = importlib.import_module("matplotlib.dates")
        effects: Any = importlib.import_module("matplotlib.patheffects")
    except ImportError as error:
        message = "matplotlib is not installed; pip install 'otel-metrics[plot]'"
        raise MissingMatplotlibError(message) from error
    figure = figures.Figure(figsize=_SIZE_INCHES, layout="constrained")
    agg.FigureCanvasAgg(figure)
    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
    step = step_minutes(report)
    steps = _filled(report, step)
    start = datetime.fromtimestamp(min(report.minutes) * MINUTE_S, UTC)
    times = [start + timedelta(minutes=step * at) for at in range(len(steps))]
    width = timedelta(minutes=step)
    _draw_shares(upper, times, steps, width)
    halo = effects.withStroke(linewidth=3, foreground="white")
    _draw_targets(upper, start, times[-1] + width, halo)
    upper.set_title(
        f"Work done without a model, per {step_text(step * MINUTE_S)}, UTC", fontsize=11, loc="left"
    )
    lower.bar(
        times,
        [each.cost_usd * HOUR_S / (step * MINUTE_S) for each in steps],
        width=width * 0.9,
        align="edge",
        color=_COST,
    )
    lower.set_ylabel("USD an hour")
    lower.set_ylim(bottom=0)
    lower.set_xlim(start, times[-1] + width)
    locator = dates.AutoDateLocator(tz=UTC)
    lower.xaxis.set_major_locator(locator)
    lower.xaxis.set_major_formatter(dates.ConciseDateFormatter(locator, tz=UTC))
    for axes in (upper, lower):
        axes.grid(visible=True, alpha=0.25)
        axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(file, format=kind, dpi=_DPI)


def step_minutes(report: Report) -> int:
    """Return a round step, of which there are no more than can be told apart."""
    span = max(report.minutes) - min(report.minutes) + 1
    return next((step for step in _STEPS if step * STEPS_MAX >= span), _STEPS[-1])


def _filled(report: Report, step: int) -> list[Minute]:
    """Return every step, empty ones too."""
    found = dict(binned(report, step))
    return [found.get(at, Minute()) for at in range(0, max(found) + 1, step)]


def _draw_shares(
    axes: Any, times: Sequence[datetime], steps: Sequence[Minute], width: timedelta
) -> None:
    """Draw a line for each layer, through the middle of its steps; without work it is broken."""
    middles = [time + width / 2 for time in times]
    for at, layer in enumerate(LAYERS):
        percents = [each.percent(at) for each in steps]
        if all(percent is None for percent in percents):
            continue
        shown = [math.nan if percent is None else percent for percent in percents]
        axes.plot(
            middles,
            shown,
            color=_COLOURS[at],
            marker=_MARKERS[at],
            markersize=3.5,
            linewidth=1.6,
            label=layer,
        )
    axes.set_ylim(-3, 103)
    axes.set_ylabel("percent")
    if axes.lines:
        axes.legend(
            loc="lower right", bbox_to_anchor=(1, 1), ncols=len(LAYERS), frameon=False, fontsize=9
        )


def _draw_targets(axes: Any, start: datetime, end: datetime, halo: Any) -> None:
    """Draw what perception is to reach, as a step from hour to hour."""
    begins = [start + timedelta(hours=number - 1) for number, _ in TARGETS]
    ends = [*begins[1:], max(end, begins[-1])]
    for (number, percent), begin, until in zip(TARGETS, begins, ends, strict=True):
        if begin >= end:
            continue
        until = min(until, end)
        line = axes.hlines(percent, begin, until, colors=_COLOURS[0], linestyles="dashed", lw=1.2)
        line.set_gid(f"target-{percent:g}")  # its name in an SVG
        axes.annotate(
            f"target: {percent:g} % from hour {number}",
            (begin, percent),
            xytext=(4, 3 if percent < _ROOM_ABOVE else -12),
            textcoords="offset points",
            fontsize=8,
            color=_COLOURS[0],
            path_effects=[halo],
        )
