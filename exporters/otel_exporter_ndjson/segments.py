"""What a segment is: its names, its first, commit and last lines, and the checks over its bytes.

Pure: bytes and names in, bytes and names out. Archive format version 1.
"""

import hashlib
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import msgspec

from otel_exporter_ndjson.errors import DamagedError
from otel_exporter_ndjson.sealkey import SealKey
from otel_exporter_ndjson.values import decode_time, time_json

__all__ = [
    "FORMAT",
    "SIGNALS",
    "Damage",
    "Scan",
    "SegmentName",
    "Writer",
    "check",
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
        return cls(match[1], match[2], int(match[3])) if match else None


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


@dataclass(frozen=True, slots=True)
class Damage:
    """Bytes of a segment that are not what was written, between two lines that vouch for a hash.

    `start` and `end` are byte offsets, `line` the number of the line that does not hold.
    """

    start: int
    end: int
    line: int
    message: str


class Scan:
    """Goes over the lines of a segment and checks every hash that they carry.

    Feed whole lines, then `finish`. What was found is in `damages`; `sealed` says that the last
    line is a seal, and then nothing is missing at the end either.
    """

    def __init__(self) -> None:
        self.damages: list[Damage] = []
        self.head: dict[str, Any] | None = None
        self.lines = 0
        self.records = 0
        self.bytes = 0
        self.sealed = False
        self.seal: dict[str, Any] | None = None
        self._first: str | None = None
        self._last: str | None = None
        self._odd: list[int] = []  # times beyond the years that RFC 3339 can say
        self._hash = hashlib.sha256()
        self._vouched = 0

    def feed(self, line: bytes) -> None:
        """Take the next line, with its line end."""
        self.lines += 1
        if self.sealed:
            self._damage(self.bytes, len(line), "stands behind the seal")
            self.sealed = False
        record = self._decode(line)
        kind = record.get("kind") if record is not None else None
        if (kind == "segment") != (self.lines == 1):
            self._damage(self.bytes, len(line), "no segment line, or not where it belongs")
        if record is not None:
            self._take(kind, record, line)
        self._hash.update(line)
        self.bytes += len(line)

    def finish(self) -> None:
        """Say that there are no more lines."""
        if self.lines == 0:
            self._damage(0, 0, "the segment is empty")

    @property
    def sha256(self) -> str:
        """The hash of every line fed so far."""
        return self._hash.hexdigest()

    def _take(self, kind: Any, record: dict[str, Any], line: bytes) -> None:
        if kind in ("metric", "event"):
            self.records += 1
            self._time(record)
        elif kind == "segment" and self.lines == 1:
            self.head = record
        elif kind in ("commit", "seal"):
            self._vouch(kind, record, line)
        elif kind not in ("describe", "segment"):
            self._damage(self.bytes, len(line), "a line of no known kind")

    def _vouch(self, kind: str, record: dict[str, Any], line: bytes) -> None:
        if not self._exact(kind, record, line):
            self._damage(self.bytes, len(line), f"the {kind} line itself was changed")
        if record.get("sha256") != self.sha256:
            self._damage(self._vouched, self.bytes - self._vouched, f"{kind} hash differs")
        elif record.get("records") != self.records:
            self._damage(self._vouched, self.bytes - self._vouched, f"{kind} count differs")
        self._vouched = self.bytes
        if kind == "seal" and not self._timely(record):
            self._damage(self.bytes, len(line), "the seal's times are not those of its records")
        if kind == "seal":
            self.sealed = True
            self.seal = record

    @property
    def times(self) -> tuple[int | None, int | None]:
        """The first and last time of the records so far, in nanoseconds."""
        times = [*self._odd]
        texts = [text for text in (self._first, self._last) if text is not None]
        times += [time for time in map(_time_or_none, texts) if time is not None]
        return (min(times), max(times)) if times else (None, None)

    def _timely(self, seal: dict[str, Any]) -> bool:
        try:
            return (decode_time(seal.get("first")), decode_time(seal.get("last"))) == self.times
        except DamagedError:
            return False

    def _time(self, record: dict[str, Any]) -> None:
        time = record.get("time")
        if time is None:
            time = record.get("observed")
        if isinstance(time, str):  # of equal length, so that their order is that of the times
            self._first = time if self._first is None or time < self._first else self._first
            self._last = time if self._last is None or time > self._last else self._last
        elif isinstance(time, int):
            self._odd = [min([time, *self._odd]), max([time, *self._odd])]

    @staticmethod
    def _exact(kind: str, record: dict[str, Any], line: bytes) -> bool:
        """Whether a line that no hash of its own guards is the one way to write what it says."""
        try:
            return line == _rewritten(kind, record, line)
        except (DamagedError, KeyError, TypeError, ValueError, AttributeError):
            return False

    def _decode(self, line: bytes) -> dict[str, Any] | None:
        try:
            record = msgspec.json.decode(line)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            self._damage(self.bytes, len(line), f"no JSON: {error}")
            return None
        if not line.endswith(b"\n") or not isinstance(record, dict):
            self._damage(self.bytes, len(line), "no whole line with one object")
            return None
        return record

    def _damage(self, start: int, size: int, message: str) -> None:
        self.damages.append(Damage(start, start + size, self.lines, message))


def _time_or_none(text: str) -> int | None:
    try:
        return decode_time(text)
    except DamagedError:
        return None


def _rewritten(kind: str, record: dict[str, Any], line: bytes) -> bytes:
    if kind == "commit":
        shape = None
        if "shape" in record:
            at = line.index(b',"shape":')
            shape = line[at + len(b',"shape":') : -2]
        return commit_line(record["records"], record["sha256"], shape)
    sealed = seal_line(record["records"], None, None, record["sha256"])
    times = b'"first":%s,"last":%s' % (_encode(record["first"]), _encode(record["last"]))
    sealed = sealed.replace(b'"first":null,"last":null', times)
    return sealed[:-2] + (b',"recovered":true}\n' if record.get("recovered") else b"}\n")


def check(lines: Iterable[bytes]) -> Scan:
    """Go over all lines of a segment and return what was found."""
    scan = Scan()
    for line in lines:
        scan.feed(line)
    scan.finish()
    return scan
