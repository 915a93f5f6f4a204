"""The one writer of a process for one signal: which segment a batch goes to, and what if not.

The caller makes the write, so that what it acknowledges survives a kill. Forcing to the disk,
closing and compressing is `upkeep`'s, on threads of its own: in mode `interval` no caller ever
waits for the disk.
"""

import errno
import logging
import os
import secrets
import socket
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from otel_exporter_ndjson.errors import DamagedError, UnsafeArchiveError
from otel_exporter_ndjson.folders import Folders, archive_id, opened
from otel_exporter_ndjson.fs import Fs, RealFs
from otel_exporter_ndjson.openfile import OpenSegment
from otel_exporter_ndjson.previous import newest_sealed
from otel_exporter_ndjson.recovery import recover_service
from otel_exporter_ndjson.segments import SegmentName, Writer, date_folder, segment_line
from otel_exporter_ndjson.settings import Settings
from otel_exporter_ndjson.states import StateLog
from otel_exporter_ndjson.stats import Counts
from otel_exporter_ndjson.streams import Batch
from otel_exporter_ndjson.upkeep import Upkeep

__all__ = ["Clocks", "SegmentWriter"]

_logger = logging.getLogger("otel_exporter_ndjson")

COMMIT_INTERVAL_S: Final = 1.0
"""Between two commit lines among events; a metric export always ends with one."""
PENDING_BYTES_MAX: Final = 8 * 2**20
"""What is kept in memory of what no fsync has confirmed, to write it again should one fail."""
RECOVERY_START_S: Final = 0.5
"""How long a start may be held up by sealing what dead writers left; the rest is done behind."""
DEFERRED_MAX: Final = 1_000
"""Batches of signal handlers that interrupted a write of their own thread."""
_FREE_MIN: Final = 2**30
_FREE_PART: Final = 20
_FLOOR: Final = {"metrics": 1.0, "events": 0.5, "audit": 0.25}
_FULL: Final = frozenset({errno.ENOSPC, errno.EDQUOT})
_DAY_NS: Final = 86_400 * 10**9
_CREATE_TRIES: Final = 3


@dataclass(frozen=True, slots=True)
class Clocks:
    """Where the time comes from: of the world in nanoseconds, and one that never goes back."""

    world_ns: Callable[[], int] = time.time_ns
    monotonic_s: Callable[[], float] = time.monotonic


class SegmentWriter:
    """Appends batches to the segments of one signal. Thread-safe; never raises."""

    def __init__(
        self, signal: str, settings: Settings, *, fs: Fs | None = None, clocks: Clocks | None = None
    ) -> None:
        self._signal = signal
        self._settings = settings
        self._fs: Fs = fs or RealFs()
        self._clocks = clocks or Clocks()
        self._folders = Folders(
            self._fs,
            os.path.abspath(settings.path),
            file_mode=settings.file_mode,
            dir_mode=settings.dir_mode,
            allow_network_fs=settings.allow_network_fs,
        )
        self._log = StateLog(_logger, f"{signal} archive {settings.path}")
        self._begin_life()

    def _begin_life(self) -> None:
        self._lock = threading.RLock()
        self._busy = False
        self._deferred: deque[Batch] = deque(maxlen=DEFERRED_MAX)
        self._closed = False
        self._segment: OpenSegment | None = None
        self._sequence = 0
        self._previous: tuple[str, str] | None = None
        self._prepared: set[str] = set()
        self._low = False
        self._space_s = float("-inf")
        self._sick: list[tuple[tuple[int, int], list[Batch]]] = []
        self.counts = Counts()
        self._writer = Writer(
            instance=secrets.token_hex(8),
            host=socket.gethostname(),
            pid=os.getpid(),
            start_ns=self._clocks.world_ns(),
        )
        self._upkeep = Upkeep(self, self._fs, self._settings, self._clocks.monotonic_s)

    @property
    def instance(self) -> str:
        """The random id of this writer; another one in each process."""
        return self._writer.instance

    @property
    def lock(self) -> threading.RLock:
        """What guards the writer's state, `counts` included."""
        return self._lock

    def append(self, batch: Batch) -> str | None:
        """Write a batch; return None when it is written, else the reason in one word.

        In a signal handler that interrupts an append of its own thread the batch is written when
        that append ends.
        """
        with self._lock:
            if self._busy:
                self._deferred.append(batch)
                return None
            self._busy = True
            try:
                reason = self._append(batch)
                while self._deferred:
                    self._append(self._deferred.popleft())
            finally:
                self._busy = False
        if self._settings.sync == "interval":
            self._upkeep.wake()
        return reason

    def prepare(self, service: str) -> None:
        """Recover what dead writers of a service left, now and not with the first record."""
        with self._lock:
            try:
                if self._fs.status_of(self._folders.path) is None:
                    return  # nothing was ever written, and nothing is written now
                with opened(self._fs, self._folders.open_root()) as root:
                    self._prepare(root, service)
            except (OSError, UnsafeArchiveError, DamagedError) as error:
                self._failed(error)

    def flush(self, timeout_s: float) -> bool:
        """Force to the disk what is written; False when that took longer or failed."""
        if self._settings.sync == "never":
            return True
        return self._upkeep.flush(timeout_s)

    def close(self, timeout_s: float) -> None:
        """Seal the open segment and release what is held, within `timeout_s` where the disk can."""
        with self._lock:
            if self._closed:
                return
            self._closed = True
            self._retire()
        self._upkeep.stop(timeout_s)

    def after_fork(self) -> None:
        """Begin a new life in a forked child: the parent's segment, lock and threads stay its own.

        The child's copies of the parent's descriptors are closed, which leaves the parent's lock
        alone and keeps it from outliving the parent. Nothing is written until a record comes.
        """
        held = [self._segment] if self._segment is not None else []
        held += self._upkeep.held()
        for segment in held:
            try:
                segment.close()
            except OSError:
                continue  # the fork came between its closing and our taking note of it
        self._begin_life()

    # What upkeep calls, on its thread.

    def tick(self) -> list[OpenSegment]:
        """Say what must be forced to the disk now: the open segment, committed, or nothing."""
        with self._lock:
            segment = self._segment
            if segment is None or self._busy:
                return []
            try:
                if segment.committed != segment.records:
                    segment.commit()
                    segment.committed_s = self._clocks.monotonic_s()
            except OSError as error:
                self._broken(error)
                return []
            due = self._clocks.monotonic_s() - segment.opened_s
            if due >= self._settings.rotate_interval_s:
                self._retire()
                return []
            return [segment] if segment.dirty else []

    def synced(self, segment: OpenSegment, batches: int, seconds: float) -> None:
        """Take note that the first `batches` pending batches of a segment are on the disk."""
        with self._lock:
            self.counts.synced(seconds)
            del segment.pending[:batches]
            segment.pending_bytes = sum([batch.size for _, batch in segment.pending])
            segment.dirty = segment.dirty and bool(segment.pending)

    def sync_failed(self, segment: OpenSegment, error: OSError) -> None:
        """Close a segment whose fsync failed, and write what it may have lost to a new one."""
        with self._lock:
            self._failed(error)
            if segment is self._segment:
                self._segment = None
                self._upkeep.drop(segment)
            line = segment.pending[0][0] if segment.pending else segment.lines
            kept = [batch for _, batch in segment.pending]
            self._sick.append(((segment.name.sequence, line), kept))
            self._heal()

    def heal(self) -> None:
        """Try once more to write again what a failed fsync may have lost."""
        with self._lock:
            if self._sick and self._segment is None:
                self._heal()

    # Below, the lock is held.

    def _append(self, batch: Batch) -> str | None:
        if self._closed:
            return self._refused(batch, "shutdown")
        try:
            try:
                self._write(batch)
            except OSError as error:
                if error.errno in _FULL or self._segment is None:
                    raise
                self._broken(error)
                self._write(batch)
        except (OSError, UnsafeArchiveError, DamagedError) as error:
            if self._segment is not None and self._segment.broken:
                self._abandon()
            return self._refused(batch, self._failed(error))
        self.counts.records += batch.records
        self._log.up()
        return None

    def _write(self, batch: Batch) -> None:
        now_s = self._clocks.monotonic_s()
        self._check(batch, now_s)
        segment = self._segment
        if segment is None:
            if self._sick:
                raise OSError(errno.EIO, "an earlier fsync failed, and no new segment works yet")
            segment = self._begin(batch)
        self._room(segment, now_s)
        before = segment.size
        commit = batch.commit or now_s - segment.committed_s >= COMMIT_INTERVAL_S
        segment.append(batch, commit=commit)
        self.counts.bytes += segment.size - before
        if commit:
            segment.committed_s = now_s
        if self._settings.sync == "never":
            segment.pending.clear()
            segment.pending_bytes = 0
        elif segment.pending_bytes > PENDING_BYTES_MAX:
            segment.forget_oldest(PENDING_BYTES_MAX)

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
            or self._clocks.world_ns() // _DAY_NS != segment.day
            or segment.service != batch.origin.service
        ):
            self._retire()

    def _room(self, segment: OpenSegment, now_s: float) -> None:
        """Refuse to fill the last of a disk; metrics stop first, then events."""
        if not self._low and now_s - self._space_s < 1.0:
            return
        self._space_s = now_s
        space = self._fs.space(segment.directory)
        floor = self._settings.free_bytes_min
        if floor is None:
            floor = min(_FREE_MIN, space.total // _FREE_PART)
        self._low = space.free < floor * _FLOOR[self._signal]
        if self._low:
            raise OSError(errno.ENOSPC, f"{space.free} bytes are free, fewer than the floor")

    def _begin(self, batch: Batch, continues: Sequence[tuple[int, int]] = ()) -> OpenSegment:
        service = batch.origin.service
        with opened(self._fs, self._folders.open_root()) as root:
            self._prepare(root, service)
            archive = archive_id(self._fs, root)
            with opened(self._fs, self._folders.open_service(root, self._signal, service)) as made:
                segment = self._create(made, batch)
        line = segment_line(
            archive=archive,
            signal=self._signal,
            resource=batch.origin.json,
            writer=self._writer,
            sequence=segment.name.sequence,
            previous=self._previous,
            continues=continues,
        )
        try:
            segment.head(line)
        except OSError:
            self._discard(segment)
            raise
        self.counts.bytes += segment.size
        self._sequence = self.counts.head_sequence = segment.name.sequence
        self._segment = segment
        return segment

    def _create(self, service: int, batch: Batch) -> OpenSegment:
        now_ns = self._clocks.world_ns()
        date = date_folder(now_ns)
        directory = self._folders.open_date(service, date)
        try:
            for attempt in range(_CREATE_TRIES):
                name = SegmentName.at(now_ns + attempt * 1000, self.instance, self._sequence + 1)
                descriptor = self._fs.create(directory, str(name), self._settings.file_mode)
                try:
                    facts = self._fs.status(descriptor)
                    # A recovery that came between these two calls has set the empty file aside.
                    if self._fs.lock(descriptor) and facts.same(
                        self._fs.status_at(directory, str(name))
                    ):
                        return self._opened(name, date, batch, directory, descriptor, now_ns)
                except OSError:
                    self._fs.close(descriptor)
                    raise
                self._fs.close(descriptor)
            raise OSError(errno.EAGAIN, "every new segment was taken by a recovery")
        except BaseException:
            self._fs.close(directory)
            raise

    def _opened(
        self, name: SegmentName, date: str, batch: Batch, directory: int, descriptor: int, ns: int
    ) -> OpenSegment:
        now_s = self._clocks.monotonic_s()
        return OpenSegment(
            fs=self._fs,
            name=name,
            path=self._folders.segment_path(self._signal, batch.origin.service, date, str(name)),
            service=batch.origin.service,
            day=ns // _DAY_NS,
            origin=batch.origin,
            directory=directory,
            descriptor=descriptor,
            facts=self._fs.status(descriptor),
            opened_s=now_s,
            checked_s=now_s,
            committed_s=now_s,
        )

    def _prepare(self, root: int, service: str) -> None:
        """Once for each service: seal what dead writers left, and find the end of the chain."""
        if service in self._prepared:
            return
        self._prepared.add(service)
        with opened(self._fs, self._folders.open_service(root, self._signal, service)) as folder:
            until_s = self._clocks.monotonic_s() + RECOVERY_START_S
            for result in recover_service(
                self._fs,
                folder,
                compress=False,
                until_s=until_s,
                monotonic=self._clocks.monotonic_s,
            ):
                if result.action == "failed":
                    self.counts.error("recovery")
            if self._previous is None:
                self._previous = newest_sealed(self._fs, folder)
            path = self._folders.segment_path(self._signal, service)
            self._upkeep.recover_behind(path)

    def _retire(self) -> None:
        """Seal the open segment and hand it to upkeep, which syncs and closes it."""
        segment = self._segment
        if segment is None:
            return
        self._segment = None
        before = segment.size
        try:
            segment.seal()
        except OSError as error:  # the next start seals it
            self._failed(error)
        else:
            self._previous = (str(segment.name), segment.sha256)
            self.counts.segments_sealed += 1
            self.counts.bytes += segment.size - before
        self._upkeep.retire(segment)

    def _broken(self, error: OSError) -> None:
        """Leave a segment that could not be written; the next start seals what it holds."""
        self._failed(error)
        segment = self._segment
        if segment is not None and segment.broken:
            self._abandon()
        else:
            self._retire()

    def _abandon(self) -> None:
        segment, self._segment = self._segment, None
        if segment is not None:
            self._upkeep.retire(segment)

    def _discard(self, segment: OpenSegment) -> None:
        """Remove a segment that could not even take its first line."""
        try:
            if not segment.broken:
                self._fs.unlink(segment.directory, str(segment.name))
        except OSError:
            _logger.debug("the empty segment %s stays", segment.name)
        finally:
            segment.close()

    def _lost(self, segment: OpenSegment) -> None:
        """Begin anew, as a new writer, after somebody moved, removed or changed our file."""
        self._failed(OSError(errno.ESTALE, f"{segment.path} was moved, removed or changed"))
        gone = True
        try:
            gone = self._fs.status(segment.descriptor).links == 0
        except OSError:
            _logger.debug("the lost segment %s cannot be asked", segment.name)
        if gone:
            self.counts.drop("removed", segment.records)
        self._abandon()
        self._writer = Writer(
            instance=secrets.token_hex(8),
            host=self._writer.host,
            pid=self._writer.pid,
            start_ns=self._clocks.world_ns(),
        )
        self._sequence = 0
        self._previous = None
        self._prepared.clear()

    def _heal(self) -> None:
        if self._segment is not None:
            self._retire()
        batches = [batch for _, kept in self._sick for batch in kept]
        if not batches:
            self._sick.clear()
            return
        try:
            segment = self._begin(batches[0], [position for position, _ in self._sick])
            for batch in batches:
                segment.append(batch, commit=batch.commit)
        except (OSError, UnsafeArchiveError, DamagedError) as error:
            self._failed(error)
            self._abandon()
        else:
            self._sick.clear()

    def _refused(self, batch: Batch, reason: str) -> str:
        self.counts.drop(reason, batch.records)
        return reason

    def _failed(self, error: Exception) -> str:
        if isinstance(error, UnsafeArchiveError):
            reason = "unsafe"
        elif isinstance(error, OSError) and error.errno is not None:
            reason = errno.errorcode.get(error.errno, str(error.errno))
        else:
            reason = type(error).__name__
        self.counts.error(reason)
        self._log.down(reason, str(error))
        return reason
