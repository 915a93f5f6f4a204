"""Which files DuckDB reads of an archive, so that it need not be trusted with what it finds.

DuckDB takes a truncated zstd frame for the end of a file and a torn tail for a line. So it is given
a segment's own file only where a hash vouches for every byte of it; of the others it is given the
records that `otel_exporter_ndjson.read` finds, written to a folder of ours.
"""

import hashlib
import os
import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final

import msgspec
import zstandard

from otel_exporter_ndjson import Finding, Segment, find_segments, read
from otel_exporter_ndjson.files import read_lines
from otel_exporter_ndjson.folders import opened
from otel_exporter_ndjson.frames import (
    INFLATED_BYTES_MAX,
    RATIO_FROM_BYTES,
    RATIO_MAX,
    TRAILER_BYTES,
    trailer,
)
from otel_exporter_ndjson.fs import Fs, RealFs
from otel_exporter_ndjson.sealing import TAIL_BYTES, chunks_of, sealed_hash

__all__ = ["Source", "sources"]

COPY_LEVEL: Final = 1
"""Copies are compressed, so that a file that inflates a lot cannot fill the disk."""
_PLAIN: Final = re.compile(r"[^*?\[\]{}\\\ud800-\udfff]*")
_FRAME_HEADER_BYTES_MAX: Final = 18

Identity = tuple[str, str, int]


@dataclass(frozen=True, slots=True)
class Source:
    """A segment, and the file that holds what counts of it."""

    segment: Segment
    path: str


def sources(
    path: str | os.PathLike[str],
    *,
    service: str | None,
    folder: str,
    findings: list[Finding],
    salvage: bool = False,
) -> list[Source]:
    """Return a file for every segment of an archive, each segment once.

    Args:
        path: an archive's folder, or a segment's file.
        service: only this one; all when None.
        folder: where copies are put.
        findings: everything is added here that is not as it should be.
        salvage: copy every segment, after each of its lines was looked at.

    Raises:
        FileNotFoundError: there is no such archive.
    """
    fs = RealFs()
    segments = _each_once(find_segments(path, service=service, fs=fs), findings)
    caps = _caps(segments, fs)
    found = []
    for segment in segments:
        cap = caps.get(_identity(segment))
        if cap is None and not salvage and _vouched(segment, fs):
            found.append(Source(segment, _plainly_named(segment, folder)))
        else:
            found.append(Source(segment, _copied(segment, cap, folder, findings)))
    return found


def _plainly_named(segment: Segment, folder: str) -> str:
    """Return a segment's path without what DuckDB takes for a pattern, by a link to the archive."""
    if _PLAIN.fullmatch(segment.path):
        return segment.path
    root = os.path.dirname(os.path.dirname(segment.folder_of_service))
    link = os.path.join(folder, "archive")
    with suppress(FileExistsError):
        os.symlink(root, link)
    return os.path.join(link, os.path.relpath(segment.path, root))


def _identity(segment: Segment) -> Identity:
    return segment.folder_of_service, segment.instance, segment.sequence


def _each_once(segments: Sequence[Segment], findings: list[Finding]) -> list[Segment]:
    """Leave out a second file of one writer and sequence: its records are the same ones."""
    kept: dict[Identity, Segment] = {}
    for segment in segments:
        first = kept.setdefault(_identity(segment), segment)
        if first is not segment:
            message = f"holds the records of {first.date}/{first.name} once more; not read"
            findings.append(Finding("damage", segment, 0, 0, message))
    return list(kept.values())


def _caps(segments: Sequence[Segment], fs: Fs) -> Mapping[Identity, int]:
    """Return the last line that counts, of each segment that a later one says to continue."""
    caps: dict[Identity, int] = {}
    for segment in segments:
        if segment.sequence == 1:
            continue
        for sequence, line in _continued(segment, fs):
            caps[segment.folder_of_service, segment.instance, sequence] = line
    return caps


def _continued(segment: Segment, fs: Fs) -> list[tuple[int, int]]:
    lines = read_lines(segment, fs=fs)
    first = next(lines, (0, 0, b""))[2]
    try:
        head: Any = msgspec.json.decode(first)
        again = [(each["sequence"], each["line"]) for each in head.get("continues", ())]
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return []
    except (AttributeError, KeyError, TypeError):
        return []
    return [pair for pair in again if all(type(number) is int for number in pair)]


def _vouched(segment: Segment, fs: Fs) -> bool:
    """Whether a hash in a segment's own file holds over all that DuckDB would read of it."""
    try:
        with opened(fs, fs.open_root(segment.folder)) as directory:
            name = os.path.basename(segment.path)
            with opened(fs, fs.open(directory, name)) as descriptor:
                facts = fs.status(descriptor)
                if not facts.regular:
                    return False
                if segment.compressed:
                    return _frame_holds(fs, descriptor, facts.size)
                return _seal_holds(fs, descriptor, facts.size)
    except OSError:
        return False


def _frame_holds(fs: Fs, descriptor: int, size: int) -> bool:
    if size <= TRAILER_BYTES:
        return False
    head = fs.read(descriptor, _FRAME_HEADER_BYTES_MAX, 0)
    try:
        inflated = zstandard.get_frame_parameters(head).content_size
    except zstandard.ZstdError:
        return False
    if inflated > INFLATED_BYTES_MAX:  # so is the size of a frame that does not state one
        return False
    if inflated > RATIO_FROM_BYTES and inflated > RATIO_MAX * size:
        return False
    digest = _sha256(fs, descriptor, size - TRAILER_BYTES).digest()
    return fs.read(descriptor, TRAILER_BYTES, size - TRAILER_BYTES) == trailer(digest)


def _seal_holds(fs: Fs, descriptor: int, size: int) -> bool:
    tail = fs.read(descriptor, TAIL_BYTES, max(0, size - TAIL_BYTES))
    last = tail[:-1].rpartition(b"\n")[2] + tail[-1:]
    stated = sealed_hash(last)
    return stated is not None and stated == _sha256(fs, descriptor, size - len(last)).hexdigest()


def _sha256(fs: Fs, descriptor: int, size: int) -> "hashlib._Hash":
    digest = hashlib.sha256()
    for chunk in chunks_of(fs, descriptor, size):
        digest.update(chunk)
    return digest


def _copied(segment: Segment, cap: int | None, folder: str, findings: list[Finding]) -> str:
    """Write the records of a segment that count to a file of ours, under the segment's name."""
    service = os.path.basename(segment.folder_of_service)
    inner = os.path.join(folder, segment.signal, service, f"date={segment.date}")
    os.makedirs(inner, exist_ok=True)
    path = os.path.join(inner, f"{segment.name}.zst")
    compressor = zstandard.ZstdCompressor(level=COPY_LEVEL)
    with open(path, "xb") as file, compressor.stream_writer(file) as stream:
        for record in read(segment.path, findings=findings):
            if cap is None or record.line <= cap:
                stream.write(record.raw)
    return path
