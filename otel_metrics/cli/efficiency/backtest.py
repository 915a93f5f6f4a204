"""`otel-metrics efficiency backtest`: plans against what the efficiency did after them."""

import os
from typing import Final

import click

from otel_metrics.cli import formats
from otel_metrics.cli.archive.options import (
    EXIT_NO,
    EXIT_PARTLY,
    EXIT_WRONG,
    archive_option,
    segments,
    service_option,
    since_option,
    tell,
    tell_service,
    until_option,
)
from otel_metrics.cli.archive.picture import MissingMatplotlibError
from otel_metrics.cli.archive.target import check_picture, written
from otel_metrics.cli.efficiency.records import PLAN, Records, Subject, gather
from otel_metrics.cli.efficiency.scatter import draw
from otel_metrics.cli.efficiency.wording import print_backtest
from otel_metrics.cli.measures import Span
from otel_metrics.efficiency.backtest import Backtest
from otel_metrics.efficiency.backtest import backtest as computed
from otel_metrics.plurals import counted

__all__ = ["backtest"]

WINDOW_LEAST_S: Final = 0.001
_NS: Final = 10**9


@click.command()
@archive_option
@service_option
@since_option
@until_option
@click.option(
    "--window",
    "window_s",
    type=Span(("m", "s"), least_s=WINDOW_LEAST_S),
    default="10m",
    show_default=True,
    help="How long before and after a plan the efficiency is looked for.",
)
@formats.option
@click.option("--out", type=click.Path(), help="Draw into this file too, .png or .svg.")
@click.pass_context
def backtest(
    context: click.Context,
    *,
    path: str,
    service: str | None,
    since: int | None,
    until: int | None,
    window_s: float,
    form: str,
    out: str | None,
) -> None:
    """Compare each plan's priority with the change of efficiency that followed it.

    The change is from the newest efficiency that the plan's process said before it to the newest
    before the next plan, both at most --window away. Correlations have their 95 % interval by
    Fisher's z. Rollbacks and patches are those of the same time and service; where the cost of a
    plan is not known there is no cost per fix. CSV has the plans without the figures.

    Exit status 1 when there is no plan, nothing to draw, or the folder is no archive; 2 when an
    option is wrong or the archive is not there; 3 when some of the archive is damaged.
    """
    if out is not None:
        check_picture(context, out)
    found = segments(context, path)
    subject = Subject(
        path=path, service=service, since=since, until=until, window_ns=round(window_s * _NS)
    )
    records = gather(subject, found)
    damaged = tell(records.findings)
    if not records.plans:
        if not tell_service(found, service):
            click.echo(formats.printable(_nothing(path, records)), err=True)
        context.exit(EXIT_NO)
    made = computed(
        records.plans,
        records.readings,
        window_ns=subject.window_ns,
        rollbacks=records.rollbacks,
        patches=records.patches,
    )
    print_backtest(made, form, window_s=window_s)
    if out is not None:
        _draw(context, made, out)
    context.exit(EXIT_PARTLY if damaged else 0)


def _draw(context: click.Context, made: Backtest, out: str) -> None:
    if not made.pairs:
        message = f"--out={out}: there is nothing to draw: {made.change_per_minute.reason}"
        click.echo(formats.printable(message), err=True)
        context.exit(EXIT_NO)
    try:
        with written(context, out) as target:
            draw(made, target, os.path.splitext(out)[1][1:].lower())
    except MissingMatplotlibError as error:
        click.echo(str(error), err=True)
        context.exit(EXIT_WRONG)


def _nothing(path: str, records: Records) -> str:
    if records.plans_elsewhen:
        there = counted(records.plans_elsewhen, "plan")
        return f"--since, --until: no plan is of that time; {there} of other times"
    return f"{path}: holds no plan, which is an event {PLAN}; efficiency.record_plan() makes one"
