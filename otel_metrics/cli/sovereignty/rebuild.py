"""`otel-metrics sovereignty rebuild`: build the database anew from the archive."""

import codecs
from typing import Final

import click

from otel_exporter_ndjson import Finding
from otel_metrics.archive.feed import EventFeed
from otel_metrics.cli import formats
from otel_metrics.cli.archive.options import (
    EXIT_NO,
    EXIT_PARTLY,
    EXIT_WRONG,
    archive_option,
    refuse,
    segments,
    service_option,
    tell,
    tell_service,
)
from otel_metrics.cli.archive.progress import bar
from otel_metrics.cli.sovereignty.options import db_option, named_db
from otel_metrics.plurals import counted

__all__ = ["rebuild"]

TEXT_BYTES: Final = 4096
"""How much of a file says whether it is a text."""

_COLUMNS: Final = ("db", "events", "events_before", "sessions", "old")


@click.command()
@archive_option
@db_option
@service_option
@formats.option
@click.pass_context
def rebuild(context: click.Context, *, path: str, db: str, service: str | None, form: str) -> None:
    """Build the database anew from the archive, and put it in place of the old one.

    The new database holds the events and sessions that the archive has, and the rows of the old one
    that other programs inserted. Services may run meanwhile, and go on with the new file; other
    programs that have the old one open are to close it first. The old one is moved aside and never
    deleted: look there for events that the archive has no more.

    Exit status 1 when the folder is no archive, nothing is of the service, some of it cannot be
    read, or the disk refuses; 2 when the archive is not there, or the file is another program's or
    a text; 3 when some of the archive is damaged.
    """
    # Loads SQLite.
    from otel_metrics.sovereignty.catch_up import UnreadableArchiveError
    from otel_metrics.sovereignty.rebuild import rebuild as rebuilt
    from otel_metrics.sovereignty.rows import EVENTS
    from otel_metrics.sqlite import DatabaseError, ForeignDatabaseError

    if _is_text(db):
        message = f"{named_db(context)}={db}: is a text file; give the database's"
        click.echo(formats.printable(message), err=True)
        context.exit(EXIT_WRONG)
    found = segments(context, path)
    if tell_service(found, service):
        context.exit(EXIT_NO)
    findings: list[Finding] = []
    feed = EventFeed(path=path, prefix=EVENTS, service=service, findings=findings)
    try:
        with bar("rebuilding", "pieces") as update:
            done = rebuilt(db, feed, progress=lambda records: update(records, records))
    except UnreadableArchiveError as error:
        refuse(context, path, f"{error}; the database stays as it was", EXIT_NO)
    except DatabaseError as error:
        click.echo(formats.printable(f"{named_db(context)}={db}: {error}"), err=True)
        context.exit(EXIT_WRONG if isinstance(error, ForeignDatabaseError) else EXIT_NO)
    row = {
        "db": done.path,
        "events": done.events,
        "events_before": done.events_before,
        "sessions": done.sessions,
        "old": done.aside,
    }
    click.echo(formats.printable(formats.formatted([row], form, columns=_COLUMNS)))
    if done.events_before is not None and done.events_before > done.events:
        missing = counted(done.events_before - done.events, "event")
        message = f"not in the archive: {missing} of the old database; see {done.aside}"
        click.echo(formats.printable(message), err=True)
    context.exit(EXIT_PARTLY if tell(findings) else 0)


def _is_text(path: str) -> bool:
    """Tell whether a file is a text, which no database is, however damaged."""
    try:
        with open(path, "rb") as file:
            beginning = file.read(TEXT_BYTES)
    except OSError:
        return False
    return bool(beginning) and b"\0" not in beginning and _decodes(beginning)


def _decodes(data: bytes) -> bool:
    try:
        codecs.getincrementaldecoder("utf-8")().decode(data)
    except UnicodeDecodeError:
        return False
    return True
