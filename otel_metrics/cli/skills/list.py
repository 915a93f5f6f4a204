"""`otel-metrics skills list`: every skill in a line."""

import time
from collections.abc import Mapping
from typing import Any, Final

import click

from otel_metrics.cli import formats
from otel_metrics.cli.archive.options import EXIT_PARTLY, archive_option, service_option
from otel_metrics.cli.skills.options import skills_dir_option, thresholds, thresholds_option
from otel_metrics.cli.skills.sources import Source, opened, tell_thresholds
from otel_metrics.skills.promotion import standing
from otel_metrics.skills.threshold_files import ThresholdFile

__all__ = ["list_"]

_COLUMNS: Final = ("skill", "state", "performance", "outcomes", "fidelity", "gates", "firing")


@click.command("list")
@skills_dir_option
@archive_option
@service_option
@thresholds_option
@formats.option
@click.pass_context
def list_(
    context: click.Context,
    *,
    skills_dir: str | None,
    path: str,
    service: str | None,
    thresholds_file: str | None,
    form: str,
) -> None:
    """List the skills: state, records of each kind, gates that are met, rollback triggers that
    fire.

    Records come from the folder of skill files, and where there is none from the archive's events;
    never from both. --archive or --service, typed, go before the variable that names the folder.

    Exit status 1 when the folder is no archive; 2 when a folder or file is not there, or the
    thresholds are wrong; 3 when lines had to be skipped.
    """
    source = opened(context, skills_dir=skills_dir, path=path, service=service)
    asked = thresholds(context, thresholds_file, source.folder)
    rows = [_row(source, skill, asked) for skill in source.skills()]
    if rows or form != "table":
        click.echo(formats.printable(formats.formatted(rows, form, columns=_COLUMNS)))
    if not rows:
        click.echo(formats.printable(f"{source.place}: no skill is recorded here"), err=True)
    tell_thresholds(source, asked)
    context.exit(EXIT_PARTLY if source.tell() else 0)


def _row(source: Source, skill: str, asked: ThresholdFile) -> Mapping[str, Any]:
    history = source.history(skill)
    found = standing(history, asked.of(skill), now=time.time())
    met = len(found.gates) - len(found.unmet)
    return {
        "skill": skill,
        "state": found.state,
        "performance": len(history.performance),
        "outcomes": len(history.outcomes),
        "fidelity": len(history.fidelity),
        "gates": f"{met}/{len(found.gates)}" if found.gates else "",
        "firing": [check.name for check in found.firing],
        "to_state": found.to_state,
        "gates_met": met,
        "gates_all": len(found.gates),
    }


list = list_  # noqa: A001  # the name by which the group finds it
