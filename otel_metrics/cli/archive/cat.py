"""`otel-metrics archive cat`: the points and events themselves."""

import json
import sys
from collections.abc import Iterator, Mapping
from typing import Any, Final

import click

from otel_exporter_ndjson import Finding, Record, read
from otel_metrics.cli import formats
from otel_metrics.cli.archive.options import (
    EXIT_PARTLY,
    archive_option,
    segments,
    service_option,
    since_option,
    tell,
    tell_service,
    until_option,
)
from otel_metrics.cli.matching import Names

__all__ = ["cat"]

_COLUMNS: Final = ("time", "service", "name", "attributes", "value")


@click.command()
@archive_option
@service_option
@click.option("--metric", "metrics", multiple=True, help="Only this metric; * stands for any text.")
@click.option("--event", "events", multiple=True, help="Only this event; * stands for any text.")
@since_option
@until_option
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
    found = segments(context, path)
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
    if not tell_service(found, service):
        _tell_misses(names, printed=printed, narrowed=(since, until) != (None, None))
    context.exit(EXIT_PARTLY if tell(findings) else 0)


def _usual_form() -> str:
    return "table" if sys.stdout.isatty() else "json"


def _print(records: Iterator[Record], form: str) -> int:
    """Write records one by one where the form allows it: an archive may be larger than memory.

    Returns:
        how many there were.
    """
    if form not in ("json", "table"):
        rows = [_cat_row(record) for record in records]
        click.echo(formats.printable(formats.formatted(rows, form, columns=_COLUMNS)))
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


def _tell_misses(names: Names, *, printed: int, narrowed: bool) -> None:
    """Say which names were not there, and where there is nothing at all, of which time."""
    misses = list(names.misses())
    if not printed and not misses and narrowed:
        misses = ["--since, --until: nothing is of that time; archive ls shows what there is"]
    for miss in misses:
        click.echo(formats.printable(miss), err=True)
