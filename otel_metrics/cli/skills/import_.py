"""`otel-metrics skills import`: take existing skill files into an archive, as events."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import Final

import click

from otel_exporter_ndjson import Finding, read
from otel_exporter_ndjson.folders import ARCHIVE_FILE
from otel_metrics import events
from otel_metrics.archive.adding import adding
from otel_metrics.autoconfig.settings import from_environ
from otel_metrics.cli import formats
from otel_metrics.cli.archive.options import (
    EXIT_NO,
    EXIT_PARTLY,
    EXIT_WRONG,
    archive_option,
    refuse,
    tell,
)
from otel_metrics.cli.archive.progress import bar
from otel_metrics.pipeline.logs import ArchiveProcessor
from otel_metrics.plurals import counted
from otel_metrics.skills import history
from otel_metrics.skills.history import RECORD_ID, SkillFile, Unusable
from otel_metrics.skills.record_ids import RecordIds

__all__ = ["import_"]

SHOWN_EVERY: Final = 500
"""Events after which the bar moves."""
TOLD_MAX: Final = 20
"""Lines of one file that are told one by one; the rest are counted."""
UNKNOWN_SERVICE: Final = "unknown_service"
"""What the SDK calls a service without a name."""
_COLUMNS: Final = ("file", "skill", "records", "imported", "known", "bad")


@dataclass(slots=True)
class _Row:
    """What became of one file."""

    file: str
    skill: str
    records: int = 0
    imported: int = 0
    known: int = 0
    bad: int = 0


class _NotWrittenError(Exception):
    """The archive did not take events; the message says why."""


@click.command("import")
@click.argument("folder", metavar="DIR", type=click.Path())
@archive_option
@click.option(
    "--service",
    envvar="OTEL_SERVICE_NAME",
    default=UNKNOWN_SERVICE,
    help=f"Whose events they become. Default: OTEL_SERVICE_NAME, then {UNKNOWN_SERVICE}.",
)
@formats.option
@click.pass_context
def import_(context: click.Context, *, folder: str, path: str, service: str, form: str) -> None:
    """Take the skill files of a folder into an archive: each record as an event, at its own time.

    A record that the archive has is not taken again: the command may be killed at any moment and
    run again, and again when the files have grown. No counter is raised by what is past. The files
    are only read.

    The archive is made where it is not there. Exit status 1 when it takes nothing now, for one
    because another import is under way; 2 when there is no such folder DIR, or the archive cannot
    be a folder; 3 when lines could not be taken, each told with its file and
    number, or the archive took only some.
    """
    files = _files(context, folder)
    if not files:
        click.echo(formats.printable(f"{folder}: there are no skill files in it"), err=True)
        if form != "table":
            click.echo(formats.formatted([], form, columns=_COLUMNS))
        return
    with _alone(context, path), closing(RecordIds()) as ids:
        rows, left_out, failure = _imported(files, path, service, ids)
    if rows or form != "table":
        shown = [{column: getattr(row, column) for column in _COLUMNS} for row in rows]
        click.echo(formats.printable(formats.formatted(shown, form, columns=_COLUMNS)))
    if failure is not None:
        message = f"{failure}; run it again for the rest"
        click.echo(formats.printable(f"--archive={path}: {message}"), err=True)
        context.exit(EXIT_PARTLY if any(row.imported for row in rows) else EXIT_NO)
    if left_out:
        message = f"too large for a line of the archive: {counted(left_out, 'record')}"
        click.echo(formats.printable(f"--archive={path}: {message}"), err=True)
    if left_out or any(row.bad for row in rows):
        context.exit(EXIT_PARTLY)


def _files(context: click.Context, folder: str) -> list[SkillFile]:
    try:
        return history.find(folder)
    except OSError as error:
        message = f"DIR={folder}: {error.strerror or error}; give the folder that services write to"
        click.echo(formats.printable(message), err=True)
        context.exit(EXIT_WRONG)


@contextmanager
def _alone(context: click.Context, path: str) -> Iterator[None]:
    """Hold the archive's folder against another import, which would take the same records."""
    try:
        os.makedirs(path, 0o750, exist_ok=True)
        descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        refuse(context, path, f"{error.strerror}; give a folder that can be written", EXIT_WRONG)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            refuse(context, path, "another import into it is under way; wait for its end", EXIT_NO)
        yield
    finally:
        os.close(descriptor)


def _imported(
    files: list[SkillFile], path: str, service: str, ids: RecordIds
) -> tuple[list[_Row], int, Exception | None]:
    """Take files in; return what became of each, how many records no line of the archive can hold,
    and what ended it early."""
    settings, _ = from_environ(os.environ)
    rows: list[_Row] = []
    total = sum(file.size for file in files)
    behind = 0
    # The archive's own recovery first: what it cuts off is not there.
    with adding(path, service=service) as processor:
        events.set_content(settings.event_content)
        _learn(path, ids)
        with bar("importing", "bytes", wanted=total > 0) as update:
            for file in files:
                row = _Row(file.name, file.skill)
                rows.append(row)
                try:
                    for end in _taken(file, row, ids, processor):
                        update(behind + end, total)
                except (_NotWrittenError, OSError) as error:
                    return rows, processor.left_out, error
                behind += file.size
    return rows, processor.left_out, None


def _learn(path: str, ids: RecordIds) -> None:
    """Take note of the records that the archive has."""
    if not os.path.lexists(os.path.join(path, ARCHIVE_FILE)):
        return
    findings: list[Finding] = []
    for record in read(path, signal="events", findings=findings):
        known = (record.data.get("attributes") or {}).get(RECORD_ID)
        if isinstance(known, str):
            ids.add(known)
    tell(findings)


def _taken(
    file: SkillFile, row: _Row, ids: RecordIds, processor: ArchiveProcessor
) -> Iterator[int]:
    """Take one file in; give from time to time how far it came."""
    for event in history.past_events(file, ids.count_line):
        if isinstance(event, Unusable):
            row.bad += 1
            _tell_line(file, event, row.bad)
            continue
        row.records += 1
        if not ids.add(event.record_id):
            row.known += 1
            continue
        events.emit(event.name, event.attributes, timestamp_ns=event.time_ns)
        if not processor.force_flush():  # waits for nothing: it tells whether that was written
            raise _NotWrittenError(processor.take_lost() or "not written")
        row.imported += 1
        if row.imported % SHOWN_EVERY == 0:
            yield event.end
    if row.bad > TOLD_MAX:
        more = f"{file.path}: {counted(row.bad - TOLD_MAX, 'more line')} could not be taken"
        click.echo(formats.printable(more), err=True)


def _tell_line(file: SkillFile, line: Unusable, bad: int) -> None:
    if bad <= TOLD_MAX:
        click.echo(formats.printable(f"{file.path}:{line.line}: {line.message}"), err=True)
