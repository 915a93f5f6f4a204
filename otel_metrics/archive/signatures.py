"""Who signed a seal, as the keys at hand can tell, and which segments are signed at all."""

import re
from collections.abc import Iterable, Mapping
from typing import Final, Literal

from otel_exporter_ndjson import DamagedError, Segment
from otel_exporter_ndjson.folders import opened
from otel_exporter_ndjson.frames import inflate
from otel_exporter_ndjson.fs import Fs
from otel_exporter_ndjson.sealing import TAIL_BYTES, chunks_of, sealed_hash
from otel_exporter_ndjson.sealkey import SealKey

__all__ = ["Signature", "keyring", "signature_of", "signed_folders"]

Signature = Literal["signed", "unsigned", "unknown_key", "wrong_signature"]

_SIGNED: Final = re.compile(
    rb'(\{"kind":"(?:seal|checkpoint)",.*,"key":"([0-9a-f]{16})"),"hmac":"([0-9a-f]{64})"\}\n',
    re.DOTALL,
)
_TRACES: Final = (b'"key":', b'"hmac":')


def keyring(keys: Iterable[SealKey]) -> dict[str, SealKey]:
    """Return keys by the id by which a seal names them."""
    return {key.id: key for key in keys}


def signature_of(text: bytes, keys: Mapping[str, SealKey]) -> Signature:
    """Return what the signature at the end of a seal line, or of a checkpoint, is worth.

    Only a text of exactly the signed form counts, and every byte of it.
    """
    match = _SIGNED.fullmatch(text)
    if match is None:
        return "wrong_signature" if any(each in text for each in _TRACES) else "unsigned"
    signed, key_id, signature = match.groups()
    key = keys.get(key_id.decode())
    if key is None:
        return "unknown_key"
    return "signed" if key.holds(signed, signature.decode()) else "wrong_signature"


def signed_folders(fs: Fs, found: Iterable[Segment]) -> list[str]:
    """Return the folders of services, of any signal, whose newest sealed segment is signed."""
    folders: dict[str, list[Segment]] = {}
    for segment in found:
        folders.setdefault(segment.folder_of_service, []).append(segment)
    return sorted([folder for folder, each in folders.items() if _newest_is_signed(fs, each)])


def _newest_is_signed(fs: Fs, segments: Iterable[Segment]) -> bool:
    for segment in sorted(segments, key=lambda each: (each.date, each.name), reverse=True):
        line = _last_line(fs, segment)
        if sealed_hash(line) is not None:
            return _TRACES[1] in line
    return False


def _last_line(fs: Fs, segment: Segment) -> bytes:
    """Return the last line of a segment in the form that is there; empty where it has none."""
    tail = b""
    name = segment.path.rpartition("/")[2]
    try:
        with (
            opened(fs, fs.open_root(segment.folder)) as directory,
            opened(fs, fs.open(directory, name)) as descriptor,
        ):
            size = fs.status(descriptor).size
            if not segment.compressed:
                tail = fs.read(descriptor, TAIL_BYTES, max(0, size - TAIL_BYTES))
            else:
                for chunk in inflate(chunks_of(fs, descriptor, size)):
                    tail = (tail + chunk)[-TAIL_BYTES:]
    except (OSError, DamagedError):
        return b""
    return tail[:-1].rpartition(b"\n")[2] + tail[-1:]
