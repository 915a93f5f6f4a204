"""How much of a disk is left alone: below a floor nothing is written, metrics first."""

from typing import Final

from otel_exporter_ndjson.fs import Space
from otel_exporter_ndjson.settings import Settings

__all__ = ["floor_bytes", "size_text"]

FREE_BYTES: Final = 2**30
FREE_PART: Final = 20
PARTS: Final = {"metrics": 1.0, "events": 0.5, "audit": 0.25}
"""Which part of the floor holds for a signal: what is worth least stops first."""
_UNITS: Final = ("B", "KiB", "MiB", "GiB", "TiB")


def floor_bytes(settings: Settings, space: Space, signal: str = "metrics") -> int:
    """Return below how many free bytes a signal is not written: what is set, or the smaller of
    1 GiB and 5 % of the file system."""
    floor = settings.free_bytes_min
    if floor is None:
        floor = min(FREE_BYTES, space.total // FREE_PART)
    return int(floor * PARTS[signal])


def size_text(size: float) -> str:
    """Return a number of bytes for people.

    >>> size_text(1536)
    '1.5 KiB'
    """
    unit = 0
    while size >= 1000 and unit < len(_UNITS) - 1:
        size, unit = size / 1024, unit + 1
    return f"{size:.0f} B" if unit == 0 else f"{size:.1f} {_UNITS[unit]}"
