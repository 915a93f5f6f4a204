"""The checks over the lines of a segment: every hash and count that they carry.

Pure: bytes in, what was found out. Whole blocks go at about the speed of the hash; where a block
holds anything odd it is gone over line by line, so that both ways find the same.
"""

import hashlib
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import msgspec

from otel_exporter_ndjson.errors import DamagedError
from otel_exporter_ndjson.segments import commit_line, seal_line
from otel_exporter_ndjson.values import decode_time

__all__ = ["DAMAGES_MAX", "KINDS", "Commit", "Damage", "Scan", "check"]

RECORD_KINDS: Final = frozenset({"metric", "event"})
KINDS: Final = RECORD_KINDS | {"segment", "describe", "erased", "commit", "seal"}
"""The kinds of lines that there are."""
DAMAGES_MAX: Final = 1_000
"""Damages of one segment that are told one by one."""
_IN_FULL: Final = frozenset({"segment", "commit", "seal"})
_BEGIN: Final = b'{"kind":"'
_END: Final = b"}\n"
_VOUCHING: Final = (b'{"kind":"commit"', b'{"kind":"seal"')
_LINES = re.compile(rb"[^\n]*\n")
_encode = msgspec.json.Encoder().encode


@dataclass(frozen=True, slots=True)
class Damage:
    """Bytes of a segment that are not what was written, between two lines that vouch for a hash.

    `start` and `end` are byte offsets, `line` the number of the line that does not hold.
    """

    start: int
    end: int
    line: int
    message: str


@dataclass(frozen=True, slots=True)
class Commit:
    """The end of a commit line: lines and bytes up to there, the records among them, the hash."""

    lines: int
    bytes: int
    records: int
    sha256: str


class _Line(msgspec.Struct, gc=False):
    """What is asked of most lines; the rest of the object is only checked to be JSON."""

    kind: str = ""
    time: str | int | None = None
    observed: str | int | None = None


class Scan:
    """Goes over the lines of a segment and checks every hash that they carry.

    Feed whole lines, or blocks of them, then `finish`. What was found is in `damages`; `sealed`
    says that the last line is a seal, and then nothing is missing at the end either.

    Args:
        mark: at how many bytes to note the hash of what is before, in `marked`; a line's end.

    Attributes:
        records, erased: points and events, and lines that stand where one was erased.
        good_line, good_bytes: the end of the last line that says something; what is behind it in a
            segment without a seal is a torn tail.
        committed: the end of the last commit line that holds.
        left_out: damages beyond `DAMAGES_MAX`, which are only counted.
    """

    def __init__(self, mark: int | None = None) -> None:
        self.damages: list[Damage] = []
        self.left_out = 0
        self.head: dict[str, Any] | None = None
        self.lines = 0
        self.records = 0
        self.erased = 0
        self.bytes = 0
        self.good_line = 0
        self.good_bytes = 0
        self.sealed = False
        self.seal: dict[str, Any] | None = None
        self.seal_line = b""
        self.committed = Commit(0, 0, 0, hashlib.sha256().hexdigest())
        self.marked: str | None = self.committed.sha256 if mark == 0 else None
        self._mark = mark
        self._first: str | None = None
        self._last: str | None = None
        self._odd: list[int] = []  # times beyond the years that RFC 3339 can say
        self._hash = hashlib.sha256()
        self._vouched = 0
        self._off = False

    def feed(self, line: bytes) -> None:
        """Take the next line, with its line end."""
        self.lines += 1
        if self.sealed:
            self._damage(self.bytes, len(line), "stands behind the seal")
            self.sealed = False
        said = self._decode(line)
        kind = None if said is None else said.kind
        if (kind == "segment") != (self.lines == 1):
            self._damage(self.bytes, len(line), "no segment line, or not where it belongs")
        if said is not None:
            self._take(said, line)
        self._hash.update(line)
        self.bytes += len(line)
        if kind in KINDS or (said is None and _is_behind_nulls(line)):
            self.good_line, self.good_bytes = self.lines, self.bytes
        if kind == "commit":
            self._note_commit()

    def feed_block(self, block: bytes) -> None:
        """Take the next whole lines, many at once; what is found is what `feed` finds."""
        start = 0
        if self.lines == 0:
            start = block.index(b"\n") + 1
            self.feed(block[:start])
        while start < len(block):
            if len(self.damages) >= DAMAGES_MAX:
                self._feed_seal(block[start:])
                return
            at, end = _next_vouching(block, start)
            if at > start and not self._feed_records(block[start:at]):
                self._feed_each(block[start:at])
            if at < end:
                self.feed(block[at:end])
            start = end

    def skip(self, data: bytes, *, message: str | None = None) -> None:
        """Take bytes of a line that is too long to be looked at; with a message at its end."""
        self._hash.update(data)
        self.bytes += len(data)
        if message is not None:
            self.lines += 1
            self.sealed = False
            self._damage(self.bytes - len(data), len(data), message)

    def finish(self) -> None:
        """Say that there are no more lines."""
        if self.lines == 0:
            self._damage(0, 0, "the segment is empty")

    @property
    def sha256(self) -> str:
        """The hash of every line fed so far."""
        return self._hash.hexdigest()

    @property
    def holds(self) -> bool:
        """Whether the last hash that a line stated was that of every byte before it."""
        return not self._off

    @property
    def times(self) -> tuple[int | None, int | None]:
        """The first and last time of the records so far, in nanoseconds."""
        times = [*self._odd]
        texts = [text for text in (self._first, self._last) if text is not None]
        times += [time for time in map(_time_or_none, texts) if time is not None]
        return (min(times), max(times)) if times else (None, None)

    def _feed_records(self, block: bytes) -> bool:
        """Take lines that vouch for nothing; False, and nothing taken, where one is odd."""
        if self.sealed or not (block.isascii() or _is_utf8(block)):
            return False
        lines = block.count(b"\n")
        if not block.startswith(_BEGIN) or block.count(b"\n" + _BEGIN) != lines - 1:
            return False
        if not block.endswith(_END) or block.count(_END) != lines:
            return False
        try:
            said = _decode_lines(block)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            return False
        kinds = [each.kind for each in said]
        erased, described = kinds.count("erased"), kinds.count("describe")
        records = kinds.count("metric") + kinds.count("event")
        if len(said) != lines or records + erased + described != lines:
            return False
        self._times([each for each in said if each.kind in RECORD_KINDS])
        self._hash.update(block)
        self.lines += lines
        self.records += records
        self.erased += erased
        self.bytes += len(block)
        self.good_line, self.good_bytes = self.lines, self.bytes
        return True

    def _feed_each(self, block: bytes) -> None:
        """Take odd lines one by one."""
        for match in _LINES.finditer(block):
            if len(self.damages) >= DAMAGES_MAX:
                self._feed_seal(block[match.start() :])
                return
            self.feed(match[0])

    def _feed_seal(self, block: bytes) -> None:
        """Take lines of which no more is told: only their hash, and the seal at their end."""
        at = block.rfind(b"\n", 0, len(block) - 1) + 1
        end = at if block.startswith(_VOUCHING[1], at) else len(block)
        self.left_out += block.count(b"\n", 0, end)
        self.lines += block.count(b"\n", 0, end)
        self.sealed = False
        self.skip(block[:end])
        if end < len(block):
            self.feed(block[end:])

    def _take(self, said: _Line, line: bytes) -> None:
        kind = said.kind
        if kind in RECORD_KINDS:
            self.records += 1
            self._times([said])
        elif kind == "erased":
            self.erased += 1
        elif kind == "segment" and self.lines == 1:
            self.head = msgspec.json.decode(line)
        elif kind in ("commit", "seal"):
            self._vouch(kind, msgspec.json.decode(line), line)
        elif kind not in KINDS:
            self._damage(self.bytes, len(line), "a line of no known kind")

    def _vouch(self, kind: str, record: dict[str, Any], line: bytes) -> None:
        if not self._exact(kind, record, line):
            self._damage(self.bytes, len(line), f"the {kind} line itself was changed")
        differs = record.get("sha256") != self.sha256
        if differs and not self._off:  # every later hash is over the same bytes, and differs too
            self._damage(self._vouched, self.bytes - self._vouched, f"{kind} hash differs")
        elif not differs and record.get("records") != self.records:
            self._damage(self._vouched, self.bytes - self._vouched, f"{kind} count differs")
        self._off = differs
        self._vouched = self.bytes
        if kind == "seal" and not self._timely(record):
            self._damage(self.bytes, len(line), "the seal's times are not those of its records")
        if kind == "seal":
            self.sealed = True
            self.seal = record
            self.seal_line = line

    def _note_commit(self) -> None:
        if self.bytes == self._mark:
            self.marked = self.sha256
        if not self._off:
            self.committed = Commit(self.lines, self.bytes, self.records, self.sha256)

    def _timely(self, seal: dict[str, Any]) -> bool:
        try:
            return (decode_time(seal.get("first")), decode_time(seal.get("last"))) == self.times
        except (DamagedError, RecursionError):
            return False

    def _times(self, records: Sequence[_Line]) -> None:
        every = [each.observed if each.time is None else each.time for each in records]
        # Texts are of equal length, so that their order is that of the times.
        texts = [time for time in every if isinstance(time, str)]
        if texts:
            first, last = min(texts), max(texts)
            self._first = first if self._first is None or first < self._first else self._first
            self._last = last if self._last is None or last > self._last else self._last
        if len(texts) != len(every):
            numbers = [time for time in every if isinstance(time, int)] + self._odd
            self._odd = [min(numbers), max(numbers)] if numbers else []

    @staticmethod
    def _exact(kind: str, record: dict[str, Any], line: bytes) -> bool:
        """Whether a line that no hash of its own guards is the one way to write what it says."""
        try:
            return line == _rewritten(kind, record, line)
        except (DamagedError, KeyError, TypeError, ValueError, AttributeError, RecursionError):
            return False

    def _decode(self, line: bytes) -> _Line | None:
        """Return what a line says; None, and a damage, where that is nothing."""
        try:
            line.decode()
            said = _decode_line(line)
            if said.kind in _IN_FULL:
                msgspec.json.decode(line)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            self._damage(self.bytes, len(line), f"no JSON: {error}")
            return None
        if not line.endswith(b"\n"):
            self._damage(self.bytes, len(line), "no whole line with one object")
            return None
        return said

    def _damage(self, start: int, size: int, message: str) -> None:
        if len(self.damages) >= DAMAGES_MAX:
            self.left_out += 1
            return
        self.damages.append(Damage(start, start + size, self.lines, message))


def _next_vouching(block: bytes, start: int) -> tuple[int, int]:
    """Return where the next commit or seal line begins and ends; the end of the block, twice."""
    found = [_line_at(block, begin, start) for begin in _VOUCHING]
    at = min(found)
    return at, (block.index(b"\n", at) + 1 if at < len(block) else at)


def _line_at(block: bytes, begin: bytes, start: int) -> int:
    """Return where the next line begins that begins so; the end of the block where none does."""
    if block.startswith(begin, start):
        return start
    at = block.find(b"\n" + begin, start)
    return len(block) if at < 0 else at + 1


def _is_utf8(block: bytes) -> bool:
    try:
        block.decode()
    except UnicodeDecodeError:
        return False
    return True


def _is_behind_nulls(line: bytes) -> bool:
    """Whether a whole line stands behind what is left of a lost block: damage, no torn tail."""
    rest = line.lstrip(b"\0")
    if len(rest) == len(line) or b"\0" in rest or not rest.endswith(b"\n"):
        return False
    try:
        rest.decode()
        return _decode_line(rest).kind in KINDS
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return False


_decode_line = msgspec.json.Decoder(_Line).decode
_decode_lines = msgspec.json.Decoder(_Line).decode_lines


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
    sealed = sealed.replace(b'"first":null,"last":null', times)[:-2]
    if record.get("recovered"):
        sealed += b',"recovered":true'
    if "key" in record:
        sealed += b',"key":%s,"hmac":%s' % (_encode(record["key"]), _encode(record["hmac"]))
    return sealed + b"}\n"


def check(lines: Iterable[bytes]) -> Scan:
    """Go over all lines of a segment and return what was found."""
    scan = Scan()
    for line in lines:
        scan.feed(line)
    scan.finish()
    return scan
