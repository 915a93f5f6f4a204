"""Turning the kill switch, which `stop` and `resume` share.

To stop has to work when other things do not. With a file of playbooks that does not hold, the
ledger's own switch is turned; and it is turned before anything is looked at that only the audit
needs. To resume is in the audit first.
"""

import os

import click

from otel_metrics.cli import formats
from otel_metrics.cli.playbooks.opening import Files, opened, switch_of
from otel_metrics.cli.playbooks.options import (
    EXIT_NO,
    EXIT_PARTLY,
    EXIT_WRONG,
    catalog_in_force,
    end,
    say,
    stop_file,
)
from otel_metrics.remediation import configuration
from otel_metrics.remediation.errors import LedgerError
from otel_metrics.remediation.model import Configuration, Limits
from otel_metrics.remediation.switch import Switch

__all__ = ["turn"]


def turn(
    context: click.Context,
    *,
    on: bool,
    actor: str,
    reason: str,
    file: str | None,
    db: str | None,
    path: str,
    service: str | None,
    key_file: str | None,
    form: str,
) -> None:
    """Turn the switch on or off, have the audit say so, print what holds, and end."""
    named, is_sure = _stop_file(context, file, db)
    if on:
        _turn(context, named, on=True, actor=actor, reason=reason)
    is_told = False
    if db is not None and os.path.exists(db):
        files = Files(db=db, path=path, service=service, key_file=key_file)
        is_told = _tell(context, named, files, on=on, actor=actor, reason=reason)
    else:
        say("--remediation-db: is not there, so that the audit is not told")
    if not on:
        _turn(context, named, on=False, actor=actor, reason=reason)
    why = switch_of(named).why()
    row = {"stop_file": named, "stopped": bool(why), "why": why}
    click.echo(formats.printable(formats.formatted([row], form, columns=tuple(row))))
    context.exit(0 if is_sure and is_told and bool(why) is on else EXIT_PARTLY)


def _turn(context: click.Context, named: str, *, on: bool, actor: str, reason: str) -> None:
    try:
        if on:
            Switch(named).turn_on(actor=actor, reason=reason)
        else:
            Switch(named).turn_off()
    except OSError as error:
        end(context, f"{named}: {error.strerror}; nothing was changed", EXIT_NO)


def _stop_file(context: click.Context, file: str | None, db: str | None) -> tuple[str, bool]:
    """Return the switch's file, and whether it is sure that services look at it."""
    default = stop_file(db)
    problem = "--playbooks: is not given, nor --remediation-db; one of them names the stop file"
    if file is not None:
        catalog = catalog_in_force(context)
        try:
            found = configuration.read(file, playbooks=catalog.playbooks, stop_file=default)
        except configuration.ConfigurationProblems as error:
            say(str(error))
            problem = "--remediation-db: is not given, and the file of playbooks does not hold"
        else:
            default, file = found.stop_file, None
            problem = f"{found.path}: names no stop_file, and --remediation-db is not given"
    if not default:
        end(context, problem, EXIT_WRONG)
    return default, file is None


def _tell(
    context: click.Context, named: str, files: Files, *, on: bool, actor: str, reason: str
) -> bool:
    """Have the audit say who turned the switch and why; return whether it will.

    What cannot be told is stopped all the same, and is not resumed.
    """
    bare = Configuration(
        path="", sha256="", enabled=False, stop_file=named, limits=Limits(), policy=(), bindings={}
    )
    with opened(context, files, configuration=bare) as engine:
        try:
            engine.switch(on=on, actor=actor, reason=reason)
        except (LedgerError, OSError) as error:
            if not on:
                end(context, f"the audit cannot be told, so nothing was changed: {error}", EXIT_NO)
            say(f"the audit is not told: {error}")
            return False
    return True
