"""The files of an archive as a reader finds them: segments, and their bytes line by line.

Never trusts a file: what does not hold is a `Finding`, and what comes after it is read. A segment
that is there both plain and compressed is one segment.
"""

import hashlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, Literal

from otel_exporter_ndjson.errors import DamagedError
from otel_exporter_ndjson.folders import opened
from otel_exporter_ndjson.frames import TRAILER_BYTES, inflate, trailer
from otel_exporter_ndjson.fs import Fs, RealFs
from otel_exporter_ndjson.sealing import CHANGED, TAIL_BYTES, chunks_of, sealed_hash
from otel_exporter_ndjson.segments import SIGNALS, SegmentName, decode_name

__all__ = ["Finding", "Findings", "Segment", "find_segments", "last_line", "read_lines"]

LINE_BYTES_MAX: Final = 8 * 2**20


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
    def path(self) -> str:
        """The path of its file."""
        return f"{self.folder}/{self.name}{'.zst' if self.compressed else ''}"


@dataclass(frozen=True, slots=True)
class Finding:
    """Something in an archive that is not as it should be.

    `line` is 0 for a file as a whole. A `torn_tail` is what a writer that lives is just writing, or
    what a dead one could not finish; it holds no acknowledged record.
    """

    kind: Literal["damage", "torn_tail", "unreadable"]
    segment: Segment
    line: int
    offset: int
    message: str


Findings = list[Finding] | None


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
        for each in _folders(files, root, SIGNALS if signal is None else (signal,)):
            signal_folder, service_folder, date_folder, directory = each
            name = decode_name(service_folder.removeprefix("service="))
            if service is not None and service not in (name, service_folder):
                continue
            folder = f"{text}/{signal_folder}/{service_folder}/{date_folder}"
            for file in files.names(directory):
                segment = _segment(signal_folder, name, date_folder, folder, file)
                if segment is not None:
                    found.setdefault((folder, segment.name), segment)  # the plain one comes first
    return _ordered(list(found.values()))


def read_lines(
    segment: Segment, *, findings: Findings = None, fs: Fs | None = None
) -> Iterator[tuple[int, int, bytes]]:
    """Return number (from 1), byte offset and bytes of each whole line of a segment.

    A line of more than 8 MiB is left out, and told in `findings` as everything is that is amiss. So
    is a segment that does not match its seal, where it is read to its end.
    """
    files = fs or RealFs()
    found: list[Finding] = [] if findings is None else findings
    seal = None if findings is None else _SealCheck(segment, findings)
    offset = 0
    for number, piece in enumerate(_split(_content(files, segment, found)), start=1):
        if seal is not None:
            seal.feed(number, offset, piece)
        if piece.size > LINE_BYTES_MAX:
            message = f"a line of {piece.size} bytes; at most {LINE_BYTES_MAX} are read"
            found.append(Finding("damage", segment, number, offset, message))
        elif piece.whole:
            yield number, offset, piece.data
        else:
            message = f"a torn tail of {piece.size} bytes"
            found.append(Finding("torn_tail", segment, number, offset, message))
        offset += piece.size


def last_line(segment: Segment, *, findings: Findings = None, fs: Fs | None = None) -> bytes:
    """Return the last whole line of a segment, without looking at those before it."""
    files = fs or RealFs()
    found: list[Finding] = [] if findings is None else findings
    tail = b""
    for chunk in _content(files, segment, found, tail_only=True):
        tail = (tail + chunk)[-TAIL_BYTES:]
    whole, _, _ = tail.rpartition(b"\n")
    return whole.rpartition(b"\n")[2] + b"\n"


@dataclass(slots=True)
class _Piece:
    """A line, or of one that is too long its size only. `whole` when its end was there."""

    data: bytes
    size: int
    whole: bool


class _SealCheck:
    """Hashes a segment's lines on their way, and compares what its seal says."""

    def __init__(self, segment: Segment, findings: list[Finding]) -> None:
        self._segment = segment
        self._findings = findings
        self._hash = hashlib.sha256()
        self._sealed = self._done = False

    def feed(self, number: int, offset: int, piece: _Piece) -> None:
        """Take the next line."""
        if self._done:
            return
        if self._sealed:
            self._tell(number, offset, "stands behind the seal, which is the last line")
        elif piece.size > LINE_BYTES_MAX:
            self._done = True  # its bytes are not kept, and it has been told
        else:
            stated = sealed_hash(piece.data)
            self._sealed = stated is not None
            if self._sealed and stated != self._hash.hexdigest():
                self._tell(0, 0, CHANGED)
            self._hash.update(piece.data)

    def _tell(self, number: int, offset: int, message: str) -> None:
        self._done = True
        self._findings.append(Finding("damage", self._segment, number, offset, message))


def _split(chunks: Iterator[bytes]) -> Iterator[_Piece]:
    held: list[bytes] = []
    size = 0
    for chunk in chunks:
        *whole, rest = chunk.split(b"\n")
        for line in whole:
            held.append(line)
            size += len(line) + 1
            data = b"".join([*held, b"\n"]) if size <= LINE_BYTES_MAX else b""
            yield _Piece(data, size, whole=True)
            held, size = [], 0
        if rest:
            size += len(rest)
            held = [*held, rest] if size <= LINE_BYTES_MAX else []
    if size:
        yield _Piece(b"".join(held), size, whole=False)


def _content(
    fs: Fs, segment: Segment, findings: list[Finding], *, tail_only: bool = False
) -> Iterator[bytes]:
    """Return the lines' bytes, inflated where they are compressed.

    With `tail_only` a plain file's last bytes are enough.
    """
    try:
        opening, compressed = _open(fs, segment)
        with opened(fs, opening) as descriptor:
            facts = fs.status(descriptor)
            if not facts.regular:
                raise DamagedError("is no plain file")
            if tail_only and not compressed:
                yield fs.read(descriptor, TAIL_BYTES, max(0, facts.size - TAIL_BYTES))
                return
            chunks = chunks_of(fs, descriptor, facts.size)
            if not compressed:
                yield from chunks
                return
            seen = _Trailed(chunks)
            yield from inflate(seen)
            if not seen.holds():
                raise DamagedError("the hash behind the zstd frame differs")
    except (OSError, DamagedError) as error:
        kind: Literal["damage", "unreadable"]
        kind = "unreadable" if isinstance(error, OSError) else "damage"
        findings.append(Finding(kind, segment, 0, 0, str(error)))


def _open(fs: Fs, segment: Segment) -> tuple[int, bool]:
    """Open a segment, in whichever form it is there by now."""
    with opened(fs, fs.open_root(segment.folder)) as directory:
        try:
            name = f"{segment.name}.zst" if segment.compressed else segment.name
            return fs.open(directory, name), segment.compressed
        except FileNotFoundError:
            if segment.compressed:
                raise
            return fs.open(directory, f"{segment.name}.zst"), True


class _Trailed:
    """The chunks of a `.zst` file, hashed up to its trailer on their way."""

    def __init__(self, chunks: Iterator[bytes]) -> None:
        self._chunks = chunks
        self._hash = hashlib.sha256()
        self._end = b""

    def __iter__(self) -> Iterator[bytes]:
        for chunk in self._chunks:
            self._take(chunk)
            yield chunk

    def holds(self) -> bool:
        """Whether the file ends with the hash of its own bytes."""
        for chunk in self._chunks:
            self._take(chunk)
        return self._end == trailer(self._hash.digest())

    def _take(self, chunk: bytes) -> None:
        data = self._end + chunk
        self._hash.update(data[:-TRAILER_BYTES])
        self._end = data[-TRAILER_BYTES:]


def _single(path: str) -> Segment:
    """Read off a segment's own path what it is; the folders above it may be missing."""
    folder, file = os.path.split(path)
    upper, date = os.path.split(folder)
    signal_folder, service = os.path.split(upper)
    name = decode_name(service.removeprefix("service="))
    segment = _segment(os.path.basename(signal_folder), name, date, folder, file)
    assert segment is not None  # the caller has parsed the name
    return segment


def _segment(signal: str, service: str, date: str, folder: str, file: str) -> Segment | None:
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


def _folders(fs: Fs, root: int, signals: tuple[str, ...]) -> Iterator[tuple[str, str, str, int]]:
    """Return signal, service and date folder, and the open folder; links are not followed."""
    for signal in signals:
        for service, inner in _below(fs, root, signal, "service="):
            for date in [name for name in fs.names(inner) if name.startswith("date=")]:
                directory = _opened_dir(fs, inner, date)
                if directory is not None:
                    with opened(fs, directory):
                        yield signal, service, date, directory


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


def _ordered(found: list[Segment]) -> list[Segment]:
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
