"""Lines drawn by matplotlib into a file; nothing of it is loaded before it is asked for.

`canvas`, `save` and `plain` are what any picture begins and ends with.
"""

import importlib
import math
from datetime import UTC, datetime
from typing import Any, Final

from otel_metrics.cli.archive.curves import Curves
from otel_metrics.cli.archive.linechart import heading
from otel_metrics.errors import OtelMetricsError

__all__ = ["ENDINGS", "MissingMatplotlibError", "canvas", "draw", "plain", "save"]

ENDINGS: Final = (".png", ".svg")
_SIZE_INCHES: Final = (10, 4.5)
_DPI: Final = 120


class MissingMatplotlibError(OtelMetricsError, ImportError):
    """matplotlib is not installed; the message says how to install it."""


def draw(curves: Curves, file: str, kind: str) -> None:
    """Write a picture; its kind is an ending without the dot.

    Raises:
        MissingMatplotlibError: matplotlib is not installed.
        OSError: the file cannot be written.
    """
    figure = canvas()
    dates: Any = importlib.import_module("matplotlib.dates")
    axes = figure.add_subplot()
    for name, values in curves.lines.items():
        times = [
            datetime.fromtimestamp(curves.start_s + step * curves.step_s, UTC)
            for step in range(len(values))
        ]
        shown = [math.nan if value is None else value for value in values]  # NaN breaks the line
        axes.plot(times, shown, marker=".", markersize=3, linewidth=1.2, label=plain(name))
    locator = dates.AutoDateLocator(tz=UTC)
    axes.xaxis.set_major_locator(locator)
    axes.xaxis.set_major_formatter(dates.ConciseDateFormatter(locator, tz=UTC))
    axes.set_title(plain(heading(curves)), fontsize=10, loc="left")
    axes.set_ylabel(plain(curves.unit.strip("{}")))
    axes.grid(visible=True, alpha=0.3)
    axes.set_ylim(bottom=min(0.0, axes.get_ylim()[0]))
    if any(curves.lines):
        axes.legend(fontsize=8, loc="best")
    save(figure, file, kind)


def canvas() -> Any:
    """Return an empty figure of matplotlib.

    Raises:
        MissingMatplotlibError: it is not installed.
    """
    try:
        figures: Any = importlib.import_module("matplotlib.figure")
        agg: Any = importlib.import_module("matplotlib.backends.backend_agg")
    except ImportError as error:
        message = "matplotlib is not installed; pip install 'otel-metrics[plot]'"
        raise MissingMatplotlibError(message) from error
    figure = figures.Figure(figsize=_SIZE_INCHES, layout="constrained")
    agg.FigureCanvasAgg(figure)
    return figure


def save(figure: Any, file: str, kind: str) -> None:
    """Write a figure; its kind is an ending without the dot."""
    figure.savefig(file, format=kind, dpi=_DPI)


def plain(text: str) -> str:
    """Return text that matplotlib does not take for mathematics."""
    return text.replace("$", r"\$")
