"""What the commands share that check a whole archive: the options, and the call."""

import os
from typing import NoReturn

import click

from otel_exporter_ndjson import DamagedError
from otel_exporter_ndjson.sealkey import SealKey
from otel_metrics.archive.checkpoint import Checkpoint, NoCheckpointError, read_checkpoint
from otel_metrics.archive.signatures import keyring
from otel_metrics.archive.verify import Report, verify
from otel_metrics.cli import formats
from otel_metrics.cli.archive.options import EXIT_NO, EXIT_WRONG, refuse, seal_key, segments
from otel_metrics.cli.archive.progress import bar

__all__ = [
    "checked",
    "checkpoint_of",
    "folder",
    "refuse_file",
    "seal_keys",
]


def folder(context: click.Context, path: str) -> None:
    """End where there is no archive at a path."""
    segments(context, path)
    if not os.path.isdir(path):
        refuse(context, path, "is a file; give the folder that a service writes to", EXIT_WRONG)


def seal_keys(context: click.Context, paths: tuple[str, ...]) -> list[SealKey]:
    """Return every key of `--key-file`; end where one cannot be used."""
    found = [seal_key(context, path) for path in paths]
    return [key for key in found if key is not None]


def checkpoint_of(
    context: click.Context, path: str | None, keys: list[SealKey]
) -> Checkpoint | None:
    """Return what `--checkpoint` names; end where it cannot be read or was changed."""
    if path is None:
        return None
    try:
        return read_checkpoint(path, keyring(keys))
    except OSError as error:
        refuse_file(context, f"--checkpoint={path}: {error.strerror}", EXIT_WRONG)
    except DamagedError as error:
        status = EXIT_WRONG if isinstance(error, NoCheckpointError) else EXIT_NO
        refuse_file(context, f"--checkpoint={path}: {error}", status)


def refuse_file(context: click.Context, message: str, status: int) -> NoReturn:
    """Say what is wrong with a file that an option names, and end."""
    click.echo(formats.printable(message), err=True)
    context.exit(status)


def checked(
    path: str, *, keys: list[SealKey] | None = None, checkpoint: Checkpoint | None = None
) -> Report:
    """Verify an archive; a bar shows how far that is, where the error stream is a terminal."""
    with bar("verifying", "bytes") as progress:
        return verify(path, keys=keys or (), checkpoint=checkpoint, progress=progress)
