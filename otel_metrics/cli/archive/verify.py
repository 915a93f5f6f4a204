"""`otel-metrics archive verify`: is it what was written, and is all of it there?"""

import click

from otel_metrics.cli import formats
from otel_metrics.cli.archive.checking import (
    checked,
    checkpoint_of,
    folder,
    seal_keys,
)
from otel_metrics.cli.archive.options import archive_option
from otel_metrics.cli.archive.signing import keys_option
from otel_metrics.cli.archive.verdicts import print_report, status_of

__all__ = ["verify"]


@click.command()
@archive_option
@keys_option
@click.option(
    "--checkpoint",
    "checkpoint",
    metavar="FILE",
    help="What archive checkpoint wrote once: all of it must still be there.",
)
@formats.option
@click.pass_context
def verify(
    context: click.Context,
    *,
    path: str,
    key_files: tuple[str, ...],
    checkpoint: str | None,
    form: str,
) -> None:
    """Check that an archive is what was written (integrity), and all of it (completeness).

    With a key every seal must be signed with it, or with one of several given, and only what a
    signed audit says explains that a segment is gone, and nothing in what a recovery sealed, since
    a recovery signs what it finds. A seal that is not signed holds where a
    checkpoint that the key signed names its hash; how many such there are is said. Without a key
    accidents show, and not somebody who writes every hash anew. That the newest segments were
    removed shows only against a checkpoint. Services may go on writing meanwhile; nothing is
    changed.

    Exit status 1 for damage, a hole, a missing or wrong signature, or a folder that is no archive,
    2 for a key or checkpoint that cannot be used, 3 when a repair is needed.
    """
    keys = seal_keys(context, key_files)
    known = checkpoint_of(context, checkpoint, keys)
    folder(context, path)
    report = checked(path, keys=keys, checkpoint=known)
    print_report(report, path, form)
    context.exit(status_of(report))
