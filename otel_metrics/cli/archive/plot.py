"""`otel-metrics archive plot`: a metric as a line, in the terminal or in a picture."""

import os
import shutil
import sys
from typing import Any, Final

import click

from otel_metrics.archive.output import STDOUT
from otel_metrics.cli import formats
from otel_metrics.cli.archive.asking import Subject, ask
from otel_metrics.cli.archive.curves import (
    Curves,
    NoQuantileError,
    Wanted,
    attributes,
    curves,
    names,
)
from otel_metrics.cli.archive.linechart import drawn
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
from otel_metrics.cli.archive.picture import MissingMatplotlibError, draw
from otel_metrics.cli.archive.target import check_picture, written
from otel_metrics.cli.matching import suggestion

__all__ = ["plot"]

STEPS_OF_A_PICTURE: Final = 300
WIDTH_MAX: Final = 160
_SIGNAL: Final = "metrics"


class _Pair(click.ParamType[tuple[str, str]]):
    name = "attribute=value"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[str, str]:
        if isinstance(value, tuple):
            return value
        key, sign, wanted = str(value).partition("=")
        if not sign or not key:
            self.fail(f"{value!r} is not of the form attribute=value", param, ctx)
        return key, wanted


@click.command()
@click.argument("metric")
@click.option("--by", multiple=True, help="A line for each value of this attribute, or of service.")
@click.option("--where", multiple=True, type=_Pair(), help="Only points with this attribute.")
@click.option(
    "--quantile",
    type=click.FloatRange(0, 1),
    help="Of a histogram this quantile, 0.95 for instance, not the mean.",
)
@archive_option
@service_option
@since_option
@until_option
@click.option(
    "--out", type=click.Path(), help="Draw into this file, .png or .svg; - is the terminal."
)
@click.pass_context
def plot(
    context: click.Context,
    *,
    metric: str,
    by: tuple[str, ...],
    where: tuple[tuple[str, str], ...],
    quantile: float | None,
    path: str,
    service: str | None,
    since: int | None,
    until: int | None,
    out: str | None,
) -> None:
    """Draw a metric over time.

    A counter is drawn as its increase in each step, a gauge as its value, a histogram as its mean
    or --quantile. An increase is spread evenly over the time between its two points, which behind
    segments that are gone may be days. Where nothing was recorded the line is broken.

    Exit status 1 when there is no such metric or attribute, or nothing of it, 2 when an option is
    wrong, 3 when some of the archive is damaged.
    """
    out = None if out == STDOUT else out
    if out is not None:
        check_picture(context, out)
    found = segments(context, path)
    subject = Subject(path=path, service=service, since=since, until=until, signal=_SIGNAL)
    width = min(WIDTH_MAX, shutil.get_terminal_size().columns)
    wanted = Wanted(
        metric=metric,
        by=by,
        where=dict(where),
        quantile=quantile,
        steps=width if out is None else STEPS_OF_A_PICTURE,
        since=since,
    )
    try:
        made = ask(context, subject, lambda connection: curves(connection, wanted))
    except NoQuantileError as error:
        click.echo(formats.printable(f"--quantile={quantile:g}: {error}"), err=True)
        context.exit(EXIT_WRONG)
    damaged = tell(subject.findings)
    if made is None:
        if not tell_service(found, service):
            _tell_nothing(context, subject, wanted)
        context.exit(EXIT_NO)
    _check_by(context, subject, wanted)
    _show(context, made, out, width)
    context.exit(EXIT_PARTLY if damaged else 0)


def _check_by(context: click.Context, subject: Subject, wanted: Wanted) -> None:
    """End where an attribute is on no point: one line of "(none)" would look like an answer."""
    if not wanted.by:
        return
    there = ask(context, subject, lambda connection: attributes(connection, wanted.metric))
    missing = [by for by in wanted.by if by not in there]
    for by in missing:
        message = f"--by={by}: no point of {wanted.metric} has this attribute"
        click.echo(formats.printable(f"{message}{suggestion(by, there)}"), err=True)
    if missing:
        context.exit(EXIT_NO)


def _show(context: click.Context, made: Curves, out: str | None, width: int) -> None:
    if out is None:
        coded = (getattr(sys.stdout, "encoding", None) or "ascii").lower().replace("-", "")
        text = drawn(made, width=width, ascii_only=coded != "utf8")
        click.echo(formats.printable(text))
    else:
        try:
            with written(context, out) as target:
                draw(made, target, os.path.splitext(out)[1][1:].lower())
        except MissingMatplotlibError as error:
            click.echo(str(error), err=True)
            context.exit(EXIT_WRONG)
    if made.left_out:
        click.echo(f"{made.left_out} more lines are not drawn; narrow with --where", err=True)


def _tell_nothing(context: click.Context, subject: Subject, wanted: Wanted) -> None:
    """Say whether the metric is not there, or nothing of it is of that time or those attributes."""
    everything = Subject(
        path=subject.path, service=subject.service, since=None, until=None, signal=_SIGNAL
    )
    there = ask(context, everything, names)
    if wanted.metric in there:
        message = f"{wanted.metric}: nothing is of that time or has those attributes"
    else:
        message = f"{wanted.metric}: no such metric{suggestion(wanted.metric, there)}"
    click.echo(formats.printable(message), err=True)
