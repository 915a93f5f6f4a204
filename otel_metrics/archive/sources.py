"""Which files DuckDB reads of an archive, so that it need not be trusted with what it finds.

DuckDB takes a truncated zstd frame for the end of a file and a torn tail for a line. So it is given
a segment's own file only where a hash vouches for every byte of it; of the others it is given the
records that `otel_exporter_ndjson.read` finds, written to a folder of ours.
"""

import hashlib
import os
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

import zstandard

from otel_exporter_ndjson import Finding, Segment, read
from otel_exporter_ndjson.folders import opened
from otel_exporter_ndjson.frames import (
    INFLATED_BYTES_MAX,
    RATIO_FROM_BYTES,
    RATIO_MAX,
    TRAILER_BYTES,
    trailer,
)
from otel_exporter_ndjson.fs import Fs, RealFs
from otel_exporter_ndjson.reader import segments_of
from otel_exporter_ndjson.sealing import TAIL_BYTES, chunks_of, sealed_hash

__all__ = ["Source", "sources"]

COPY_LEVEL: Final = 1
"""Copies are compressed, so that a file that inflates a lot cannot fill the disk."""
_DATE: Final = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)
_BLOCK_HEADER_BYTES: Final = 3
_CHECKSUM_BYTES: Final = 4
_REPEATED: Final = 1
"""The kind of a block that is one byte, repeated."""
_FRAME_HEADER_BYTES_MAX: Final = 18

Identity = tuple[str, str, int]


@dataclass(frozen=True, slots=True)
class Source:
    """A segment, and the file that holds what counts of it: its own, or a copy."""

    segment: Segment
    path: str
    copied: bool


def sources(
    path: str | os.PathLike[str],
    *,
    signal: str | None = None,
    service: str | None,
    folder: str,
    findings: list[Finding],
    salvage: bool = False,
) -> list[Source]:
    """Return a file for every segment of an archive, each segment once.

    Args:
        path: an archive's folder, or a segment's file.
        signal, service: only this one; all when None.
        folder: where copies are put.
        findings: everything is added here that is not as it should be.
        salvage: copy every segment, after each of its lines was looked at.

    Raises:
        FileNotFoundError: there is no such archive.
    """
    fs = RealFs()
    kept = _each_once(segments_of(path, signal, service, findings, fs), findings)
    found = []
    for number, (segment, cap) in enumerate(kept):
        inner = _folder(segment, folder, number)
        copied = cap is not None or salvage or not _vouched(segment, fs)
        if not copied:
            named = os.path.join(inner, os.path.basename(segment.path))
            os.symlink(segment.path, named)
        else:
            named = os.path.join(inner, f"{segment.name}.zst")
            _copy(segment, cap, named, findings)
        found.append(Source(segment, named, copied))
    return found


def _folder(segment: Segment, folder: str, number: int) -> str:
    """Make a folder of ours for a segment, whose path says what the views take from it.

    Whatever the archive's own folders are called, DuckDB must not take a name for a pattern.
    """
    date = segment.date if _DATE.fullmatch(segment.date) else "unknown"
    inner = os.path.join(folder, segment.signal, str(number), f"date={date}")
    os.makedirs(inner)
    return inner


def _identity(segment: Segment) -> Identity:
    return segment.folder_of_service, segment.instance, segment.sequence


def _each_once(
    segments: Iterable[tuple[Segment, int | None]], findings: list[Finding]
) -> list[tuple[Segment, int | None]]:
    """Leave out a second file of one writer and sequence: its records are the same ones."""
    kept: dict[Identity, tuple[Segment, int | None]] = {}
    for segment, cap in segments:
        first, _ = kept.setdefault(_identity(segment), (segment, cap))
        if first is not segment:
            message = f"holds the records of {first.date}/{first.name} once more; not read"
            findings.append(Finding("damage", segment, 0, 0, message))
    return list(kept.values())


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
    if _end_of_frame(fs, descriptor, size) != size - TRAILER_BYTES:
        return False  # another frame, of which nobody knows to what it inflates, stands behind it
    digest = _sha256(fs, descriptor, size - TRAILER_BYTES).digest()
    return fs.read(descriptor, TRAILER_BYTES, size - TRAILER_BYTES) == trailer(digest)


def _end_of_frame(fs: Fs, descriptor: int, size: int) -> int:
    """Return where the first zstd frame ends, by the sizes of its blocks (RFC 8878, 3.1.1)."""
    head = fs.read(descriptor, _FRAME_HEADER_BYTES_MAX, 0)
    offset = zstandard.frame_header_size(head)
    while offset < size:
        header = int.from_bytes(fs.read(descriptor, _BLOCK_HEADER_BYTES, offset), "little")
        last, kind, length = header & 1, header >> 1 & 3, header >> 3
        offset += _BLOCK_HEADER_BYTES + (1 if kind == _REPEATED else length)
        if last:
            checksum = zstandard.get_frame_parameters(head).has_checksum
            return offset + (_CHECKSUM_BYTES if checksum else 0)
    return offset


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


def _copy(segment: Segment, cap: int | None, path: str, findings: list[Finding]) -> None:
    """Write the records of a segment that count to a file of ours."""
    compressor = zstandard.ZstdCompressor(level=COPY_LEVEL)
    with open(path, "xb") as file, compressor.stream_writer(file) as stream:
        for record in read(segment.path, findings=findings):
            if cap is None or record.line <= cap:
                stream.write(record.raw)
