"""Rows as a table, JSON, CSV, Markdown or YAML: what `--format` means in every command."""

import csv
import io
import json
import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

import click

__all__ = ["FORMATS", "formatted", "option", "printable"]

FORMATS: Final = ("table", "json", "csv", "markdown", "yaml")

option: Final = click.option(
    "--format",
    "form",
    type=click.Choice(FORMATS),
    default="table",
    help="How the answer is written; table is for people.",
)
"""The option `--format`, handed to the command as `form`."""

Row = Mapping[str, Any]

_UNSAFE = re.compile(
    "[\x00-\x09\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]"
)


def formatted(rows: Sequence[Row], form: str, *, columns: Sequence[str]) -> str:
    """Return the rows as text in `form`, one of `FORMATS`.

    Args:
        rows: each with the same keys; a value is a scalar or a sequence of texts.
        columns: the keys that a table shows; every other form has all of them.
    """
    if form == "json":
        return json.dumps(list(rows), ensure_ascii=False, indent=2)
    if form == "yaml":
        return "\n".join(map(_yaml, rows)) or "[]"
    if form == "csv":
        return _csv(rows)
    if form == "markdown":
        return _markdown(rows)
    return _table(rows, columns)


def printable(text: str) -> str:
    """Return text without what drives a terminal or turns the direction of text: as escapes, which
    inside JSON mean the same. Line ends stay."""
    return _UNSAFE.sub(lambda match: f"\\u{ord(match[0]):04x}", text)


def _yaml(row: Row) -> str:
    # JSON is YAML, so each value is written as JSON, and no YAML library is needed.
    lines = (f"{key}: {json.dumps(value, ensure_ascii=False)}" for key, value in row.items())
    return "- " + "\n  ".join(lines)


def _csv(rows: Sequence[Row]) -> str:
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    if rows:
        writer.writerow(rows[0])
    writer.writerows([_text(row[key]) for key in rows[0]] for row in rows)
    return out.getvalue().rstrip("\n")


def _markdown(rows: Sequence[Row]) -> str:
    keys = list(rows[0]) if rows else []
    lines = [f"| {' | '.join(keys)} |", f"|{'---|' * len(keys)}"] if keys else []
    for row in rows:
        cells = (_text(row[key]).replace("|", "\\|").replace("\n", "\\n") for key in keys)
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def _table(rows: Sequence[Row], columns: Sequence[str]) -> str:
    cells = [[column.upper() for column in columns]]
    cells += [[_text(row[column]).replace("\n", "\\n") for column in columns] for row in rows]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    lines = (
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in cells
    )
    return "\n".join(lines)


def _text(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str | int | float):
        return str(value)
    return ", ".join(map(_text, value)) if isinstance(value, Sequence) else str(value)
