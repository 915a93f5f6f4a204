"""`otel-metrics sovereignty report`: how sovereign a service became, and what is missing."""

import os
from collections.abc import Iterable, Iterator
from typing import Final, NoReturn

import click
from click.core import ParameterSource

from otel_exporter_ndjson import Finding, read
from otel_metrics import values
from otel_metrics.archive.output import STDOUT
from otel_metrics.cli import formats
from otel_metrics.cli.archive.options import (
    EXIT_NO,
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
from otel_metrics.cli.archive.target import check_picture, written
from otel_metrics.cli.matching import suggestion
from otel_metrics.cli.sovereignty.layout import laid_out
from otel_metrics.cli.sovereignty.picture import MissingMatplotlibError, draw
from otel_metrics.cli.sovereignty.reading import (
    Mark,
    NoDatabaseError,
    UnreadableError,
    events_of_database,
    events_of_records,
    sessions_of_database,
)
from otel_metrics.plurals import counted
from otel_metrics.sovereignty.graduation import conditions
from otel_metrics.sovereignty.report import Event, Report, TooMuchError, reported, with_session

__all__ = ["report"]

SESSIONS_NAMED_MAX: Final = 1_000
"""Session ids that are kept for a hint."""


class _OfSession:
    """Lets the events of one session through, and remembers which others there are."""

    def __init__(self, wanted: str | None) -> None:
        # Of an id that looks like a secret the hash is kept, but in other programs' databases.
        self._wanted = {wanted, values.identifier(wanted)}
        self._all = wanted is None
        self.others: set[str] = set()

    def __call__(self, events: Iterable[Event]) -> Iterator[Event]:
        """Return the events that are asked for."""
        for event in events:
            if self._all or event.session_id in self._wanted:
                yield event
            elif event.session_id is not None and len(self.others) < SESSIONS_NAMED_MAX:
                self.others.add(event.session_id)


@click.command()
@archive_option
@click.option(
    "--db", type=click.Path(), help="Read this database of sovereignty, and not an archive."
)
@service_option
@click.option("--session", help="Only this session; its hours count from its first event.")
@since_option
@until_option
@formats.option
@click.option("--out", type=click.Path(), help="Draw into this file, .png or .svg, too.")
@click.pass_context
def report(
    context: click.Context,
    *,
    path: str,
    db: str | None,
    service: str | None,
    session: str | None,
    since: int | None,
    until: int | None,
    form: str,
    out: str | None,
) -> None:
    """Say how sovereign a service became: per layer and hour, against the targets.

    Also what it cost an hour, its sessions, and the five conditions of graduation: each met, not
    met, or without an answer, with the figure or the reason. Hours count from the first event.

    Exit status 1 when there is no event, the folder is no archive, or the database cannot be read;
    2 when an option is wrong, or the archive or the database is not there; 3 when some of the
    archive is damaged.
    """
    _check(context, db, service, out)
    only = _OfSession(session)
    findings: list[Finding] = []
    try:
        if db is None:
            made = _of_archive(context, only, path, service, (since, until), findings)
        else:
            db = os.path.expanduser(db)
            made = reported(only(events_of_database(db, since=since, until=until)))
            _mark(made, sessions_of_database(db))
    except UnreadableError as error:
        status = EXIT_WRONG if isinstance(error, NoDatabaseError) else EXIT_NO
        _end(context, f"--db={db}: {error}", status)
    except TooMuchError as error:
        _end(context, str(error), EXIT_WRONG)
    damaged = tell(findings)
    if not made.events:
        _end(context, _nothing(session, only.others, db or path, (since, until)), EXIT_NO)
    click.echo(formats.printable(laid_out(made, conditions(made), form)))
    if made.left_out:
        left_out = counted(made.left_out, "event")
        click.echo(f"not listed: {left_out} of further sessions", err=True)
    if out is not None and out != STDOUT:
        _draw(context, made, out)
    context.exit(EXIT_PARTLY if damaged else 0)


def _check(context: click.Context, db: str | None, service: str | None, out: str | None) -> None:
    if db is not None and context.get_parameter_source("path") is ParameterSource.COMMANDLINE:
        _end(context, "--db, --archive: are two places; leave one of them out", EXIT_WRONG)
    if db is not None and service is not None:
        wrong = f"--service={service}: a database has the events of all services; leave it out"
        _end(context, wrong, EXIT_WRONG)
    if out is None or out == STDOUT:
        return
    check_picture(context, out)


def _of_archive(
    context: click.Context,
    only: _OfSession,
    path: str,
    service: str | None,
    window: tuple[int | None, int | None],
    findings: list[Finding],
) -> Report:
    found = segments(context, path)
    if tell_service(found, service):
        context.exit(EXIT_NO)
    since, until = window
    records = read(
        path, signal="events", service=service, since=since, until=until, findings=findings
    )
    marks: list[Mark] = []
    made = reported(only(events_of_records(records, marks)))
    _mark(made, marks)
    return made


def _mark(made: Report, marks: Iterable[Mark]) -> None:
    for mark in marks:
        with_session(
            made,
            mark.session_id,
            game=mark.game,
            started_s=mark.started_s,
            ended_s=mark.ended_s,
        )


def _nothing(
    session: str | None,
    others: set[str],
    place: str,
    window: tuple[int | None, int | None],
) -> str:
    if session is not None and others:
        return f"--session={session}: nothing matches{suggestion(session, sorted(others))}"
    if window != (None, None):
        return f"{place}: no event of sovereignty is of that time"
    return f"{place}: holds no event of sovereignty; a service makes them by sovereignty.record"


def _draw(context: click.Context, made: Report, out: str) -> None:
    try:
        with written(context, out) as target:
            draw(made, target, os.path.splitext(out)[1][1:].lower())
    except MissingMatplotlibError as error:
        _end(context, str(error), EXIT_WRONG)


def _end(context: click.Context, message: str, status: int) -> NoReturn:
    click.echo(formats.printable(message), err=True)
    context.exit(status)
