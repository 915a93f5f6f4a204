"""How much of a disk is left alone: below a floor nothing is written, metrics first."""

from typing import Final

from otel_exporter_ndjson.fs import Space
from otel_exporter_ndjson.settings import Settings

__all__ = ["floor_bytes"]

FREE_BYTES: Final = 2**30
FREE_PART: Final = 20
PARTS: Final = {"metrics": 1.0, "events": 0.5, "audit": 0.25}
"""Which part of the floor holds for a signal: what is worth least stops first."""


def floor_bytes(settings: Settings, space: Space, signal: str = "metrics") -> int:
    """Return below how many free bytes a signal is not written: what is set, or the smaller of
    1 GiB and 5 % of the file system."""
    floor = settings.free_bytes_min
    if floor is None:
        floor = min(FREE_BYTES, space.total // FREE_PART)
    return int(floor * PARTS[signal])
