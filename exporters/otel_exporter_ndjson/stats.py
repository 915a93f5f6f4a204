"""Plain numbers about what an exporter did; whoever wants instruments puts them over these."""

from collections.abc import Mapping
from typing import Final

import msgspec

__all__ = ["SYNC_BOUNDS_S", "Counts", "Stats"]

SYNC_BOUNDS_S: Final = tuple([0.0001 * 4**step for step in range(9)])
"""Upper bounds, in seconds, of the buckets of fsync durations; one more bucket has the rest."""


class Stats(msgspec.Struct, frozen=True, kw_only=True):
    """What one exporter did since its process began.

    Attributes:
        records: points or events acknowledged.
        bytes: bytes written, with all lines.
        segments_sealed: segments closed by a seal line.
        head_sequence: sequence of the newest segment; 0 when none was begun.
        errors: failed operations by kind, such as `ENOSPC` or `unsafe`.
        dropped: records not written, by reason.
        surrogates: lone surrogates replaced by U+FFFD.
        sync_counts: fsyncs by duration, one count for each of `SYNC_BOUNDS_S` and one above.
        sync_total_s: seconds spent in them.
    """

    records: int = 0
    bytes: int = 0
    segments_sealed: int = 0
    head_sequence: int = 0
    errors: Mapping[str, int] = {}
    dropped: Mapping[str, int] = {}
    surrogates: int = 0
    sync_counts: tuple[int, ...] = (0,) * 10
    sync_total_s: float = 0.0


class Counts:
    """The counters behind `Stats`; guarded by the lock of the writer that holds them."""

    __slots__ = (
        "bytes",
        "dropped",
        "errors",
        "head_sequence",
        "records",
        "segments_sealed",
        "sync_counts",
        "sync_total_s",
    )

    def __init__(self) -> None:
        self.records = 0
        self.bytes = 0
        self.segments_sealed = 0
        self.head_sequence = 0
        self.errors: dict[str, int] = {}
        self.dropped: dict[str, int] = {}
        self.sync_counts = [0] * (len(SYNC_BOUNDS_S) + 1)
        self.sync_total_s = 0.0

    def error(self, kind: str) -> None:
        """Count a failed operation."""
        self.errors[kind] = self.errors.get(kind, 0) + 1

    def drop(self, reason: str, records: int) -> None:
        """Count records that were not written."""
        self.dropped[reason] = self.dropped.get(reason, 0) + records

    def synced(self, seconds: float) -> None:
        """Count an fsync."""
        bucket = sum([seconds > bound for bound in SYNC_BOUNDS_S])
        self.sync_counts[bucket] += 1
        self.sync_total_s += seconds

    def freeze(self, dropped: Mapping[str, int], surrogates: int) -> Stats:
        """Return the numbers as they are now; `dropped` adds what was dropped before the writer."""
        merged = dict(self.dropped)
        for reason, count in dropped.items():
            merged[reason] = merged.get(reason, 0) + count
        return Stats(
            records=self.records,
            bytes=self.bytes,
            segments_sealed=self.segments_sealed,
            head_sequence=self.head_sequence,
            errors=dict(self.errors),
            dropped=merged,
            surrogates=surrogates,
            sync_counts=tuple(self.sync_counts),
            sync_total_s=self.sync_total_s,
        )
