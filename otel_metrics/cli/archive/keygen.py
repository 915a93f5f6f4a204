"""`otel-metrics archive keygen`: a new key that seals are signed with."""

import os
from contextlib import suppress
from typing import Final

import click

from otel_exporter_ndjson.sealkey import new_key_text, read_key
from otel_metrics.cli import formats
from otel_metrics.cli.archive.checking import refuse_file
from otel_metrics.cli.archive.options import EXIT_WRONG, KEY_VARIABLE

__all__ = ["keygen"]

KEY_MODE: Final = 0o600


@click.command()
@click.argument("file", type=click.Path())
@click.pass_context
def keygen(context: click.Context, file: str) -> None:
    """Make a new key in FILE, for the owner's eyes only; a file that is there stays as it is.

    Keep a copy elsewhere: with the key anybody can sign, and without it nobody can verify. A key is
    changed by making another one; archive verify then takes both.

    Exit status 2 when the file is there already or cannot be made.
    """
    try:
        _write(file)
        key = read_key(file)
    except FileExistsError:
        refuse_file(context, f"{file}: is there already, and stays as it is", EXIT_WRONG)
    except OSError as error:
        refuse_file(context, f"{file}: {error.strerror}", EXIT_WRONG)
    click.echo(formats.printable(f"key {key.id} is in {file}"))
    click.echo(formats.printable(f"to sign seals with it: {KEY_VARIABLE}={os.path.abspath(file)}"))


def _write(path: str) -> None:
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_NOFOLLOW", 0)
    descriptor = os.open(path, flags, KEY_MODE)
    try:
        with open(descriptor, "w", encoding="ascii") as key:
            if hasattr(os, "fchmod"):
                os.fchmod(key.fileno(), KEY_MODE)  # whatever the umask left
            key.write(new_key_text())
            key.flush()
            os.fsync(key.fileno())
    except BaseException:
        with suppress(OSError):  # half a key is none
            os.unlink(path)
        raise
