"""Which records `archive cat` and `archive tail` show, and how they print them."""

import json
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

import click

from otel_exporter_ndjson import Record
from otel_exporter_ndjson.segments import SIGNALS
from otel_metrics.archive.matching import has, is_like
from otel_metrics.cli import formats
from otel_metrics.cli.matching import Names

__all__ = ["Wanted", "filters", "form_option", "print_records", "tell_misses"]

_COLUMNS: Final = ("time", "service", "name", "attributes", "value")

form_option: Final = click.option(
    "--format",
    "form",
    type=click.Choice(formats.FORMATS),
    help="How records are written. Default: table on a terminal, else json: the archive's lines.",
)


def _pair(_context: click.Context, _option: click.Parameter, given: Sequence[str]) -> Any:
    """Split KEY=VALUE."""
    for text in given:
        if not text.partition("=")[0] or "=" not in text:
            raise click.BadParameter(f"{text!r} is no KEY=VALUE")
    return tuple((text.partition("=")[0], text.partition("=")[2]) for text in given)


def filters(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the options `--signal`, `--metric`, `--event` and `--attribute`."""
    options = (
        click.option(
            "--signal",
            "signals",
            multiple=True,
            type=click.Choice(SIGNALS),
            help="Only this signal; audit is what was removed or erased. Default: the other two.",
        ),
        click.option(
            "--metric", "metrics", multiple=True, help="Only this metric; * stands for any text."
        ),
        click.option(
            "--event", "events", multiple=True, help="Only this event; * stands for any text."
        ),
        click.option(
            "--attribute",
            "attributes",
            multiple=True,
            metavar="KEY=VALUE",
            callback=_pair,
            help="Only records with this in attributes, body or exemplars, however deep; * in "
            "VALUE stands for any text. Several: all.",
        ),
    )
    for option in reversed(options):
        command = option(command)
    return command


class Wanted:
    """What the options ask for: names, attributes, signals, and a time."""

    def __init__(
        self,
        metrics: Sequence[str],
        events: Sequence[str],
        attributes: Sequence[tuple[str, str]],
        window: tuple[int | None, int | None] = (None, None),
        signals: Sequence[str] = (),
    ) -> None:
        self._names = Names(metrics, events)
        self._attributes = attributes
        self._matched: set[tuple[str, str]] = set()
        self._since, self._until = window
        both = bool(metrics) == bool(events)
        named = ("metrics", "events") if both else ("metrics",) if metrics else ("events",)
        self.signals = tuple(each for each in SIGNALS if each in (signals or named))
        """Which are looked at."""
        self.asked = tuple(signals)
        """Which the option names."""

    def keep(self, record: Record) -> bool:
        """Whether a record is asked for."""
        return (
            record.segment.signal in self.signals
            and self._names.keep(record.data)
            and self._has_all(record)
            and self._is_in_time(record)
        )

    def misses(self) -> Iterator[str]:
        """Yield one line for each name and attribute that is asked for and was not there."""
        names = list(self._names.misses())
        yield from names
        for key, pattern in self._attributes:
            if not names and (key, pattern) not in self._matched:
                yield f"--attribute={key}={pattern}: nothing matches"

    def _has_all(self, record: Record) -> bool:
        if not self._attributes:
            return True
        matched = [
            (key, pattern)
            for key, pattern in self._attributes
            if has(record.data, key, pattern, like=is_like)
        ]
        self._matched.update(matched)
        return len(matched) == len(self._attributes)

    def _is_in_time(self, record: Record) -> bool:
        if self._since is None and self._until is None:
            return True
        try:
            time_ns = record.time_ns
        except ValueError:
            return False
        return time_ns is not None and (
            (self._since is None or time_ns >= self._since)
            and (self._until is None or time_ns < self._until)
        )


def tell_misses(wanted: Wanted, *, printed: int, narrowed: bool) -> None:
    """Say what was not there, and where there is nothing at all, of which time."""
    misses = list(wanted.misses())
    if not printed and not misses and narrowed:
        misses = ["--since, --until: nothing is of that time; archive ls shows what there is"]
    elif not printed and not misses:
        misses = [f"--signal={signal}: nothing is there" for signal in wanted.asked]
    for miss in misses:
        click.echo(formats.printable(miss), err=True)


def print_records(records: Iterable[Record], form: str | None) -> int:
    """Write records one by one where the form allows it: an archive may be larger than memory.

    Returns:
        how many there were.
    """
    terminal = sys.stdout.isatty()
    form = form or ("table" if terminal else "json")
    if form not in ("json", "table"):
        rows = [_row(record) for record in records]
        click.echo(formats.printable(formats.formatted(rows, form, columns=_COLUMNS)))
        return len(rows)
    printed = 0
    for printed, record in enumerate(records, start=1):  # noqa: B007  # how far it came
        if form == "table":
            click.echo(formats.printable(_line(record)))
        elif terminal:  # a line that no exporter wrote may hold what drives a terminal
            line = record.raw.decode("utf-8", "replace")
            click.echo(formats.printable(line.rstrip("\r\n")))
        else:
            click.echo(record.raw, nl=False)
    return printed


def _line(record: Record) -> str:
    row = _row(record)
    line = f"{row['time']}  {row['service']}  {row['name']}{row['attributes']}  {row['value']}"
    return line.replace("\n", "\\n")


def _row(record: Record) -> Mapping[str, Any]:
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
    return "" if body is None else _text(body)


def _text(value: object) -> str:
    return value if isinstance(value, str) else _compact(value)


def _compact(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
