"""What happens behind the callers' backs: fsync once an interval, closing, compressing.

One thread a writer syncs; it sleeps while nothing is dirty. One more compresses, while there is
something to compress. After a fork the writer makes a new one of these.
"""

import logging
import os
import threading
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import Final, Protocol

from otel_exporter_ndjson.errors import DamagedError
from otel_exporter_ndjson.folders import opened
from otel_exporter_ndjson.fs import Fs
from otel_exporter_ndjson.openfile import OpenSegment
from otel_exporter_ndjson.recovery import Recovered, recover_service
from otel_exporter_ndjson.sealing import compress_segment
from otel_exporter_ndjson.settings import Settings

__all__ = ["Upkeep"]

_logger = logging.getLogger("otel_exporter_ndjson")

COMPRESSIONS_MAX: Final = 16
"""Sealed segments that wait for compression; the next start finds those that do not fit."""
PROBE_MAX_S: Final = 60.0
FAILURES_MAX: Final = 16
"""After a failed fsync each probe waits twice as long as the one before, up to `PROBE_MAX_S`."""


class Syncable(Protocol):
    """The writer, as its upkeep sees it."""

    def tick(self) -> list[OpenSegment]:
        """Say what must be forced to the disk now."""

    def synced(self, segment: OpenSegment, appended: int, seconds: float) -> None:
        """Take note of an fsync that worked."""

    def sync_failed(self, segment: OpenSegment, error: OSError) -> None:
        """Take note of one that did not; never retried on the same segment."""

    def heal(self) -> None:
        """Try to leave the state after a failed fsync."""

    def damaged(self, segments: int) -> None:
        """Take note of sealed segments that do not hold what was sealed."""


class Upkeep:
    """The threads of one writer, begun when there is work."""

    def __init__(
        self, writer: Syncable, fs: Fs, settings: Settings, monotonic_s: Callable[[], float]
    ) -> None:
        self._writer = writer
        self._fs = fs
        self._settings = settings
        self._monotonic_s = monotonic_s
        self._lock = threading.Lock()
        self._wake = threading.Event()
        self._stop = threading.Event()
        self._ending = False
        self._failures = 0
        self._idle = threading.Condition(self._lock)
        self._asked = self._answered = 0
        self._healthy = True
        self._retired: deque[OpenSegment] = deque()
        self._thread: threading.Thread | None = None
        self._jobs: deque[tuple[str, str | None]] = deque()
        self._compressor: threading.Thread | None = None

    def wake(self) -> None:
        """Say that something was written; it is on the disk an interval later."""
        if not self._wake.is_set():
            self._wake.set()
            if self._thread is None:
                self._start()

    def retire(self, segment: OpenSegment) -> None:
        """Take a segment that no one writes to any more: sync, close and compress it."""
        if self._settings.sync == "never":
            self._finish(segment)
            return
        with self._lock:
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
            self._enqueue(path, None)

    def compress_no_more(self) -> None:
        """Leave to the next start what is not compressed by now."""
        self._ending = True

    def flush(self, timeout_s: float) -> bool:
        """Force everything to the disk now, on the thread; False when it failed or took longer."""
        with self._lock:
            if self._thread is None and not self._wake.is_set():
                return True
            self._asked += 1
            asked = self._asked
        self._wake.set()
        self._start()
        with self._idle:
            self._idle.notify_all()
            done = self._idle.wait_for(lambda: self._answered >= asked, timeout_s)
            return done and self._healthy

    def stop(self, timeout_s: float) -> None:
        """Sync and close what is left, and end the thread, within `timeout_s` seconds."""
        self._stop.set()
        with self._lock:
            thread = self._thread
        if thread is None:
            self._pass()
            return
        self._wake.set()
        with self._idle:
            self._idle.notify_all()
        thread.join(timeout_s)

    def _start(self) -> None:
        with self._lock:
            if self._thread is not None or self._stop.is_set():
                return
            self._thread = threading.Thread(
                target=self._run, name="otel-exporter-ndjson-sync", daemon=True
            )
        try:
            self._thread.start()
        except RuntimeError:  # the interpreter ends: what is written is with the kernel
            self._thread = None

    def _run(self) -> None:
        interval_s = self._settings.sync_interval_s
        while not self._stop.is_set():
            if self._wake.wait(self._settings.rotate_interval_s):
                self._wait(min(interval_s * 2**self._failures, max(interval_s, PROBE_MAX_S)))
            self._wake.clear()
            asked = self._asked
            self._healthy = self._pass()
            self._failures = 0 if self._healthy else min(self._failures + 1, FAILURES_MAX)
            if self._failures:
                self._wake.set()
            with self._idle:
                self._answered = asked
                self._idle.notify_all()
        self._pass()

    def _wait(self, interval_s: float) -> None:
        """Wait for an interval, or until somebody asks for a flush or for the end."""
        with self._idle:
            self._idle.wait_for(
                lambda: self._asked != self._answered or self._stop.is_set(), interval_s
            )

    def _pass(self) -> bool:
        """Sync and close what was retired, then sync the open segment; say whether all worked."""
        healthy = True
        while self._retired:
            segment = self._retired[0]
            healthy = self._sync(segment) and healthy
            with self._lock:
                self._retired.popleft()
            self._finish(segment)
        for segment in self._writer.tick():
            healthy = self._sync(segment) and healthy
        self._writer.heal()
        return healthy and not self._retired

    def _sync(self, segment: OpenSegment) -> bool:
        appended = segment.appended
        began_s = self._monotonic_s()
        try:
            self._fs.sync(segment.descriptor)
            if segment.fresh:
                self._sync_names(segment)
                segment.fresh = False
        except OSError as error:
            self._writer.sync_failed(segment, error)
            return False
        self._writer.synced(segment, appended, self._monotonic_s() - began_s)
        return True

    def _sync_names(self, segment: OpenSegment) -> None:
        """Force the segment's name to the disk, and the names of the folders above it."""
        self._fs.sync_dir(segment.directory)
        path = segment.path
        for _ in range(4):  # the day's, the service's and the signal's folder, and the root
            path = os.path.dirname(path)
            try:
                with opened(self._fs, self._fs.open_root(path)) as directory:
                    self._fs.sync_dir(directory)
            except FileNotFoundError:
                return  # it was removed under us; the writer will notice

    def _finish(self, segment: OpenSegment) -> None:
        _close(segment)
        if segment.sealed and self._settings.compression == "zstd":
            self._enqueue(os.path.dirname(segment.path), str(segment.name))

    def _enqueue(self, path: str, name: str | None) -> None:
        with self._lock:
            if self._ending or len(self._jobs) >= COMPRESSIONS_MAX:
                return
            self._jobs.append((path, name))
            if self._compressor is not None:
                return
            self._compressor = threading.Thread(
                target=self._compress, name="otel-exporter-ndjson-zstd", daemon=True
            )
            try:
                self._compressor.start()
            except RuntimeError:  # the interpreter ends; the next start compresses
                self._compressor = None

    def _compress(self) -> None:
        while True:
            with self._lock:
                if not self._jobs or self._ending:
                    self._compressor = None
                    return
                path, name = self._jobs.popleft()
            try:
                self._work(path, name)
            except DamagedError as error:
                self._writer.damaged(1)
                _logger.error("%s: a segment is damaged and left as it is: %s", path, error)
            except OSError as error:
                _logger.warning("compressing in %s failed, the plain form stays: %s", path, error)

    def _work(self, path: str, name: str | None) -> None:
        with opened(self._fs, self._fs.open_root(path)) as directory:
            if name is None:
                zstd = self._settings.compression == "zstd"
                self._tell(path, recover_service(self._fs, directory, compress=zstd))
            else:
                compress_segment(self._fs, directory, name)

    def _tell(self, path: str, results: list[Recovered]) -> None:
        """Say in one line what a recovery had to leave alone because it is damaged."""
        reasons = [str(result.reason) for result in results if result.action == "damaged"]
        if reasons:
            self._writer.damaged(len(reasons))
            _logger.error(
                "%s: %d segment(s) damaged and left as they are, first: %s",
                path,
                len(reasons),
                reasons[0],
            )


def _close(segment: OpenSegment) -> None:
    with suppress(OSError):  # it was forced to the disk before, or will not be
        segment.close()
