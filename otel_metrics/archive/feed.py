"""The events of one domain, for a store of it that follows an archive: what is behind the places
that it has reached, and how far that goes.

Reads only. What is damaged is left out; what cannot be read at the moment is not taken for read.
"""

import errno
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final, NamedTuple

from otel_exporter_ndjson import DamagedError, Segment
from otel_exporter_ndjson.files import lines_from
from otel_exporter_ndjson.findings import Findings, Told
from otel_exporter_ndjson.fs import RealFs
from otel_exporter_ndjson.parsing import parsed
from otel_exporter_ndjson.reader import segments_of
from otel_exporter_ndjson.values import decode_attributes, decode_time
from otel_metrics.archive.cursor import archive_id

__all__ = ["EventFeed", "Fed"]

PROGRESS_LINES: Final = 5_000
"""Lines without an event of the domain after which the place is told all the same."""
GONE: Final = (errno.ENOENT, errno.ENOTDIR, errno.ELOOP)
"""What is no file of the archive, or no more: nothing is gained by looking again."""
_SEAL: Final = b'{"kind":"seal"'


class Fed(NamedTuple):
    """An event and its place, or, without a name, only how far was read."""

    service: str
    instance: str
    sequence: int
    line: int
    name: str = ""
    attributes: Mapping[str, object] = {}
    time_ns: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class EventFeed:
    """The events of an archive whose names begin alike.

    Attributes:
        path: the archive's folder.
        prefix: what the names begin with.
        service: only events of this service; None for all.
        findings: what is not as it should be is added to this list, if there is one.
    """

    path: str
    prefix: str
    service: str | None = None
    findings: Findings = None

    @property
    def id(self) -> str:
        """What tells this archive from others; empty where there is none yet."""
        return archive_id(self.path)

    def events_after(self, reached: Mapping[tuple[str, str], tuple[int, int]]) -> Iterator[Fed]:
        """Return the events that are behind the places that were reached, with new places.

        Args:
            reached: by service and writer's instance, the segment's sequence and the line.

        Raises:
            FileNotFoundError: there is no such archive.
            OSError: a folder or a segment could not be read. Everything else was returned, but what
                its writer has written since.
        """
        fs = _Noting()
        refused: dict[str, OSError] = {}
        for segment, cap in segments_of(self.path, "events", self.service, self.findings, fs):
            sequence, line = reached.get((segment.service, segment.instance), (0, 0))
            if segment.sequence >= sequence and segment.instance not in refused and not fs.refused:
                seen = line if segment.sequence == sequence else 0
                yield from self._of(segment, seen, cap, fs)
            if fs.refused:  # this segment, or which lines of this writer count
                error = fs.refused.pop()
                fs.refused.clear()
                refused[segment.instance] = OSError(error.errno, error.strerror, segment.path)
        first = next(iter((*fs.refused_folders, *refused.values())), None)
        if first is not None:
            raise first

    def _of(self, segment: Segment, seen: int, cap: int | None, fs: RealFs) -> Iterator[Fed]:
        at = segment.service, segment.instance, segment.sequence
        wanted = self.prefix.encode()
        told = number = seen
        sealed = False
        amiss = Told(self.findings, segment)
        for number, offset, line in lines_from(segment, amiss, fs=fs):
            sealed = line.startswith(_SEAL)
            if number <= seen:
                continue
            if wanted in line and (cap is None or number <= cap):
                event = self._event(line)
                if isinstance(event, str):
                    amiss.tell("damage", number, offset, event)
                elif event is not None:
                    yield Fed(*at, number, *event)
                    told = number
            if number - told >= PROGRESS_LINES:
                yield Fed(*at, number)
                told = number
        amiss.close()
        if sealed:  # nothing comes after it: not even its name is looked at again
            yield Fed(*at[:2], segment.sequence + 1, 0)
        elif number > told:
            yield Fed(*at, number)

    def _event(self, line: bytes) -> tuple[str, Mapping[str, object], int | None] | str | None:
        """Return name, attributes and time; None for another record, text for what is amiss."""
        said = parsed(line.lstrip(b"\0"))
        if isinstance(said, str):
            return said
        if said.get("kind") != "event":
            return None
        name = said.get("event")
        if not isinstance(name, str) or not name.startswith(self.prefix):
            return None
        try:
            time_ns = decode_time(said.get("time") or said.get("observed"))
            return name, decode_attributes(said.get("attributes")) or {}, time_ns
        except DamagedError as error:
            return str(error)


class _Noting(RealFs):
    """The files of the system, which remembers what it was refused: readers go on without it."""

    def __init__(self) -> None:
        self.refused: list[OSError] = []
        self.refused_folders: list[OSError] = []

    def open_root(self, path: str) -> int:
        try:
            return super().open_root(path)
        except OSError as error:
            self._note(error, self.refused)
            raise

    def open_dir(self, parent: int, name: str) -> int:
        try:
            return super().open_dir(parent, name)
        except OSError as error:
            self._note(error, self.refused_folders)
            raise

    def open(self, directory: int, name: str, *, write: bool = False) -> int:
        try:
            return super().open(directory, name, write=write)
        except OSError as error:
            self._note(error, self.refused)
            raise

    def read(self, descriptor: int, size: int, offset: int) -> bytes:
        try:
            return super().read(descriptor, size, offset)
        except OSError as error:
            self._note(error, self.refused)
            raise

    @staticmethod
    def _note(error: OSError, refused: list[OSError]) -> None:
        if error.errno not in GONE:
            refused.append(error)
