"""Which segments an archive has, and who wrote each.

Looks at names only. A segment that is there both plain and compressed is one segment.
"""

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from otel_exporter_ndjson.folders import opened
from otel_exporter_ndjson.fs import Fs, RealFs
from otel_exporter_ndjson.segments import SIGNALS, SegmentName, decode_name

__all__ = ["Segment", "find_segments", "folders", "ordered", "segment_of"]


@dataclass(frozen=True, slots=True, order=True)
class Segment:
    """A segment of an archive: where it is, and who wrote it."""

    signal: str
    service: str
    instance: str
    sequence: int
    date: str
    name: str
    folder: str
    compressed: bool

    @property
    def folder_of_service(self) -> str:
        """The folder that all segments of this service and signal are below."""
        return os.path.dirname(self.folder)

    @property
    def writer(self) -> tuple[str, str]:
        """Who wrote it: its sequence numbers count this writer's segments of all services."""
        return self.signal, self.instance

    @property
    def path(self) -> str:
        """The path of its file."""
        return f"{self.folder}/{self.name}{'.zst' if self.compressed else ''}"


def find_segments(
    path: str | os.PathLike[str],
    *,
    signal: str | None = None,
    service: str | None = None,
    fs: Fs | None = None,
) -> list[Segment]:
    """Return the segments of an archive, or the one segment that `path` names.

    By signal and service, then writer after writer in order of their first segment's name, then by
    sequence. A folder that cannot be read is left out.

    Raises:
        FileNotFoundError: there is no such archive.
    """
    files = fs or RealFs()
    text = os.path.abspath(path)
    if SegmentName.parse(os.path.basename(text)) is not None:
        return [_single(text)]
    found: dict[tuple[object, ...], Segment] = {}
    with opened(files, files.open_root(text)) as root:
        for each in folders(files, root, SIGNALS if signal is None else (signal,)):
            signal_folder, service_folder, date_folder, directory = each
            name = decode_name(service_folder.removeprefix("service="))
            if service is not None and service not in (name, service_folder):
                continue
            folder = f"{text}/{signal_folder}/{service_folder}/{date_folder}"
            for file in files.names(directory):
                segment = segment_of(signal_folder, name, date_folder, folder, file)
                if segment is not None:
                    found.setdefault((folder, segment.name), segment)  # the plain one comes first
    return ordered(list(found.values()))


def segment_of(signal: str, service: str, date: str, folder: str, file: str) -> Segment | None:
    """Return the segment that a file of these folders is, or None."""
    name = SegmentName.parse(file)
    if name is None:
        return None
    return Segment(
        signal=signal,
        service=service,
        instance=name.instance,
        sequence=name.sequence,
        date=date.removeprefix("date="),
        name=str(name),
        folder=folder,
        compressed=file.endswith(".zst"),
    )


def folders(
    fs: Fs, root: int, signals: Sequence[str], *, newest: int | None = None
) -> Iterator[tuple[str, str, str, int]]:
    """Return signal, service and date folder, and the open folder; links are not followed.

    With `newest`, only so many days of each service.
    """
    for signal in signals:
        for service, inner in _below(fs, root, signal, "service="):
            dates = [name for name in fs.names(inner) if name.startswith("date=")]
            for date in dates if newest is None else dates[-newest:]:
                directory = _opened_dir(fs, inner, date)
                if directory is not None:
                    with opened(fs, directory):
                        yield signal, service, date, directory


def ordered(found: list[Segment]) -> list[Segment]:
    """Return segments in the order of `find_segments`."""
    first: dict[str, str] = {}
    for segment in found:
        first[segment.instance] = min(segment.name, first.get(segment.instance, segment.name))
    return sorted(
        found,
        key=lambda segment: (
            SIGNALS.index(segment.signal) if segment.signal in SIGNALS else len(SIGNALS),
            segment.service,
            first[segment.instance],
            segment.sequence,
            segment.name,
        ),
    )


def _single(path: str) -> Segment:
    """Read off a segment's own path what it is; the folders above it may be missing."""
    folder, file = os.path.split(path)
    upper, date = os.path.split(folder)
    signal_folder, service = os.path.split(upper)
    name = decode_name(service.removeprefix("service="))
    segment = segment_of(os.path.basename(signal_folder), name, date, folder, file)
    assert segment is not None  # the caller has parsed the name
    return segment


def _below(fs: Fs, root: int, name: str, prefix: str) -> Iterator[tuple[str, int]]:
    parent = _opened_dir(fs, root, name)
    if parent is None:
        return
    with opened(fs, parent):
        for inner in [name for name in fs.names(parent) if name.startswith(prefix)]:
            directory = _opened_dir(fs, parent, inner)
            if directory is not None:
                with opened(fs, directory):
                    yield inner, directory


def _opened_dir(fs: Fs, parent: int, name: str) -> int | None:
    try:
        return fs.open_dir(parent, name)
    except OSError:
        return None
