"""Plain numbers about what an exporter did; whoever wants instruments puts them over these."""

from collections.abc import Mapping

import msgspec

__all__ = ["Counts", "Stats"]


class Stats(msgspec.Struct, frozen=True, kw_only=True):
    """What one exporter did since its process began.

    Attributes:
        records: points or events written; in mode `always` those that the disk did not confirm
            are in `errors` as `unacknowledged`, too.
        bytes: bytes written, with all lines.
        segments_sealed: segments closed by a seal line.
        head_sequence: sequence of the newest segment; 0 when none was begun.
        errors: failed operations by kind, such as `ENOSPC` or `unsafe`.
        dropped: records not written, by reason.
        surrogates: lone surrogates replaced by U+FFFD.
    """

    records: int = 0
    bytes: int = 0
    segments_sealed: int = 0
    head_sequence: int = 0
    errors: Mapping[str, int] = {}
    dropped: Mapping[str, int] = {}
    surrogates: int = 0


class Counts:
    """The counters behind `Stats`; guarded by the lock of the writer that holds them."""

    __slots__ = (
        "bytes",
        "dropped",
        "errors",
        "head_sequence",
        "records",
        "segments_sealed",
    )

    def __init__(self) -> None:
        self.records = 0
        self.bytes = 0
        self.segments_sealed = 0
        self.head_sequence = 0
        self.errors: dict[str, int] = {}
        self.dropped: dict[str, int] = {}

    def error(self, kind: str, times: int = 1) -> None:
        """Count a failed operation."""
        self.errors[kind] = self.errors.get(kind, 0) + times

    def drop(self, reason: str, records: int) -> None:
        """Count records that were not written."""
        self.dropped[reason] = self.dropped.get(reason, 0) + records

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
        )
