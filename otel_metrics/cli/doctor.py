"""`otel-metrics doctor`: what is in force and why, and whether every exporter works."""

import json
import os
from collections.abc import Sequence
from dataclasses import asdict
from importlib.metadata import entry_points

import click

from otel_metrics.autoconfig.checkup import Checkup, examine
from otel_metrics.autoconfig.trials import Trial, try_exporters
from otel_metrics.cli import formats

__all__ = ["doctor"]

_COLUMNS = ("variable", "value", "source", "effect")


@click.command()
@click.option("--all", "everything", is_flag=True, help="Also the variables that are not set.")
@click.option(
    "--format",
    "form",
    type=click.Choice(["table", "json"]),
    default="table",
    help="How the answer is written; table is for people.",
)
@click.pass_context
def doctor(context: click.Context, *, everything: bool, form: str) -> None:
    """Print each variable in force, its source and its effect, and try every exporter.

    Reads the files that OTEL_CONFIG_FILE, OTEL_PYTHON_METRICS_CATALOG and
    OTEL_PYTHON_METRICS_PLAYBOOKS name. Writes no metric and starts no telemetry.

    Exit status 1 when an exporter does not work, or a variable or one of these files is refused.
    """
    installed = [point.name for point in entry_points(group="opentelemetry_metrics_exporter")]
    found = examine(os.environ, installed=installed, everything=everything)
    trials = [] if found.settings.disabled else try_exporters(found.settings)
    if form == "json":
        answer = {
            "variables": [asdict(row) for row in found.variables],
            "problems": [str(refused) for refused in found.refused],
            "exporters": [asdict(trial) for trial in trials],
            "sigterm": _sigterm(found),
        }
        click.echo(json.dumps(answer, indent=2))
    else:
        click.echo(formats.printable("\n".join(_lines(found, trials))))
    context.exit(1 if found.refused or not all(trial.ok for trial in trials) else 0)


def _lines(found: Checkup, trials: Sequence[Trial]) -> list[str]:
    lines = ["No variable is set: the defaults hold (--all prints them)."]
    if found.variables:
        rows = [{"variable": row.name, **asdict(row)} for row in found.variables]
        lines = [formats.formatted(rows, "table", columns=_COLUMNS)]
    lines.append("")
    if found.settings.disabled:
        lines.append("OTEL_SDK_DISABLED=true: nothing is started.")
    elif not trials:
        lines.append("No exporter is named: nothing is exported.")
    for trial in trials:
        verdict = "works" if trial.ok else "FAILS"
        lines.append(f"{verdict}  {trial.exporter}: {trial.finding}")
    if not found.settings.disabled:
        lines += ["", _sigterm(found)]
    return lines


def _sigterm(found: Checkup) -> str:
    """Say what happens on SIGTERM."""
    return (
        f"On SIGTERM what was recorded is exported within {found.settings.exit_timeout_s:g} s, and "
        "the process ends. A handler of the service, also one installed later, replaces this; "
        "where it lets the process exit, the export is made then."
    )
