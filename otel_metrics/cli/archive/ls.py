"""`otel-metrics archive ls`: what there is."""

from collections.abc import Mapping
from typing import Any, Final

import click

from otel_exporter_ndjson import Finding
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
    """List the segments: records, time range (UTC), size, and whether each is sealed.

    The table names a segment by the first digits of its writer and its number; the other forms have
    its file. A state is what the segment's end says, and damaged where that alone shows it: only
    `archive cat` compares a sealed segment with its seal.

    Exit status 1 when the folder is no archive, 3 when a segment is damaged or cannot be read.
    """
    found = segments(context, path)
    findings: list[Finding] = []
    rows = []
    for segment in found:
        if service is None or is_of(segment, service):
            before = len(findings)
            summary = summarise(segment, findings=findings)
            if _overlaps(summary, since, until):
                damaged = any(finding.kind == "damage" for finding in findings[before:])
                rows.append(_row(summary, "damaged" if damaged else summary.state))
    shown = [_short(row) for row in rows] if form == "table" else rows
    click.echo(formats.printable(formats.formatted(shown, form, columns=_COLUMNS)))
    tell_service(found, service)
    context.exit(EXIT_PARTLY if tell(findings) else 0)


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
    }


def _time(time_ns: int | None) -> str | None:
    return None if time_ns is None else time_text(time_ns)


def _overlaps(summary: Summary, since: int | None, until: int | None) -> bool:
    if summary.first_ns is None or summary.last_ns is None:
        return since is None and until is None
    return (since is None or summary.last_ns >= since) and (
        until is None or summary.first_ns < until
    )
