"""What a segment is: its names, and its first, commit and last lines.

Pure: bytes and names in, bytes and names out. Archive format version 1.
"""

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import msgspec

from otel_exporter_ndjson.sealkey import SealKey
from otel_exporter_ndjson.values import time_json

__all__ = [
    "FORMAT",
    "SIGNALS",
    "SegmentName",
    "Writer",
    "commit_line",
    "date_folder",
    "decode_name",
    "encode_name",
    "seal_line",
    "segment_line",
    "service_folder",
]

FORMAT: Final = 1
SIGNALS: Final = ("metrics", "events", "audit")
NAME_BYTES_MAX: Final = 120
_KEPT_BYTES: Final = 60
_HASH_DIGITS: Final = 32
_SAFE: Final = frozenset(b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.")
_NAME = re.compile(r"(\d{8}T\d{6}\.\d{6}Z)-([0-9a-f]{16})-(\d{6,12})\.ndjson(\.zst)?", re.ASCII)
_encode = msgspec.json.Encoder().encode


def encode_name(name: str) -> str:
    """Return a name made from data as a file name: percent-encoded ASCII, one name one result.

    Longer than 120 bytes: its first 60, `%h` and 32 hex digits of the SHA-256 of the name.

    >>> encode_name("a/b ü")
    'a%2Fb%20%C3%BC'
    """
    raw = name.encode("utf-8", "surrogatepass")
    encoded = "".join([chr(byte) if byte in _SAFE else f"%{byte:02X}" for byte in raw])
    if set(encoded) <= {"."}:  # "", "." and ".." are no names of folders
        encoded = "%2E" * len(encoded) or "%"
    if len(encoded) <= NAME_BYTES_MAX:
        return encoded
    kept = encoded[:_KEPT_BYTES]
    kept = kept[: kept.rindex("%")] if "%" in kept[-2:] else kept  # never half an escape
    return f"{kept}%h{hashlib.sha256(raw).hexdigest()[:_HASH_DIGITS]}"


def decode_name(encoded: str) -> str:
    """Return the name that `encode_name` encoded; a shortened one stays as it is."""
    if encoded == "%":
        return ""
    if "%h" in encoded:
        return encoded
    raw = re.sub(
        rb"%([0-9A-F]{2})",
        lambda match: bytes([int(match[1], 16)]),
        encoded.encode("ascii", "replace"),
    )
    return raw.decode("utf-8", "surrogateescape")


def service_folder(service: str) -> str:
    """Return the Hive-style folder of a service."""
    return f"service={encode_name(service)}"


def date_folder(time_ns: int) -> str:
    """Return the Hive-style folder of a UTC day."""
    text = time_json(time_ns).decode()
    return f"date={text[1:11]}"


@dataclass(frozen=True, slots=True, order=True)
class SegmentName:
    """The name of a segment's file. Order and uniqueness come from instance and sequence."""

    start: str
    instance: str
    sequence: int

    def __str__(self) -> str:
        return f"{self.start}-{self.instance}-{self.sequence:06d}.ndjson"

    @classmethod
    def at(cls, time_ns: int, instance: str, sequence: int) -> "SegmentName":
        """Name a segment that begins now; the time in it is for people."""
        text = time_json(time_ns).decode()[1:-1]
        start = text[:26].replace("-", "").replace(":", "") + "Z"
        return cls(start, instance, sequence)

    @classmethod
    def parse(cls, name: str) -> "SegmentName | None":
        """Read the name of a file, compressed or not; None for any other file."""
        match = _NAME.fullmatch(name)
        if match is None:
            return None
        parsed = cls(match[1], match[2], int(match[3]))
        return parsed if name in (str(parsed), f"{parsed}.zst") else None  # one number, one name


@dataclass(frozen=True, slots=True)
class Writer:
    """Who writes a segment."""

    instance: str
    host: str
    pid: int
    start_ns: int


def segment_line(
    *,
    archive: str | None,
    signal: str,
    resource: bytes,
    writer: Writer,
    sequence: int,
    previous: tuple[str, str] | None,
    continues: Sequence[tuple[int, int]] = (),
) -> bytes:
    """Return the first line of a segment.

    Args:
        archive: the id of the archive; None where it cannot be read.
        resource: the resource as JSON.
        previous: name and SHA-256 of the segment before this one in the chain.
        continues: for each segment of this writer whose fsync failed, its sequence and the line
            after which everything was written again here.
    """
    chain = None if previous is None else {"segment": previous[0], "sha256": previous[1]}
    members = [
        b'{"kind":"segment","format":%d' % FORMAT,
        b'"archive":%s' % _encode(archive),
        b'"signal":%s' % _encode(signal),
        b'"resource":%s' % resource,
        b'"writer":{"instance":%s,"host":%s,"pid":%d,"start":%s}'
        % (_encode(writer.instance), _encode(writer.host), writer.pid, time_json(writer.start_ns)),
        b'"sequence":%d' % sequence,
        b'"previous":%s' % _encode(chain),
    ]
    if continues:
        again = [{"sequence": sequence, "line": line} for sequence, line in continues]
        members.append(b'"continues":%s' % _encode(again))
    return b",".join(members) + b"}\n"


def commit_line(records: int, sha256: str, shape: bytes | None = None) -> bytes:
    """Return a commit line: records so far, and the hash of every byte before it.

    `shape` says how the exported data was grouped, where the lines alone do not.
    """
    extra = b"" if shape is None else b',"shape":%s' % shape
    return b'{"kind":"commit","records":%d,"sha256":"%s"%s}\n' % (records, sha256.encode(), extra)


def seal_line(
    records: int,
    first_ns: int | None,
    last_ns: int | None,
    sha256: str,
    *,
    recovered: bool = False,
    key: SealKey | None = None,
) -> bytes:
    """Return the last line of a segment; `recovered` when its own writer could not write it.

    With a key its signature comes last: over every byte of the line before `,"hmac":`.
    """
    line = b'{"kind":"seal","records":%d,"first":%s,"last":%s,"sha256":"%s"%s' % (
        records,
        time_json(first_ns),
        time_json(last_ns),
        sha256.encode(),
        b',"recovered":true' if recovered else b"",
    )
    if key is None:
        return line + b"}\n"
    signed = b'%s,"key":"%s"' % (line, key.id.encode())
    return b'%s,"hmac":"%s"}\n' % (signed, key.sign(signed).encode())
