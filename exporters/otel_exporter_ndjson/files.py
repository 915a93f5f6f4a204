"""The bytes of a segment, line by line, whichever form it has by now.

Never trusts a file: what does not hold is a `Finding`, what comes after it is read, and no more is
held in memory than one line and one chunk.
"""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from otel_exporter_ndjson.errors import DamagedError
from otel_exporter_ndjson.findings import Finding, Findings, Told
from otel_exporter_ndjson.folders import opened
from otel_exporter_ndjson.frames import CHUNK_BYTES, Trailed, inflate
from otel_exporter_ndjson.fs import Fs, RealFs
from otel_exporter_ndjson.listing import Segment, find_segments
from otel_exporter_ndjson.sealing import CHANGED, TAIL_BYTES, committed_hash, sealed_hash

__all__ = [
    "Cursor",
    "Finding",
    "Findings",
    "Segment",
    "find_segments",
    "first_line",
    "last_line",
    "lines_from",
    "read_lines",
]

LINE_BYTES_MAX: Final = 8 * 2**20
_SPLIT_BYTES: Final = 2**17
_HEAD_BYTES: Final = 2**14
"""Read at a time where only the first line is wanted."""


@dataclass(slots=True)
class Cursor:
    """How far a segment was read: the number of the next line, and the bytes before it, inflated.

    Only whole lines are passed; what is torn may be whole at the next look.
    """

    line: int = 1
    offset: int = 0


def read_lines(
    segment: Segment, *, findings: Findings = None, fs: Fs | None = None
) -> Iterator[tuple[int, int, bytes]]:
    """Return number (from 1), byte offset and bytes of each whole line of a segment.

    A line of more than 8 MiB is left out, and told in `findings` as everything is that is amiss. So
    is a segment that does not match its seal or its commit lines, where it is read to its end.
    """
    told = Told(findings, segment)
    for number, offset, line in lines_from(segment, told, fs=fs):
        if line.startswith(b"\n"):
            for at in range(len(line)):
                yield number + at, offset + at, b"\n"
        else:
            yield number, offset, line
    told.close()


def lines_from(
    segment: Segment, told: Told, *, cursor: Cursor | None = None, fs: Fs | None = None
) -> Iterator[tuple[int, int, bytes]]:
    """Return what `read_lines` does, from the cursor on, and move it.

    Empty lines, which no writer writes, come many at once. Hashes are compared only where all
    lines are read.
    """
    files = fs or RealFs()
    at = cursor or Cursor()
    check = _HashCheck(told) if told.wanted and at.offset == 0 else None
    number, offset = at.line, at.offset
    for piece in _split(_content(files, segment, told, skip=offset)):
        if check is not None:
            check.feed(number, offset, piece)
        if piece.whole:
            at.line, at.offset = number + piece.lines, offset + piece.size
        if piece.size > LINE_BYTES_MAX:
            message = f"a line of {piece.size} bytes; at most {LINE_BYTES_MAX} are read"
            told.tell("damage", number, offset, message)
        elif piece.whole:
            yield number, offset, piece.data
        else:
            told.tell("torn_tail", number, offset, f"a torn tail of {piece.size} bytes")
        number, offset = number + piece.lines, offset + piece.size
    if check is not None:
        check.finish()


def first_line(segment: Segment, *, fs: Fs | None = None) -> bytes:
    """Return the first line of a segment, empty where it has none, and read little more."""
    told = Told(None, segment)
    chunks = _content(fs or RealFs(), segment, told, chunk_bytes=_HEAD_BYTES)
    for piece in _split(chunks):
        return piece.data if piece.whole else b""
    return b""


def last_line(segment: Segment, *, findings: Findings = None, fs: Fs | None = None) -> bytes:
    """Return the last whole line of a segment, without looking at those before it."""
    told = Told(findings, segment)
    tail = b""
    for chunk in _content(fs or RealFs(), segment, told, tail_only=True):
        tail = chunk[-TAIL_BYTES:] if len(chunk) >= TAIL_BYTES else (tail + chunk)[-TAIL_BYTES:]
    whole, _, _ = tail.rpartition(b"\n")
    return whole.rpartition(b"\n")[2] + b"\n"


@dataclass(slots=True)
class _Piece:
    """A line, or of one that is too long its size only; or empty lines, which are `lines` then.

    `whole` when its end was there.
    """

    data: bytes
    size: int
    whole: bool
    lines: int = 1


class _HashCheck:
    """Hashes a segment's lines on their way, and compares what its seal and its commit lines say.

    One finding is enough: that of the seal; where the seal was made over the damage, as a recovery
    does, or there is none, that of the first commit line which differs, if nothing else was told.
    """

    def __init__(self, told: Told) -> None:
        self._told = told
        self._hash = hashlib.sha256()
        self._sealed = self._done = False
        self._doubtful: tuple[int, int] | None = None

    def feed(self, number: int, offset: int, piece: _Piece) -> None:
        """Take the next line."""
        if self._done:
            return
        if self._sealed:
            self._tell(number, offset, "stands behind the seal, which is the last line")
        elif piece.size > LINE_BYTES_MAX:
            self._done = True  # its bytes are not kept, and it has been told
        else:
            self._compare(number, offset, piece.data)
            self._hash.update(piece.data)

    def finish(self) -> None:
        """Say that there are no more lines."""
        if self._doubtful is not None and not self._done and not self._told.damaged:
            number, offset = self._doubtful
            self._tell(number, offset, "a line before it was changed, by the hash in this one")

    def _compare(self, number: int, offset: int, line: bytes) -> None:
        sealed, committed = sealed_hash(line), committed_hash(line)
        self._sealed = sealed is not None
        if self._sealed and sealed != self._hash.hexdigest():
            self._tell(0, 0, CHANGED)
        elif (
            committed is not None and self._doubtful is None and committed != self._hash.hexdigest()
        ):
            self._doubtful = number, offset

    def _tell(self, number: int, offset: int, message: str) -> None:
        self._done = True
        self._told.tell("damage", number, offset, message)


def _split(chunks: Iterator[bytes]) -> Iterator[_Piece]:
    held: list[bytes] = []
    size = 0
    for chunk in _smaller(chunks):
        *whole, rest = chunk.split(b"\n")
        empty = 0
        for line in whole:
            if not line and not size:
                empty += 1
                continue
            if empty:
                yield _Piece(b"\n" * empty, empty, whole=True, lines=empty)
                empty = 0
            held.append(line)
            size += len(line) + 1
            data = b"".join([*held, b"\n"]) if size <= LINE_BYTES_MAX else b""
            yield _Piece(data, size, whole=True)
            held, size = [], 0
        if empty:
            yield _Piece(b"\n" * empty, empty, whole=True, lines=empty)
        if rest:
            size += len(rest)
            if size <= LINE_BYTES_MAX:
                held.append(rest)
            else:
                held.clear()
    if size:
        yield _Piece(b"".join(held), size, whole=False)


def _smaller(chunks: Iterator[bytes]) -> Iterator[bytes]:
    """A chunk of line ends alone would be a list of a million lines."""
    for chunk in chunks:
        for start in range(0, len(chunk), _SPLIT_BYTES):
            yield chunk[start : start + _SPLIT_BYTES]


def _content(
    fs: Fs,
    segment: Segment,
    told: Told,
    *,
    skip: int = 0,
    tail_only: bool = False,
    chunk_bytes: int = CHUNK_BYTES,
) -> Iterator[bytes]:
    """Return the lines' bytes from `skip` on, inflated where they are compressed.

    With `tail_only` a plain file's last bytes are enough.
    """
    try:
        opening, compressed = _open(fs, segment)
        with opened(fs, opening) as descriptor:
            facts = fs.status(descriptor)
            if not facts.regular:
                raise DamagedError("is no plain file")
            if tail_only and not compressed:
                skip = max(0, facts.size - TAIL_BYTES)
            if not compressed:
                yield from _chunks(fs, descriptor, skip, facts.size, chunk_bytes)
                return
            seen = Trailed(_chunks(fs, descriptor, 0, facts.size, chunk_bytes))
            for chunk in inflate(seen, chunk_bytes=chunk_bytes):
                if len(chunk) > skip:
                    yield chunk[skip:]
                skip = max(0, skip - len(chunk))
            if not seen.holds():
                raise DamagedError("the hash behind the zstd frame differs")
    except OSError as error:
        told.tell("unreadable", 0, 0, str(error))
    except DamagedError as error:
        told.tell("damage", 0, 0, str(error))


def _chunks(fs: Fs, descriptor: int, start: int, end: int, chunk_bytes: int) -> Iterator[bytes]:
    while start < end:
        chunk = fs.read(descriptor, min(chunk_bytes, end - start), start)
        if not chunk:
            return
        start += len(chunk)
        yield chunk


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
