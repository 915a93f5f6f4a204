"""`otel-metrics executions export`: the records in a form that other tools read."""

import json
import os
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final, TextIO

import click
from click.core import ParameterSource

from otel_metrics.archive.output import STDOUT
from otel_metrics.cli import formats
from otel_metrics.cli.archive.options import since_option, until_option
from otel_metrics.cli.archive.target import check, written
from otel_metrics.cli.executions.options import (
    EXIT_PARTLY,
    EXIT_WRONG,
    chosen,
    end,
    open_files,
    project_option,
    say,
    tell_bad,
)
from otel_metrics.executions import ExecutionFiles
from otel_metrics.executions.records import FIELDS, time_of
from otel_metrics.line_files import BadLine
from otel_metrics.plurals import counted

__all__ = ["export"]

JSONL: Final = "jsonl"
ENDINGS: Final[Mapping[str, str]] = {
    ".jsonl": JSONL,
    ".ndjson": JSONL,
    ".json": "json",
    ".csv": "csv",
    ".md": "markdown",
    ".yaml": "yaml",
    ".yml": "yaml",
}
"""What the ending of a file says of its form."""
_NS: Final = 10**9
_NESTED: Final = ("json", "yaml")
"""Forms in which a field may hold other fields."""


@click.command()
@click.argument("agents", nargs=-1, metavar="[AGENT]...")
@project_option
@since_option
@until_option
@click.option(
    "--format",
    "form",
    type=click.Choice((JSONL, *formats.FORMATS)),
    default=JSONL,
    help="How records are written. Default: as the ending of --out says, else jsonl, which is one "
    "a line, as in the files.",
)
@click.option("--out", type=click.Path(), default=STDOUT, help="Write this file. Default: print.")
@click.pass_context
def export(
    context: click.Context,
    *,
    agents: Sequence[str],
    project: str,
    since: int | None,
    until: int | None,
    form: str,
    out: str,
) -> None:
    """Write the records of some agents, or of all, each agent's in the order of its file.

    In csv, markdown and table a record has the fields of the contract, with data in them as JSON;
    the other forms have whatever the file has. With --since or --until a record whose timestamp is
    no time is left out.

    Exit status 1 when an agent has no executions; 2 when the project's folder is not there or the
    file cannot be made; 3 when lines were skipped because they are no records, each told with its
    number.
    """
    form = _form(context, form, out)
    check(context, out)
    files = open_files(context, project)
    bad: dict[str, list[BadLine]] = {}
    wanted = _wanted(files, chosen(context, files, agents), bad, since, until)
    if out == STDOUT:
        printed = _write(sys.stdout, wanted, form)
    else:
        with written(context, out) as target, open(target, "w", encoding="utf-8") as file:
            printed = _write(file, wanted, form)
        click.echo(formats.printable(f"{counted(printed, 'record')} written to {out}"))
    if not printed and (since, until) != (None, None):
        say("--since, --until: nothing is of that time")
    for agent, lines in bad.items():
        tell_bad(agent, lines)
    context.exit(EXIT_PARTLY if any(bad.values()) else 0)


def _form(context: click.Context, form: str, out: str) -> str:
    """Return how records are written; end where the file's ending says otherwise, or nothing."""
    ending = os.path.splitext(out)[1].lower()
    said = ENDINGS.get(ending)
    if context.get_parameter_source("form") is not ParameterSource.DEFAULT:
        if said not in (None, form):
            message = f"--format={form}: --out={out} is another form; leave one of them out"
            end(context, message, EXIT_WRONG)
        return form
    if ending and said is None:
        known = ", ".join(ENDINGS)
        end(context, f"--out={out}: ends in none of {known}; give --format too", EXIT_WRONG)
    return said or form


def _wanted(
    files: ExecutionFiles,
    agents: Sequence[str],
    bad: dict[str, list[BadLine]],
    since: int | None,
    until: int | None,
) -> Iterator[dict[str, Any]]:
    for agent in agents:
        for record in files.records(agent, bad=bad.setdefault(agent, [])):
            if _is_in_time(record, since, until):
                yield record


def _is_in_time(record: Mapping[str, Any], since: int | None, until: int | None) -> bool:
    if since is None and until is None:
        return True
    time_s = time_of(record)
    return (
        time_s is not None
        and (since is None or time_s * _NS >= since)
        and (until is None or time_s * _NS < until)
    )


def _write(file: TextIO, wanted: Iterable[dict[str, Any]], form: str) -> int:
    """Write the records, one by one where the form allows it; return how many there were."""
    if form == JSONL:
        count = 0
        for count, record in enumerate(wanted, start=1):  # noqa: B007  # how far it came
            file.write(formats.printable(json.dumps(record, ensure_ascii=False)) + "\n")
        return count
    rows = list(wanted) if form in _NESTED else [_flat(record) for record in wanted]
    text = formats.formatted(rows, form, columns=FIELDS) if rows or form in _NESTED else ""
    file.write(formats.printable(text) + ("\n" if text else ""))
    return len(rows)


def _flat(record: Mapping[str, Any]) -> dict[str, Any]:
    return {
        field: json.dumps(value, ensure_ascii=False) if isinstance(value, dict | list) else value
        for field in FIELDS
        for value in (record.get(field),)
    }
