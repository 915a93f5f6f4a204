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
    """Go through the batches, and show how much of the segments' bytes is behind them."""
    if not sys.stderr.isatty():
        for _ in batches:
            pass
        return
    sizes = {segment.path: _size(segment) for segment in segments}
    with _bar(title, sum(sizes.values())) as (progress, task):
        records, before = 0, ""
        for batch in batches:
            path = batch.segment.path
            if path != before:
                progress.advance(task, sizes.get(before, 0))
                before = path
            records += batch.records
            progress.update(task, records=f"{records:,} records")


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
