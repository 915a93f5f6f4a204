"""What happens behind the callers' backs: fsync once an interval or at once, and closing.

One thread a writer; it sleeps while nothing is dirty, and `compressor` has another. After a fork
the writer makes a new one of these. What a recording thread calls here takes no lock that a signal
handler of that thread could find taken.

In mode `always` the callers hand their batches over and wait, and the thread writes and syncs for
all of them. Those whom it lets go soon come again, so it waits for them for a part of the time that
an fsync takes: with eight threads one fsync then serves eight and not four.
"""

import errno
import os
import threading
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from queue import Empty, SimpleQueue
from typing import Final, Protocol

from otel_exporter_ndjson.bell import Bell
from otel_exporter_ndjson.compressor import Compressor, Heeding
from otel_exporter_ndjson.folders import opened
from otel_exporter_ndjson.fs import Fs
from otel_exporter_ndjson.openfile import OpenSegment, Ticket
from otel_exporter_ndjson.retention import Retention
from otel_exporter_ndjson.sealkey import SealKey
from otel_exporter_ndjson.settings import Settings

__all__ = ["Upkeep"]

PROBE_MAX_S: Final = 60.0
FAILURES_MAX: Final = 16
"""After a failed fsync each probe waits twice as long as the one before, up to `PROBE_MAX_S`."""
FAILURES_STICKY: Final = 2
"""From this many failed passes on no caller waits for an fsync before a probe has worked."""
GATHER_PART: Final = 0.5
"""The part of the last fsync's duration that the next one waits for callers to write again."""
GATHER_MAX_S: Final = 0.002
_TOO_MANY_OPEN: Final = frozenset({errno.EMFILE, errno.ENFILE})
"""What keeps a folder from being opened to be forced to the disk."""
_NOBODY: Final = 2**31


class Syncable(Heeding, Protocol):
    """The writer, as its upkeep sees it."""

    def take(self) -> None:
        """Write what callers handed over and wait for."""

    def tick(self) -> list[OpenSegment]:
        """Say what must be forced to the disk now."""

    def ended(self) -> None:
        """Retire what a failing disk has left open."""

    def synced(self, segment: OpenSegment, appended: int, seconds: float) -> None:
        """Take note of an fsync that worked."""

    def sync_failed(self, segment: OpenSegment, error: Exception) -> None:
        """Take note of one that did not; never retried on the same segment."""

    def heal(self) -> None:
        """Try to leave the state after a failed fsync."""


class Upkeep:
    """The thread of one writer that forces to the disk, begun when there is work."""

    def __init__(
        self,
        writer: Syncable,
        fs: Fs,
        settings: Settings,
        monotonic_s: Callable[[], float],
        *,
        key: SealKey | None = None,
        retention: Retention | None = None,
    ) -> None:
        self._writer = writer
        self._fs = fs
        self._settings = settings
        self._root = os.path.abspath(settings.path)
        self._monotonic_s = monotonic_s
        self._starting = threading.RLock()  # a signal handler may come to it twice
        self._thread: threading.Thread | None = None
        self._bell = Bell()
        self._written = False
        self._asked: deque[SimpleQueue[bool]] = deque()
        self._ending = self._over = False
        self._healthy = True
        self._failures = 0
        self._retired: deque[OpenSegment] = deque()
        self._urgent = False
        self._tickets: set[Ticket] = set()
        self._callers = 0
        self._gathered_for = _NOBODY
        self._sync_s = 0.0
        self._compressor = Compressor(
            writer, fs, compress=settings.compression == "zstd", key=key, retention=retention
        )

    def wake(self) -> None:
        """Say that something was written; it is on the disk an interval later."""
        if not self._written:
            self._written = True
            self._bell.ring()
            if self._thread is None:
                self._start()

    def awaited(self, ticket: Ticket, timeout_s: float) -> bool:
        """Have the thread write and sync what was handed over; say whether it did in time.

        While the disk fails nobody waits, nor on the thread itself, where a log line may be
        archived.
        """
        if self._failures >= FAILURES_STICKY or self._thread is threading.current_thread():
            self.wake()
            return False
        self._tickets.add(ticket)
        if not self._urgent:
            self._written = self._urgent = True
            self._bell.ring()
        elif len(self._tickets) >= self._gathered_for:
            self._bell.ring()
        if self._over or not self._start():
            self._serve()
            timeout_s = 0
        done = ticket.wait(timeout_s)
        self._tickets.discard(ticket)
        return done

    def retire(self, segment: OpenSegment) -> None:
        """Take a segment that no one writes to any more: sync, close and compress it."""
        if self._settings.sync == "never":
            self._finish(segment)
            return
        self._retired.append(segment)
        self.wake()

    def release(self, segment: OpenSegment) -> None:
        """Close a segment that no fsync will make good."""
        _close(segment)

    def held(self) -> list[OpenSegment]:
        """The segments that are closed and not yet released; asked by a forked child only."""
        return list(self._retired)

    def recover_behind(self, paths: list[str]) -> None:
        """Recover the rest of services' folders, and compress what is sealed there."""
        for path in paths:
            self._compressor.recover(path)

    def compress_no_more(self) -> None:
        """Leave to the next start what is not compressed by now."""
        self._compressor.stop()

    def flush(self, timeout_s: float) -> bool:
        """Force everything to the disk now, on the thread; False when it failed or took longer."""
        if self._thread is None and not self._written:
            return True
        answer: SimpleQueue[bool] = SimpleQueue()
        self._asked.append(answer)
        self._bell.ring()
        if self._over:
            return self._healthy
        if not self._start():
            return False
        try:
            return answer.get(timeout=min(max(timeout_s, 0.0), threading.TIMEOUT_MAX))
        except Empty:
            with suppress(ValueError):  # it is being answered now, and too late
                self._asked.remove(answer)
            return False

    def stop(self, timeout_s: float) -> None:
        """Sync and close what is left, and end the thread, within `timeout_s` seconds."""
        self._ending = True
        self._bell.ring()
        with self._starting:
            thread = self._thread
        if thread is None:
            self._end()
        else:
            with suppress(RuntimeError):  # a signal handler came while it was being started
                thread.join(timeout_s)

    def _start(self) -> bool:
        """Begin the thread unless there is one or the end has come; say whether there is one."""
        with self._starting:
            if self._thread is None and not self._ending:
                self._thread = threading.Thread(
                    target=self._run, name="otel-exporter-ndjson-sync", daemon=True
                )
                try:
                    self._thread.start()
                except RuntimeError:  # the interpreter ends: what is written is with the kernel
                    self._thread = None
            return self._thread is not None

    def _run(self) -> None:
        while not self._ending:
            self._rest()
            self._gather()
            self._written = self._urgent = False
            self._healthy = self._serve()
            self._failures = 0 if self._healthy else min(self._failures + 1, FAILURES_MAX)
            if self._failures:
                self._written = True
                self._urgent = bool(self._tickets)
        self._end()

    def _gather(self) -> None:
        """Give callers that the last fsync let go the time to write what this one may cover."""
        if self._callers > 1 and self._tickets:
            self._gathered_for = callers = self._callers
            wait_s = min(self._sync_s * GATHER_PART, GATHER_MAX_S)
            self._bell.wait(wait_s, lambda: len(self._tickets) >= callers or self._ending)
            self._gathered_for = _NOBODY

    def _end(self) -> None:
        self._healthy = self._serve()
        while self._retired and self._healthy:  # a call that was under way when the end came
            self._healthy = self._serve()
        self._over = True  # from here on who asks serves himself
        self._serve()
        self._writer.ended()
        while self._retired:  # no fsync made these good
            self._finish(self._retired.popleft())
        _answer(self._take_asked(), healthy=self._healthy)

    def _rest(self) -> None:
        """Sleep until something is written and then for an interval, unless there is a hurry."""
        interval_s = self._settings.sync_interval_s
        self._bell.wait(self._settings.rotate_interval_s, lambda: self._written or self._hurried())
        if self._written:
            wait_s = min(interval_s * 2**self._failures, max(interval_s, PROBE_MAX_S))
            self._bell.wait(wait_s, self._hurried)

    def _hurried(self) -> bool:
        """Whether somebody waits for the disk or for the end."""
        urgent = self._urgent and self._failures < FAILURES_STICKY
        return self._ending or bool(self._asked) or urgent

    def _take_asked(self) -> list[SimpleQueue[bool]]:
        taken: list[SimpleQueue[bool]] = []
        with suppress(IndexError):  # that was the last
            while True:
                taken.append(self._asked.popleft())
        return taken

    def _serve(self) -> bool:
        """Make one pass, and tell those who asked for it before it began; never raises."""
        asked = self._take_asked()
        try:
            healthy = self._pass()
        except Exception as error:  # noqa: BLE001 # whatever it is, the next pass must come
            self._writer.failing("upkeep", error)
            healthy = False
        else:
            self._writer.working("upkeep")
        _answer(asked, healthy=healthy)
        return healthy

    def _pass(self) -> bool:
        """Sync and close what was retired, then sync the open segment; say whether all worked."""
        self._writer.heal()
        healthy = self._sync_retired()
        served = self._tickets.copy()
        self._writer.take()
        due = self._writer.tick()
        healthy = healthy and self._sync_retired()  # what these two left for another segment
        for segment in due:
            healthy = self._sync(segment) and healthy
        if healthy:
            self._tickets -= served
        self._callers = len(served) + len(self._tickets)
        return healthy

    def _sync_retired(self) -> bool:
        """Sync and close what was retired; stop where that fails, which may retire more."""
        healthy = True
        while self._retired and healthy:
            segment = self._retired[0]
            try:
                healthy = self._sync(segment)
            finally:  # an fsync that failed is never tried again
                self._retired.popleft()
                self._finish(segment)
        return healthy

    def _sync(self, segment: OpenSegment) -> bool:
        appended = segment.appended
        began_s = self._monotonic_s()
        try:
            self._fs.sync(segment.descriptor)
            if segment.fresh:
                self._sync_names(segment)
                segment.fresh = False
        except Exception as error:  # noqa: BLE001 # whatever it is, the bytes may not be there
            if isinstance(error, OSError) and error.errno in _TOO_MANY_OPEN:
                self._writer.failing("upkeep", error)  # no fsync failed: the next pass tries again
            else:
                self._writer.sync_failed(segment, error)
            return False
        self._sync_s = self._monotonic_s() - began_s
        self._writer.synced(segment, appended, self._sync_s)
        return True

    def _sync_names(self, segment: OpenSegment) -> None:
        """Force the segment's name to the disk, and the names of all folders above it.

        Those above the archive's own may have been made for it, by us or by a process that died.
        """
        self._fs.sync_dir(segment.directory)
        path = os.path.dirname(segment.path)
        while path != os.path.dirname(path):
            path = os.path.dirname(path)
            ours = len(path) >= len(self._root)
            try:
                with opened(self._fs, self._fs.open_root(path)) as directory:
                    if self._fs.status(directory).device != segment.facts.device:
                        return  # another file system holds ours
                    self._fs.sync_dir(directory)
            except FileNotFoundError:
                return  # it was removed under us; the writer will notice
            except PermissionError:
                if ours:
                    raise
                return  # we could not have made a folder there and may not look into it

    def _finish(self, segment: OpenSegment) -> None:
        _close(segment)
        if segment.sealed:
            self._compressor.sealed(os.path.dirname(segment.path), str(segment.name))


def _answer(asked: list[SimpleQueue[bool]], *, healthy: bool) -> None:
    for answer in asked:
        answer.put(healthy)


def _close(segment: OpenSegment) -> None:
    with suppress(OSError):  # it was forced to the disk before, or will not be
        segment.close()
