"""Compresses sealed segments behind the callers' backs, recovers the rest of a folder, and removes
what is beyond the archive's limits.

One thread a writer, begun when there is something to do; it ends when there is nothing more.
"""

import logging
import os
import threading
from collections import deque
from collections.abc import Sequence
from typing import Final, Protocol

from otel_exporter_ndjson.errors import DamagedError
from otel_exporter_ndjson.folders import opened
from otel_exporter_ndjson.fs import Fs
from otel_exporter_ndjson.recovery import Recovered, recover_service
from otel_exporter_ndjson.retention import Retention
from otel_exporter_ndjson.sealing import compress_segment
from otel_exporter_ndjson.sealkey import SealKey

__all__ = ["Compressor"]

_logger = logging.getLogger("otel_exporter_ndjson")

JOBS_MAX: Final = 16
"""Sealed segments that wait for compression; the next start finds those that do not fit."""


class Heeding(Protocol):
    """The writer, as it hears what became of its segments."""

    def damaged(self, names: Sequence[str]) -> list[str]:
        """Count sealed segments that do not hold what was sealed; return those that are new."""

    def failing(self, what: str, error: Exception) -> None:
        """Count that work behind the callers' backs failed, and log it once."""

    def working(self, what: str) -> None:
        """Take note that it works."""


class Compressor:
    """The thread that compresses for one writer."""

    def __init__(
        self,
        writer: Heeding,
        fs: Fs,
        *,
        compress: bool,
        key: SealKey | None = None,
        retention: Retention | None = None,
    ) -> None:
        self._writer = writer
        self._fs = fs
        self._key = key
        self._retention = retention
        self._compresses = compress
        self._lock = threading.RLock()  # a signal handler may come to it twice
        self._ending = False
        self._jobs: deque[tuple[str, str | None]] = deque()
        self._thread: threading.Thread | None = None

    def sealed(self, path: str, name: str) -> None:
        """Do what is to be done when a segment of a day's folder has been sealed."""
        if self._compresses or self._retention is not None:
            self._enqueue(path, name)

    def recover(self, path: str) -> None:
        """Recover what dead writers left in a service's folder, and compress what is sealed."""
        self._enqueue(path, None)

    def stop(self) -> None:
        """Begin nothing more; the next start does what is left."""
        self._ending = True

    def _enqueue(self, path: str, name: str | None) -> None:
        with self._lock:
            if self._ending or len(self._jobs) >= JOBS_MAX:
                return
            self._jobs.append((path, name))
            if self._thread is not None:
                return
            self._thread = threading.Thread(
                target=self._run, name="otel-exporter-ndjson-zstd", daemon=True
            )
            try:
                self._thread.start()
            except RuntimeError:  # the interpreter ends; the next start compresses
                self._thread = None

    def _run(self) -> None:
        try:
            while (job := self._next()) is not None:
                self._try(*job)
        finally:
            with self._lock:
                if self._thread is threading.current_thread():
                    self._thread = None

    def _next(self) -> tuple[str, str | None] | None:
        with self._lock:
            if self._jobs and not self._ending:
                return self._jobs.popleft()
            self._thread = None  # whoever comes now begins another
            return None

    def _try(self, path: str, name: str | None) -> None:
        try:
            self._work(path, name)
        except FileNotFoundError:
            return  # somebody removed it, which the writer says where it is its own
        except DamagedError as error:
            if not self._writer.damaged([name or path]):
                return  # a recovery has told of it
            _logger.error("%s: a segment is damaged and left as it is: %s", path, error)
        except Exception as error:  # noqa: BLE001 # whatever it is, the next segment has its turn
            if not self._ending:  # then the audit may be closed, and the next start goes on
                self._writer.failing("compress", error)
        else:
            self._writer.working("compress")

    def _work(self, path: str, name: str | None) -> None:
        with opened(self._fs, self._fs.open_root(path)) as directory:
            if name is None:
                found = recover_service(
                    self._fs, directory, compress=self._compresses, key=self._key
                )
                self._tell(path, found)
            elif self._compresses:
                compress_segment(self._fs, directory, name)
        if self._retention is not None and not self._jobs:  # what waits counts ten times over
            service = path if name is None else os.path.dirname(path)
            self._retention.enforce(self._fs, os.path.basename(service))

    def _tell(self, path: str, results: list[Recovered]) -> None:
        """Say in one line what a recovery had to leave alone because it is damaged."""
        found = {r.name: str(r.reason) for r in results if r.action == "damaged"}
        reasons = [found[name] for name in self._writer.damaged(list(found))]
        if reasons:
            _logger.error(
                "%s: %d segment(s) damaged and left as they are, first: %s",
                path,
                len(reasons),
                reasons[0],
            )
