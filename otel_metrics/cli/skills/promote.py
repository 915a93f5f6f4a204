"""`otel-metrics skills promote`: let a skill enter the next state, where every gate is met."""

import dataclasses
import time
from typing import cast

import click

from otel_metrics.cli import formats
from otel_metrics.cli.archive.options import EXIT_NO, archive_option
from otel_metrics.cli.skills.deciding import Decision, carry_out, decidable, prepare
from otel_metrics.cli.skills.options import (
    approver_option,
    end,
    owner_option,
    skills_dir_option,
    thresholds,
    thresholds_option,
    ticket_option,
)
from otel_metrics.cli.skills.sources import in_archive, unknown
from otel_metrics.cli.skills.standings import rows_of
from otel_metrics.skills.promotion import Standing, standing
from otel_metrics.skills.stages import STATES, State

__all__ = ["promote"]

ALL_MET = "all gates met"


@click.command()
@click.argument("skill")
@approver_option
@ticket_option
@click.option("--reason", default=ALL_MET, show_default=True, help="Why.")
@click.option("--to", "to_state", type=click.Choice(STATES), help="Default: the next state.")
@skills_dir_option
@archive_option
@owner_option
@click.option(
    "--records",
    type=click.Choice(("files", "archive")),
    default="files",
    show_default=True,
    help="What the gates are computed from: the skill files, or the archive's events.",
)
@thresholds_option
@formats.option
@click.pass_context
def promote(
    context: click.Context,
    *,
    skill: str,
    approver: str,
    ticket: str,
    reason: str,
    to_state: str | None,
    skills_dir: str | None,
    path: str,
    service: str | None,
    records: str,
    thresholds_file: str | None,
    form: str,
) -> None:
    """Promote SKILL from prototype to staged, or from staged to production.

    Refused unless every gate is met. A promotion is written to the promotion log of the skill's
    files, and added to the archive as an event; services that use the folder count it and show the
    new state within a second or so. It needs a folder of skill files: the archive alone has no
    place in which one of two decisions at the same moment would win.

    Exit status 1 when a gate is not met or there is no such step, and then nothing has changed; 2
    for wrong use, such as a skill that there is not; 3 when it is decided, and a service or the
    archive could not be told.
    """
    source = decidable(context, skills_dir, skill)
    folder = source.folder
    assert folder is not None
    read = in_archive(context, path, service) if records == "archive" else source
    unknown(context, read if skill not in source.skills() else source, skill)
    history = dataclasses.replace(read.history(skill), moves=source.history(skill).moves)
    asked = thresholds(context, thresholds_file, folder)
    found = standing(history, asked.of(skill), now=time.time())
    read.tell()
    _refuse(context, skill, found, to_state, form)
    owner = prepare(context, path, service)
    decision = Decision(
        event="skill.promotion",
        skill=skill,
        from_state=found.state,
        to_state=cast("State", found.to_state),
        approver=approver,
        ticket=ticket,
        reason=reason,
        particulars={
            "approver": approver,
            "approval_ticket": ticket,
            "reason": reason,
            "automated_checks": {
                check.name: {
                    "figure": check.figure,
                    "threshold": check.threshold,
                    "met": check.met,
                }
                for check in found.gates
            },
        },
    )
    carry_out(context, decision, folder=folder, archive=path, service=owner, form=form)


def _refuse(
    context: click.Context, skill: str, found: Standing, to_state: str | None, form: str
) -> None:
    """End where the skill may not be promoted."""
    if found.to_state is None:
        end(context, f"{skill}: is in {found.state}, the last state", EXIT_NO)
    if to_state not in (None, found.to_state):
        end(
            context,
            f"{skill}: is {found.state}; from there a promotion leads to {found.to_state}, "
            f"not to {to_state}",
            EXIT_NO,
        )
    if not found.unmet:
        return
    if form != "table":
        click.echo(formats.printable(formats.formatted(rows_of(skill, found), form, columns=())))
    reasons = [f"  {check.name} ({check.about}): {check.missing}" for check in found.unmet]
    unmet = len(found.unmet)
    count = f"{unmet} of {len(found.gates)} gates {'is' if unmet == 1 else 'are'} not met"
    message = f"{skill}: not promoted to {found.to_state}, {count}:"
    end(context, "\n".join([message, *reasons]), EXIT_NO)
