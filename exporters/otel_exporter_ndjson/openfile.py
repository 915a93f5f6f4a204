"""One segment while it is written: whole lines are appended, or nothing is.

Not thread-safe; a writer holds its lock around every call.
"""

import hashlib
from dataclasses import dataclass, field

from otel_exporter_ndjson.fs import Fs, Status
from otel_exporter_ndjson.segments import SegmentName, commit_line, seal_line
from otel_exporter_ndjson.streams import Batch, Origin

__all__ = ["OpenSegment"]


@dataclass(slots=True, kw_only=True)
class OpenSegment:
    """A segment whose lock this process holds.

    Attributes:
        path: where it is, for people and for the check that it is still there.
        directory, descriptor: the folder of its day, and itself.
        size: bytes that are whole lines, which is all that is in the file.
        pending: batches since the last fsync, each with the number of lines before it.
        appended: how many batches there were in all.
        broken: something stands behind `size` that could not be cut off; append nothing more.
        fresh: neither the file nor its name has been forced to the disk.
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
    broken: bool = False
    fresh: bool = True
    dirty: bool = False
    committed: int = 0
    committed_s: float = 0.0
    checked_s: float = 0.0
    appended: int = 0
    pending: list[tuple[int, Batch]] = field(default_factory=list)
    pending_bytes: int = 0
    _hash: "hashlib._Hash" = field(default_factory=hashlib.sha256)
    _described: dict[tuple[object, ...], bytes] = field(default_factory=dict)

    @property
    def sha256(self) -> str:
        """The hash of every byte of the segment."""
        return self._hash.hexdigest()

    def head(self, line: bytes) -> None:
        """Write the first line."""
        self._put(line, self._hashed(line), lines=1)

    def append(self, batch: Batch, *, commit: bool) -> None:
        """Write a batch, with the describe lines it needs, by one write.

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
        self._put(data, digest, lines=lines + commit)
        if fresh:
            self._described.update(fresh)
        self.records = records
        self.committed = records if commit else self.committed
        self._span(batch)
        self.dirty = True
        self.appended += 1
        self.pending.append((before, batch))
        self.pending_bytes += batch.size

    def commit(self) -> None:
        """Write a commit line over what has none yet."""
        line = commit_line(self.records, self.sha256)
        self._put(line, self._hashed(line), lines=1)
        self.committed = self.records
        self.dirty = True

    def seal(self) -> None:
        """Write the last line."""
        line = seal_line(self.records, self.first_ns, self.last_ns, self.sha256)
        self._put(line, self._hashed(line), lines=1)
        self.sealed = True
        self.dirty = True

    def present(self) -> bool:
        """Whether the file is still where it was, with the size that we gave it."""
        try:
            there = self.fs.status_of(self.path)
        except OSError:
            return True  # it cannot be told; the next write will
        return there is not None and self.facts.same(there) and there.size == self.size

    def settle(self, appended: int) -> None:
        """Let go of the first `appended` batches: they are where they have to be."""
        del self.pending[: max(0, len(self.pending) - (self.appended - appended))]
        self.pending_bytes = sum([batch.size for _, batch in self.pending])
        self.dirty = bool(self.pending)

    def forget_oldest(self, bytes_max: int) -> None:
        """Let go of the oldest pending batches beyond a bound."""
        while self.pending_bytes > bytes_max and len(self.pending) > 1:
            _, batch = self.pending.pop(0)
            self.pending_bytes -= batch.size

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
