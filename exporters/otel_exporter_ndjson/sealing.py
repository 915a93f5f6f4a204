"""A sealed segment -> its compressed form, in steps of which each may be the last.

Until the compressed form is whole, synced and has its name, the plain one stays; both at once are
one segment to a reader. What does not match its seal is never compressed, or it would look sound.
"""

import hashlib
import secrets
from collections.abc import Iterator
from contextlib import suppress
from typing import Any, Final

import msgspec

from otel_exporter_ndjson.errors import DamagedError
from otel_exporter_ndjson.folders import opened
from otel_exporter_ndjson.frames import CHUNK_BYTES, compress, inflate
from otel_exporter_ndjson.fs import Fs

__all__ = [
    "CHANGED",
    "TAIL_BYTES",
    "TEMPORARY",
    "chunks_of",
    "committed_hash",
    "compress_segment",
    "sealed_hash",
    "temporary_name",
    "write_all",
]

TEMPORARY: Final = ".tmp"
TAIL_BYTES: Final = 4096
"""Enough for a seal line."""
CHANGED: Final = "does not match its seal: it was changed after it was sealed"
_SEAL: Final = b'{"kind":"seal",'
_COMMIT: Final = b'{"kind":"commit",'
_READ_BITS: Final = 0o444


def temporary_name(name: str) -> str:
    """Return a name for a file that is to become the segment of this name or its other form."""
    return f".{name}-{secrets.token_hex(4)}{TEMPORARY}"


def chunks_of(fs: Fs, descriptor: int, size: int | None = None) -> Iterator[bytes]:
    """Return a file's bytes piece by piece, up to `size`."""
    offset = 0
    while size is None or offset < size:
        left = CHUNK_BYTES if size is None else min(CHUNK_BYTES, size - offset)
        chunk = fs.read(descriptor, left, offset)
        if not chunk:
            return
        offset += len(chunk)
        yield chunk


def write_all(fs: Fs, descriptor: int, data: bytes) -> None:
    """Append all of `data`."""
    written = 0
    while written < len(data):
        written += fs.write(descriptor, memoryview(data)[written:])


def sealed_hash(line: bytes) -> str | None:
    """Return the hash that a seal line states, empty where it states none; None for other lines."""
    return _stated_hash(line, _SEAL)


def committed_hash(line: bytes) -> str | None:
    """Return the same of a commit line."""
    return _stated_hash(line, _COMMIT)


def _stated_hash(line: bytes, begin: bytes) -> str | None:
    if not line.startswith(begin) or not line.endswith(b"}\n"):
        return None
    try:
        seal: Any = msgspec.json.decode(line)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return ""
    stated = seal.get("sha256")
    return stated if isinstance(stated, str) else ""


def compress_segment(fs: Fs, directory: int, name: str, *, sync: bool = True) -> bool:
    """Compress a sealed segment, and remove the plain form; False when somebody else is at it.

    Raises:
        OSError: the disk said no; the plain form is still there.
        DamagedError: it does not match its seal, or what was written does not inflate to what was
            read; likewise.
    """
    try:
        descriptor = fs.open(directory, name, write=True)
    except FileNotFoundError:
        return False
    with opened(fs, descriptor):
        facts = fs.status(descriptor)
        if not fs.lock(descriptor) or not facts.same(fs.status_at(directory, name)):
            return False
        if not _is_as_sealed(fs, descriptor, facts.size):
            raise DamagedError(f"{name} {CHANGED}")
        if sync:  # should the power fail between, both forms must be the same
            fs.sync(descriptor)
        temporary = temporary_name(name)
        mode = facts.mode & _READ_BITS
        with opened(fs, fs.create(directory, temporary, mode)) as target:
            try:
                if facts.uid != fs.uid():
                    fs.set_owner(target, facts.uid, facts.gid)
                    fs.set_mode(target, mode)
                digest = _squeeze(fs, descriptor, target, facts.size)
                if sync:
                    fs.sync(target)
                _install(fs, directory, temporary, f"{name}.zst", digest)
                if sync:
                    fs.sync_dir(directory)
                fs.unlink(directory, name)
            finally:
                with suppress(FileNotFoundError):  # a recovery may tidy up as soon as it is linked
                    fs.unlink(directory, temporary)
        if sync:
            fs.sync_dir(directory)
    return True


def _is_as_sealed(fs: Fs, descriptor: int, size: int) -> bool:
    """Whether the last line is a seal, and every byte before it is what that was made over."""
    tail = fs.read(descriptor, TAIL_BYTES, max(0, size - TAIL_BYTES))
    seal = tail[:-1].rpartition(b"\n")[2] + tail[-1:]
    digest = hashlib.sha256()
    for chunk in chunks_of(fs, descriptor, size - len(seal)):
        digest.update(chunk)
    return digest.hexdigest() == sealed_hash(seal)


def _squeeze(fs: Fs, source: int, target: int, size: int) -> bytes:
    digest = hashlib.sha256()

    def read() -> Iterator[bytes]:
        for chunk in chunks_of(fs, source, size):
            digest.update(chunk)
            yield chunk

    for piece in compress(read(), size):
        write_all(fs, target, piece)
    _holds(fs, target, digest.digest())
    return digest.digest()


def _holds(fs: Fs, descriptor: int, digest: bytes) -> None:
    inflated = hashlib.sha256()
    for chunk in inflate(chunks_of(fs, descriptor)):
        inflated.update(chunk)
    if inflated.digest() != digest:
        raise DamagedError("the compressed segment does not inflate to what was written")


def _install(fs: Fs, directory: int, temporary: str, name: str, digest: bytes) -> None:
    try:
        fs.link(directory, temporary, name)
    except FileExistsError:  # an earlier attempt ended between link and unlink, or a stranger's
        with opened(fs, fs.open(directory, name)) as present:
            _holds(fs, present, digest)
