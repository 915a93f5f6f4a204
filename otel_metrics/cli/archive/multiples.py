"""Bytes in the multiple that suits them, so that an axis has round numbers of MiB."""

from collections.abc import Mapping, Sequence
from typing import Final

__all__ = ["in_multiples"]

_BYTES: Final = "By"
_MULTIPLES: Final = ("B", "KiB", "MiB", "GiB", "TiB", "PiB")
_EACH: Final = 1024.0

Lines = Mapping[str, Sequence[float | None]]


def in_multiples(unit: str, lines: Lines) -> tuple[str, Lines]:
    """Return the unit and the values: bytes as KiB, MiB and so on, all else as it is."""
    if unit != _BYTES:
        return unit, lines
    most = max((abs(value) for line in lines.values() for value in line if value), default=0.0)
    power = 0
    while most >= _EACH ** (power + 1) and power + 1 < len(_MULTIPLES):
        power += 1
    scaled = {
        name: [None if value is None else value / _EACH**power for value in line]
        for name, line in lines.items()
    }
    return _MULTIPLES[power], scaled
