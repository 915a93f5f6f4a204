"""`otel-metrics archive cat`: the points and events themselves."""

from itertools import chain

import click

from otel_exporter_ndjson import Finding, read
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

__all__ = ["cat"]


@click.command()
@archive_option
@service_option
@filters
@since_option
@until_option
@form_option
@click.pass_context
def cat(
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
    form: str | None,
) -> None:
    """Print points and events, writer after writer in the order they were written.

    Each segment is read whole and compared with its seal. Exit status 1 when the folder is no
    archive, 3 when some of it is damaged, missing, does not match its seal or cannot be read.
    """
    found = segments(context, path)
    findings: list[Finding] = []
    wanted = Wanted(metrics, events, attributes, signals=signals)
    records = chain.from_iterable(
        read(
            path,
            signal=signal,
            service=service,
            since=since,
            until=until,
            findings=findings,
        )
        for signal in wanted.signals
    )
    printed = print_records(filter(wanted.keep, records), form)
    if not tell_service(found, service):
        tell_misses(wanted, printed=printed, narrowed=(since, until) != (None, None))
    context.exit(EXIT_PARTLY if tell(findings) else 0)
