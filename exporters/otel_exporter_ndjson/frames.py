"""The compressed form of a segment: one zstd frame, and a skippable frame that vouches for it.

Some flipped bits of a zstd frame inflate to the same content; the SHA-256 of all bytes before the
skippable frame finds those too. Other readers skip that frame, as RFC 8878 (3.1.2) says.
"""

import hashlib
import struct
from collections.abc import Iterable, Iterator
from typing import Final

import zstandard

from otel_exporter_ndjson.errors import DamagedError

__all__ = ["TRAILER_BYTES", "Trailed", "compress", "inflate", "trailer", "trailer_holds"]

LEVEL: Final = 9
CHUNK_BYTES: Final = 2**20
WINDOW_BYTES_MAX: Final = 2**23
"""Twice what our level asks for; a frame that declares more would take that much memory."""
INFLATED_BYTES_MAX: Final = 2 * 2**30
"""No segment inflates to more; a writer rotates at 1 GiB at the latest."""
RATIO_MAX: Final = 200
RATIO_FROM_BYTES: Final = 2**26
"""The ratio is looked at from here on: a small segment of equal lines may well exceed it."""

_MAGIC: Final = 0x184D2A50
_HEAD: Final = struct.Struct("<II")
TRAILER_BYTES: Final = _HEAD.size + hashlib.sha256().digest_size


def compress(chunks: Iterable[bytes], size: int) -> Iterator[bytes]:
    """Return the bytes of a `.zst` file for content of exactly `size` bytes."""
    digest = hashlib.sha256()
    compressor = zstandard.ZstdCompressor(level=LEVEL, write_checksum=True)
    stream = compressor.compressobj(size=size)
    for chunk in chunks:
        squeezed = stream.compress(chunk)
        if squeezed:
            digest.update(squeezed)
            yield squeezed
    squeezed = stream.flush()
    digest.update(squeezed)
    yield squeezed
    yield trailer(digest.digest())


def trailer(digest: bytes) -> bytes:
    """Return the skippable frame around the SHA-256 of all bytes before it."""
    return _HEAD.pack(_MAGIC, len(digest)) + digest


def trailer_holds(data: bytes) -> bool:
    """Whether a whole `.zst` file ends with the hash of its own bytes."""
    body, end = data[:-TRAILER_BYTES], data[-TRAILER_BYTES:]
    return len(data) > TRAILER_BYTES and end == trailer(hashlib.sha256(body).digest())


def inflate(
    chunks: Iterable[bytes], *, bytes_max: int = INFLATED_BYTES_MAX, chunk_bytes: int = CHUNK_BYTES
) -> Iterator[bytes]:
    """Return the content of a `.zst` file, piece by piece; the trailer is not looked at.

    Raises:
        DamagedError: no zstd frame, a damaged one, or one that inflates beyond all measure.
    """
    inflater = zstandard.ZstdDecompressor(max_window_size=WINDOW_BYTES_MAX)
    source = _Pieces(chunks)
    inflated = 0
    try:
        with inflater.stream_reader(
            source,  # type: ignore[arg-type] # it only reads
            read_size=chunk_bytes,
            read_across_frames=True,  # as other readers do: nobody sees more in a file than we
        ) as stream:
            while chunk := stream.read(chunk_bytes):
                inflated += len(chunk)
                if inflated > bytes_max or (
                    inflated > RATIO_FROM_BYTES and inflated > RATIO_MAX * source.taken
                ):
                    raise DamagedError("inflates beyond all measure")
                yield chunk
    except zstandard.ZstdError as error:
        raise DamagedError(f"no whole zstd frame: {error}") from None
    if not source.ended:
        return
    if inflated == 0:
        raise DamagedError("no whole zstd frame")


class Trailed:
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

    def is_there(self) -> bool:
        """Whether the file has such an end at all, where all of it has been looked at."""
        return self._end.startswith(_HEAD.pack(_MAGIC, TRAILER_BYTES - _HEAD.size))

    def _take(self, chunk: bytes) -> None:
        data = self._end + chunk
        self._hash.update(data[:-TRAILER_BYTES])
        self._end = data[-TRAILER_BYTES:]


class _Pieces:
    """The least of a file object that `zstandard` reads from."""

    def __init__(self, chunks: Iterable[bytes]) -> None:
        self._chunks = iter(chunks)
        self._rest = b""
        self.taken = 0
        self.ended = False

    def read(self, size: int = -1) -> bytes:
        """Return up to `size` bytes; empty at the end."""
        if not self._rest:
            self._rest = next(self._chunks, b"")
            self.ended = not self._rest
        piece, self._rest = (
            (self._rest, b"") if size < 0 else (self._rest[:size], self._rest[size:])
        )
        self.taken += len(piece)
        return piece
