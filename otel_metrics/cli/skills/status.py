"""`otel-metrics skills status`: how skills stand at each gate."""

import time
from collections.abc import Mapping
from typing import Any

import click

from otel_metrics.cli import formats
from otel_metrics.cli.archive.options import (
    EXIT_NO,
    EXIT_PARTLY,
    archive_option,
    service_option,
)
from otel_metrics.cli.skills.options import skills_dir_option, thresholds, thresholds_option
from otel_metrics.cli.skills.sources import opened, tell_thresholds, unknown
from otel_metrics.cli.skills.standings import rows_of, told
from otel_metrics.skills.promotion import standing

__all__ = ["status"]


@click.command()
@click.argument("skill", required=False)
@skills_dir_option
@archive_option
@service_option
@thresholds_option
@formats.option
@click.pass_context
def status(
    context: click.Context,
    *,
    skill: str | None,
    skills_dir: str | None,
    path: str,
    service: str | None,
    thresholds_file: str | None,
    form: str,
) -> None:
    """Say how a skill stands, or all of them: state, fidelity over time, each gate before the next
    state with its figure and what is missing, and in production each trigger of a rollback.

    Records come from the folder of skill files, and where there is none from the archive's events;
    never from both. --archive or --service, typed, go before the variable that names the folder.
    What cannot be computed is not met, and says why.

    Exit status 1 when a trigger of a rollback fires, or the folder is no archive; 2 when there is
    no such skill, a folder or file is not there, or the thresholds are wrong; 3 when lines had to
    be skipped.
    """
    source = opened(context, skills_dir=skills_dir, path=path, service=service)
    asked = thresholds(context, thresholds_file, source.folder)
    if skill is not None:
        unknown(context, source, skill)
    rows: list[Mapping[str, Any]] = []
    texts: list[str] = []
    firing = False
    for each in source.skills() if skill is None else [skill]:
        history = source.history(each)
        found = standing(history, asked.of(each), now=time.time())
        firing = firing or bool(found.firing)
        rows += rows_of(each, found)
        texts.append(told(each, found, history))
    answer = "\n\n".join(texts) if form == "table" else formats.formatted(rows, form, columns=())
    if texts or form != "table":
        click.echo(formats.printable(answer))
    if not texts:
        click.echo(formats.printable(f"{source.place}: no skill is recorded here"), err=True)
    tell_thresholds(source, asked)
    skipped = source.tell()
    context.exit(EXIT_NO if firing else EXIT_PARTLY if skipped else 0)
