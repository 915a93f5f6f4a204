"""`otel-metrics archive export`: points and events in a form that other tools read."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

import click

from otel_exporter_ndjson import Finding, Segment
from otel_metrics.archive.batches import SIGNALS, Selection, batches
from otel_metrics.archive.export import BATCH_BYTES_MAX, LINE_BYTES_MAX, OtlpJson
from otel_metrics.archive.output import STDOUT
from otel_metrics.archive.views import literal
from otel_metrics.cli import formats
from otel_metrics.cli.archive.asking import Subject, ask
from otel_metrics.cli.archive.options import (
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
from otel_metrics.cli.archive.progress import shown
from otel_metrics.cli.archive.target import check, written

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

__all__ = ["export"]

PARQUET: Final = "parquet"
OTLP_JSON: Final = "otlp-json"


@click.command()
@archive_option
@service_option
@since_option
@until_option
@click.option("--signal", type=click.Choice(SIGNALS), help="Only metrics, or only events.")
@click.option(
    "--format", "form", type=click.Choice((PARQUET, OTLP_JSON)), required=True, help="Of the file."
)
@click.option(
    "--out", type=click.Path(), required=True, help="Write this file; - is standard output."
)
@click.pass_context
def export(
    context: click.Context,
    *,
    path: str,
    service: str | None,
    since: int | None,
    until: int | None,
    signal: str | None,
    form: str,
    out: str,
) -> None:
    """Write points and events to a file that other tools read.

    parquet holds one signal, with the columns of the view of that name in archive query. otlp-json
    is OTLP JSON Lines: a request with metrics, or one with logs, a line. A collector reads it with
    its otlp_json_file receiver, set to start_at: beginning and include_file_name: false.

    The file has its name once it is whole; one that is there stays until then. A pipe gets it then.

    Exit status 1 when the folder is no archive, 2 when the file cannot be made, 3 when some of the
    archive is damaged or cannot be said in OTLP.
    """
    if form == PARQUET and signal is None:
        click.echo("--format=parquet: a file holds one signal; give --signal", err=True)
        context.exit(EXIT_WRONG)
    check(context, out)
    found = segments(context, path)
    if form == PARQUET:
        subject = Subject(path=path, service=service, since=since, until=until, signal=signal)
        row = _parquet(context, subject, str(signal), out)
        findings = subject.findings
    else:
        findings = []
        signals = SIGNALS if signal is None else (signal,)
        wanted = Selection(signals=signals, service=service, since=since, until=until)
        row = _otlp_json(context, path, wanted, found, out, findings)
    click.echo(
        formats.printable(formats.formatted([row], "table", columns=tuple(row))), err=out == STDOUT
    )
    tell_service(found, service)
    damaged = tell(findings)
    context.exit(EXIT_PARTLY if damaged or row.get("left_out") else 0)


def _parquet(context: click.Context, subject: Subject, signal: str, out: str) -> Mapping[str, Any]:
    """Write the view of a signal."""
    with written(context, out) as target:

        def copy(connection: "DuckDBPyConnection") -> int:
            how = "FORMAT parquet, COMPRESSION zstd, USE_TMP_FILE false"
            rows = connection.execute(f"COPY (FROM {signal}) TO {literal(target)} ({how})")
            return int(rows.fetchall()[0][0])

        records = ask(context, subject, copy)
    return {"file": out, "records": records}


def _otlp_json(
    context: click.Context,
    path: str,
    wanted: Selection,
    found: list[Segment],
    out: str,
    findings: list[Finding],
) -> Mapping[str, Any]:
    with written(context, out) as target, open(target, "wb") as file:
        lines = OtlpJson(file=file)
        read = batches(path, wanted, findings=findings, bytes_max=BATCH_BYTES_MAX)
        shown(lines.write(read), wanted.among(found), "exporting")
    if lines.long_lines:
        message = f"{lines.long_lines} lines are longer than {LINE_BYTES_MAX} bytes"
        click.echo(f"{message}: raise max_log_size of the collector's receiver", err=True)
    return {
        "file": out,
        "lines": lines.lines,
        "records": lines.records,
        "left_out": lines.left_out,
    }
