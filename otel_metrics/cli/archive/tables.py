"""Tables for people: colours on a terminal, folded to its width, and in one line elsewhere."""

import sys
from collections.abc import Collection, Mapping, Sequence
from typing import Any, Final

from rich.console import Console
from rich.table import Table
from rich.text import Text

from otel_metrics.cli import formats

__all__ = ["print_table"]

PLAIN_COLUMNS: Final = 200
"""The width of a table that no terminal shows."""


def print_table(
    rows: Sequence[Mapping[str, Any]],
    columns: Sequence[str],
    *,
    right: Collection[str] = (),
    styles: Mapping[str, str] | None = None,
    sums: Mapping[str, str] | None = None,
) -> None:
    """Print rows as a table.

    Args:
        columns: the keys that are shown.
        right: those that stand at the right of their column.
        styles: of the value in column `state`, by value.
        sums: what stands in the last line, by column; there is none without rows.
    """
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), show_footer=bool(rows and sums))
    for column in columns:
        justify: Any = "right" if column in right else "left"
        footer = (sums or {}).get(column, "")
        table.add_column(column.upper(), footer, justify=justify, overflow="fold")
    for row in rows:
        style = (styles or {}).get(str(row.get("state")), "")
        table.add_row(*[_cell(row[key], style if key == "state" else "") for key in columns])
    width = None if sys.stdout.isatty() else PLAIN_COLUMNS
    Console(highlight=False, width=width).print(table)


def _cell(value: object, style: str) -> Text:
    text = f"{value:,}" if isinstance(value, int) else str(value)
    return Text(formats.printable(text).replace("\n", "\\n"), style)
