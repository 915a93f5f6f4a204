"""Lines drawn with characters: braille dots where the terminal has them, else plain ASCII."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final

from otel_metrics.cli.archive.curves import Curves

__all__ = ["drawn", "heading", "moment"]

ROWS_ALONE: Final = 12
ROWS_EACH: Final = 6
_BETWEEN: Final = "  "
_BRAILLE: Final = 0x2800
_DOTS: Final = ((0x01, 0x08), (0x02, 0x10), (0x04, 0x20), (0x40, 0x80))
"""The bit of each dot of a braille character, row by row."""


class _Canvas:
    """Dots on a grid; a character holds two by four of them, or one in ASCII."""

    def __init__(self, columns: int, rows: int, *, ascii_only: bool) -> None:
        self.across, self.down = (1, 1) if ascii_only else (2, 4)
        self.width, self.height = columns * self.across, rows * self.down
        self._ascii = ascii_only
        self._cells = [[0] * columns for _ in range(rows)]

    def dot(self, x: int, y: int) -> None:
        """Set a dot; y counts from the top."""
        bit = _DOTS[y % self.down][x % self.across]
        self._cells[y // self.down][x // self.across] |= bit

    def stroke(self, one: tuple[int, int], other: tuple[int, int]) -> None:
        """Set the dots of a straight line."""
        (x1, y1), (x2, y2) = one, other
        steps = max(abs(x2 - x1), abs(y2 - y1), 1)
        for step in range(steps + 1):
            self.dot(round(x1 + (x2 - x1) * step / steps), round(y1 + (y2 - y1) * step / steps))

    def rows(self) -> list[str]:
        """Return the characters, row by row."""
        if self._ascii:
            return ["".join("*" if cell else " " for cell in row) for row in self._cells]
        return [
            "".join(chr(_BRAILLE + cell) if cell else " " for cell in row) for row in self._cells
        ]


def drawn(curves: Curves, *, width: int, ascii_only: bool) -> str:
    """Return a chart for each line, one below the other, all with the same scale."""
    low, high = _scale(curves)
    marks = [_number(value) for value in (high, (low + high) / 2, low)]
    margin = max(map(len, marks)) + 2
    columns = max(10, width - margin)
    rows = ROWS_ALONE if len(curves.lines) == 1 else ROWS_EACH
    text = [heading(curves)]
    for name, values in curves.lines.items():
        canvas = _Canvas(columns, rows, ascii_only=ascii_only)
        _draw(canvas, values, low, high)
        named = [f"{'':{margin}}{name}"] if name else []
        text += [*named, *_framed(canvas.rows(), marks, margin, ascii_only=ascii_only)]
    steps = len(next(iter(curves.lines.values())))
    ends = moment(curves.start_s), moment(curves.start_s + steps * curves.step_s)
    text += [" " * margin + line for line in _axis(*ends, columns)]
    return "\n".join(line.rstrip() for line in text)


def heading(curves: Curves) -> str:
    """Return what is drawn, in which unit."""
    unit = curves.unit.strip("{}")
    return f"{curves.metric}{f' ({unit})' if unit and unit != '1' else ''}, {curves.what}, UTC"


def moment(seconds: int) -> str:
    """Return a time for people."""
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d %H:%M:%S}"


def _scale(curves: Curves) -> tuple[float, float]:
    values = [value for line in curves.lines.values() for value in line if value is not None]
    low, high = min(*values, 0.0), max(*values, 0.0)
    return (low, high) if high > low else (low, low + 1.0)


def _draw(canvas: _Canvas, values: Sequence[float | None], low: float, high: float) -> None:
    """Join neighbours; a step without a value joins nothing."""
    before: tuple[int, int] | None = None
    for step, value in enumerate(values):
        if value is None:
            before = None
            continue
        share = (value - low) / (high - low)
        x = round(step * (canvas.width - 1) / max(1, len(values) - 1))
        at = x, round((1 - share) * (canvas.height - 1))
        canvas.stroke(before or at, at)
        before = at


def _framed(rows: list[str], marks: list[str], margin: int, *, ascii_only: bool) -> list[str]:
    at = {0: marks[0], (len(rows) - 1) // 2: marks[1], len(rows) - 1: marks[2]}
    bar = "|" if ascii_only else "│"
    return [f"{at.get(row, ''):>{margin - 2}} {bar}{text}" for row, text in enumerate(rows)]


def _axis(begin: str, end: str, columns: int) -> list[str]:
    """Return both ends of the time, one below the other where a line is too short for them."""
    if len(begin) + len(_BETWEEN) + len(end) <= columns:
        return [begin + end.rjust(columns - len(begin))]
    return [begin, end.rjust(columns)]


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"
