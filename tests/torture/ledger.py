"""What a tested process said before it died: memory that it shares with the harness.

It outlives a kill of the process, and writing to it is no system call: faults that are injected
into `write` never hit it, and nothing is slower for it. An entry counts once its number is in the
head, which is written last.
"""

import mmap
import struct
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

__all__ = ["Entry", "Ledger"]

ENTRIES_MAX: Final = 100_000
_WORD: Final = struct.Struct("@q")  # native: one store, never half of one
_ENTRY: Final = struct.Struct("@qqqq")
_HEAD_BYTES: Final = 64
_COUNT, _SUBMITTED, _FLUSHED, _LOG_LINES, _GO, _SLOWEST, _REMOVED = range(0, 56, 8)


@dataclass(frozen=True, slots=True)
class Entry:
    """One export that has returned: its numbers, its answer, when, and how long it took."""

    first: int
    count: int
    ok: bool
    time_ns: int

    @property
    def numbers(self) -> range:
        """The numbers of its records."""
        return range(self.first, self.first + self.count)


class Ledger:
    """Written by one tested thread, read by the harness.

    Args:
        first: the first number that the tested thread may use.
    """

    def __init__(self, first: int = 0) -> None:
        self.first = first
        self._memory = mmap.mmap(-1, _HEAD_BYTES + ENTRIES_MAX * _ENTRY.size)
        self._put(_SUBMITTED, first)

    def submit(self, until: int) -> None:
        """Say that every number below `until` may be on its way from now on."""
        self._put(_SUBMITTED, until)

    def acknowledge(self, first: int, count: int, *, ok: bool) -> None:
        """Say what an export answered."""
        done = self.count
        entry = _ENTRY.pack(first, count, ok, time.monotonic_ns())
        start = _HEAD_BYTES + done * _ENTRY.size
        self._memory[start : start + _ENTRY.size] = entry
        self._put(_COUNT, done + 1)

    def flush(self, until: int) -> None:
        """Say that every acknowledged number below `until` is on the disk, as a flush answered."""
        self._put(_FLUSHED, until)

    def logged(self, lines: int) -> None:
        """Say how many lines were logged by now about one kind of work."""
        self._put(_LOG_LINES, max(self.log_lines, lines))

    def remove(self, records: int) -> None:
        """Say of how many records the exporter says that somebody removed them."""
        self._put(_REMOVED, records)

    def took(self, nanoseconds: int) -> None:
        """Take note of how long a call took."""
        self._put(_SLOWEST, max(self.slowest_ns, nanoseconds))

    def go(self) -> None:
        """Tell the tested process to begin, or to end."""
        self._put(_GO, self.going + 1)

    @property
    def count(self) -> int:
        """How many exports have returned."""
        return self._get(_COUNT)

    @property
    def is_full(self) -> bool:
        """Whether another entry would find no room."""
        return self.count >= ENTRIES_MAX

    @property
    def submitted(self) -> int:
        """The number that comes after the last that may have been sent."""
        return self._get(_SUBMITTED)

    @property
    def flushed(self) -> int:
        """Every acknowledged number below this one is on the disk."""
        return self._get(_FLUSHED)

    @property
    def log_lines(self) -> int:
        """How many lines were logged about one kind of work, where they were most."""
        return self._get(_LOG_LINES)

    @property
    def slowest_ns(self) -> int:
        """How long the slowest call took."""
        return self._get(_SLOWEST)

    @property
    def removed(self) -> int:
        """How many records somebody removed, as the exporter counted."""
        return self._get(_REMOVED)

    @property
    def going(self) -> int:
        """How often `go` was called."""
        return self._get(_GO)

    def entries(self) -> Iterator[Entry]:
        """Return what was acknowledged up to now."""
        end = _HEAD_BYTES + self.count * _ENTRY.size
        for first, count, ok, time_ns in _ENTRY.iter_unpack(self._memory[_HEAD_BYTES:end]):
            yield Entry(first, count, bool(ok), time_ns)

    def _get(self, at: int) -> int:
        (value,) = _WORD.unpack_from(self._memory, at)
        return int(value)

    def _put(self, at: int, value: int) -> None:
        _WORD.pack_into(self._memory, at, value)
