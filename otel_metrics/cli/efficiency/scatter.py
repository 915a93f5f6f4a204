"""A backtest as a picture: each plan a point, its priority against what followed it."""

from typing import Final

from otel_metrics.cli.archive.picture import canvas, plain, save
from otel_metrics.cli.efficiency.wording import correlation
from otel_metrics.efficiency.backtest import Backtest
from otel_metrics.plurals import counted

__all__ = ["draw"]

_MARKS: Final = {
    False: ("C0", "a plan"),
    True: ("none", "a plan that shares its change with another"),
}
"""How a point is filled, and what it is."""


def draw(made: Backtest, file: str, kind: str) -> None:
    """Write a picture with the line of least squares; its kind is an ending without the dot.

    Raises:
        MissingMatplotlibError: matplotlib is not installed.
        OSError: the file cannot be written.
    """
    figure = canvas()
    axes = figure.add_subplot()
    paired = [each for each in made.outcomes if each.change is not None]
    for is_shared, (face, label) in _MARKS.items():
        points = [
            (each.plan.priority, each.change) for each in paired if each.is_shared is is_shared
        ]
        if points:
            axes.scatter(*zip(*points, strict=True), facecolors=face, edgecolors="C0", label=label)
    if made.line is not None:
        ends = [min(x for x, _ in made.pairs), max(x for x, _ in made.pairs)]
        heights = [made.line.intercept + made.line.slope * x for x in ends]
        axes.plot(ends, heights, color="C1", linewidth=1.2, label="least squares")
    axes.axhline(0, color="gray", linewidth=0.8)
    title = f"{counted(len(made.pairs), 'plan')}; Pearson {correlation(made.pearson)}"
    axes.set_title(plain(title), fontsize=10, loc="left")
    axes.set_xlabel("priority of the plan")
    axes.set_ylabel("change of efficiency after it")
    axes.grid(visible=True, alpha=0.3)
    axes.legend(fontsize=8, loc="best")
    save(figure, file, kind)
