"""`otel-metrics archive query`: SQL over the points and events of an archive."""

# ruff: noqa: S608  # the question is its caller's own SQL, and runs with the caller's rights

import base64
import importlib
import json
import math
import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, NoReturn

import click
from click.core import ParameterSource

from otel_metrics.archive.output import STDOUT
from otel_metrics.archive.questions import QUESTIONS
from otel_metrics.archive.views import literal
from otel_metrics.cli import formats
from otel_metrics.cli.archive.asking import Subject, ask
from otel_metrics.cli.archive.options import (
    EXIT_PARTLY,
    EXIT_WRONG,
    archive_option,
    segments,
    service_option,
    since_option,
    tell,
    tell_service,
    until_option,
)
from otel_metrics.cli.archive.target import check, written
from otel_metrics.cli.matching import suggestion
from otel_metrics.errors import OtelMetricsError

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

__all__ = ["query"]

ROWS_MAX: Final = 100_000
"""Rows that are printed; `--out` writes any number."""
_LIST: Final = "list"
_ENDINGS: Final = {
    ".csv": "FORMAT csv, HEADER",
    ".json": "FORMAT json, ARRAY",
    ".parquet": "FORMAT parquet, COMPRESSION zstd",
}
_FLOATS: Final = {math.inf: "Infinity", -math.inf: "-Infinity"}
_NESTED: Final = ("json", "yaml")

_EMPTY: Final = "the SQL is empty; ask something, or give --question"

_PASSING: Final = frozenset({"CREATE", "INSERT", "UPDATE", "DELETE", "ALTER", "DROP", "SET"})
"""Kinds of statements that change what is gone when the command ends."""

Answer = tuple[list[str], list[str], list[tuple[Any, ...]]]


class _NotOneError(OtelMetricsError, ValueError):
    """What is asked is no statement, or several."""


@click.command()
@click.argument("sql", required=False)
@click.option("--question", metavar="NAME", help="A ready-made question; list says which.")
@click.option("--show-sql", is_flag=True, help="Print the SQL of the question, and ask nothing.")
@archive_option
@service_option
@since_option
@until_option
@formats.option
@click.option(
    "--out",
    type=click.Path(),
    help="Write all of the answer to this file: .csv, .json or .parquet; - prints it.",
)
@click.pass_context
def query(
    context: click.Context,
    *,
    sql: str | None,
    question: str | None,
    show_sql: bool,
    path: str,
    service: str | None,
    since: int | None,
    until: int | None,
    form: str,
    out: str | None,
) -> None:
    """Answer a question in SQL.

    The views: metrics (a row a point), increments (of each series and interval the increase: use it
    for how many), events, audit, and damage (lines that are no JSON). Times are UTC. An attribute
    is attr(attributes, 'gen_ai.skill.name'); all of them as a map are attr_map(attributes).
    Whatever DuckDB can do may be asked, with the rights of who asks.

    Exit status 1 when the folder is no archive, 2 when the question is wrong, 3 when some of the
    archive is damaged or not all rows were printed.
    """
    _check(context, sql, question)
    if question == _LIST:
        rows = [{"question": name, "about": each.summary} for name, each in QUESTIONS.items()]
        click.echo(formats.formatted(rows, form, columns=("question", "about")))
        return
    asked = _asked(context, sql, question)
    if show_sql:
        click.echo(asked, nl=not asked.endswith("\n"))
        return
    out = None if out == STDOUT else out
    written_as = None if out is None else _written_as(context, out, form)
    found = segments(context, path)
    subject = Subject(path=path, service=service, since=since, until=until)
    try:
        if out is not None and written_as is not None:
            _write(context, subject, asked, out, written_as)
            complete = True
        else:
            answer = ask(context, subject, lambda connection: _answer(connection, asked))
            complete = _print(answer, form)
    except _NotOneError as error:
        _end(context, str(error))
    tell_service(found, service)
    context.exit(EXIT_PARTLY if tell(subject.findings) or not complete else 0)


def _check(context: click.Context, sql: str | None, question: str | None) -> None:
    """End where there is not one question."""
    if sql is None and question is None:
        raise click.UsageError("give SQL, or --question with a name; --question list says which")
    if sql is not None and question is not None:
        _end(context, f"SQL and --question={question} are two questions; leave one of them out")
    if sql is not None and not sql.strip():
        _end(context, _EMPTY)


def _asked(context: click.Context, sql: str | None, question: str | None) -> str:
    if question is None:
        return sql or ""
    if question not in QUESTIONS:
        there = suggestion(question, list(QUESTIONS))
        _end(context, f"--question={question}: no such question{there}")
    return QUESTIONS[question].sql


def _written_as(context: click.Context, out: str, form: str) -> str:
    """Return how an answer is written: as its ending says, or as --format where that says none."""
    ending = os.path.splitext(out)[1].lower()
    chosen = context.get_parameter_source("form") is not ParameterSource.DEFAULT
    if chosen and ending in _ENDINGS and ending != f".{form}":
        _end(context, f"--format={form}: --out={out} is another form; leave one of them out")
    if chosen and ending not in _ENDINGS:
        ending = f".{form}"
    if ending not in _ENDINGS:
        _end(context, f"--out={out}: the file must end in {', '.join(_ENDINGS)}")
    check(context, out)
    return _ENDINGS[ending]


def _end(context: click.Context, message: str) -> NoReturn:
    click.echo(formats.printable(message), err=True)
    context.exit(EXIT_WRONG)


def _write(context: click.Context, subject: Subject, sql: str, out: str, how: str) -> None:
    """Write all of the answer; what was there stays until then."""
    with written(context, out) as target:
        ask(
            context,
            subject,
            lambda connection: connection.execute(
                f"COPY (\n{_only(connection, sql)}\n) TO {literal(target)} "
                f"({how}, USE_TMP_FILE false)"
            ).fetchall(),
        )


def _only(connection: "DuckDBPyConnection", sql: str) -> str:
    """Return the statement without what may follow it; what is before it would answer nobody."""
    duckdb: Any = importlib.import_module("duckdb")
    statements = connection.extract_statements(sql)
    if not statements:
        raise _NotOneError(_EMPTY)
    if len(statements) > 1:
        raise _NotOneError(f"these are {len(statements)} statements; ask one at a time")
    if statements[0].type.name in _PASSING:
        click.echo("nothing of this is kept: each query begins anew", err=True)
    text: bytes = statements[0].query.encode()  # DuckDB counts bytes
    ends = [at for at, _ in duckdb.tokenize(text.decode()) if text[at : at + 1] == b";"]
    return text[: ends[0] if ends else None].decode()


def _answer(connection: "DuckDBPyConnection", sql: str) -> Answer:
    """Return names, types and rows; times as text, because Python's have no nanoseconds."""
    duckdb: Any = importlib.import_module("duckdb")
    only = _only(connection, sql)
    try:
        described = connection.execute(f"DESCRIBE\n{only}").fetchall()
    except duckdb.Error:  # no query, or a wrong one: then its own error is the one to show
        result = connection.execute(only)
        names = [column[0] for column in result.description or ()]
        kinds = [str(column[1]) for column in result.description or ()]
        return names, kinds, result.fetchmany(ROWS_MAX + 1)
    names, kinds = [row[0] for row in described], [row[1] for row in described]
    inner = ", ".join(f"c{at}" for at in range(len(names)))
    shown = ", ".join(_shown(f"c{at}", kind) for at, kind in enumerate(kinds))
    result = connection.execute(f"SELECT {shown} FROM (\n{only}\n) AS answer({inner})")
    return names, kinds, result.fetchmany(ROWS_MAX + 1)


def _shown(column: str, kind: str) -> str:
    if not kind.startswith("TIMESTAMP"):
        return column
    naive = f"{column}::TIMESTAMP" if "TIME ZONE" in kind else column
    return f"replace({naive}::VARCHAR, ' ', 'T') || 'Z'"


def _print(answer: Answer, form: str) -> bool:
    """Print the rows; False when there were too many."""
    names, kinds, rows = answer
    keys = _unique(names)
    shown = [
        dict(
            zip(
                keys,
                (_plain(value, kind, form) for value, kind in zip(row, kinds, strict=True)),
                strict=True,
            )
        )
        for row in rows[:ROWS_MAX]
    ]
    text = formats.formatted(shown, form, columns=keys)
    if keys:
        click.echo(formats.printable(text))
    if len(rows) <= ROWS_MAX:
        return True
    click.echo(f"only the first {ROWS_MAX:,} rows are printed; --out FILE writes all", err=True)
    return False


def _unique(names: Sequence[str]) -> list[str]:
    """Tell columns of one name apart: a row is a mapping."""
    keys: list[str] = []
    for name in names:
        key, number = name, 1
        while key in keys:
            key, number = f"{name}_{number}", number + 1
        keys.append(key)
    return keys


def _plain(value: Any, kind: str, form: str) -> Any:
    """Return a value as JSON has it, and for people as one text."""
    if kind == "JSON" and isinstance(value, str) and form in _NESTED:
        try:
            return json.loads(value)
        except (ValueError, RecursionError):
            return value
    plain = _jsonable(value)
    if isinstance(plain, dict | list) and form not in _NESTED:
        return json.dumps(plain, ensure_ascii=False, separators=(",", ":"))
    return plain


def _jsonable(value: Any) -> Any:
    match value:
        case None | bool() | int() | str():
            return value
        case float():
            return value if math.isfinite(value) else _FLOATS.get(value, "NaN")
        case bytes():
            return base64.b64encode(value).decode()
        case Mapping():
            return {str(key): _jsonable(member) for key, member in value.items()}
        case list() | tuple() | set():
            return [_jsonable(member) for member in value]
        case _:
            return str(value)
