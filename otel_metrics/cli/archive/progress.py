"""How far a command has come in an archive: a bar on the error stream, where that is a terminal."""

import contextlib
import os
import sys
from collections.abc import Iterable, Iterator

from rich.console import Console
from rich.progress import (
    BarColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from otel_exporter_ndjson import Segment
from otel_metrics.archive.batches import Batch

__all__ = ["shown"]


def shown(batches: Iterable[Batch], segments: list[Segment], title: str) -> None:
    """Go through the batches, and show how much of the segments' bytes is behind them.

    Args:
        segments: those that are read, in the order they are.
    """
    if not sys.stderr.isatty():
        for _ in batches:
            pass
        return
    behind, total = {}, 0
    for segment in segments:
        behind[segment.path] = total
        total += _size(segment)
    with _bar(title, total) as (progress, task):
        records = 0
        for batch in batches:
            records += batch.records
            completed = behind.get(batch.segment.path)
            progress.update(task, completed=completed, records=f"{records:,} records")


@contextlib.contextmanager
def _bar(title: str, total: int) -> Iterator[tuple[Progress, TaskID]]:
    columns = (
        TextColumn(title),
        BarColumn(),
        TextColumn("{task.fields[records]}"),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        yield progress, progress.add_task("", total=total, records="")


def _size(segment: Segment) -> int:
    try:
        return os.stat(segment.path).st_size
    except OSError:  # compressed or removed meanwhile
        return 0
