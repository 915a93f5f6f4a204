"""The open segment of a writer: which one a batch goes to, and when another is begun.

Not thread-safe, and nothing is logged here: a writer holds its lock around every call.
"""

import errno
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Final

from otel_exporter_ndjson.errors import DamagedError, UnsafeArchiveError
from otel_exporter_ndjson.fs import Fs
from otel_exporter_ndjson.openfile import FULL, OpenSegment, Pending, Ticket
from otel_exporter_ndjson.opening import DAY_NS, Clocks, Opener
from otel_exporter_ndjson.sealkey import SealKey
from otel_exporter_ndjson.settings import Settings
from otel_exporter_ndjson.space import floor_bytes
from otel_exporter_ndjson.stats import Counts
from otel_exporter_ndjson.streams import Batch
from otel_exporter_ndjson.upkeep import Upkeep

__all__ = ["Current"]

COMMIT_INTERVAL_S: Final = 1.0
"""Between two commit lines among events; a metric export always ends with one."""
SPACE_INTERVAL_S: Final = 1.0
"""Between two looks at how full the disk is, while it is not."""
PENDING_BYTES_MAX: Final = 8 * 2**20
"""What is kept in memory of what no fsync has confirmed, to write it again should one fail."""
_MAY_PASS: Final = frozenset({errno.EIO, errno.EINTR, errno.EAGAIN})
"""What beginning a segment is tried once more after."""
_FAULTS: Final = (OSError, UnsafeArchiveError, DamagedError)


class Current:
    """Appends to the open segment, and leaves it for a new one where it must.

    Args:
        failed: told an error; counts it and says the reason in one word.

    Attributes:
        segment: the open one, or None before the first record and after a fault.
    """

    def __init__(
        self,
        signal: str,
        settings: Settings,
        *,
        fs: Fs,
        clocks: Clocks,
        counts: Counts,
        opener: Opener,
        upkeep: Upkeep,
        key: SealKey | None,
        failed: Callable[[Exception], str],
    ) -> None:
        self._signal = signal
        self._settings = settings
        self._fs = fs
        self._clocks = clocks
        self._counts = counts
        self._opener = opener
        self._upkeep = upkeep
        self._key = key
        self._failed = failed
        self.segment: OpenSegment | None = None
        self._low = False
        self._space_s = float("-inf")
        self._sick: list[tuple[tuple[int, int], deque[Pending]]] = []
        self._distrusted: list[OpenSegment] = []

    def append(self, batch: Batch, tickets: Sequence[Ticket] = ()) -> None:
        """Write a batch; one that a segment, new or old, could not take goes to another.

        Raises:
            OSError: nothing of the batch was written; likewise the errors of `Opener.begin`.
        """
        try:
            self._write(batch, tickets)
        except OSError as error:
            if self.segment is not None and error.errno not in FULL:
                self.leave(error)
            elif error.errno in _MAY_PASS and not self._sick:
                self._failed(error)
            else:
                raise
            self._write(batch, tickets)

    def due(self) -> list[OpenSegment]:
        """Return what must be forced to the disk now: the open segment, or nothing."""
        segment = self.segment
        if segment is None:
            return []
        now_s = self._clocks.monotonic_s()
        try:
            self._commit(segment, now_s)
        except OSError as error:
            self.leave(error)
            return []
        if now_s - segment.opened_s >= self._settings.rotate_interval_s:
            self.retire()
            return []
        return [segment] if segment.dirty else []

    def retire(self) -> None:
        """Seal the open segment and hand it to upkeep, which syncs and closes it."""
        segment, self.segment = self.segment, None
        if segment is None:
            return
        before = segment.size
        try:
            if not segment.broken:
                segment.seal(self._key)
        except OSError as error:  # the next start seals it
            self._failed(error)
        if segment.sealed:
            self._opener.sealed(segment)
            self._counts.segments_sealed += 1
            self._counts.bytes += segment.size - before
        self._upkeep.retire(segment)

    def leave(self, error: Exception) -> str:
        """Leave a segment that could not be written, and say why in one word."""
        reason = self._failed(error)
        self.retire()
        return reason

    def distrust(self, segment: OpenSegment) -> None:
        """Leave a segment whose fsync failed, and write again what that may have lost."""
        if segment is self.segment:
            self.segment = None
            self._upkeep.release(segment)
        if segment.pending:  # else only the seal was not on the disk, and all may still be well
            segment.sealed = False  # never to be compressed
            self._distrusted.append(segment)
        line = segment.pending[0].line if segment.pending else segment.lines
        self._sick.append(((segment.name.sequence, line), segment.pending))
        self.heal()

    def heal(self) -> None:
        """Try to write to a new segment what failed fsyncs may have lost."""
        if not self._sick:
            return
        self.retire()
        kept = [(each, each.batch) for _, pending in self._sick for each in pending]
        batches = [(each, batch) for each, batch in kept if batch is not None]
        if not batches:
            self._sick.clear()
            self._distrusted.clear()
            return
        try:
            positions = [position for position, _ in self._sick]
            segment, _ = self._opener.begin(batches[0][1], positions)
        except _FAULTS as error:
            self._failed(error)
            return
        try:
            for each, batch in batches:
                segment.append(batch, commit=batch.commit, tickets=each.tickets)
            for distrusted in self._distrusted:
                distrusted.unseal()
            self._opener.reveal(segment)
        except OSError as error:
            self._failed(error)
            self._opener.discard(segment)
        else:
            self.segment = segment
            self._sick.clear()
            self._distrusted.clear()

    def _write(self, batch: Batch, tickets: Sequence[Ticket]) -> None:
        now_s = self._clocks.monotonic_s()
        self._check(batch, now_s)
        segment = self.segment
        if segment is None:
            if self._sick:
                raise OSError(errno.EIO, "an earlier fsync failed, and no new segment works yet")
            segment = self.segment = self._begun(batch)
        self._room(segment, now_s)
        before = segment.size
        commit = batch.commit or now_s - segment.committed_s >= COMMIT_INTERVAL_S
        segment.append(batch, commit=commit, tickets=tickets)
        self._counts.bytes += segment.size - before
        if commit:
            segment.committed_s = now_s
        if self._settings.sync == "never":
            segment.settle(segment.appended)
        else:
            segment.forget_oldest(PENDING_BYTES_MAX)

    def _begun(self, batch: Batch) -> OpenSegment:
        segment, behind = self._opener.begin(batch)
        self._upkeep.recover_behind(behind)
        return segment

    def _check(self, batch: Batch, now_s: float) -> None:
        """Leave a segment that is full, old, of another day or service, or no longer there."""
        segment = self.segment
        if segment is None:
            return
        if now_s - segment.checked_s >= self._settings.sync_interval_s:
            segment.checked_s = now_s
            if not segment.present():
                self._lost(segment)
                return
        if (
            (segment.records and segment.size + batch.size > self._settings.rotate_bytes)
            or now_s - segment.opened_s >= self._settings.rotate_interval_s
            or self._clocks.world_ns() // DAY_NS != segment.day
            or segment.service != batch.origin.service
        ):
            self.retire()

    def _room(self, segment: OpenSegment, now_s: float) -> None:
        """Refuse to fill the last of a disk; metrics stop first, then events."""
        if not self._low and now_s - self._space_s < SPACE_INTERVAL_S:
            return
        self._space_s = now_s
        space = self._fs.space(segment.directory)
        self._low = space.free < floor_bytes(self._settings, space, self._signal)
        if self._low:
            raise OSError(errno.ENOSPC, f"{space.free} bytes are free, fewer than the floor")

    def _commit(self, segment: OpenSegment, now_s: float) -> None:
        """Write a commit line over events that have none, at most once a second."""
        if segment.committed == segment.records:
            return
        if now_s - segment.committed_s < COMMIT_INTERVAL_S:
            self._upkeep.wake()
            return
        before = segment.size
        segment.commit()
        segment.committed_s = now_s
        self._counts.bytes += segment.size - before

    def _lost(self, segment: OpenSegment) -> None:
        """Begin anew, as a new writer, after somebody moved, removed or changed our file."""
        self._failed(OSError(errno.ESTALE, f"{segment.path} was moved, removed or changed"))
        gone = True
        with suppress(OSError):  # what cannot even be asked counts as gone
            facts = self._fs.status(segment.descriptor)
            gone = facts.links == 0 or facts.size < segment.size
        if gone:
            self._counts.drop("removed", segment.records)
        self.segment = None
        self._upkeep.retire(segment)
        self._opener.anew()
