"""The table of `make compare`, in Markdown, as the README shows it."""

from collections.abc import Iterable, Sequence
from typing import Final

from tests.compare.pain import Figure

__all__ = ["HEADINGS", "Row", "table"]

HEADINGS: Final = ("pain", "plain SDK", "otel-metrics")
FIXED: Final = "fixed upstream"
BROKEN: Final = "BROKEN"

Row = tuple[str, Figure, Figure]


def table(rows: Iterable[Row]) -> str:
    """Return one line for each pain: its title, the plain SDK, otel-metrics.

    A pain that the SDK no longer has reads as fixed upstream; one that we have, as broken.
    """
    lines = [HEADINGS, *(cells(*row) for row in rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(HEADINGS))]
    ruled = [lines[0], tuple("-" * width for width in widths), *lines[1:]]
    return "\n".join(_line(line, widths) for line in ruled)


def cells(title: str, plain: Figure, ours: Figure) -> tuple[str, str, str]:
    """Return what a row says."""
    return (
        title,
        plain.shown if plain.hurts else f"{plain.shown} ({FIXED})",
        f"{ours.shown} ({BROKEN})" if ours.hurts else ours.shown,
    )


def _line(texts: Sequence[str], widths: Sequence[int]) -> str:
    padded = (text.ljust(width) for text, width in zip(texts, widths, strict=True))
    return f"| {' | '.join(padded)} |"
