"""Writes an archive as files for other tools."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import BinaryIO, Final

from otel_metrics.archive.batches import Batch
from otel_metrics.archive.otlp_json import line_of

__all__ = ["BATCH_BYTES_MAX", "LINE_BYTES_MAX", "OtlpJson"]

LINE_BYTES_MAX: Final = 2**20
"""A collector's file receiver cuts lines that are longer, unless its `max_log_size` is set."""
BATCH_BYTES_MAX: Final = LINE_BYTES_MAX // 10
"""Of the archive's lines in one line of OTLP JSON, which for many short values is nine times as
long."""


@dataclass(slots=True, kw_only=True)
class OtlpJson:
    """A file of OTLP JSON Lines, and what was written to it.

    Attributes:
        lines: each a request with metrics or with logs.
        records: points and events in them.
        left_out: records that OTLP has no way to say.
        long_lines: lines of more than `LINE_BYTES_MAX`, each of one record.
    """

    file: BinaryIO
    lines: int = 0
    records: int = 0
    left_out: int = 0
    long_lines: int = 0

    def write(self, batches: Iterable[Batch]) -> Iterator[Batch]:
        """Write batch after batch, and return each that was written."""
        for batch in batches:
            line = line_of(batch)
            self.file.write(line.data)
            self.lines += bool(line.data)
            self.records += batch.records - line.left_out
            self.left_out += line.left_out
            self.long_lines += len(line.data) > LINE_BYTES_MAX
            yield batch
