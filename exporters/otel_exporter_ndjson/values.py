"""Values as JSON text and back: any attribute value, any number, any time.

What JSON cannot say is written so that it can be mistaken for nothing else: `{"$float": "NaN"}`,
`{"$bytes": base64}`, and `{"$map": {...}}` around a map with a key that begins with `$`.
A line is one physical line for every reader: characters that some take for a line end, and those
that turn the direction of text, are escaped.
"""

import base64
import binascii
import json
import math
import operator
import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Final

import msgspec

from otel_exporter_ndjson.errors import DamagedError, UnencodableError

__all__ = [
    "DEPTH_MAX",
    "Tally",
    "attributes_json",
    "decode_attributes",
    "decode_number",
    "decode_time",
    "decode_value",
    "escape",
    "is_plain",
    "number_json",
    "text_json",
    "time_json",
    "time_text",
    "value_json",
]

DEPTH_MAX: Final = 48
"""Levels of nesting that a value may have; readers accept 64 levels in a line."""

_encode = msgspec.json.Encoder().encode
_SURROGATE = re.compile("[\ud800-\udfff]")
# DEL, C1, ALM, LRM, RLM, U+2028 to U+202E, U+2066 to U+2069, as UTF-8: outside a string a JSON
# text of ours is ASCII without DEL, so that a match is always inside one. C0 is msgspec's work.
_UNSAFE = re.compile(
    b"\x7f|\xc2[\x80-\x9f]|\xd8\x9c|\xe2\x80[\x8e\x8f\xa8-\xae]|\xe2\x81[\xa6-\xa9]"
)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_TIME = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)\.(\d{9})Z", re.ASCII)
_NS: Final = 10**9
_YEAR_1_S: Final = -62_135_596_800
_YEAR_10000_S: Final = 253_402_300_800
_FLOATS: Final = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}
_PLAIN: Final = frozenset({str, int, bool, type(None)})


class Tally:
    """Counts what had to be changed while values were encoded."""

    __slots__ = ("surrogates",)

    def __init__(self) -> None:
        self.surrogates = 0


def escape(line: bytes) -> bytes:
    """Return JSON text with every character escaped that is not safe inside a line."""
    if line.isascii() and b"\x7f" not in line:
        return line
    return _UNSAFE.sub(_escaped, line)


def _escaped(match: re.Match[bytes]) -> bytes:
    return b"\\u%04x" % ord(match[0].decode())


def text_json(text: str, tally: Tally) -> bytes:
    """Return a string as JSON; each lone surrogate becomes U+FFFD and is counted."""
    try:
        return escape(_encode(text))
    except (UnicodeEncodeError, TypeError):  # TypeError: a subclass of str
        cleaned, count = _SURROGATE.subn("\ufffd", str.__str__(text))
        tally.surrogates += count
        return escape(_encode(cleaned))


def number_json(value: object) -> bytes:
    """Return a number field of a point as JSON: NaN and infinities are strings there."""
    if isinstance(value, float):
        name = _float_name(value)
        return _encode(name) if name else _encode(float.__float__(value))
    if value is None or isinstance(value, bool):
        return _encode(value)
    try:
        return _integer_json(operator.index(value))  # type: ignore[arg-type] # raises TypeError for others
    except TypeError:
        raise UnencodableError("not_a_number") from None


def _integer_json(value: int) -> bytes:
    try:
        return b"%d" % int(value)
    except ValueError:  # more digits than Python converts
        raise UnencodableError("integer_too_long") from None


def _float_name(value: float) -> str | None:
    if math.isfinite(value):
        return None
    if math.isnan(value):
        return "NaN"
    return "Infinity" if value > 0 else "-Infinity"


def attributes_json(attributes: Mapping[str, object] | None, tally: Tally) -> bytes:
    """Return an attribute object as JSON: always a plain object, or null for None."""
    if attributes is None:
        return b"null"
    if is_plain(attributes):
        try:
            return escape(_encode(dict(attributes)))
        except (UnicodeEncodeError, ValueError):
            pass  # a lone surrogate somewhere, or an integer of thousands of digits
    return _map_json(attributes, tally, DEPTH_MAX)


def is_plain(attributes: Mapping[str, object] | None) -> bool:
    """Tell whether msgspec writes attributes as they are to be written, or raises."""
    if attributes is None:
        return False
    for key, value in attributes.items():
        if type(value) not in _PLAIN and not (type(value) is float and math.isfinite(value)):
            return False
        if type(key) is not str:
            return False
    return True


def value_json(value: object, tally: Tally, depth: int = DEPTH_MAX) -> bytes:
    """Return any attribute value or body as JSON.

    Raises:
        UnencodableError: the value is too deep, or of a type that OpenTelemetry does not know.
    """
    if isinstance(value, str):
        return text_json(value, tally)
    if value is None or isinstance(value, bool):
        return _encode(value)
    if isinstance(value, int):
        return _integer_json(value)
    if isinstance(value, float):
        name = _float_name(value)
        return b'{"$float":"%s"}' % name.encode() if name else _encode(float.__float__(value))
    if isinstance(value, bytes | bytearray | memoryview):
        return b'{"$bytes":"%s"}' % base64.b64encode(bytes(value))
    if depth <= 0:
        raise UnencodableError("too_deep")
    if isinstance(value, Mapping):
        body = _map_json(value, tally, depth - 1)
        marked = any(str(key).startswith("$") for key in value)
        return b'{"$map":%s}' % body if marked else body
    if isinstance(value, Sequence):
        return b"[%s]" % b",".join([value_json(item, tally, depth - 1) for item in value])
    raise UnencodableError("unknown_type")


def _map_json(mapping: Mapping[str, object], tally: Tally, depth: int) -> bytes:
    # Keys that become equal once their surrogates are replaced: the last one wins, as in a dict.
    members = {
        text_json(key if isinstance(key, str) else str(key), tally): value_json(value, tally, depth)
        for key, value in mapping.items()
    }
    return b"{%s}" % b",".join([b"%s:%s" % member for member in members.items()])


def time_text(time_ns: int) -> str | None:
    """Return nanoseconds since 1970 in RFC 3339 with nine digits, or None outside years 1 to 9999.

    >>> time_text(1)
    '1970-01-01T00:00:00.000000001Z'
    """
    seconds, rest = divmod(time_ns, _NS)
    if not _YEAR_1_S <= seconds < _YEAR_10000_S:
        return None
    moment = _EPOCH + timedelta(seconds=seconds)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{rest:09d}Z".rjust(30, "0")


def time_json(time_ns: int | None) -> bytes:
    """Return a time as JSON: text where RFC 3339 reaches, else the number of nanoseconds."""
    if time_ns is None:
        return b"null"
    try:
        text = time_text(time_ns)
    except TypeError:
        raise UnencodableError("not_a_time") from None
    return b'"%s"' % text.encode() if text else _integer_json(time_ns)


def decode_time(value: object) -> int | None:
    """Return nanoseconds since 1970 of what `time_json` wrote."""
    if value is None or (isinstance(value, int) and not isinstance(value, bool)):
        return value
    match = _TIME.fullmatch(value) if isinstance(value, str) else None
    if match is None:
        raise DamagedError(f"{_shown(value)} is no time")
    try:
        moment = datetime.fromisoformat(f"{match[1]}+00:00")
    except ValueError as error:
        raise DamagedError(f"{_shown(value)} is no time: {error}") from None
    return (moment - _EPOCH) // timedelta(seconds=1) * _NS + int(match[2])


def decode_number(value: object) -> int | float:
    """Return a number field of a point; `True` and None come back as they were."""
    if isinstance(value, int | float) or value is None:
        return value  # type: ignore[return-value] # None where the SDK had None: min and max
    if isinstance(value, str) and value in _FLOATS:
        return _FLOATS[value]
    raise DamagedError(f"{_shown(value)} is no number")


def decode_attributes(value: object) -> dict[str, object] | None:
    """Return an attribute object with its values as they were; sequences are tuples."""
    if value is None:
        return None
    if not isinstance(value, dict):
        raise DamagedError(f"{_shown(value)} are no attributes")
    return {key: decode_value(member) for key, member in value.items()}


def decode_value(value: object) -> object:
    """Return an attribute value or body as it was; sequences are tuples, as the SDK keeps them."""
    if isinstance(value, list):
        return tuple([decode_value(item) for item in value])
    if not isinstance(value, dict):
        return value
    if len(value) == 1:
        (key, inner), *_ = value.items()
        if key.startswith("$"):
            return _decode_marked(key, inner)
    return {key: decode_value(member) for key, member in value.items()}


def _decode_marked(key: str, inner: object) -> object:
    if key == "$float" and isinstance(inner, str) and inner in _FLOATS:
        return _FLOATS[inner]
    if key == "$map" and isinstance(inner, dict):
        return {name: decode_value(member) for name, member in inner.items()}
    if key == "$bytes" and isinstance(inner, str):
        try:
            return base64.b64decode(inner, validate=True)
        except binascii.Error:
            pass  # told below, like every other value that is no marked one
    raise DamagedError(f"{_shown({key: inner})} is no value of this format")


def _shown(value: object) -> str:
    return json.dumps(value)[:80]
