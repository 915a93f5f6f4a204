"""The one door for values: what enters is a number that every exporter can carry, a short label,
or a bounded copy of a caller's data without secrets. Nothing here raises but `RejectedValueError`.

The copy is made when the call is made, so that a later change by the caller changes no record.
"""

import dataclasses
import datetime
import enum
import hashlib
import math
import operator
import os
import re
import uuid
from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import Any, Final, SupportsIndex

from opentelemetry.util.types import AnyValue

__all__ = [
    "INT64_MAX",
    "LABEL_CHARS_MAX",
    "TEXT_CHARS_MAX",
    "RejectedValueError",
    "clean",
    "clean_attributes",
    "identifier",
    "label",
    "number",
    "text",
]

INT64_MAX: Final = 2**63 - 1
"""The largest integer that OTLP carries."""
LABEL_CHARS_MAX: Final = 1024
"""Characters of a metric attribute's value; the rest is cut off, with a marker."""
TEXT_CHARS_MAX: Final = 65_536
"""Characters of one string in an event."""
RECORD_CHARS_MAX: Final = 524_288
"""Characters of all strings and keys of one event together."""
DEPTH_MAX: Final = 16
"""Levels of nesting that are kept of a caller's data."""
NODES_MAX: Final = 1_000
"""Values that are kept of a caller's data."""
KEY_CHARS_MAX: Final = 256
"""Characters of one key in a caller's data."""

KEYS_MAX: Final = 4_096
"""Keys whose form and secrecy are remembered; with more, all are forgotten."""
TEXTS_MAX: Final = 4_096
"""Short texts of which it is remembered that they hold no secret; likewise."""
TEXT_REMEMBERED_CHARS_MAX: Final = 64
"""Characters of such a text."""

MASK: Final = "[redacted]"
EMPTY_KEY: Final = "(empty)"
"""Stands for an empty key, which the SDK would drop with a log line for each record."""

_SECRET_KEY = re.compile(
    r"(?i)(?:^|[^a-z])(?:api[-_. ]?key|apikey|authorization|auth[-_. ]?token|passw(?:or)?d"
    r"|passphrase|secret|credentials?|private[-_. ]?key|access[-_. ]?key|session[-_. ]?key"
    r"|cookie|bearer|(?:[a-z]+[-_. ])?token|client[-_. ]?secret|pwd)(?:$|[^a-z])"
)
_CAMEL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
_SECRET_TEXT = re.compile(
    r"-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END [A-Z ]*PRIVATE KEY-----|\Z)"
    r"|\b(?:AKIA|ASIA)[0-9A-Z]{16}\b"
    r"|\beyJ[\w-]{8,4096}\.[\w-]{8,}\.[\w-]*"  # with a bound, or `eyJ-eyJ-…` takes for ever
    r"|\b(?:sk|pk|rk)-[\w-]{16,}|\b(?:sk|rk)_(?:live|test)_\w{10,}"
    r"|\bgh[pousr]_\w{20,}|\bgithub_pat_\w{20,}|\bglpat-[\w-]{16,}|\bxox[abeoprs]-[\w-]{10,}"
    r"|\bAIza[\w-]{30,}|\bhf_\w{20,}|\bnpm_\w{30,}|\bdop_v1_\w{40,}"
    r"|(?i:\b(?:bearer|basic)\s+)[\w.~+/=-]{12,}"
    r"|(?i:\b(?:password|passwd|pwd|secret|api[-_]?key|(?:access[-_]?)?token)\s*[=:]\s*)[^\s,;&\"']{4,}"
    r"|(?<=://)[^/\s:@]{1,256}:[^/\s@]{1,256}(?=@)",
    re.DOTALL,
)
HASH_CHARS_MIN: Final = 24
"""Hexadecimal digits of the shortest word that is taken for an id, and not for a card's number."""
_HEX_DIGITS: Final = frozenset("0123456789abcdefABCDEF")
_CARD = re.compile(r"(?<![\d.-])[3-6]\d(?:[ -]?\d){11,14}(?![\d.-])")
_DIGITS = re.compile(r"[3-6]\d(?:[ -]?\d){11}")
_PARTS_WITH_UNDERSCORE: Final = ("k_", "gh", "hf_", "npm_", "github_", "dop_")
_PARTS_BEFORE_VALUES: Final = ("://", "passw", "pwd", "secret", "api", "token")
_WHOLE_AS_THEY_ARE: Final = frozenset({float, bool, type(None)})
_SECRET_CHARS_MIN: Final = 7
"""Characters of the shortest text that holds a secret, `://a:b@`."""

_keys: dict[str, tuple[str, bool]] = {}
_harmless: set[str] = set()


class RejectedValueError(Exception):
    """A value that cannot be recorded: `reason` for the counter, `accepted` for the reader."""

    def __init__(self, reason: str, accepted: str) -> None:
        super().__init__(f"{reason}: {accepted}")
        self.reason = reason
        self.accepted = accepted


def number(value: object, *, integer: bool, negative: bool) -> int | float:
    """Return `value` as an int (`integer`) or a float that every exporter can carry.

    Accepted: int, float, and what converts itself by `__index__` or `__float__` (Decimal,
    Fraction, numpy scalars). A float with no fraction may stand for an int.

    Raises:
        RejectedValueError: a bool or no number (`not_a_number`), NaN or infinite (`not_finite`),
            beyond 64 bits (`out_of_range`), below zero where `negative` is False (`negative`),
            a fraction where an int is wanted (`not_an_integer`).
    """
    converted = _convert(value)
    if isinstance(converted, float) and not math.isfinite(converted):
        raise RejectedValueError("not_finite", "a finite number")
    if converted < 0 and not negative:
        raise RejectedValueError("negative", "a number that is not below zero")
    if not -INT64_MAX - 1 <= converted <= INT64_MAX and (integer or isinstance(converted, int)):
        raise RejectedValueError("out_of_range", "a number that fits into 64 bits")
    if not integer:
        return float(converted)
    if isinstance(converted, float) and not converted.is_integer():
        raise RejectedValueError("not_an_integer", "a whole number")
    return int(converted)


def _convert(value: object) -> int | float:
    if type(value) is float:
        return value
    try:
        if value is not None and not isinstance(value, (bool, str, bytes)):
            if hasattr(type(value), "__index__"):
                return operator.index(value)  # type: ignore[arg-type]  # looked up above
            return float(value)  # type: ignore[arg-type]  # what has no __float__ raises TypeError
    except OverflowError:
        raise RejectedValueError("out_of_range", "a number that fits into 64 bits") from None
    except Exception:  # noqa: BLE001, S110  # the conversion is the caller's code
        pass
    raise RejectedValueError("not_a_number", "an int or a float, not a bool, text or None")


def label(value: object) -> str | bool | int | float | None:
    """Return `value` as a metric attribute: short text, bool, int or finite float; None is absent.

    Text is cut to `LABEL_CHARS_MAX`, a lone surrogate becomes U+FFFD. Anything else becomes text,
    and what will not be looked at becomes the name of its type.
    """
    try:
        return _label(value)
    except Exception:  # noqa: BLE001  # what is the caller's may run its code whatever is asked
        return _placeholder(value)


def _label(value: object) -> str | bool | int | float | None:
    if isinstance(value, str):
        return text(value, chars_max=LABEL_CHARS_MAX)
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, enum.Enum):
        return label(value.value)
    if isinstance(value, int):
        return _whole(value)
    if isinstance(value, float):
        taken = float(value)
        return taken if math.isfinite(taken) else str(taken)
    return text(_as_text(value), chars_max=LABEL_CHARS_MAX)


def text(value: str, *, chars_max: int = TEXT_CHARS_MAX) -> str:
    """Return `value` as well-formed Unicode of at most about `chars_max` characters.

    What is cut off is named at the end: how long it was, and a hash to recognise it by.
    """
    kept = value
    if type(value) is not str:  # a subclass, whose __str__ is not asked, or a proxy, which is
        kept = str.__str__(value if issubclass(type(value), str) else str(value))
    if len(kept) > chars_max:
        digest = hashlib.sha256(kept.encode("utf-8", "surrogatepass")).hexdigest()[:16]
        kept = f"{kept[:chars_max]}… [cut: {len(kept)} characters, sha256 {digest}]"
    if kept.isascii():
        return kept
    return kept.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def clean(value: object) -> AnyValue:
    """Return a bounded copy of a caller's data that every exporter can carry, without secrets.

    Kept: None, bool, int, float, text, bytes, lists and mappings of these, to a depth of
    `DEPTH_MAX` and `NODES_MAX` values. Converted: date and time (RFC 3339), timedelta (seconds),
    UUID, path, Decimal (text), enum (its value), dataclass and pydantic model (mapping), sets
    (list), exception (`Type: message`), integers beyond 64 bits (text). Anything else leaves a
    placeholder with its type's name: no `repr` of the caller's is run.
    """
    return _Copy().copy(value, depth=0)


def identifier(value: object) -> object:
    """Return what names a run or a session: as it is or, where it looks like a secret, its SHA-256.

    Masked, two of them would be one, and the second run would pass for the first. The hash tells
    them apart, and is the same in every process that writes or asks, which one under a key of a
    process's own is not. Whoever guesses the whole secret can so tell that it is the one; what it
    is, the hash does not say. What is no text is returned as it is.

    >>> identifier("run-7")
    'run-7'
    """
    if not issubclass(type(value), str):  # by type: the `__class__` of a proxy is its own code
        return value
    kept = text(value)  # type: ignore[arg-type]  # as said
    if clean(value) == kept:
        return kept
    return f"sha256:{hashlib.sha256(kept.encode()).hexdigest()}"


def clean_attributes(given: Mapping[str, object]) -> dict[str, AnyValue]:
    """Return what `clean` returns of attributes, without those that are None."""
    cleaned = _flat(given) if type(given) is dict and len(given) < NODES_MAX else None
    if cleaned is None:
        kept = clean({key: value for key, value in given.items() if value is not None})
        assert isinstance(kept, dict)
        return kept
    return cleaned


def _flat(given: Mapping[str, object]) -> dict[str, AnyValue] | None:
    """Return attributes as `_Copy` does, at half the cost; None where one is not of the plainest
    kinds, or all together may be too long."""
    cleaned: dict[str, AnyValue] = {}
    chars = 0
    newest, newest_kept = None, ""
    for key, value in given.items():
        if value is None:
            continue
        seen = _keys.get(key) if type(key) is str else None
        kind = type(value)
        if seen is None:
            return None
        name, secret = seen
        if kind is str:
            assert isinstance(value, str)
            if secret or len(value) > TEXT_CHARS_MAX:
                return None
            if value not in _harmless:
                if value is not newest:  # an event may say a text under two names
                    newest, newest_kept = value, _mask(text(value))
                value = newest_kept
            chars += len(value)
        elif not (kind is float or kind is bool or (kind is int and _fits(value))):
            return None
        chars += len(name)
        cleaned[name] = value  # type: ignore[assignment]  # of one of those kinds
    return cleaned if chars < RECORD_CHARS_MAX else None


class _Copy:
    """One bounded walk over a caller's data."""

    __slots__ = ("_chars", "_newest", "_newest_kept", "_nodes")

    def __init__(self) -> None:
        self._nodes = NODES_MAX
        self._chars = RECORD_CHARS_MAX
        self._newest: str | None = None
        self._newest_kept = ""

    def copy(self, value: object, *, depth: int) -> AnyValue:
        if self._nodes <= 0:
            return "[cut: too many values]"
        self._nodes -= 1
        try:
            return self._copied(value, depth)
        except Exception:  # noqa: BLE001  # iterating and converting runs the caller's code
            return _placeholder(value)

    def _copied(self, value: object, depth: int) -> AnyValue:
        if type(value) is dict and depth < DEPTH_MAX:  # by far the most; below is every mapping
            return self._mapping(value.items(), depth)
        if isinstance(value, str):
            return self._text(value)
        scalar = _scalar(value)
        if scalar is not NotImplemented:
            return self._text(scalar) if isinstance(scalar, str) else scalar
        if isinstance(value, bytes | bytearray | memoryview):
            taken = bytes(value[: min(self._chars, TEXT_CHARS_MAX)])
            self._chars -= len(taken)
            return taken
        if depth >= DEPTH_MAX:
            return "[cut: too deep]"
        if isinstance(value, Mapping):
            return self._mapping(value.items(), depth)
        if isinstance(value, list | tuple | set | frozenset):
            return self._sequence(value, depth)
        if dataclasses.is_dataclass(value) and not isinstance(value, type):
            names = (field.name for field in dataclasses.fields(value))
            return self._mapping(((name, getattr(value, name, None)) for name in names), depth)
        if hasattr(type(value), "model_dump"):
            return self.copy(value.model_dump(), depth=depth + 1)  # type: ignore[attr-defined]  # looked up above
        return _placeholder(value)

    def _mapping(self, items: Iterable[tuple[object, object]], depth: int) -> dict[str, AnyValue]:
        copied: dict[str, AnyValue] = {}
        for key, item in items:
            if self._nodes <= 0 or self._chars <= 0:
                copied["…"] = "[cut: too many values]"
                break
            name, secret = (_keys.get(key) if type(key) is str else None) or _looked_at(key)
            self._chars -= len(name)
            kind = type(item)
            if secret and _may_be_secret(item):
                copied[name] = MASK
            elif kind is str:
                self._nodes -= 1
                copied[name] = self._text(item)  # type: ignore[arg-type]  # of that very type
            elif kind in _WHOLE_AS_THEY_ARE:
                self._nodes -= 1
                copied[name] = item  # type: ignore[assignment]  # of one of those very types
            else:
                copied[name] = self.copy(item, depth=depth + 1)
        return copied

    def _sequence(self, items: Iterable[object], depth: int) -> list[AnyValue]:
        copied: list[AnyValue] = []
        for item in items:
            if self._nodes <= 0 or self._chars <= 0:
                copied.append("[cut: too many values]")
                break
            copied.append(self.copy(item, depth=depth + 1))
        return copied

    def _text(self, value: str) -> str:
        if type(value) is str and value in _harmless:
            kept = value
        elif value is self._newest:  # an event may say a text under two names
            kept = self._newest_kept
        else:
            kept = _mask(text(value, chars_max=TEXT_CHARS_MAX))
            self._newest, self._newest_kept = value, kept
        self._chars -= len(kept)
        if self._chars < 0:
            room = max(0, self._chars + len(kept))
            kept = _mask(text(value, chars_max=room))
        return kept


def _scalar(value: object) -> Any:
    """Return a value without parts in the form it is kept in, or NotImplemented."""
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, enum.Enum):
        inner = _scalar(value.value)
        return value.name if inner is NotImplemented else inner
    if isinstance(value, int):
        return _whole(value)
    if isinstance(value, float):
        return float(value)
    if isinstance(value, str):
        return value
    if isinstance(value, datetime.datetime | datetime.date | datetime.time):
        return str(value.isoformat())
    if isinstance(value, datetime.timedelta):
        return float(value.total_seconds())
    if isinstance(value, uuid.UUID | Decimal):
        return str(value)
    if isinstance(value, os.PathLike):
        return os.fsdecode(value)
    if isinstance(value, BaseException):
        return f"{type(value).__qualname__}: {value}"
    if not hasattr(type(value), "__len__"):
        if hasattr(type(value), "__index__"):
            return _whole(value)  # type: ignore[arg-type]  # looked up above
        if hasattr(type(value), "__float__"):
            return float(value)  # type: ignore[arg-type]  # looked up above
    return NotImplemented  # a marker, compared by identity


def _fits(value: object) -> bool:
    return isinstance(value, int) and -INT64_MAX - 1 <= value <= INT64_MAX


def _whole(value: SupportsIndex) -> int | str:
    """Return an integer of whatever type as a plain one, or as text where 64 bits do not hold it.

    Of a subclass of int nothing is called.
    """
    taken = operator.index(value)
    return taken if -INT64_MAX - 1 <= taken <= INT64_MAX else _long_integer(taken)


def _long_integer(value: int) -> str:
    # Decimal digits of a huge integer take quadratic time and are refused by Python past 4,300.
    return str(value) if value.bit_length() <= 1024 else f"[integer of {value.bit_length()} bits]"


def _as_text(value: object) -> str:
    try:
        return str(value)
    except Exception:  # noqa: BLE001  # the caller's __str__
        return _placeholder(value)


def _placeholder(value: object) -> str:
    return f"<{type(value).__module__}.{type(value).__qualname__}>"


def _looked_at(key: object) -> tuple[str, bool]:
    """Return a key as it is kept, and whether what stands under it is a secret."""
    name = text(key if isinstance(key, str) else _as_text(key), chars_max=KEY_CHARS_MAX)
    name = name or EMPTY_KEY
    seen = name, _SECRET_KEY.search(_CAMEL.sub("_", name)) is not None
    if type(key) is str and len(key) <= KEY_CHARS_MAX:
        if len(_keys) >= KEYS_MAX:
            _keys.clear()
        _keys[key] = seen
    return seen


def _may_be_secret(value: object) -> bool:
    """Tell whether a value under a secret's key is one. Numbers and flags are none."""
    # By type: the `__class__` of a proxy is its own code, and may raise.
    return value is not None and not issubclass(type(value), (bool, int, float))


def _mask(value: str) -> str:
    """Return a text with its secrets masked, and remember a short one that has none."""
    if len(value) < _SECRET_CHARS_MIN:
        return value
    kept = _SECRET_TEXT.sub(MASK, value) if _may_hold_secret(value) else value
    if _DIGITS.search(kept) is not None:
        kept = _CARD.sub(_mask_card, kept)
    if kept is value and len(value) <= TEXT_REMEMBERED_CHARS_MAX:
        if len(_harmless) >= TEXTS_MAX:
            _harmless.clear()
        _harmless.add(value)
    return kept


def _may_hold_secret(value: str) -> bool:
    """Tell whether a text has a part that each secret of its kind has: ten times faster than to
    look for the secrets themselves."""
    # Beyond ASCII there are letters that stand for those of ASCII where case is ignored.
    low = value.lower()
    if not value.isascii():
        low = value.casefold().replace("\u0131", "i").replace("i\u0307", "i")
    if "-" in low and ("k-" in low or "-----b" in low or "glpat-" in low or "xox" in low):
        return True
    if "_" in low and any(part in low for part in _PARTS_WITH_UNDERSCORE):
        return True
    if ("=" in low or ":" in low) and any(part in low for part in _PARTS_BEFORE_VALUES):
        return True
    return (
        "akia" in low
        or "asia" in low
        or "eyj" in low
        or "aiza" in low
        or "bearer" in low
        or "basic" in low
    )


def _mask_card(match: re.Match[str]) -> str:
    if _is_in_hash(match):
        return match.group()
    digits = [int(character) for character in match.group() if character.isdigit()]
    doubled = [sum(divmod(2 * digit, 10)) for digit in digits[-2::-2]]
    return MASK if (sum(digits[-1::-2]) + sum(doubled)) % 10 == 0 else match.group()


def _is_in_hash(match: re.Match[str]) -> bool:
    """Tell whether digits are a part of an id or a hash: of a long word of hexadecimal digits."""
    text, (start, end) = match.string, match.span()
    first, last = start, end
    while start - first < HASH_CHARS_MIN and text[first - 1 : first] in _HEX_DIGITS and first:
        first -= 1
    while last - end < HASH_CHARS_MIN and text[last : last + 1] in _HEX_DIGITS and last < len(text):
        last += 1
    return last - first >= HASH_CHARS_MIN and match.group().isdigit()
