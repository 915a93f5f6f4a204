"""Beginning a segment: its folders, what dead writers left there, its name, lock and first line."""

import errno
import os
import secrets
import socket
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

from otel_exporter_ndjson.folders import Folders, archive_id, opened
from otel_exporter_ndjson.fs import Fs
from otel_exporter_ndjson.openfile import OpenSegment
from otel_exporter_ndjson.previous import newest_sealed
from otel_exporter_ndjson.recovery import recover_service
from otel_exporter_ndjson.sealing import temporary_name
from otel_exporter_ndjson.sealkey import SealKey
from otel_exporter_ndjson.segments import SegmentName, Writer, date_folder, segment_line
from otel_exporter_ndjson.settings import Settings
from otel_exporter_ndjson.stats import Counts
from otel_exporter_ndjson.streams import Batch

__all__ = ["DAY_NS", "Clocks", "Opener"]

DAY_NS: Final = 86_400 * 10**9
RECOVERY_START_S: Final = 0.5
"""How long a start may be held up by sealing what dead writers left; the rest is done behind."""
CREATE_TRIES: Final = 3


@dataclass(frozen=True, slots=True)
class Clocks:
    """Where the time comes from: of the world in nanoseconds, and one that never goes back."""

    world_ns: Callable[[], int] = time.time_ns
    monotonic_s: Callable[[], float] = time.monotonic


class Opener:
    """Begins the segments of one writer, one after the other, each chained to the one before."""

    def __init__(
        self,
        signal: str,
        settings: Settings,
        fs: Fs,
        clocks: Clocks,
        counts: Counts,
        key: SealKey | None = None,
    ) -> None:
        self._signal = signal
        self._settings = settings
        self._fs = fs
        self._clocks = clocks
        self._counts = counts
        self._key = key
        self._folders = Folders(
            fs,
            os.path.abspath(settings.path),
            file_mode=settings.file_mode,
            dir_mode=settings.dir_mode,
            allow_network_fs=settings.allow_network_fs,
            sync=settings.sync != "never",
        )
        self._prepared: set[str] = set()
        self._sequence = 0
        self._previous: tuple[str, str] | None = None
        self._writer = self._new_writer()

    @property
    def instance(self) -> str:
        """The random id of the writer."""
        return self._writer.instance

    def anew(self) -> None:
        """Go on as a new writer: somebody took the old one's files away."""
        self._writer = self._new_writer()
        self._sequence = 0
        self._previous = None
        self._prepared.clear()

    def sealed(self, segment: OpenSegment) -> None:
        """Remember what the next segment chains to."""
        self._previous = (str(segment.name), segment.sha256)

    def prepare(self, service: str) -> list[str]:
        """Do what the first segment of a service needs, if the service has an archive already.

        Returns:
            folders that still have to be gone over behind the caller's back.
        """
        path = self._folders.segment_path(self._signal, service)
        if self._fs.status_of(path) is None:
            return []  # nothing was ever written, and nothing is written now
        with opened(self._fs, self._folders.open_root()) as root:
            return self._prepare(root, service)

    def begin(
        self, batch: Batch, continues: Sequence[tuple[int, int]] = ()
    ) -> tuple[OpenSegment, list[str]]:
        """Make a segment for a batch and write its first line.

        One that `continues` others is hidden until `reveal`: as soon as it has its name, a reader
        no longer takes from the others what was written again here, so it must all be here.

        Returns:
            the segment, and folders as `prepare` does.

        Raises:
            OSError: the disk said no; nothing is left behind.
            UnsafeArchiveError: somebody else could change what we would write.
        """
        service = batch.origin.service
        with opened(self._fs, self._folders.open_root()) as root:
            behind = self._prepare(root, service)
            archive = archive_id(self._fs, root)
            with opened(self._fs, self._folders.open_service(root, self._signal, service)) as made:
                segment = self._create(made, batch, hidden=bool(continues))
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
        except BaseException:
            self.discard(segment)
            raise
        self._counts.bytes += segment.size
        if segment.hidden is None:
            self._begun(segment)
        return segment, behind

    def reveal(self, segment: OpenSegment) -> None:
        """Give a hidden segment its name.

        Raises:
            OSError: the disk said no; it is still hidden.
        """
        assert segment.hidden is not None
        self._fs.link(segment.directory, segment.hidden, str(segment.name))
        with suppress(OSError):  # the next recovery removes it
            self._fs.unlink(segment.directory, segment.hidden)
        segment.hidden = None
        self._begun(segment)

    def discard(self, segment: OpenSegment) -> None:
        """Remove a segment that could not take its first line, or what it was to continue."""
        with suppress(OSError):  # the next start sets an empty segment aside
            if segment.hidden is not None or not segment.broken:
                self._fs.unlink(segment.directory, segment.hidden or str(segment.name))
        segment.close()

    def _begun(self, segment: OpenSegment) -> None:
        self._sequence = self._counts.head_sequence = segment.name.sequence

    def _new_writer(self) -> Writer:
        return Writer(
            instance=secrets.token_hex(8),
            host=socket.gethostname(),
            pid=os.getpid(),
            start_ns=self._clocks.world_ns(),
        )

    def _prepare(self, root: int, service: str) -> list[str]:
        """Once for each service: seal what dead writers left, and find the end of the chain."""
        if service in self._prepared:
            return []
        with opened(self._fs, self._folders.open_service(root, self._signal, service)) as folder:
            until_s = self._clocks.monotonic_s() + RECOVERY_START_S
            results = recover_service(
                self._fs,
                folder,
                compress=False,
                until_s=until_s,
                monotonic=self._clocks.monotonic_s,
                key=self._key,
            )
            for result in results:
                if result.action == "failed":
                    self._counts.error("recovery")
            if self._previous is None:
                self._previous = newest_sealed(self._fs, folder)
        self._prepared.add(service)
        return [self._folders.segment_path(self._signal, service)]

    def _create(self, service: int, batch: Batch, *, hidden: bool) -> OpenSegment:
        now_ns = self._clocks.world_ns()
        date = date_folder(now_ns)
        directory = self._folders.open_date(service, date)
        try:
            for attempt in range(CREATE_TRIES):
                name = SegmentName.at(now_ns + attempt * 1000, self.instance, self._sequence + 1)
                segment = self._locked(name, date, batch, directory, hidden=hidden)
                if segment is not None:
                    return segment
            raise OSError(errno.EAGAIN, "every new segment was taken by a recovery")
        except BaseException:
            self._fs.close(directory)
            raise

    def _locked(
        self, name: SegmentName, date: str, batch: Batch, directory: int, *, hidden: bool
    ) -> OpenSegment | None:
        """Create and lock a file; None when a recovery came between and set it aside as empty."""
        file = temporary_name(str(name)) if hidden else str(name)
        descriptor = self._fs.create(directory, file, self._settings.file_mode)
        try:
            facts = self._fs.status(descriptor)
            there = self._fs.lock(descriptor) and self._fs.status_at(directory, file)
        except BaseException:
            self._fs.close(descriptor)
            raise
        if not there or not facts.same(there):
            self._fs.close(descriptor)
            return None
        now_s = self._clocks.monotonic_s()
        return OpenSegment(
            fs=self._fs,
            name=name,
            path=self._folders.segment_path(self._signal, batch.origin.service, date, str(name)),
            service=batch.origin.service,
            day=self._clocks.world_ns() // DAY_NS,
            origin=batch.origin,
            directory=directory,
            descriptor=descriptor,
            facts=facts,
            opened_s=now_s,
            checked_s=now_s,
            committed_s=now_s,
            hidden=file if hidden else None,
        )
