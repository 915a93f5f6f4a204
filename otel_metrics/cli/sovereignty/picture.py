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
_COST: Final = "#999999"
_PART: Final = "#e6e6e6"
_TITLE_PAD: Final = 26
"""Points above the upper axes: below the title there is room for the legend."""
_BAR: Final = 0.9
"""How much of its step a bar is wide."""


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
    _draw_targets(upper, start, times[-1] + width)
    _explain(upper)
    name = step_text(step * MINUTE_S)
    upper.set_title(
        f"Work done without a model, per {name}, UTC", fontsize=11, loc="left", pad=_TITLE_PAD
    )
    costs = [each.cost_usd * HOUR_S / (step * MINUTE_S) for each in steps]
    _draw_costs(lower, times, costs, width, f"part of {name}" if _ends_early(report, step) else "")
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


def _draw_targets(axes: Any, start: datetime, end: datetime) -> None:
    """Draw what perception is to reach, as a step from hour to hour; the legend says how much."""
    begins = [start + timedelta(hours=number - 1) for number, _ in TARGETS]
    ends = [*begins[1:], max(end, begins[-1])]
    drawn = [
        (percent, begin, min(until, end))
        for (_, percent), begin, until in zip(TARGETS, begins, ends, strict=True)
        if begin < end
    ]
    text = ", ".join(
        f"{percent:g} % from hour {number}" for number, percent in TARGETS[: len(drawn)]
    )
    for percent, begin, until in drawn:
        line = axes.hlines(percent, begin, until, colors=_COLOURS[0], linestyles="dashed", lw=1.2)
        line.set_gid(f"target-{percent:g}")  # its name in an SVG
    line.set_label(f"target of perception: {text}")


def _explain(axes: Any) -> None:
    """Put the legend above the lines, where none crosses it."""
    axes.legend(
        loc="lower left",
        bbox_to_anchor=(0, 1),
        ncols=len(LAYERS) + 1,
        frameon=False,
        fontsize=9,
        borderaxespad=0.2,
    )


def _draw_costs(
    axes: Any, times: Sequence[datetime], costs: Sequence[float], width: timedelta, part: str
) -> None:
    """Draw a bar for each step.

    Args:
        part: what the last bar is called where its step is not over, so that it is too low.
    """
    whole = len(costs) - bool(part)
    axes.bar(times[:whole], costs[:whole], width=width * _BAR, align="edge", color=_COST)
    if part and costs[-1]:
        (bar,) = axes.bar(
            times[-1:],
            costs[-1:],
            width=width * _BAR,
            align="edge",
            facecolor=_PART,
            edgecolor=_COST,
            hatch="////",
            label=part,
        )
        bar.set_gid("cost-of-a-part")
        axes.legend(
            loc="lower right", bbox_to_anchor=(1, 1), frameon=False, fontsize=9, borderaxespad=0.2
        )
    axes.set_ylabel("USD an hour")
    axes.set_ylim(bottom=0)


def _ends_early(report: Report, step: int) -> bool:
    """Tell whether the events end before their last step does; the first begins with them."""
    return (max(report.minutes) - min(report.minutes) + 1) % step != 0
