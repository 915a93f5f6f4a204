"""`otel-metrics archive checkpoint`: what there is now, to be kept elsewhere."""

import time

import click

from otel_exporter_ndjson.sealkey import SealKey
from otel_metrics.archive.checkpoint import checkpoint_text, entries_of, write_new
from otel_metrics.archive.output import STDOUT
from otel_metrics.archive.verify import Report
from otel_metrics.cli import formats
from otel_metrics.cli.archive.checking import checked, folder, refuse_file
from otel_metrics.cli.archive.options import EXIT_NO, EXIT_WRONG, archive_option, seal_key
from otel_metrics.cli.archive.signing import key_option
from otel_metrics.cli.archive.target import check
from otel_metrics.cli.archive.verdicts import told

__all__ = ["checkpoint"]


@click.command()
@archive_option
@click.option("--out", metavar="FILE", help="Write it there; default, and -: the output stream.")
@key_option("Sign it with this key.")
@click.pass_context
def checkpoint(context: click.Context, *, path: str, out: str | None, key_file: str | None) -> None:
    """Write down every segment with its hash, for archive verify --checkpoint, as JSON.

    Keep it where whoever can change the archive cannot: against it the removal of the newest
    segments shows, and that the folder was put back to an older state. Of an open segment it holds
    what is before its last commit line. Signatures are not checked here.

    Exit status 1 when the archive's integrity fails (there is no checkpoint then), or the folder is
    no archive, 2 when the key or the file cannot be used.
    """
    if out is not None:
        check(context, out)
    key = seal_key(context, key_file)
    folder(context, path)
    report = checked(path)
    for line in told(report.of("integrity") + report.of("completeness"), path):
        click.echo(line, err=True)
    if not report.intact:
        message = "its integrity fails, and a checkpoint would vouch for that; nothing is written"
        refuse_file(context, f"--archive={path}: {message}", EXIT_NO)
    text = _text(report, key)
    if out is None or out == STDOUT:
        click.echo(text, nl=False)
        return
    try:
        write_new(out, text)
    except OSError as error:
        refuse_file(context, f"--out={out}: {error.strerror or error}", EXIT_WRONG)
    signed = "not signed" if key is None else f"signed with key {key.id}"
    click.echo(formats.printable(f"{len(report.segments)} segments in {out}, {signed}"), err=True)


def _text(report: Report, key: SealKey | None) -> bytes:
    entries = entries_of(report.segments)
    return checkpoint_text(report.archive, entries, now_ns=time.time_ns(), key=key)
