"""A checkpoint: which segments an archive has at one time, kept elsewhere.

Against it the removal of the newest segments shows, and that a folder was put back to an older
state; nothing inside the archive can show that.
"""

import hashlib
import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

import msgspec

from otel_exporter_ndjson import DamagedError
from otel_exporter_ndjson.sealkey import SealKey
from otel_exporter_ndjson.segments import SegmentName
from otel_exporter_ndjson.values import decode_time, time_text
from otel_metrics.archive.inspection import Inspected
from otel_metrics.archive.output import output
from otel_metrics.archive.signatures import Signature, signature_of

__all__ = [
    "Checkpoint",
    "Entry",
    "NoCheckpointError",
    "checkpoint_text",
    "entries_of",
    "read_checkpoint",
    "write_new",
]

FORMAT: Final = 1
BYTES_MAX: Final = 256 * 2**20
_DIGEST: Final = re.compile(rb'(.*),"sha256":"([0-9a-f]{64})"(?:,"key":.*)?\}\n', re.DOTALL)
_SHA256: Final = re.compile(r"[0-9a-f]{64}")
_BEGIN: Final = b'{"kind":"checkpoint"'


class NoCheckpointError(DamagedError):
    """A file is no checkpoint, or none that we can use; nobody says that it was changed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One segment at the time of the checkpoint.

    Attributes:
        service: its name; `segment`: the name of its file without `.zst`.
        state: `sealed`, or `open`, which then is about the lines up to its last commit line.
        sha256, lines, bytes, records: of these lines.
    """

    signal: str
    service: str
    segment: str
    state: Literal["sealed", "open"]
    sha256: str
    lines: int
    bytes: int
    records: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkpoint:
    """What a checkpoint's file says, and what its signature is worth with the keys at hand."""

    archive: str | None
    time_ns: int
    entries: Mapping[tuple[str, str], Entry]
    signature: Signature


def entries_of(found: Iterable[Inspected]) -> list[Entry]:
    """Return what a checkpoint says of segments that have been inspected."""
    return [_entry(each) for each in found if each.state in ("sealed", "open", "unsealed")]


def _entry(found: Inspected) -> Entry:
    scan, segment = found.scan, found.segment
    sealed = found.state == "sealed"
    lines, size, records, sha256 = (
        (scan.lines, scan.bytes, scan.records, scan.sha256)
        if sealed
        else (
            scan.committed.lines,
            scan.committed.bytes,
            scan.committed.records,
            scan.committed.sha256,
        )
    )
    return Entry(
        signal=segment.signal,
        service=segment.service,
        segment=segment.name,
        state="sealed" if sealed else "open",
        sha256=sha256,
        lines=lines,
        bytes=size,
        records=records,
    )


def checkpoint_text(
    archive: str | None, entries: Iterable[Entry], *, now_ns: int, key: SealKey | None = None
) -> bytes:
    """Return a checkpoint as JSON, a segment a line; it ends with its hash and, with a key, with
    its signature, each over every byte before it."""
    encode = msgspec.json.Encoder().encode
    each = b",\n".join([encode(entry) for entry in entries])
    text = b'{"kind":"checkpoint","format":%d,"archive":%s,"time":%s,"segments":[\n%s\n]' % (
        FORMAT,
        encode(archive),
        encode(time_text(now_ns)),
        each,
    )
    text += b',"sha256":"%s"' % hashlib.sha256(text).hexdigest().encode()
    if key is None:
        return text + b"}\n"
    signed = text + b',"key":"%s"' % key.id.encode()
    return signed + b',"hmac":"%s"}\n' % key.sign(signed).encode()


def read_checkpoint(path: str | os.PathLike[str], keys: Mapping[str, SealKey]) -> Checkpoint:
    """Read a checkpoint.

    Raises:
        OSError: it cannot be read.
        NoCheckpointError: it is none, or of another format.
        DamagedError: it was changed: its hash or its signature does not hold.
    """
    with open(path, "rb") as file:
        text = file.read(BYTES_MAX + 1)
    match = _DIGEST.fullmatch(text)
    if match is None and text.startswith(_BEGIN) and len(text) <= BYTES_MAX:
        raise DamagedError("was changed after it was made: its end is not that of a checkpoint")
    if match is None or len(text) > BYTES_MAX:
        raise NoCheckpointError("is no checkpoint; make one with otel-metrics archive checkpoint")
    if hashlib.sha256(match[1]).hexdigest().encode() != match[2]:
        raise DamagedError("was changed after it was made: its hash differs")
    signature = signature_of(text, keys)
    if signature == "wrong_signature":
        raise DamagedError("was changed after it was made: its signature does not hold")
    try:
        return _decoded(msgspec.json.decode(text), signature)
    except (msgspec.MsgspecError, UnicodeDecodeError, KeyError, TypeError, ValueError) as error:
        raise NoCheckpointError(f"is no checkpoint of format {FORMAT}: {error}"[:200]) from None


def _decoded(said: dict[str, Any], signature: Signature) -> Checkpoint:
    if said["format"] != FORMAT:
        raise NoCheckpointError(f"is of format {said['format']!r}"[:80])
    entries = msgspec.convert(said["segments"], list[Entry])
    for entry in entries:
        if SegmentName.parse(entry.segment) is None or not _SHA256.fullmatch(entry.sha256):
            raise NoCheckpointError(f"names no segment: {entry.segment!r}"[:120])
    archive = said["archive"]
    return Checkpoint(
        archive=archive if isinstance(archive, str) else None,
        time_ns=decode_time(said["time"]) or 0,
        entries={(entry.signal, entry.segment): entry for entry in entries},
        signature=signature,
    )


def write_new(path: str, text: bytes) -> None:
    """Write a checkpoint to a path; a file has its name only when it is whole and on the disk.

    Raises:
        OSError: the disk said no; what had the name before is still there.
    """
    with output(path) as target, open(target, "wb") as file:
        file.write(text)
