"""The end of a service's chain: name and hash of its newest sealed segment."""

import hashlib
from typing import Final

from otel_exporter_ndjson.errors import DamagedError
from otel_exporter_ndjson.folders import opened
from otel_exporter_ndjson.frames import inflate
from otel_exporter_ndjson.fs import Fs, Status
from otel_exporter_ndjson.sealing import chunks_of
from otel_exporter_ndjson.segments import SegmentName

__all__ = ["newest_sealed"]

HASHES_MAX: Final = 100

_hashes: dict[tuple[str, Status], str] = {}
"""Hashes of sealed segments, by name and by what the file was; a forked child inherits them.

A sealed segment never changes, but another may come to stand in its place: one rewritten by an
erasure, or one that was put back from a copy.
"""


def newest_sealed(fs: Fs, service: int) -> tuple[str, str] | None:
    """Return name and SHA-256 of the newest sealed segment in a service's folder, or None."""
    for date in reversed(fs.names(service)):
        if not date.startswith("date="):
            continue
        try:
            directory = fs.open_dir(service, date)
        except OSError:
            continue  # no folder, or a link in its place: nothing of ours
        with opened(fs, directory):
            found = _newest(fs, directory)
            if found is not None:
                return found
    return None


def _newest(fs: Fs, directory: int) -> tuple[str, str] | None:
    for name in reversed(fs.names(directory)):
        parsed = SegmentName.parse(name)
        if parsed is None:
            continue
        facts = fs.status_at(directory, name)
        if facts is None:
            continue  # somebody has just compressed it
        key = (name, facts)
        digest = _hashes.get(key) or _hash(fs, directory, name)
        if digest is not None:
            if len(_hashes) >= HASHES_MAX:
                _hashes.clear()
            _hashes[key] = digest
            return str(parsed), digest
    return None


def _hash(fs: Fs, directory: int, name: str) -> str | None:
    """The hash of a segment's lines, or None when it is not sealed or cannot be read."""
    digest = hashlib.sha256()
    tail = b""
    try:
        with opened(fs, fs.open(directory, name)) as descriptor:
            chunks = chunks_of(fs, descriptor)
            for chunk in inflate(chunks) if name.endswith(".zst") else chunks:
                digest.update(chunk)
                tail = (tail + chunk)[-4096:]
    except (OSError, DamagedError):
        return None
    sealed = tail[:-1].rpartition(b"\n")[2].startswith(b'{"kind":"seal",')
    return digest.hexdigest() if sealed and tail.endswith(b"}\n") else None
