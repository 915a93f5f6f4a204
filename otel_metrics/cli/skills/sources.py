"""Where the records of skills are read: a folder of skill files, or the archive's events.

One of them, never both: a service that has a folder writes what happened to either, and no record
is to count twice. The folder is read where one is named; what is typed counts before a variable.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

import click

from otel_exporter_ndjson import DamagedError, Finding, read
from otel_exporter_ndjson.values import decode_attributes
from otel_metrics.cli import formats
from otel_metrics.cli.archive.options import (
    EXIT_WRONG,
    segments,
    tell,
    tell_service,
)
from otel_metrics.cli.matching import suggestion
from otel_metrics.cli.skills.options import SKILLS_VARIABLE, end, is_typed
from otel_metrics.plurals import counted
from otel_metrics.skills import archived, skill_files
from otel_metrics.skills.readings import History
from otel_metrics.skills.skill_files import Paths
from otel_metrics.skills.threshold_files import ThresholdFile

__all__ = ["Source", "in_archive", "in_folder", "opened", "tell_thresholds", "unknown"]

BAD_SHOWN_MAX: Final = 20
"""Lines that were skipped and are told one by one."""


class Source(Protocol):
    """What is known of skills.

    Attributes:
        place: where it is read, for people.
        folder: of skill files, if that is the place.
    """

    place: str
    folder: str | None

    def skills(self) -> Sequence[str]:
        """Return the names of all skills."""

    def history(self, skill: str) -> History:
        """Return the records of one."""

    def tell(self) -> bool:
        """Say what of it could not be read; return whether there was anything to say."""


@dataclass
class _Folder:
    place: str
    found: dict[str, Paths]
    folder: str | None = None
    bad: list[str] = field(default_factory=list)

    def skills(self) -> Sequence[str]:
        return list(self.found)

    def history(self, skill: str) -> History:
        return skill_files.history(self.found.get(skill, {}), bad=self.bad)

    def tell(self) -> bool:
        for line in self.bad[:BAD_SHOWN_MAX]:
            click.echo(formats.printable(line), err=True)
        if len(self.bad) > BAD_SHOWN_MAX:
            click.echo(f"and {counted(len(self.bad) - BAD_SHOWN_MAX, 'more line')}", err=True)
        return bool(self.bad)


@dataclass
class _Archive:
    place: str
    histories: dict[str, History]
    findings: list[Finding]
    folder: str | None = None

    def skills(self) -> Sequence[str]:
        return list(self.histories)

    def history(self, skill: str) -> History:
        return self.histories.get(skill, History())

    def tell(self) -> bool:
        return tell(self.findings)


def opened(
    context: click.Context, *, skills_dir: str | None, path: str, service: str | None
) -> Source:
    """Return what a command is to read; end where it is not there."""
    asked = is_typed(context, "path") or is_typed(context, "service")
    if skills_dir is not None and (is_typed(context, "skills_dir") or not asked):
        return in_folder(context, skills_dir)
    return in_archive(context, path, service)


def in_folder(context: click.Context, folder: str) -> Source:
    """Return what the skill files of a folder say; end where there is no such folder."""
    try:
        found = skill_files.found(folder)
    except OSError as error:
        named = "--skills-dir" if is_typed(context, "skills_dir") else SKILLS_VARIABLE
        remedy = "give the folder that the service's skill files are in"
        end(context, f"{named}={folder}: {error.strerror}; {remedy}", EXIT_WRONG)
    return _Folder(place=folder, found=found, folder=folder)


def in_archive(context: click.Context, path: str, service: str | None) -> Source:
    """Return what the events of an archive say; end where there is no archive."""
    found = segments(context, path)
    tell_service(found, service)
    findings: list[Finding] = []

    def events() -> Any:
        for record in read(path, signal="events", service=service, findings=findings):
            data = record.data
            name, time_ns = data.get("event"), record.time_ns
            if name not in archived.EVENTS or time_ns is None:
                continue
            try:
                yield name, decode_attributes(data.get("attributes")) or {}, time_ns
            except DamagedError as error:
                findings.append(Finding("damage", record.segment, record.line, 0, str(error)))

    return _Archive(path, archived.histories(events()), findings)


def unknown(context: click.Context, source: Source, skill: str) -> None:
    """End where nothing is known of a skill."""
    known = source.skills()
    if skill in known:
        return
    there = suggestion(skill, known) or f"; there is none in {source.place}"
    end(context, f"{skill!r}: no such skill{there}", EXIT_WRONG)


def tell_thresholds(source: Source, thresholds: ThresholdFile) -> None:
    """Say which skills the thresholds name and nobody has recorded: they may be misspelt."""
    known = source.skills()
    for skill in thresholds.skills:
        if skill not in known:
            there = suggestion(skill, known)
            message = f"thresholds: skills.{skill}: no such skill in {source.place}{there}"
            click.echo(formats.printable(message), err=True)
