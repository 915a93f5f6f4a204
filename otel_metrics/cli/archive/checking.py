"""What the commands share that check a whole archive: the options, the progress bar, the call."""

import os
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final, NoReturn

import click
from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
)

from otel_exporter_ndjson import DamagedError
from otel_exporter_ndjson.sealkey import SealKey
from otel_metrics.archive.checkpoint import Checkpoint, read_checkpoint
from otel_metrics.archive.signatures import keyring
from otel_metrics.archive.verify import Report, verify
from otel_metrics.cli import formats
from otel_metrics.cli.archive.options import EXIT_NO, EXIT_WRONG, refuse, seal_key, segments

__all__ = [
    "checked",
    "checkpoint_of",
    "counted",
    "folder",
    "keys_option",
    "refuse_file",
    "seal_keys",
]

keys_option: Final = click.option(
    "--key-file",
    "key_files",
    multiple=True,
    help="A key that seals are signed with; several where it was changed.",
)


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
        refuse_file(context, f"--checkpoint={path}: {error}", EXIT_NO)


def refuse_file(context: click.Context, message: str, status: int) -> NoReturn:
    """Say what is wrong with a file that an option names, and end."""
    click.echo(formats.printable(message), err=True)
    context.exit(status)


def checked(
    path: str, *, keys: list[SealKey] | None = None, checkpoint: Checkpoint | None = None
) -> Report:
    """Verify an archive; a bar shows how far that is, where the error stream is a terminal."""
    if not sys.stderr.isatty():
        return verify(path, keys=keys or (), checkpoint=checkpoint)
    columns = (TextColumn("verifying"), BarColumn(), DownloadColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        bar = _Bar(progress)
        return verify(path, keys=keys or (), checkpoint=checkpoint, progress=bar.update)


@contextmanager
def counted(title: str) -> Iterator[Callable[[int, int], None]]:
    """Return what is told how many of how many are done, and shows it on a terminal."""
    if not sys.stderr.isatty():
        yield lambda _done, _total: None
        return
    columns = (TextColumn(title), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        yield _Bar(progress).update


class _Bar:
    """Tells a progress bar what several threads have done."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._lock = threading.Lock()
        self._task: TaskID = progress.add_task("", total=None)

    def update(self, done: int, total: int) -> None:
        """Take note of how far it is."""
        with self._lock:
            self._progress.update(self._task, completed=done, total=total)
