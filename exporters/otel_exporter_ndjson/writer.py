"""The one writer of a process for one signal: which segment a batch goes to, and what if not.

The caller makes the write, so that what it acknowledges survives a kill. Forcing to the disk,
closing and compressing is `upkeep`'s, on threads of its own: in mode `interval` no caller ever
waits for the disk.
"""

import errno
import logging
import threading
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Final

from otel_exporter_ndjson.errors import DamagedError, UnsafeArchiveError
from otel_exporter_ndjson.fs import Fs, RealFs
from otel_exporter_ndjson.openfile import OpenSegment
from otel_exporter_ndjson.opening import DAY_NS, Clocks, Opener
from otel_exporter_ndjson.settings import Settings
from otel_exporter_ndjson.states import News, StateLog
from otel_exporter_ndjson.stats import Counts
from otel_exporter_ndjson.streams import Batch
from otel_exporter_ndjson.upkeep import Upkeep

__all__ = ["SegmentWriter"]

_logger = logging.getLogger("otel_exporter_ndjson")

COMMIT_INTERVAL_S: Final = 1.0
"""Between two commit lines among events; a metric export always ends with one."""
SPACE_INTERVAL_S: Final = 1.0
"""Between two looks at how full the disk is, while it is not."""
PENDING_BYTES_MAX: Final = 8 * 2**20
"""What is kept in memory of what no fsync has confirmed, to write it again should one fail."""
DAMAGED_MAX: Final = 1_000
"""Damaged segments that are remembered, so that each is counted once."""
DEFERRED_MAX: Final = 1_000
"""Batches of signal handlers that interrupted a write of their own thread."""
_FREE_MIN: Final = 2**30
_FREE_PART: Final = 20
_FLOOR: Final = {"metrics": 1.0, "events": 0.5, "audit": 0.25}
_FULL: Final = frozenset({errno.ENOSPC, errno.EDQUOT})
_FAULTS: Final = (OSError, UnsafeArchiveError, DamagedError)


class SegmentWriter:
    """Appends batches to the segments of one signal. Thread-safe; never raises.

    Attributes:
        last_error: what is wrong now, in words; None once a batch has been written again.
    """

    def __init__(
        self,
        signal: str,
        settings: Settings,
        *,
        on_sync: Callable[[float], None] | None = None,
        fs: Fs | None = None,
        clocks: Clocks | None = None,
    ) -> None:
        self._signal = signal
        self._on_sync = on_sync
        self.last_error: str | None = None
        self._settings = settings
        self._fs: Fs = fs or RealFs()
        self._clocks = clocks or Clocks()
        subject = f"{signal} archive {settings.path}"
        self._news = News(_logger)
        self._log = StateLog(self._news, subject)
        self._sync_log = StateLog(self._news, f"{subject}: fsync")
        self._late_log = StateLog(self._news, f"{subject}: records of a signal handler")
        self._behind_logs = {
            what: StateLog(self._news, f"{subject}: {what}")
            for what in ("on_sync", "upkeep", "compress")
        }
        self._begin_life()

    def _begin_life(self) -> None:
        self._lock = threading.RLock()
        self._busy = False
        self._deferred: deque[Batch] = deque()
        self._closed = False
        self._stop_s: float | None = None
        self._segment: OpenSegment | None = None
        self._low = False
        self._space_s = float("-inf")
        self._sick: list[tuple[tuple[int, int], list[Batch]]] = []
        self._damaged: set[str] = set()
        self._news.begin_anew()
        self.counts = Counts()
        self._opener = Opener(self._signal, self._settings, self._fs, self._clocks, self.counts)
        self._upkeep = Upkeep(self, self._fs, self._settings, self._clocks.monotonic_s)

    @property
    def instance(self) -> str:
        """The random id of this writer; another one in each process."""
        return self._opener.instance

    @property
    def lock(self) -> threading.RLock:
        """What guards the writer's state, `counts` included."""
        return self._lock

    def append(self, batch: Batch) -> str | None:
        """Write a batch; return None when it is written, else the reason in one word.

        A signal handler that interrupted an append (or `prepare`) of its own thread is told None
        before its batch is written, and the interrupted call writes it before it returns. Should
        that write fail, no caller learns of it: the batch is counted as dropped, and it is logged.
        After `close` the reason is `closed`.
        """
        with self._lock:
            if self._closed:
                return self._refused(batch, "closed")
            if self._busy:
                return self._defer(batch)
            self._busy = True
            try:
                reason = self._append(batch)
            finally:
                self._busy = False
                if self._deferred or self._closed:
                    self._catch_up()
        if self._news.lines or self._closed:
            self._let_go()
        if reason is None and self._settings.sync == "interval":
            self._upkeep.wake()
        return reason

    def prepare(self, service: str) -> None:
        """Do now what the first record of a service would wait for, if it has an archive already.

        That is to recover what dead writers left, and to find the end of the service's chain.
        """
        with self._lock:
            self._busy = True
            try:
                self._upkeep.recover_behind(self._opener.prepare(service))
            except Exception as error:  # noqa: BLE001 # whatever it is, the service must start
                self._failed(error)
            finally:
                self._busy = False
                self._catch_up()
        self._let_go()

    def flush(self, timeout_s: float) -> bool:
        """Force to the disk what is written; False when that took longer or failed."""
        return self._settings.sync == "never" or self._upkeep.flush(timeout_s)

    def close(self, timeout_s: float) -> None:
        """Seal the open segment and release what is held, within `timeout_s` where the disk can.

        In a signal handler that interrupted an append of its own thread, that append does it.
        """
        with self._lock:
            if self._closed:
                return
            self._closed = True
            self._stop_s = timeout_s
            self._upkeep.compress_no_more()
            if self._busy:
                return
            self._retire()
        self._let_go()

    def before_fork(self, timeout_s: float) -> bool:
        """Hold the lock, so that no segment is being made while the process is copied."""
        return self._lock.acquire(timeout=timeout_s)

    def after_fork(self) -> None:
        """Begin a new life in a forked child: the parent's segment, lock and threads stay its own.

        The child's copies of the parent's descriptors are closed, which leaves the parent's lock
        alone and keeps it from outliving the parent. Nothing is written until a record comes.
        """
        held = [self._segment] if self._segment is not None else []
        for segment in held + self._upkeep.held():
            with suppress(OSError):  # it was closed while the process forked
                segment.close()
        self._begin_life()

    def failed(self, error: Exception) -> None:
        """Take note of an error that nobody foresaw, such as a lack of memory."""
        with self._lock:
            self._failed(error)
        self._news.tell()

    # What upkeep calls, on its thread, while it holds no lock.

    def tick(self) -> list[OpenSegment]:
        """Say what must be forced to the disk now: the open segment, or nothing."""
        with self._lock:
            dirty = self._dirty()
        self._news.tell()
        return dirty

    def synced(self, segment: OpenSegment, appended: int, seconds: float) -> None:
        """Take note that a segment's first `appended` batches are on the disk."""
        with self._lock:
            segment.settle(appended)
            self._sync_log.up()
        self._news.tell()
        if self._on_sync is not None:
            try:
                self._on_sync(seconds)
            except Exception as error:  # noqa: BLE001 # a callback's error is not the disk's
                self.failing("on_sync", error)
            else:
                self.working("on_sync")

    def sync_failed(self, segment: OpenSegment, error: Exception) -> None:
        """Leave a segment whose fsync failed, and write what it may have lost to a new one."""
        with self._lock:
            reason = _reason(error)
            self.counts.error(f"sync.{reason}")
            self._sync_log.down(reason, f"{segment.path}: {error}")
            if segment is self._segment:
                self._segment = None
                self._upkeep.release(segment)
            line = segment.pending[0][0] if segment.pending else segment.lines
            kept = [batch for _, batch in segment.pending]
            self._sick.append(((segment.name.sequence, line), kept))
            self._heal()
        self._news.tell()

    def heal(self) -> None:
        """Try once more to write again what a failed fsync may have lost."""
        with self._lock:
            if self._sick:
                self._heal()
        self._news.tell()

    def failing(self, what: str, error: Exception) -> None:
        """Count that work behind the callers' backs failed, and log it once."""
        with self._lock:
            reason = _reason(error)
            self.counts.error(f"{what}.{reason}")
            self._behind_logs[what].down(reason, str(error))
        self._news.tell()

    def working(self, what: str) -> None:
        """Take note that such work is well."""
        with self._lock:
            self._behind_logs[what].up()
        self._news.tell()

    def damaged(self, names: Sequence[str]) -> list[str]:
        """Count sealed segments that do not match their seal, each once; return those that are new.

        A recovery and a compression may both come upon one.
        """
        with self._lock:
            new = [name for name in names if name not in self._damaged]
            for name in new:
                self.counts.error("seal")
                if len(self._damaged) < DAMAGED_MAX:
                    self._damaged.add(name)
        return new

    def _let_go(self) -> None:
        """Do what must wait until the lock is free: log, and end the threads of a closed writer."""
        self._news.tell()
        timeout_s, self._stop_s = self._stop_s, None
        if timeout_s is not None:
            self._upkeep.stop(timeout_s)

    # Below, the lock is held; nothing is logged.

    def _defer(self, batch: Batch) -> str | None:
        if len(self._deferred) >= DEFERRED_MAX:
            return self._refused(batch, "busy")
        self._deferred.append(batch)
        return None

    def _catch_up(self) -> None:
        """Write what signal handlers left to the call that they interrupted, and close for them."""
        while self._deferred:  # one may come until this is found empty while nobody is busy
            self._busy = True
            try:
                while self._deferred:
                    self._append_late(self._deferred.popleft())
            finally:
                self._busy = False
        if self._closed:
            self._retire()

    def _append_late(self, batch: Batch) -> None:
        reason = self._append(batch)
        if reason is None:
            self._late_log.up()
        else:
            self._late_log.down(reason, f"{batch.records} were acknowledged and are lost")
        if self._settings.sync == "interval":
            self._upkeep.wake()

    def _append(self, batch: Batch) -> str | None:
        try:
            try:
                self._write(batch)
            except OSError as error:
                if error.errno in _FULL or self._segment is None:
                    raise
                self._leave(error)
                self._write(batch)
        except Exception as error:  # noqa: BLE001 # whatever it is, the batch was not kept
            if self._segment is not None and self._segment.broken:
                self._leave(error)
                return self._refused(batch, _reason(error))
            return self._refused(batch, self._failed(error))
        self.counts.records += batch.records
        self.last_error = None
        self._log.up()
        return None

    def _write(self, batch: Batch) -> None:
        now_s = self._clocks.monotonic_s()
        self._check(batch, now_s)
        segment = self._segment
        if segment is None:
            if self._sick:
                raise OSError(errno.EIO, "an earlier fsync failed, and no new segment works yet")
            segment = self._segment = self._begun(batch)
        self._room(segment, now_s)
        before = segment.size
        commit = batch.commit or now_s - segment.committed_s >= COMMIT_INTERVAL_S
        segment.append(batch, commit=commit)
        self.counts.bytes += segment.size - before
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
        segment = self._segment
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
            self._retire()

    def _room(self, segment: OpenSegment, now_s: float) -> None:
        """Refuse to fill the last of a disk; metrics stop first, then events."""
        if not self._low and now_s - self._space_s < SPACE_INTERVAL_S:
            return
        self._space_s = now_s
        space = self._fs.space(segment.directory)
        floor = self._settings.free_bytes_min
        if floor is None:
            floor = min(_FREE_MIN, space.total // _FREE_PART)
        self._low = space.free < floor * _FLOOR[self._signal]
        if self._low:
            raise OSError(errno.ENOSPC, f"{space.free} bytes are free, fewer than the floor")

    def _dirty(self) -> list[OpenSegment]:
        segment = self._segment
        if segment is None:
            return []
        now_s = self._clocks.monotonic_s()
        try:
            self._commit(segment, now_s)
        except OSError as error:
            self._leave(error)
            return []
        if now_s - segment.opened_s >= self._settings.rotate_interval_s:
            self._retire()
            return []
        return [segment] if segment.dirty else []

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
        self.counts.bytes += segment.size - before

    def _retire(self) -> None:
        """Seal the open segment and hand it to upkeep, which syncs and closes it."""
        segment, self._segment = self._segment, None
        if segment is None:
            return
        before = segment.size
        try:
            if not segment.broken:
                segment.seal()
        except OSError as error:  # the next start seals it
            self._failed(error)
        if segment.sealed:
            self._opener.sealed(segment)
            self.counts.segments_sealed += 1
            self.counts.bytes += segment.size - before
        self._upkeep.retire(segment)

    def _leave(self, error: Exception) -> None:
        """Leave a segment that could not be written."""
        self._failed(error)
        self._retire()

    def _lost(self, segment: OpenSegment) -> None:
        """Begin anew, as a new writer, after somebody moved, removed or changed our file."""
        self._failed(OSError(errno.ESTALE, f"{segment.path} was moved, removed or changed"))
        gone = True
        with suppress(OSError):  # what cannot even be asked counts as gone
            gone = self._fs.status(segment.descriptor).links == 0
        if gone:
            self.counts.drop("removed", segment.records)
        self._segment = None
        self._upkeep.retire(segment)
        self._opener.anew()

    def _heal(self) -> None:
        self._retire()
        batches = [batch for _, kept in self._sick for batch in kept]
        if not batches:
            self._sick.clear()
            return
        try:
            positions = [position for position, _ in self._sick]
            segment, _ = self._opener.begin(batches[0], positions)
        except _FAULTS as error:
            self._failed(error)
            return
        try:
            for batch in batches:
                segment.append(batch, commit=batch.commit)
        except OSError as error:
            self._failed(error)
            self._sick.append(((segment.name.sequence, 1), []))  # the next one has it all again
            segment.settle(segment.appended)
            self._upkeep.retire(segment)
        else:
            self._segment = segment
            self._sick.clear()

    def _refused(self, batch: Batch, reason: str) -> str:
        self.counts.drop(reason, batch.records)
        self.last_error = self.last_error or reason
        return reason

    def _failed(self, error: Exception) -> str:
        reason = _reason(error)
        self.counts.error(reason)
        self._log.down(reason, str(error))
        self.last_error = f"{reason}: {error}"
        return reason


def _reason(error: Exception) -> str:
    if isinstance(error, UnsafeArchiveError):
        return "unsafe"
    if isinstance(error, OSError) and error.errno is not None:
        return errno.errorcode.get(error.errno, str(error.errno))
    return type(error).__name__
