"""Carrying a decision about a skill out: the promotion log, the services that run, the archive.

The log decides. It is written under its lock, once the skill is found in the state that the
decision is about: of two commands at the same moment one wins. What follows from it, telling the
services and adding the event to the archive, is told where it fails, and the decision holds.
"""

import os
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import click
from click.core import ParameterSource

from otel_exporter_ndjson import NdjsonError, find_segments
from otel_exporter_ndjson.folders import ARCHIVE_FILE
from otel_metrics import events, line_files
from otel_metrics.archive.adding import adding
from otel_metrics.autoconfig.settings import from_environ
from otel_metrics.cli import formats
from otel_metrics.cli.archive.options import EXIT_NO, EXIT_PARTLY, EXIT_WRONG
from otel_metrics.cli.skills.options import SKILLS_VARIABLE, end
from otel_metrics.cli.skills.sources import Source, in_folder
from otel_metrics.cli.wrong_use import as_typed
from otel_metrics.errors import OtelMetricsError
from otel_metrics.skills import file_records, mailboxes, skill_files
from otel_metrics.skills import readings as read
from otel_metrics.skills.file_names import file_name
from otel_metrics.skills.folder import Folder
from otel_metrics.skills.readings import History
from otel_metrics.skills.stages import State, record_promotion, record_rollback

__all__ = ["Decision", "archive_service", "carry_out", "decidable", "prepare"]

_COLUMNS: Final = ("skill", "from_state", "to_state", "event_id", "approver", "ticket", "reason")


class _MovedError(OtelMetricsError):
    """The skill is in another state than the decision is about."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """What was decided.

    Attributes:
        event: `skill.promotion` or `skill.rollback`.
        particulars: the other fields of its record, by their names in the file.
    """

    event: str
    skill: str
    from_state: State
    to_state: State
    approver: str
    ticket: str
    reason: str
    particulars: Mapping[str, Any] = field(default_factory=dict)


@dataclass(slots=True)
class _Done:
    """How far a decision was carried out: its record, and what was not done of the rest."""

    record: dict[str, Any]
    services: int = 0
    archived: bool = False
    not_done: list[str] = field(default_factory=list)


def decidable(context: click.Context, skills_dir: str | None, skill: str) -> Source:
    """Return the folder that a decision is written to; end where there is none or no such skill."""
    if skills_dir is None:
        end(
            context,
            "--skills-dir: is not given, and a decision is written into the promotion log of a "
            f"folder of skill files; give --skills-dir or set {SKILLS_VARIABLE}",
            EXIT_WRONG,
        )
    source = in_folder(context, skills_dir)
    try:
        file_name(skill, "promotion")
    except ValueError as error:
        end(context, as_typed(str(error), {"skill_name": "SKILL"}), EXIT_WRONG)
    return source


def prepare(context: click.Context, path: str, service: str | None) -> str | None:
    """Return whose event a decision is; None where there is no archive to add it to.

    An archive that is named is made where it is missing; the default one is not.
    """
    settings, _ = from_environ(os.environ)
    events.set_content(settings.event_content)
    named = context.get_parameter_source("path") is not ParameterSource.DEFAULT
    if not named and not os.path.lexists(os.path.join(path, ARCHIVE_FILE)):
        return None
    given = service or settings.resource_attributes.get("service.name")
    return given or archive_service(context, path)


def archive_service(context: click.Context, path: str) -> str:
    """Return the one service of an archive; end where there are several to choose from."""
    try:
        there = sorted({segment.service for segment in find_segments(path)})
    except FileNotFoundError:
        there = []
    except OSError as error:
        end(context, f"--archive={path}: {error.strerror}", EXIT_WRONG)
    if len(there) > 1:
        listed = ", ".join(there[:5])
        message = f"the archive is of {len(there)} services, {listed}; say which with --service"
        end(context, message, EXIT_WRONG)
    return there[0] if there else "unknown_service"


def carry_out(
    context: click.Context,
    decision: Decision,
    *,
    folder: str,
    archive: str,
    service: str | None,
    form: str,
) -> None:
    """Write a decision down, tell the services and the archive, print it, and end."""
    try:
        done = _Done(_written(decision, folder))
    except _MovedError as error:
        end(context, str(error), EXIT_NO)
    except OSError as error:
        message = f"{error.filename or folder}: {error.strerror or error}; nothing was decided"
        end(context, message, EXIT_NO)
    _tell_services(done, folder)
    if service is not None:
        _tell_archive(done, archive, service)
    _print(decision, done, form)
    if service is None:
        click.echo(f"{archive}: is no archive, so there is no event; --archive names one", err=True)
    for line in done.not_done:
        click.echo(formats.printable(line), err=True)
    context.exit(EXIT_PARTLY if done.not_done else 0)


def _written(decision: Decision, folder: str) -> dict[str, Any]:
    """Write the record, and return it.

    Raises:
        _MovedError: the skill has left the state meanwhile.
        OSError: it was not written.
    """
    record = file_records.record(
        decision.event,
        {
            "timestamp": time.time(),
            "event_id": "",
            "skill_name": decision.skill,
            "from_state": decision.from_state,
            "to_state": decision.to_state,
            **decision.particulars,
        },
    )

    def line(event_id: str) -> bytes:  # called with the log's lock held
        files = skill_files.found(folder).get(decision.skill, {})
        state = read.state(History(moves=skill_files.moves(files)))
        if state != decision.from_state:
            raise _MovedError(
                f"{decision.skill}: was moved by somebody else meanwhile, and is {state} now; "
                "nothing was decided"
            )
        record["event_id"] = event_id
        return line_files.encode(record)

    name = file_name(decision.skill, "promotion")
    Folder(folder).append_move(name, file_records.event_id(record), line)
    _give_to_owner(folder, os.path.join(folder, name))
    return record


def _give_to_owner(folder: str, path: str) -> None:
    """Leave a file that root has made to the folder's owner, whose service is to write to it."""
    owner, made = os.stat(folder), os.stat(path)
    if os.geteuid() == 0 and made.st_uid == 0 and owner.st_uid != 0:
        os.chown(path, owner.st_uid, owner.st_gid)


def _tell_services(done: _Done, folder: str) -> None:
    kept = ("event_id", "event_type", "skill_name", "from_state", "to_state", "automated")
    try:
        posted = mailboxes.post(folder, {key: done.record.get(key) for key in kept})
    except OSError as error:
        done.not_done.append(f"{folder}: services do not count it: {error.strerror}")
        return
    done.services = len(posted.taken)
    done.not_done += [
        f"{path}: {why}; its service does not count this decision"
        for path, why in posted.refused.items()
    ]


def _tell_archive(done: _Done, archive: str, service: str) -> None:
    try:
        with adding(archive, service=service) as processor:
            _emit(done.record)
            lost = processor.take_lost()
    except (NdjsonError, OSError) as error:
        lost = str(error)
    if lost:
        remedy = "otel-metrics skills import adds it once that is mended"
        done.not_done.append(f"--archive={archive}: the event was not added: {lost}; {remedy}")
    done.archived = not lost


def _emit(record: Mapping[str, Any]) -> None:
    """Emit the event of a record; metrics of a command go nowhere."""
    moved = {key: record[key] for key in ("from_state", "to_state", "timestamp", "event_id")}
    if record["event_type"] == "promotion":
        particulars = ("approver", "approval_ticket", "reason", "automated_checks")
        record_promotion(record["skill_name"], **moved, **{key: record[key] for key in particulars})
    else:
        reasons = ("trigger_reason", "trigger_metric", "automated")
        record_rollback(record["skill_name"], **moved, **{key: record[key] for key in reasons})


def _print(decision: Decision, done: _Done, form: str) -> None:
    row = {
        "skill": decision.skill,
        "from_state": decision.from_state,
        "to_state": decision.to_state,
        "event_id": done.record["event_id"],
        "approver": decision.approver,
        "ticket": decision.ticket,
        "reason": decision.reason,
        "timestamp": done.record["timestamp_iso"],
        "services": done.services,
        "archived": done.archived,
    }
    click.echo(formats.printable(formats.formatted([row], form, columns=_COLUMNS)))
