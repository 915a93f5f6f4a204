"""`otel-metrics archive tail`: the newest points and events, and those that are being written."""

import select
import sys
import time
from collections.abc import Callable
from typing import Final

import click

from otel_exporter_ndjson import Finding
from otel_exporter_ndjson.follower import Follower
from otel_metrics.cli.archive.options import (
    EXIT_PARTLY,
    archive_option,
    segments,
    service_option,
    since_option,
    tell,
    tell_service,
    until_option,
)
from otel_metrics.cli.archive.printing import (
    Wanted,
    filters,
    form_option,
    print_records,
    tell_misses,
)

__all__ = ["tail"]

LINES: Final = 10
LINES_MAX: Final = 1_000_000
INTERVAL_S: Final = 0.2
"""How often a followed archive is looked at."""


@click.command()
@archive_option
@service_option
@filters
@since_option
@until_option
@click.option("-f", "--follow", is_flag=True, help="Go on with what is written from now on.")
@click.option(
    "-n",
    "--lines",
    type=click.IntRange(0, LINES_MAX),
    default=LINES,
    show_default=True,
    help="How many of the newest records.",
)
@form_option
@click.pass_context
def tail(
    context: click.Context,
    *,
    path: str,
    service: str | None,
    signals: tuple[str, ...],
    metrics: tuple[str, ...],
    events: tuple[str, ...],
    attributes: tuple[tuple[str, str], ...],
    since: int | None,
    until: int | None,
    follow: bool,
    lines: int,
    form: str | None,
) -> None:
    """Print the newest points and events, by time.

    With -f it goes on until it is interrupted: each record once, in order for each writer, across
    rotation and compression and from writers, services and days that come. Exit status 1 when the
    folder is no archive, 3 when something that was read is damaged, 130 when interrupted.
    """
    found = segments(context, path)
    if follow and form not in (None, "json", "table"):
        raise click.BadParameter(
            f"{form} is written at once, and -f has no end; use json or table",
            param_hint="--format",
        )
    findings: list[Finding] = []
    wanted = Wanted(metrics, events, attributes, (since, until), signals)
    only = wanted.signals[0] if len(wanted.signals) == 1 else None
    follower = Follower(path, signal=only, service=service, findings=findings)
    printed = print_records(follower.last(lines, wanted.keep), form)
    if not tell_service(found, service) and printed < lines:  # or not everything was looked at
        tell_misses(wanted, printed=printed, narrowed=(since, until) != (None, None))
    if not follow:
        context.exit(EXIT_PARTLY if tell(findings) else 0)
    pause = _pause()
    while True:
        sys.stdout.flush()
        tell(findings)
        findings.clear()
        if not pause():
            return
        print_records(filter(wanted.keep, follower.new()), form)


def _pause() -> Callable[[], bool]:
    """Return what waits for the next look, and says whether anybody still reads the output."""
    try:
        descriptor = sys.stdout.fileno()
    except OSError:  # standard output is no file

        def wait() -> bool:
            time.sleep(INTERVAL_S)
            return True

        return wait
    poll = select.poll()
    poll.register(descriptor, 0)

    def listen() -> bool:
        return not any(happened & _GONE for _, happened in poll.poll(INTERVAL_S * 1000))

    return listen


_GONE: Final = select.POLLERR | select.POLLHUP if hasattr(select, "poll") else 0
