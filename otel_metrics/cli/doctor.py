"""`otel-metrics doctor`: what is in force and why, and whether every exporter works."""

import json
import os
from dataclasses import asdict
from importlib.metadata import entry_points

import click
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from otel_metrics.autoconfig.checkup import InForce, Trial, try_exporters, variables_in_force
from otel_metrics.autoconfig.settings import Problem, from_environ

__all__ = ["doctor"]


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

    Writes no metric and starts no telemetry. Exit status 1 when an exporter does not work or a
    variable is refused.
    """
    installed = [point.name for point in entry_points(group="opentelemetry_metrics_exporter")]
    settings, problems = from_environ(os.environ, installed=installed)
    variables = variables_in_force(os.environ, problems, everything=everything)
    trials = [] if settings.disabled else try_exporters(settings)
    if form == "json":
        answer = {
            "variables": [asdict(row) for row in variables],
            "problems": [f"{p.variable}={p.value}: {p.message}" for p in problems],
            "exporters": [asdict(trial) for trial in trials],
        }
        click.echo(json.dumps(answer, indent=2))
    else:
        _print(variables, problems, trials, disabled=settings.disabled)
    context.exit(1 if problems or not all(trial.ok for trial in trials) else 0)


def _print(
    variables: list[InForce],
    problems: tuple[Problem, ...],
    trials: list[Trial],
    *,
    disabled: bool,
) -> None:
    console = Console(highlight=False)
    if variables:
        table = Table("variable", "value", "source", "effect", box=None, pad_edge=False)
        for row in variables:
            table.add_row(*(escape(text) for text in (row.name, row.value, row.source, row.effect)))
        console.print(table)
    else:
        console.print("No variable is set: the defaults hold (--all prints them).")
    console.print()
    for problem in problems:
        console.print(escape(f"refused  {problem.variable}={problem.value}: {problem.message}"))
    if disabled:
        console.print("OTEL_SDK_DISABLED=true: nothing is started.")
    for trial in trials:
        mark = "[green]works[/]  " if trial.ok else "[red]FAILS[/]  "
        console.print(f"{mark}  {escape(trial.exporter)}: {escape(trial.finding)}")
