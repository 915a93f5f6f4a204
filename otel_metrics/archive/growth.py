"""How fast an archive grows, from what its files' names and sizes say."""

import os
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from otel_exporter_ndjson import Segment, find_segments

__all__ = ["Growth", "growth"]

WINDOW: Final = timedelta(days=7)
"""How far back is looked: what a service wrote a year ago says little of tomorrow."""
SPAN_MIN: Final = timedelta(hours=1)
"""What is younger than this says nothing yet."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Growth:
    """What an archive holds, and how fast it grows.

    Attributes:
        segments, bytes: all of it, as it is on the disk.
        bytes_per_day: over the last seven days, or as long as there are any segments; None where
            that is less than an hour. Open segments count as they are, not yet compressed.
    """

    segments: int
    bytes: int
    bytes_per_day: float | None

    def days_left(self, free_bytes: int) -> float | None:
        """Return when so many bytes will be used up; None where that cannot be told."""
        if not self.bytes_per_day:
            return None
        return max(free_bytes, 0) / self.bytes_per_day


def growth(path: str, now: datetime) -> Growth:
    """Measure an archive.

    Raises:
        FileNotFoundError: there is no such folder.
    """
    sized = list(_sized(find_segments(path)))
    recent = [(began, size) for began, size in sized if now - WINDOW <= began <= now]
    span = now - min([began for began, _ in recent], default=now)
    total = sum([size for _, size in recent])
    return Growth(
        segments=len(sized),
        bytes=sum([size for _, size in sized]),
        bytes_per_day=None if span < SPAN_MIN else total / (span / timedelta(days=1)),
    )


def _sized(segments: Iterable[Segment]) -> Iterable[tuple[datetime, int]]:
    """Return when each segment was begun, and its size; one that is gone by now is left out."""
    for segment in segments:
        began = segment.name.partition("-")[0]
        try:
            size = os.lstat(segment.path).st_size
            yield datetime.strptime(began, "%Y%m%dT%H%M%S.%fZ").replace(tzinfo=UTC), size
        except (OSError, ValueError):
            continue
