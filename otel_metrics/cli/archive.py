"""`otel-metrics archive`: look into an archive.

What is printed to a terminal was written by others: control characters and those that turn the
direction of text are shown as escapes.
"""

import json
import os
import re
import sys
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final, NoReturn

import click
from click.core import ParameterSource

from otel_exporter_ndjson import Finding, Record, Segment, find_segments, read
from otel_exporter_ndjson.folders import ARCHIVE_FILE
from otel_exporter_ndjson.settings import duration
from otel_exporter_ndjson.summary import Summary, summarise
from otel_exporter_ndjson.values import time_text
from otel_metrics.cli import formats
from otel_metrics.cli.matching import Names, suggestion

__all__ = ["archive"]

ARCHIVE_VARIABLE: Final = "OTEL_EXPORTER_NDJSON_PATH"
DEFAULT_ARCHIVE: Final = "./telemetry"
EXIT_NO: Final = 1
EXIT_WRONG: Final = 2
EXIT_PARTLY: Final = 3

_COLUMNS: Final = ("signal", "service", "segment", "state", "records", "first", "last", "bytes")
_CAT_COLUMNS: Final = ("time", "service", "name", "attributes", "value")


class _Moment(click.ParamType[int]):
    """A time: RFC 3339, or how long ago."""

    name = "time"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Return nanoseconds since 1970."""
        text = str(value).strip()
        if re.search("[a-zA-Z]$", text) and not re.search("[zZ]$", text):
            try:
                moment = datetime.now(UTC) - timedelta(seconds=duration()(text))
            except (ValueError, OverflowError):
                self.fail(_not_a_time(text), param, ctx)
        else:
            try:
                moment = datetime.fromisoformat(text)
            except ValueError:
                self.fail(_not_a_time(text), param, ctx)
        moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
        since = moment - datetime(1970, 1, 1, tzinfo=UTC)
        return since // timedelta(microseconds=1) * 1000


_MOMENT: Final = _Moment()
_archive_option = click.option(
    "--archive",
    "path",
    type=click.Path(),
    callback=lambda _context, _option, path: os.path.expanduser(path),
    envvar=ARCHIVE_VARIABLE,
    default=DEFAULT_ARCHIVE,
    help=f"The archive's folder. Default: {ARCHIVE_VARIABLE}, then {DEFAULT_ARCHIVE}.",
)
_service_option = click.option("--service", help="Only this service.")
_since_option = click.option(
    "--since", type=_MOMENT, help="From this time on: RFC 3339, or 2h for two hours ago."
)
_until_option = click.option("--until", type=_MOMENT, help="Before this time; as --since.")


@click.group()
def archive() -> None:
    """Look into an archive."""


@archive.command()
@_archive_option
@_service_option
@_since_option
@_until_option
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
    found = _segments(context, path)
    findings: list[Finding] = []
    rows = []
    for segment in found:
        if service is None or _is_of(segment, service):
            before = len(findings)
            summary = summarise(segment, findings=findings)
            if _overlaps(summary, since, until):
                damaged = any(finding.kind == "damage" for finding in findings[before:])
                rows.append(_row(summary, "damaged" if damaged else summary.state))
    shown = [_short(row) for row in rows] if form == "table" else rows
    click.echo(formats.printable(formats.formatted(shown, form, columns=_COLUMNS)))
    _tell_service(found, service)
    context.exit(EXIT_PARTLY if _tell(findings) else 0)


@archive.command()
@_archive_option
@_service_option
@click.option("--metric", "metrics", multiple=True, help="Only this metric; * stands for any text.")
@click.option("--event", "events", multiple=True, help="Only this event; * stands for any text.")
@_since_option
@_until_option
@click.option(
    "--format",
    "form",
    type=click.Choice(formats.FORMATS),
    help="How records are written. Default: table on a terminal, else json: the archive's lines.",
)
@click.pass_context
def cat(
    context: click.Context,
    *,
    path: str,
    service: str | None,
    metrics: tuple[str, ...],
    events: tuple[str, ...],
    since: int | None,
    until: int | None,
    form: str | None,
) -> None:
    """Print points and events, writer after writer in the order they were written.

    Each segment is read whole and compared with its seal. Exit status 1 when the folder is no
    archive, 3 when some of it is damaged, does not match its seal or cannot be read.
    """
    found = _segments(context, path)
    findings: list[Finding] = []
    names = Names(metrics, events)
    records = read(
        path,
        signal=_only_signal(metrics, events),
        service=service,
        since=since,
        until=until,
        findings=findings,
    )
    printed = _print(filter(names.keep, records), form or _usual_form())
    if not _tell_service(found, service):
        _tell_misses(names, printed=printed, narrowed=(since, until) != (None, None))
    context.exit(EXIT_PARTLY if _tell(findings) else 0)


def _usual_form() -> str:
    return "table" if sys.stdout.isatty() else "json"


def _print(records: Iterator[Record], form: str) -> int:
    """Write records one by one where the form allows it: an archive may be larger than memory.

    Returns:
        how many there were.
    """
    if form not in ("json", "table"):
        rows = [_cat_row(record) for record in records]
        click.echo(formats.printable(formats.formatted(rows, form, columns=_CAT_COLUMNS)))
        return len(rows)
    printed = 0
    for printed, record in enumerate(records, start=1):  # noqa: B007  # how far it came
        if form == "json":
            click.echo(record.raw, nl=False)
        else:
            click.echo(formats.printable(_line(record)))
    return printed


def _line(record: Record) -> str:
    row = _cat_row(record)
    return f"{row['time']}  {row['service']}  {row['name']}{row['attributes']}  {row['value']}"


def _cat_row(record: Record) -> Mapping[str, Any]:
    data = record.data
    return {
        "time": data.get("time") or data.get("observed") or "",
        "service": record.segment.service,
        "name": data.get("metric") or data.get("event") or data.get("scope") or "",
        "attributes": _compact(data.get("attributes")),
        "value": _value(data),
        "instance": record.instance,
        "sequence": record.sequence,
        "line": record.line,
    }


def _value(data: Mapping[str, Any]) -> str:
    if "value" in data:
        return str(data["value"])
    if "count" in data:
        return f"count={data['count']} sum={data.get('sum')}"
    body = data.get("body")
    return body if isinstance(body, str) else "" if body is None else _compact(body)


def _compact(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def _only_signal(metrics: tuple[str, ...], events: tuple[str, ...]) -> str | None:
    if bool(metrics) == bool(events):
        return None
    return "metrics" if metrics else "events"


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


def _tell(findings: list[Finding]) -> bool:
    """Say on the error stream what is not as it should be; a torn tail is no more than unfinished.

    Returns:
        whether there was anything to say.
    """
    serious = [finding for finding in findings if finding.kind != "torn_tail"]
    for finding in serious:
        place = f"{finding.segment.path}:{finding.line}" if finding.line else finding.segment.path
        click.echo(formats.printable(f"{place}: {finding.message}"), err=True)
    return bool(serious)


def _tell_misses(names: Names, *, printed: int, narrowed: bool) -> None:
    """Say which names were not there, and where there is nothing at all, of which time."""
    misses = list(names.misses())
    if not printed and not misses and narrowed:
        misses = ["--since, --until: nothing is of that time; archive ls shows what there is"]
    for miss in misses:
        click.echo(formats.printable(miss), err=True)


def _tell_service(found: list[Segment], service: str | None) -> bool:
    """Say that nothing is of a service, where that is so."""
    if service is None or any(_is_of(segment, service) for segment in found):
        return False
    there = sorted({segment.service for segment in found})
    message = f"--service={service}: nothing matches{suggestion(service, there)}"
    click.echo(formats.printable(message), err=True)
    return True


def _is_of(segment: Segment, service: str) -> bool:
    return service in (segment.service, os.path.basename(segment.folder_of_service))


def _segments(context: click.Context, path: str) -> list[Segment]:
    """Return the segments of an archive; end where there is none."""
    remedy = "give the folder that a service writes to"
    try:
        found = find_segments(path)
    except OSError as error:
        _refuse(context, path, f"{error.strerror}; {remedy}", EXIT_WRONG)
    if not found and not os.path.lexists(os.path.join(path, ARCHIVE_FILE)):
        _refuse(context, path, f"is no archive, it has no file {ARCHIVE_FILE}; {remedy}", EXIT_NO)
    return found


def _refuse(context: click.Context, path: str, message: str, status: int) -> NoReturn:
    given = context.get_parameter_source("path") is ParameterSource.ENVIRONMENT
    named = ARCHIVE_VARIABLE if given else "--archive"
    click.echo(formats.printable(f"{named}={path}: {message}").replace("\n", "\\n"), err=True)
    context.exit(status)


def _not_a_time(text: str) -> str:
    return f"{text!r} is no time; accepted are 2026-01-31T08:00:00Z and 2h"
