"""What `rollback` and `demote` share: a person returns a skill to the state before."""

import time
from collections.abc import Callable, Mapping
from typing import Any, Final

import click

from otel_metrics.cli import formats
from otel_metrics.cli.archive.options import EXIT_NO, archive_option
from otel_metrics.cli.skills.deciding import Decision, carry_out, decidable, prepare
from otel_metrics.cli.skills.options import (
    approver_option,
    end,
    owner_option,
    said,
    skills_dir_option,
    thresholds,
    thresholds_option,
    ticket_option,
)
from otel_metrics.cli.skills.sources import unknown
from otel_metrics.skills.promotion import standing, state_before
from otel_metrics.skills.stages import State

__all__ = ["options", "send_back"]

_OPTIONS: Final = (
    click.argument("skill"),
    approver_option,
    ticket_option,
    click.option("--reason", required=True, callback=said, help="Why."),
    skills_dir_option,
    archive_option,
    owner_option,
    thresholds_option,
    formats.option,
    click.pass_context,
)
_ELSEWHERE: Final[Mapping[State, str]] = {
    "prototype": "is prototype, the first state, so no step leads back; skills promote takes it to "
    "staged, once its gates are met",
    "staged": "is staged, not production; skills demote returns it to prototype",
    "production": "is production, not staged; skills rollback returns it to staged",
}
"""What can be done with a skill that is in another state, by that state."""


def options(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the arguments of both."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def send_back(
    context: click.Context,
    origin: State,
    *,
    skill: str,
    approver: str,
    ticket: str,
    reason: str,
    skills_dir: str | None,
    path: str,
    service: str | None,
    thresholds_file: str | None,
    form: str,
) -> None:
    """Return a skill from a state to the one before, and end.

    Args:
        origin: the state that it must be in.
    """
    source = decidable(context, skills_dir, skill)
    unknown(context, source, skill)
    folder, target = source.folder, state_before(origin)
    assert folder is not None and target is not None
    asked = thresholds(context, thresholds_file, folder).of(skill)
    found = standing(source.history(skill), asked, now=time.time())
    source.tell()
    if found.state != origin:
        end(context, f"{skill}: {_ELSEWHERE[found.state]}", EXIT_NO)
    trigger_metric: dict[str, Any] = {"approver": approver, "approval_ticket": ticket}
    trigger_metric |= {check.name: check.figure for check in found.firing}
    decision = Decision(
        event="skill.rollback",
        skill=skill,
        from_state=origin,
        to_state=target,
        approver=approver,
        ticket=ticket,
        reason=reason,
        particulars={
            "trigger_reason": reason,
            "trigger_metric": trigger_metric,
            "automated": False,
        },
    )
    owner = prepare(context, path, service)
    carry_out(context, decision, folder=folder, archive=path, service=owner, form=form)
