"""`otel-metrics archive ls`: what there is."""

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final

import click

from otel_exporter_ndjson import Finding, Segment
from otel_exporter_ndjson.fs import RealFs
from otel_exporter_ndjson.space import size_text
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
from otel_metrics.cli.archive.progress import bar
from otel_metrics.cli.archive.tables import print_table

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
        _print(rows)
    else:
        click.echo(formats.printable(formats.formatted(rows, form, columns=_COLUMNS)))
    if not tell_service(found, service) and not rows and (since, until) != (None, None):
        click.echo("--since, --until: nothing is of that time", err=True)
    context.exit(EXIT_PARTLY if tell(findings) else 0)


def _summaries(wanted: Sequence[Segment]) -> Iterator[tuple[Summary, list[Finding]]]:
    """Return each segment in figures, in order: a compressed one is inflated up to its seal."""

    def look(segment: Segment) -> tuple[Summary, list[Finding]]:
        findings: list[Finding] = []
        return summarise(segment, findings=findings), findings

    long = any(each.compressed for each in wanted) and _bytes(wanted) >= LONG_BYTES
    with ThreadPoolExecutor(THREADS) as pool, bar("reading seals", "pieces", wanted=long) as update:
        for done, summary in enumerate(pool.map(look, wanted), start=1):
            update(done, len(wanted))
            yield summary


def _bytes(wanted: Sequence[Segment]) -> int:
    files = RealFs()
    return sum(facts.size for each in wanted if (facts := files.status_of(each.path)))


def _print(rows: Sequence[Mapping[str, Any]]) -> None:
    """Write a table for people, the sums below it."""
    sums = {
        "signal": "in all",
        "segment": str(len(rows)),
        "records": f"{sum(row['records'] for row in rows):,}",
        "bytes": size_text(sum(row["bytes"] for row in rows)),
    }
    shown = [_short(row) for row in rows]
    print_table(shown, _COLUMNS, right=_RIGHT, styles=_STYLES, sums=sums)


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
        "bytes": size_text(row["bytes"]),
    }


def _time(time_ns: int | None) -> str | None:
    return None if time_ns is None else time_text(time_ns)


def _overlaps(summary: Summary, since: int | None, until: int | None) -> bool:
    if summary.first_ns is None or summary.last_ns is None:
        return since is None and until is None
    return (since is None or summary.last_ns >= since) and (
        until is None or summary.first_ns < until
    )
