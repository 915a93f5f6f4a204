"""When requests for a page share what was collected for one of them."""

import time
from typing import Final

__all__ = ["Pressure"]

REQUESTS: Final = 4
"""When more than this are in flight at once,"""
LASTS_S: Final = 1.0
"""they share, and those that come in this time."""


class Pressure:
    """Remembers when many asked at once. Any thread may ask: at worst one more collection is made
    than need be."""

    def __init__(self) -> None:
        self._until = float("-inf")

    def is_high(self, in_flight: int) -> bool:
        """Say whether a request is to share, while so many are in flight."""
        now = time.monotonic()
        if in_flight > REQUESTS:
            self._until = now + LASTS_S
        return now < self._until
