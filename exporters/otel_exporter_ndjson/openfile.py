"""One segment while it is written: whole lines are appended, or nothing is.

Not thread-safe; a writer holds its lock around every call.
"""

import errno
import hashlib
import os
import threading
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import islice
from typing import Final

import msgspec

from otel_exporter_ndjson.folders import opened
from otel_exporter_ndjson.fs import Fs, Status
from otel_exporter_ndjson.sealkey import SealKey
from otel_exporter_ndjson.segments import SegmentName, commit_line, seal_line
from otel_exporter_ndjson.streams import Batch, Origin

__all__ = ["FULL", "OpenSegment", "Pending", "Ticket"]

FULL: Final = frozenset({errno.ENOSPC, errno.EDQUOT})
"""What an error of a full disk says."""
SEAL_BYTES: Final = 4096
"""Kept free behind every write, so that a commit and a seal always fit."""
RESERVE_BYTES_MIN: Final = 2**16
RESERVE_BYTES_MAX: Final = 2**20
"""What is set aside at a time: as much as the segment has, within these."""
_EVERYTHING: Final = 2**63


class Ticket:
    """What a caller waits on until its batch is on the disk, or refused.

    Attributes:
        reason: why it was refused, in one word; None until it is.
    """

    __slots__ = ("_settled", "reason")

    def __init__(self) -> None:
        self.reason: str | None = None
        self._settled = threading.Lock()
        self._settled.acquire()

    def settle(self, reason: str | None = None) -> None:
        """Say that the batch is on the disk, or why it will not be; once."""
        self.reason = reason
        self._settled.release()

    def wait(self, timeout_s: float) -> bool:
        """Return whether it was settled in time; once."""
        return self._settled.acquire(timeout=timeout_s)


class Pending(msgspec.Struct, gc=False):
    """A batch that no fsync has confirmed; `line` is the number of lines before it.

    `batch` is None once it had to be let go of: should the fsync fail, it cannot be written again.
    """

    line: int
    batch: Batch | None
    tickets: Sequence[Ticket] = ()


@dataclass(slots=True, kw_only=True)
class OpenSegment:
    """A segment whose lock this process holds.

    Attributes:
        path: where it is, for people and for the check that it is still there.
        directory, descriptor: the folder of its day, and itself.
        size: bytes that are whole lines, which is all that is in the file.
        pending: batches since the last fsync.
        reserved: up to which size the disk has set room aside.
        appended: how many batches there were in all.
        broken: something stands behind `size` that could not be cut off; append nothing more.
        fresh: neither the file nor its name has been forced to the disk.
        hidden: the name that it has for as long as nobody may read it, or None.
    """

    fs: Fs
    name: SegmentName
    path: str
    service: str
    day: int
    origin: Origin
    directory: int
    descriptor: int
    facts: Status
    opened_s: float
    size: int = 0
    lines: int = 0
    records: int = 0
    first_ns: int | None = None
    last_ns: int | None = None
    sealed: bool = False
    seal_bytes: int = 0
    broken: bool = False
    fresh: bool = True
    dirty: bool = False
    committed: int = 0
    committed_s: float = 0.0
    checked_s: float = 0.0
    appended: int = 0
    pending: deque[Pending] = field(default_factory=deque)
    pending_bytes: int = 0
    reserved: int = 0
    hidden: str | None = None
    _hash: "hashlib._Hash" = field(default_factory=hashlib.sha256)
    _described: dict[tuple[object, ...], bytes] = field(default_factory=dict)

    @property
    def sha256(self) -> str:
        """The hash of every byte of the segment."""
        return self._hash.hexdigest()

    def head(self, line: bytes) -> None:
        """Write the first line."""
        self._put(line, self._hashed(line), lines=1)

    def append(self, batch: Batch, *, commit: bool, tickets: Sequence[Ticket] = ()) -> None:
        """Write a batch, with the describe lines it needs, by one write.

        `tickets` are settled once it is on the disk.

        Raises:
            OSError: nothing of it is in the file, unless `broken` is set.
        """
        pieces: list[bytes] = []
        lines = batch.records
        fresh: dict[tuple[object, ...], bytes] = {}
        for part in batch.parts:
            for stream in part.streams:
                line = stream.describe(self.origin)
                if fresh.get(stream.key, self._described.get(stream.key)) != line:
                    fresh[stream.key] = line
                    pieces.append(line)
                    lines += 1
            pieces.append(part.body)
        records = self.records + batch.records
        digest = self._hash.copy()
        for piece in pieces:
            digest.update(piece)
        if commit:
            line = commit_line(records, digest.hexdigest(), batch.shape)
            digest.update(line)
            pieces.append(line)
        data = b"".join(pieces)
        before = self.lines
        self._reserve(len(data))
        self._put(data, digest, lines=lines + commit)
        if fresh:
            self._described.update(fresh)
        self.records = records
        self.committed = records if commit else self.committed
        self._span(batch)
        self.dirty = True
        self.appended += 1
        self.pending.append(Pending(before, batch, tickets))
        self.pending_bytes += batch.size

    def commit(self) -> None:
        """Write a commit line over what has none yet."""
        line = commit_line(self.records, self.sha256)
        self._put(line, self._hashed(line), lines=1)
        self.committed = self.records
        self.dirty = True

    def seal(self, key: SealKey | None = None) -> None:
        """Write the last line, signed where there is a key, and give back what was set aside."""
        line = seal_line(self.records, self.first_ns, self.last_ns, self.sha256, key=key)
        self.seal_bytes = len(line)
        self._put(line, self._hashed(line), lines=1)
        self.sealed = True
        self.dirty = True
        if self.reserved > self.size:
            with suppress(OSError):  # then it is given back when the file is compressed
                self.fs.truncate(self.descriptor, self.size)

    def unseal(self) -> None:
        """Take the seal back, by name, for the file may be closed by now: what it vouches for may
        not be on the disk, and is about to be read from another segment."""
        if not self.seal_bytes:
            return
        with (
            suppress(OSError),  # then its records may be read twice, and none is lost
            opened(self.fs, self.fs.open_root(os.path.dirname(self.path))) as directory,
            opened(self.fs, self.fs.open(directory, str(self.name), write=True)) as file,
        ):
            self.fs.truncate(file, self.size - self.seal_bytes)

    def present(self) -> bool:
        """Whether the file is still where it was, with the size that we gave it."""
        try:
            there = self.fs.status_of(self.path)
        except OSError:
            return True  # it cannot be told; the next write will
        return there is not None and self.facts.same(there) and there.size == self.size

    def settle(self, appended: int) -> None:
        """Let go of the first `appended` batches: they are where they have to be."""
        settled = max(0, len(self.pending) - (self.appended - appended))
        for _ in range(settled):
            each = self.pending.popleft()
            if each.batch is not None:
                self.pending_bytes -= each.batch.size
            for ticket in each.tickets:
                ticket.settle()
        self.dirty = bool(self.pending)

    def forget_oldest(self, bytes_max: int) -> None:
        """Let go of the oldest pending batches beyond a bound, but not of who waits for them."""
        if self.pending_bytes <= bytes_max:
            return
        for each in islice(self.pending, len(self.pending) - 1):
            if self.pending_bytes <= bytes_max:
                break
            if each.batch is not None:
                self.pending_bytes -= each.batch.size
                each.batch = None
        while self.pending and self.pending[0].batch is None and not self.pending[0].tickets:
            self.pending.popleft()

    def close(self) -> None:
        """Close file and folder, and with them the lock."""
        self.fs.close(self.descriptor)
        self.fs.close(self.directory)

    def _span(self, batch: Batch) -> None:
        if batch.first_ns is not None and (self.first_ns is None or batch.first_ns < self.first_ns):
            self.first_ns = batch.first_ns
        if batch.last_ns is not None and (self.last_ns is None or batch.last_ns > self.last_ns):
            self.last_ns = batch.last_ns

    def _hashed(self, data: bytes) -> "hashlib._Hash":
        digest = self._hash.copy()
        digest.update(data)
        return digest

    def _reserve(self, size: int) -> None:
        """Set room aside for `size` bytes and a seal, or raise before a byte is written."""
        needed = self.size + size + SEAL_BYTES
        if needed <= self.reserved:
            return
        ahead = min(max(RESERVE_BYTES_MIN, self.size), RESERVE_BYTES_MAX)
        for until in (needed + ahead, needed):
            try:
                self.fs.reserve(self.descriptor, self.size, until - self.size)
            except OSError as error:
                if error.errno not in FULL:
                    self.reserved = _EVERYTHING  # not to be had here: a write finds out by itself
                    return
                if until == needed:
                    raise
            else:
                self.reserved = until
                return

    def _put(self, data: bytes, digest: "hashlib._Hash", *, lines: int) -> None:
        try:
            written = self.fs.write(self.descriptor, data)
            while written < len(data):
                written += self.fs.write(self.descriptor, memoryview(data)[written:])
        except BaseException:  # an interrupt, too, must not leave half a line behind
            self._cut()
            raise
        self._hash = digest
        self.size += len(data)
        self.lines += lines

    def _cut(self) -> None:
        try:
            self.fs.truncate(self.descriptor, self.size)
            self.broken = self.fs.status(self.descriptor).size != self.size
        except OSError:
            self.broken = True
