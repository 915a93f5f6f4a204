"""`otel-metrics playbooks list`: what there is, what is bound, and when it last ran."""

import os
from collections.abc import Mapping
from typing import Any, Final

import click

from otel_metrics.catalog.model import Catalog, Playbook
from otel_metrics.cli import formats
from otel_metrics.cli.archive.tables import print_table
from otel_metrics.cli.playbooks.opening import looking, switch_of
from otel_metrics.cli.playbooks.options import (
    catalog_in_force,
    configured,
    db_option,
    ledger_file,
    playbooks_option,
    say,
)
from otel_metrics.remediation.model import Binding, Configuration
from otel_metrics.remediation.policy import APPROVAL_TIER, tier_of
from otel_metrics.remediation.runs import HISTORY_MAX, Run
from otel_metrics.remediation.scopes import metrics_of
from otel_metrics.remediation.views import as_time

__all__ = ["list"]

_COLUMNS: Final = ("playbook", "risk", "tier", "approval", "bound_to", "enabled", "last_run")
_UNBOUND: Final = "nothing"


@click.command()
@playbooks_option
@db_option
@click.option("--bound", is_flag=True, help="Only playbooks that something is bound to.")
@formats.option
@click.pass_context
def list(  # noqa: A001  # its name
    context: click.Context, *, file: str | None, db: str | None, bound: bool, form: str
) -> None:
    """List every playbook of the catalog: its risk, what is bound to it, and its last run.

    To what nothing is bound notifies, and no more. What is not enabled is a dry run.

    Exit status 2 when the file of playbooks does not hold.
    """
    catalog = catalog_in_force(context)
    configuration = configured(context, file, db, catalog)
    ledger = ledger_file(context, db, make=True) if db else ""
    last = _last_runs(context, ledger, catalog) if os.path.exists(ledger) else {}
    bindings = configuration.bindings if configuration else {}
    rows = [
        _row(playbook, catalog, configuration, bindings.get(name), last.get(name))
        for name, playbook in catalog.playbooks.items()
        if name in bindings or not bound
    ]
    if form != "table":
        click.echo(formats.printable(formats.formatted(rows, form, columns=_COLUMNS)))
    elif rows:
        print_table([_for_people(row) for row in rows], _COLUMNS, right=("tier",))
    _tell(configuration)


def _row(
    playbook: Playbook,
    catalog: Catalog,
    configuration: Configuration | None,
    binding: Binding | None,
    last: Run | None,
) -> Mapping[str, Any]:
    tier = playbook.tier if binding is None else tier_of(playbook, binding)
    return {
        "playbook": playbook.id,
        "risk": playbook.risk if binding is None else binding.risk,
        "tier": tier,
        "approval": tier >= APPROVAL_TIER,
        "bound_to": [] if binding is None else [_kind(step) for step in binding.steps],
        "enabled": bool(configuration and configuration.enabled and binding and binding.enabled),
        "last_run": None if last is None else as_time(last.began_at),
        "last_result": None if last is None else last.result or last.state,
        "recommended_by": [*metrics_of(playbook.id, catalog)],
        "brief": playbook.brief,
    }


def _for_people(row: Mapping[str, Any]) -> Mapping[str, Any]:
    when = f"{row['last_run']} {row['last_result']}" if row["last_run"] else ""
    return {
        **row,
        "approval": "yes" if row["approval"] else "no",
        "bound_to": ", ".join(row["bound_to"]) or _UNBOUND,
        "enabled": "yes" if row["enabled"] else "no" if row["bound_to"] else "",
        "last_run": when,
    }


def _kind(step: object) -> str:
    """Return what kind of action a step is, as the file calls it."""
    return type(step).__name__.removesuffix("Step").lower()


def _last_runs(context: click.Context, path: str, catalog: Catalog) -> Mapping[str, Run]:
    """Return the newest run of each playbook that has one; a dry run is none."""
    with looking(context, path) as engine:
        newest = {
            name: next(
                (run for run in engine.history(playbook=name, limit=HISTORY_MAX) if _is_run(run)),
                None,
            )
            for name in catalog.playbooks
        }
    return {name: run for name, run in newest.items() if run is not None}


def _is_run(run: Run) -> bool:
    return run.kind == "run"


def _tell(configuration: Configuration | None) -> None:
    """Say why nothing would run, where that is so."""
    if configuration is None:
        say("--playbooks: is not given, so nothing is bound; every playbook only notifies")
        return
    if not configuration.enabled:
        say(f"{configuration.path}: enabled is false, so that every run is a dry run")
    why = switch_of(configuration.stop_file).why()
    if why:
        say(f"nothing runs: {why}")
