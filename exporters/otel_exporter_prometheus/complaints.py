"""Says in the log what a page cannot show: each metric once, and not many at a time.

Used by one thread at a time, the one that writes a page.
"""

import logging
import time
from typing import Final

from otel_exporter_prometheus.merge import Dropped

__all__ = ["COMPLAINTS_MAX", "Complaints"]

NAMES_MAX: Final = 10_000
"""So many metrics are remembered as already complained about."""
COMPLAINTS_MAX: Final = 20
COMPLAINTS_S: Final = 60.0
"""So many log lines there are in so much time, at most."""

_logger = logging.getLogger("otel_exporter_prometheus")


class Complaints:
    """What was said already."""

    def __init__(self) -> None:
        self._complained: set[tuple[str, str]] = set()
        self._since = float("-inf")
        self._count = 0

    def add(self, dropped: Dropped) -> None:
        """Say that a metric is not shown, unless that was said or too much is said just now."""
        key = (dropped.metric, dropped.reason)
        if key in self._complained or len(self._complained) >= NAMES_MAX:
            return
        self._complained.add(key)
        now = time.monotonic()
        if now - self._since >= COMPLAINTS_S:
            self._since, self._count = now, 0
        self._count += 1
        if self._count <= COMPLAINTS_MAX:
            _logger.warning(
                "metric %s is not or only in part on the metrics page: %s%s",
                ascii(dropped.metric),
                dropped.message,
                " (others of this minute are not named)" if self._count == COMPLAINTS_MAX else "",
            )
