"""`otel-metrics archive ls`: what there is."""

import sys
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final

import click
from rich.console import Console
from rich.progress import track
from rich.table import Table
from rich.text import Text

from otel_exporter_ndjson import Finding, Segment
from otel_exporter_ndjson.fs import RealFs
from otel_exporter_ndjson.summary import Summary, summarise
from otel_exporter_ndjson.values import time_text
from otel_metrics.cli import formats
from otel_metrics.cli.archive.options import (
    EXIT_PARTLY,
    archive_option,
    is_of,
    segments,
    service_option,
    since_option,
    tell,
    tell_service,
    until_option,
)

__all__ = ["ls"]

_COLUMNS: Final = ("signal", "service", "segment", "state", "records", "first", "last", "bytes")
_RIGHT: Final = frozenset({"records", "bytes"})
_STYLES: Final = {
    "open": "cyan",
    "unsealed": "yellow",
    "sealed": "green",
    "recovered": "yellow",
    "compressed": "green",
    "damaged": "bold red",
}
THREADS: Final = 4
"""Inflating and hashing leave other threads the interpreter."""
LONG_BYTES: Final = 32 * 2**20
"""With more than so much to read there is a progress bar."""
PLAIN_COLUMNS: Final = 200
"""The width of a table that no terminal shows."""


@click.command()
@archive_option
@service_option
@since_option
@until_option
@formats.option
@click.pass_context
def ls(
    context: click.Context,
    *,
    path: str,
    service: str | None,
    since: int | None,
    until: int | None,
    form: str,
) -> None:
    """List the segments: records, time range (UTC), size on disk, and whether each is sealed.

    The table names a segment by the first digits of its writer and its number; the other forms have
    its file. A state is what the segment's end says, and damaged where that alone shows it: only
    `archive cat` compares a sealed segment with its seal.

    Exit status 1 when the folder is no archive, 3 when a segment is damaged or cannot be read.
    """
    found = segments(context, path)
    findings: list[Finding] = []
    rows = []
    wanted = [segment for segment in found if service is None or is_of(segment, service)]
    for summary, told in _summaries(wanted):
        findings += told
        if _overlaps(summary, since, until):
            damaged = any(finding.kind == "damage" for finding in told)
            rows.append(_row(summary, "damaged" if damaged else summary.state))
    if form == "table":
        _print_table(rows)
    else:
        click.echo(formats.printable(formats.formatted(rows, form, columns=_COLUMNS)))
    tell_service(found, service)
    context.exit(EXIT_PARTLY if tell(findings) else 0)


def _summaries(wanted: Sequence[Segment]) -> Iterator[tuple[Summary, list[Finding]]]:
    """Return each segment in figures, in order: a compressed one is inflated up to its seal."""

    def look(segment: Segment) -> tuple[Summary, list[Finding]]:
        findings: list[Finding] = []
        return summarise(segment, findings=findings), findings

    size = sum(segment.compressed for segment in wanted) and _bytes(wanted)
    with ThreadPoolExecutor(THREADS) as pool:
        yield from track(
            pool.map(look, wanted),
            "Reading seals",
            total=len(wanted),
            console=Console(stderr=True),
            transient=True,
            disable=size < LONG_BYTES or not sys.stderr.isatty(),
        )


def _bytes(wanted: Sequence[Segment]) -> int:
    files = RealFs()
    return sum(facts.size for each in wanted if (facts := files.status_of(each.path)))


def _print_table(rows: Sequence[Mapping[str, Any]]) -> None:
    """Write a table for people, the sums below it."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), show_footer=bool(rows))
    sums = {
        "signal": "in all",
        "segment": str(len(rows)),
        "records": str(sum(row["records"] for row in rows)),
        "bytes": _size(sum(row["bytes"] for row in rows)),
    }
    for column in _COLUMNS:
        justify: Any = "right" if column in _RIGHT else "left"
        footer = sums.get(column, "")
        table.add_column(column.upper(), footer, justify=justify, no_wrap=True)
    for row in map(_short, rows):
        cells = [formats.printable(str(row[column])).replace("\n", "\\n") for column in _COLUMNS]
        style = _STYLES[row["state"]]
        table.add_row(
            *[
                Text(cell, style if key == "state" else "")
                for key, cell in zip(_COLUMNS, cells, strict=True)
            ]
        )
    terminal = sys.stdout.isatty()
    Console(highlight=False, width=None if terminal else PLAIN_COLUMNS).print(table)


def _size(count: int) -> str:
    """Return a number of bytes for people.

    >>> _size(1536)
    '1.5 KiB'
    """
    size, *larger = "B", "KiB", "MiB", "GiB", "TiB"
    amount = float(count)
    while larger and amount >= 1000:
        amount, size = amount / 1024, larger.pop(0)
    return f"{count} B" if size == "B" else f"{amount:.1f} {size}"


def _row(summary: Summary, state: str) -> Mapping[str, Any]:
    segment = summary.segment
    return {
        "signal": segment.signal,
        "service": segment.service,
        "segment": segment.name,
        "state": state,
        "records": summary.records,
        "first": _time(summary.first_ns),
        "last": _time(summary.last_ns),
        "bytes": summary.bytes,
        "date": segment.date,
        "instance": segment.instance,
        "sequence": segment.sequence,
        "path": segment.path,
    }


def _short(row: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return a row for people: times to the second, the date once, and no long names of files."""
    first, last = (str(row[key] or "")[:19].replace("T", " ") for key in ("first", "last"))
    same_day = first[:10] == last[:10]
    return {
        **row,
        "segment": f"{row['instance'][:8]}-{row['sequence']}",
        "first": first,
        "last": last[11:] if same_day else last,
        "bytes": _size(row["bytes"]),
    }


def _time(time_ns: int | None) -> str | None:
    return None if time_ns is None else time_text(time_ns)


def _overlaps(summary: Summary, since: int | None, until: int | None) -> bool:
    if summary.first_ns is None or summary.last_ns is None:
        return since is None and until is None
    return (since is None or summary.last_ns >= since) and (
        until is None or summary.first_ns < until
    )
