"""`otel-metrics executions prune`: remove old records; nothing else ever does."""

import time
from collections.abc import Mapping, Sequence
from typing import Any, Final

import click

from otel_metrics.cli import formats
from otel_metrics.cli.executions.options import (
    EXIT_PARTLY,
    chosen,
    open_files,
    project_option,
    say,
)
from otel_metrics.cli.measures import Span

__all__ = ["prune"]

RETENTION: Final = "180d"
_COLUMNS: Final = ("agent", "removed", "left")


@click.command()
@click.argument("agents", nargs=-1, metavar="[AGENT]...")
@click.option(
    "--older-than",
    "age_s",
    default=RETENTION,
    show_default=True,
    type=Span(("d", "h")),
    help="Remove records that are older than this: 180d, 12h.",
)
@click.option("--dry-run", is_flag=True, help="Only say what would go.")
@project_option
@formats.option
@click.pass_context
def prune(
    context: click.Context,
    *,
    agents: Sequence[str],
    age_s: float,
    dry_run: bool,
    project: str,
    form: str,
) -> None:
    """Remove the old records of some agents, or of all.

    A file is replaced as a whole, and its summary follows. What has no time that can be read stays,
    a line that is no record too. The key of a record that was removed may be used again.

    Exit status 1 when an agent has no executions, 2 when the project's folder is not there, 3 when
    the disk refused part of it.
    """
    files = open_files(context, project)
    before = time.time() - age_s
    rows: list[Mapping[str, Any]] = []
    failed = False
    for agent in chosen(context, files, agents):
        try:
            pruned = files.folder.prune(agent, before, dry_run=dry_run)
            rows.append({"agent": agent, "removed": pruned.removed, "left": pruned.left})
        except OSError as error:
            failed = True
            say(f"{agent}: {error}; its file is as it was")
    files.close()
    if rows or form != "table":
        click.echo(formats.printable(formats.formatted(rows, form, columns=_COLUMNS)))
    if dry_run:
        say("nothing was removed; without --dry-run it is")
    context.exit(EXIT_PARTLY if failed else 0)
