"""`otel-metrics archive`: look into an archive.

What is printed to a terminal was written by others: control characters and those that turn the
direction of text are shown as escapes.
"""

import json
import re
import sys
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from fnmatch import fnmatchcase
from typing import Any, Final

import click

from otel_exporter_ndjson import Finding, Record, find_segments, read
from otel_exporter_ndjson.settings import duration
from otel_exporter_ndjson.summary import Summary, summarise
from otel_exporter_ndjson.values import time_text
from otel_metrics.cli import formats

__all__ = ["archive"]

DEFAULT_ARCHIVE: Final = "./telemetry"
EXIT_WRONG: Final = 2
EXIT_PARTLY: Final = 3

_COLUMNS: Final = ("signal", "service", "segment", "state", "records", "first", "last", "bytes")
_CAT_COLUMNS: Final = ("time", "service", "name", "attributes", "value")
_UNSAFE = re.compile(
    "[\x00-\x09\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]"
)


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
    envvar="OTEL_EXPORTER_NDJSON_PATH",
    default=DEFAULT_ARCHIVE,
    help=f"The archive's folder. Default: OTEL_EXPORTER_NDJSON_PATH, then {DEFAULT_ARCHIVE}.",
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
    """List the segments: records, time range, size, and whether each is sealed.

    Exit status 3 when a segment cannot be read.
    """
    findings: list[Finding] = []
    try:
        found = find_segments(path, service=service)
    except OSError as error:
        _no_archive(context, path, error)
    summaries = [summarise(segment, findings=findings) for segment in found]
    kept = [summary for summary in summaries if _overlaps(summary, since, until)]
    click.echo(_shown(formats.formatted([_row(each) for each in kept], form, columns=_COLUMNS)))
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

    Exit status 3 when some of the archive is damaged or cannot be read.
    """
    findings: list[Finding] = []
    records = read(
        path,
        signal=_only_signal(metrics, events),
        service=service,
        since=since,
        until=until,
        findings=findings,
    )
    named = (record for record in records if _is_named(record, metrics, events))
    try:
        _print(named, form or ("table" if sys.stdout.isatty() else "json"))
    except (FileNotFoundError, NotADirectoryError, PermissionError) as error:
        _no_archive(context, path, error)
    context.exit(EXIT_PARTLY if _tell(findings) else 0)


def _print(records: Iterator[Record], form: str) -> None:
    """Write records one by one where the form allows it: an archive may be larger than memory."""
    if form == "json":
        for record in records:
            click.echo(record.raw, nl=False)
    elif form == "table":
        for record in records:
            click.echo(_shown(_line(record)))
    else:
        rows = [_cat_row(record) for record in records]
        click.echo(_shown(formats.formatted(rows, form, columns=_CAT_COLUMNS)))


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


def _is_named(record: Record, metrics: tuple[str, ...], events: tuple[str, ...]) -> bool:
    kind, patterns = ("metric", metrics) if "metric" in record.data else ("event", events)
    if not metrics and not events:
        return True
    name = str(record.data.get(kind) or "")
    return any(fnmatchcase(name, pattern) for pattern in patterns)


def _row(summary: Summary) -> Mapping[str, Any]:
    segment = summary.segment
    return {
        "signal": segment.signal,
        "service": segment.service,
        "segment": segment.name,
        "state": summary.state,
        "records": summary.records,
        "first": _time(summary.first_ns),
        "last": _time(summary.last_ns),
        "bytes": summary.bytes,
        "date": segment.date,
        "instance": segment.instance,
        "sequence": segment.sequence,
        "path": segment.path,
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
        click.echo(_shown(f"{place}: {finding.message}"), err=True)
    return bool(serious)


def _no_archive(context: click.Context, path: str, error: OSError) -> None:
    message = f"--archive={path}: {error.strerror}; give the folder that a service writes to"
    click.echo(_shown(message), err=True)
    context.exit(EXIT_WRONG)


def _not_a_time(text: str) -> str:
    return f"{text!r} is no time; accepted are 2026-01-31T08:00:00Z and 2h"


def _shown(text: str) -> str:
    """Return text that a terminal prints as it is; inside JSON the escapes mean the same."""
    return _UNSAFE.sub(lambda match: f"\\u{ord(match[0]):04x}", text)
