"""Which records are about somebody: names, and values of attributes however deep.

Pure. What is erased must be named exactly: a text that only mentions a value is not a match. What
is only shown may be named by a pattern.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any, Final

import msgspec

from otel_exporter_ndjson.values import Tally, text_json

__all__ = ["Wanted", "has", "is_like"]

_INSIDE: Final = ("attributes", "body", "exemplars")
_Test = Callable[[object, str], bool]
_encode = msgspec.json.Encoder().encode


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What records must be, all of it: one of the names, and every attribute.

    An attribute is looked for in attributes, bodies and exemplars, inside maps and lists too; a
    key with dots also names a way through maps.
    """

    metrics: Sequence[str] = ()
    events: Sequence[str] = ()
    attributes: Sequence[tuple[str, str]] = ()

    def __bool__(self) -> bool:
        """Whether anything is asked for."""
        return bool(self.metrics or self.events or self.attributes)

    def matches(self, record: Mapping[str, Any]) -> bool:
        """Whether a point or event is meant."""
        if (self.metrics or self.events) and not (
            (record.get("kind") == "metric" and record.get("metric") in self.metrics)
            or (record.get("kind") == "event" and record.get("event") in self.events)
        ):
            return False
        return all(has(record, key, value) for key, value in self.attributes)

    def describes(self, line: Mapping[str, Any]) -> bool:
        """Whether a line that describes records holds one of the attributes."""
        return any(_holds(line, key, value, _is) for key, value in self.attributes)

    def needles(self) -> list[bytes]:
        """Return what bytes that are no lines are searched for: values, else names."""
        texts = [value for _, value in self.attributes] or [*self.metrics, *self.events]
        return [text_json(text, Tally())[1:-1] for text in texts if text]


def has(record: Mapping[str, Any], key: str, value: str, *, like: _Test | None = None) -> bool:
    """Whether a point or event has an attribute, in attributes, body or exemplars, however deep.

    Args:
        like: how what is there is compared with `value`; by default it must be exactly that.
    """
    return _holds([record.get(member) for member in _INSIDE], key, value, like or _is)


def is_like(found: object, pattern: str) -> bool:
    """Whether a value is what a pattern says, in which * stands for any text."""
    text = found if isinstance(found, str) else _encode(found).decode()
    return _is(found, pattern) or fnmatchcase(text, pattern)


def _holds(node: object, key: str, value: str, test: _Test) -> bool:
    if isinstance(node, list):
        return any(_holds(each, key, value, test) for each in node)
    if not isinstance(node, dict):
        return False
    return any(
        (name == key and test(inner, value))
        or (key.startswith(f"{name}.") and _holds(inner, key[len(name) + 1 :], value, test))
        or _holds(inner, key, value, test)
        for name, inner in node.items()
    )


def _is(found: object, value: str) -> bool:
    if isinstance(found, str):
        return found == value
    if found is None:
        return False
    if _encode(found).decode() == value:
        return True
    if isinstance(found, list):
        return any(_is(each, value) for each in found)
    if isinstance(found, dict):
        marked = len(found) == 1 and next(iter(found)) in ("$float", "$bytes")
        return marked and value in found.values()
    return False
