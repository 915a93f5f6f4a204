"""Whether a pattern is decided soon whatever text it is given. Pure.

Python's `re` tries one way after another, holding up all threads meanwhile, and of `(a+)+` there
are more ways than can be tried. So a repeat is of what can match in one way only, and few repeats
are long, since each multiplies the ways of the others.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

__all__ = ["LONG_MAX", "slowness_of"]

LONG_MAX: Final = 3
"""Long repeats of one pattern: of a text of 1,000 characters, seconds at most."""
LONG: Final = 32
"""A repeat that may occur so many times more than it must is long."""
FEW: Final = 4
"""What is repeated at most so often may hold repeats: an address has four numbers."""

_REPEATS: Final = frozenset({"MAX_REPEAT", "MIN_REPEAT", "POSSESSIVE_REPEAT"})
_CHOICES: Final = frozenset({"BRANCH", "GROUPREF_EXISTS"})


class _SlowError(Exception):
    pass


@dataclass(slots=True)
class _Found:
    """What is within a part of a pattern."""

    long: int = 0
    varies: bool = False
    chooses: bool = False


def slowness_of(pattern: str) -> str | None:
    """Return what of a pattern that compiles may take for ever; None where nothing does.

    >>> slowness_of("(a+)+"), slowness_of("[a-z]+-[0-9]{1,3}")
    ('a repeat within a repeat', None)
    """
    # The parser of `re` itself, so that both read the same; it has no other name since 3.11.
    parsed = re._parser.parse(pattern)  # type: ignore[attr-defined]
    try:
        found = _look(parsed)
    except _SlowError as slow:
        return str(slow)
    return f"more than {LONG_MAX} long repeats" if found.long > LONG_MAX else None


def _look(parsed: Any) -> _Found:
    all_of = _Found()
    for code, said in parsed:
        name = str(code)
        inner = _Found()
        for part in _parts(said):
            within = _look(part)
            inner.long += within.long
            inner.varies |= within.varies
            inner.chooses |= within.chooses
        if name in _REPEATS:
            _repeat(inner, int(said[0]), int(said[1]))
        all_of.long += inner.long
        all_of.varies |= inner.varies or name == "GROUPREF"
        all_of.chooses |= inner.chooses or name in _CHOICES
    return all_of


def _repeat(inner: _Found, least: int, most: int) -> None:
    """Turn what is repeated into what the repeat is."""
    if most > FEW and inner.varies:
        raise _SlowError("a repeat within a repeat")
    if most > FEW and inner.chooses:
        raise _SlowError("a repeat of alternatives")
    inner.long = inner.long * min(most, FEW) + (most - least > LONG)
    inner.varies |= most > least


def _parts(said: Any) -> Iterator[Any]:
    """Return the parts of a pattern that an element of it has."""
    if hasattr(said, "data"):
        yield said
    elif isinstance(said, tuple | list):
        for each in said:
            yield from _parts(each)
