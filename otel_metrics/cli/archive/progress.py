"""How far a command has come: a bar on the error stream, where that is a terminal."""

import os
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Final, Literal

from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    TaskProgressColumn,
    TextColumn,
    TimeRemainingColumn,
)

from otel_exporter_ndjson import Record, Segment
from otel_metrics.archive.batches import Batch

__all__ = ["bar", "shown"]

Unit = Literal["bytes", "pieces", "percent"]

_AMOUNTS: Final[dict[Unit, Callable[[], ProgressColumn]]] = {
    "bytes": DownloadColumn,
    "pieces": MofNCompleteColumn,
    "percent": TaskProgressColumn,
}


@contextmanager
def bar(title: str, unit: Unit, *, wanted: bool = True) -> Iterator[Callable[[float, float], None]]:
    """Return what is told how much of how much is done, by any thread, and shows it.

    Args:
        wanted: whether the work is long enough for a bar.
    """
    if not wanted or not sys.stderr.isatty():
        yield lambda _done, _total: None
        return
    columns = (TextColumn(title), BarColumn(), _AMOUNTS[unit](), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("", total=None)
        lock = threading.Lock()

        def update(done: float, total: float) -> None:
            with lock:
                progress.update(task, completed=done, total=total)

        yield update


def shown(batches: Iterable[Batch | Record], segments: list[Segment], title: str) -> None:
    """Go through batches or records, and show how much of the segments' bytes is behind them.

    Args:
        segments: those that are read, in the order they are.
    """
    behind, total = {}, 0
    for segment in segments:
        behind[segment.path] = total
        total += _size(segment)
    with bar(title, "bytes") as update:
        for batch in batches:
            update(behind.get(batch.segment.path, 0), total)


def _size(segment: Segment) -> int:
    try:
        return os.stat(segment.path).st_size
    except OSError:  # compressed or removed meanwhile
        return 0
