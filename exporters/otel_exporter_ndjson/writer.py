"""The one writer of a process for one signal: what many threads and signal handlers may call.

The caller makes the write, so that what it acknowledges survives a kill. Forcing to the disk,
closing and compressing is `upkeep`'s, on threads of its own: in mode `interval` no caller waits for
the disk, but once in an archive's life for its id. In mode `always` a caller hands its batch over
to upkeep's thread, which writes and syncs for all who wait: so it takes no lock that others hold
while they write.
"""

import errno
import logging
import threading
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Final

from otel_exporter_ndjson.current import Current
from otel_exporter_ndjson.errors import UnsafeArchiveError
from otel_exporter_ndjson.fs import Fs, RealFs
from otel_exporter_ndjson.openfile import OpenSegment, Ticket
from otel_exporter_ndjson.opening import Clocks, Opener
from otel_exporter_ndjson.retention import Retention
from otel_exporter_ndjson.sealkey import SealKey
from otel_exporter_ndjson.settings import Settings
from otel_exporter_ndjson.states import News, StateLog
from otel_exporter_ndjson.stats import Counts
from otel_exporter_ndjson.streams import Batch, joined
from otel_exporter_ndjson.upkeep import Upkeep

__all__ = ["SegmentWriter"]

_logger = logging.getLogger("otel_exporter_ndjson")

SYNC_WAIT_S: Final = 5.0
"""How long a caller in mode `always` waits for the disk; then its records are unacknowledged."""
DAMAGED_MAX: Final = 1_000
"""Damaged segments that are remembered, so that each is counted once."""
DEFERRED_MAX: Final = 1_000
"""Batches of signal handlers that interrupted a write of their own thread, and batches that were
handed over and are not yet written."""
HANDED_OVER_LOOK: Final = 64
HANDED_OVER_BYTES_MAX: Final = 64 * 2**20
"""So many bytes of them, looked at from so many batches on."""
TOGETHER_BYTES_MAX: Final = 2**20
"""Events that were handed over and go to the file by one write."""


class SegmentWriter:
    """Appends batches to the segments of one signal. Thread-safe; never raises.

    Args:
        key: what seals are signed with.
        retention: what removes sealed segments, where there is a limit.
        refusal: why nothing may be written at all; every batch is then refused as `unsafe`.

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
        key: SealKey | None = None,
        retention: Retention | None = None,
        refusal: str | None = None,
    ) -> None:
        self._refusal = refusal
        self._signal = signal
        self._key = key
        self._retention = retention
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
        self._unwaited: deque[tuple[str, int]] = deque()
        self._handed_over: deque[tuple[Batch, Ticket]] = deque()
        self._closed = False
        self._stop_s: float | None = None
        self._damaged: set[str] = set()
        self._news.begin_anew()
        self.counts = Counts()
        self._opener = Opener(
            self._signal, self._settings, self._fs, self._clocks, self.counts, self._key
        )
        self._upkeep = Upkeep(
            self,
            self._fs,
            self._settings,
            self._clocks.monotonic_s,
            key=self._key,
            retention=self._retention,
        )
        self._current = Current(
            self._signal,
            self._settings,
            fs=self._fs,
            clocks=self._clocks,
            counts=self.counts,
            opener=self._opener,
            upkeep=self._upkeep,
            key=self._key,
            failed=self._failed,
        )

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

        In mode `always` None means that it is on the disk. A batch that does not come there within
        5 s is `unacknowledged`: it may still come, but nobody must rely on it.

        In the other modes a signal handler that interrupted an append (or `prepare`) of its own
        thread is told None before its batch is written, and the interrupted call writes it before
        it returns. Should that write fail, no caller learns of it: the batch is counted as dropped,
        and it is logged. After `close` the reason is `closed`.
        """
        if self._settings.sync == "always":
            return self._hand_over(batch)
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
                self._permitted()
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
            self._take()
            self._current.retire()
        self._let_go()

    def before_fork(self, timeout_s: float) -> bool:
        """Hold the lock, so that no segment is being made while the process is copied."""
        return self._lock.acquire(timeout=timeout_s)

    def after_fork(self) -> None:
        """Begin a new life in a forked child: the parent's segment, lock and threads stay its own.

        The child's copies of the parent's descriptors are closed, which leaves the parent's lock
        alone and keeps it from outliving the parent. Nothing is written until a record comes.
        """
        segment = self._current.segment
        held = [] if segment is None else [segment]
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

    def take(self) -> None:
        """Write what callers handed over."""
        with self._lock:
            self.tally()
            self._take()

    def tick(self) -> list[OpenSegment]:
        """Say what must be forced to the disk now: the open segment, or nothing."""
        with self._lock:
            dirty = self._current.due()
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
            except BaseException as error:  # noqa: BLE001 # it must not end this thread either
                self.failing("on_sync", error)
            else:
                self.working("on_sync")

    def sync_failed(self, segment: OpenSegment, error: Exception) -> None:
        """Leave a segment whose fsync failed, and write what it may have lost to a new one."""
        with self._lock:
            reason = _reason(error)
            self.counts.error(f"sync.{reason}")
            self._sync_log.down(reason, f"{segment.path}: {error}")
            self._current.distrust(segment)
        self._news.tell()

    def heal(self) -> None:
        """Try once more to write again what a failed fsync may have lost."""
        with self._lock:
            self._current.heal()
        self._news.tell()

    def ended(self) -> None:
        """Retire the segment that was begun at the end, because an fsync failed."""
        with self._lock:
            self._current.retire()

    def failing(self, what: str, error: BaseException) -> None:
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

    def _hand_over(self, batch: Batch) -> str | None:
        """Have upkeep's thread write and sync a batch, and wait for it, without the lock."""
        if self._is_full():
            self._unwaited.append(("busy", batch.records))
            return "busy"
        ticket = Ticket()
        self._handed_over.append((batch, ticket))
        # A signal handler may have interrupted a frame that holds the lock, as at the end: the
        # thread cannot write before that frame goes on.
        interrupting = self._lock._is_owned()  # type: ignore[attr-defined] # as Condition asks it
        if self._upkeep.awaited(ticket, 0 if interrupting else SYNC_WAIT_S):
            return ticket.reason
        self._unwaited.append(("unacknowledged", batch.records))
        self.last_error = self.last_error or "the disk did not confirm what was written"
        return "unacknowledged"

    def tally(self) -> None:
        """Count what callers could not wait for the lock to count; the lock is held."""
        while self._unwaited:
            reason, records = self._unwaited.popleft()
            if reason == "busy":
                self.counts.drop(reason, records)
            else:
                self.counts.error(reason, records)

    def _is_full(self) -> bool:
        """Whether more waits to be written than memory should hold, as where a disk hangs."""
        waiting = len(self._handed_over)
        if waiting < HANDED_OVER_LOOK:
            return False
        size = sum([batch.size for batch, _ in list(self._handed_over)])
        return waiting >= DEFERRED_MAX or size > HANDED_OVER_BYTES_MAX

    def _let_go(self) -> None:
        """Do what must wait until the lock is free: log, and end the threads of a closed writer."""
        self._news.tell()
        timeout_s, self._stop_s = self._stop_s, None
        if timeout_s is not None:
            self._upkeep.stop(timeout_s)

    # Below, the lock is held; nothing is logged.

    def _take(self) -> None:
        """Write what was handed over, and tell those who wait what could not be."""
        while self._handed_over and not self._busy:
            self._busy = True
            try:
                self._write_together(self._next_together())
            finally:
                self._busy = False

    def _next_together(self) -> list[tuple[Batch, Ticket]]:
        """Take a metric batch, or events of one origin that one write can take."""
        taken = [self._handed_over.popleft()]
        first, _ = taken[0]
        size = first.size
        while self._handed_over and not first.commit:
            batch, _ = self._handed_over[0]
            size += batch.size
            if batch.commit or batch.origin != first.origin or size > TOGETHER_BYTES_MAX:
                break
            taken.append(self._handed_over.popleft())
        return taken

    def _write_together(self, taken: list[tuple[Batch, Ticket]]) -> None:
        closed = self._closed and self._current.segment is None
        batch = joined([batch for batch, _ in taken])
        tickets = [ticket for _, ticket in taken]
        reason = self._refused(batch, "closed") if closed else self._append(batch, tickets)
        if reason is not None:
            for ticket in tickets:
                ticket.settle(reason)

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
            self._current.retire()

    def _append_late(self, batch: Batch) -> None:
        reason = self._append(batch)
        if reason is None:
            self._late_log.up()
        else:
            self._late_log.down(reason, f"{batch.records} were acknowledged and are lost")
        if self._settings.sync == "interval":
            self._upkeep.wake()

    def _append(self, batch: Batch, tickets: Sequence[Ticket] = ()) -> str | None:
        try:
            self._permitted()
            self._current.append(batch, tickets)
        except Exception as error:  # noqa: BLE001 # whatever it is, the batch was not kept
            segment = self._current.segment
            if segment is not None and segment.broken:
                return self._refused(batch, self._current.leave(error))
            return self._refused(batch, self._failed(error))
        self.counts.records += batch.records
        self.last_error = None
        self._log.up()
        return None

    def _permitted(self) -> None:
        if self._refusal is not None:
            raise UnsafeArchiveError(self._refusal)

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


def _reason(error: BaseException) -> str:
    if isinstance(error, UnsafeArchiveError):
        return "unsafe"
    if isinstance(error, OSError) and error.errno is not None:
        return errno.errorcode.get(error.errno, str(error.errno))
    return type(error).__name__
