"""What archive commands share about `--out`: where it cannot be written, they say so and end."""

import contextlib
import os
from collections.abc import Iterator

import click

from otel_metrics.archive.output import OutputError, output, refusal
from otel_metrics.cli import formats
from otel_metrics.cli.archive.options import EXIT_WRONG
from otel_metrics.cli.archive.picture import ENDINGS

__all__ = ["check", "check_picture", "written"]


def check(context: click.Context, out: str) -> None:
    """End where nothing can be written to a path, before work is done for it."""
    wrong = refusal(out)
    if wrong is not None:
        click.echo(formats.printable(f"--out={out}: {wrong}"), err=True)
        context.exit(EXIT_WRONG)


def check_picture(context: click.Context, out: str) -> None:
    """End where a path is none that a picture can be written to."""
    if os.path.splitext(out)[1].lower() not in ENDINGS:
        message = f"--out={out}: the file must end in {', '.join(ENDINGS)}"
        click.echo(formats.printable(message), err=True)
        context.exit(EXIT_WRONG)
    check(context, out)


@contextlib.contextmanager
def written(context: click.Context, out: str) -> Iterator[str]:
    """Give the name of a file to write, which is at `out` when the block ends well."""
    try:
        with output(out) as target:
            yield target
    except OutputError as error:
        click.echo(formats.printable(f"--out={out}: {error}"), err=True)
        context.exit(EXIT_WRONG)
