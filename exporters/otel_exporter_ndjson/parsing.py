"""One line of an archive -> the object that it says, or what is wrong with it.

Pure. A line may have been written by anybody: it is bounded in depth before it is decoded, and a
name that stands twice in an object is refused, because decoders differ in which of the two counts.
"""

import json
import re
from typing import Any, Final

import msgspec

__all__ = ["NESTING_MAX", "parsed"]

NESTING_MAX: Final = 64

_STRINGS = re.compile(rb'"(?:[^"\\]|\\.)*"')
_BRACKETS = re.compile(rb"[][{}]")
_decode = msgspec.json.Decoder().decode
_encode = msgspec.json.Encoder().encode


def parsed(line: bytes) -> dict[str, Any] | str:
    """Return the object of a whole line, or what is wrong with the line, in words.

    >>> parsed(b'{"kind":"event","kind":"metric"}')
    "the name 'kind' stands twice in one object"
    """
    if line.count(b"[") + line.count(b"{") > NESTING_MAX and _nesting(line) > NESTING_MAX:
        return f"nested deeper than {NESTING_MAX}"
    try:
        decoded = _decode(line)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        return f"no JSON: {error}"
    if not isinstance(decoded, dict) or not isinstance(decoded.get("kind"), str):
        return "no object with a kind"
    return _twice(line, decoded) or decoded


def _twice(line: bytes, decoded: dict[str, Any]) -> str | None:
    """Say which name stands twice in an object, where one does.

    What was decoded has no name twice, so a line that is written the same again has none either.
    Others (they hold an escape that msgspec does not need, say) are looked at in full.
    """
    try:
        if _encode(decoded) == line[:-1]:
            return None
    except (UnicodeEncodeError, ValueError, OverflowError):
        pass  # an integer of thousands of digits
    try:
        json.loads(line, object_pairs_hook=_once, parse_int=len, parse_float=len)
    except _TwiceError as error:
        return str(error)
    except (ValueError, RecursionError):
        return None  # msgspec has decoded it, so this is a matter of taste
    return None


class _TwiceError(Exception):
    """A name stands twice."""


def _once(pairs: list[tuple[str, Any]]) -> None:
    names = [name for name, _ in pairs]
    if len(set(names)) != len(names):
        name = next(name for at, name in enumerate(names) if name in names[:at])
        raise _TwiceError(f"the name {name[:80]!r} stands twice in one object")


def _nesting(line: bytes) -> int:
    depth = deepest = 0
    for bracket in _BRACKETS.findall(_STRINGS.sub(b"", line)):
        depth += 1 if bracket in b"[{" else -1
        deepest = max(deepest, depth)
    return deepest
