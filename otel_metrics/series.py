"""The attribute sets that one metric keeps: as many as its budget, and one that takes the rest.

Kept in front of the SDK, so that every exporter sees the same series. A set counts for as long as
the process lives: the SDK forgets none either.

Threads: called from any thread; `_lock` guards the table.
"""

import threading
from typing import Final

from opentelemetry.util.types import AttributeValue

from otel_metrics import rejections
from otel_metrics.rejections import OVERFLOW_ATTRIBUTE, Series

__all__ = ["OVERFLOW", "SeriesBudget"]

OVERFLOW: Final[Series] = {OVERFLOW_ATTRIBUTE: True}
"""The series of what is over a budget; compared by identity."""


class SeriesBudget:
    """Admits attribute sets until there are as many as a metric may keep.

    Args:
        name: the metric.
        sets_max: its budget.
    """

    __slots__ = ("_known", "_lock", "_name", "_sets_max")

    def __init__(self, name: str, sets_max: int) -> None:
        self._name = name
        self._sets_max = sets_max
        self.start_over()

    def start_over(self) -> None:
        """Forget every set, and take a new lock: a forked child has none of its parent's."""
        self._lock = threading.RLock()
        self._known: dict[frozenset[tuple[str, AttributeValue]], Series] = {}

    def admit(self, attributes: Series) -> Series:
        """Return the one mapping that stands for this set, or `OVERFLOW`, which is counted."""
        canonical = frozenset(attributes.items())
        with self._lock:
            known = self._known.get(canonical)
            if known is not None:
                return known
            if len(self._known) < self._sets_max:
                self._known[canonical] = attributes
                return attributes
        rejections.overflow(self._name, self._sets_max, self._sets)
        return OVERFLOW

    def find(self, attributes: Series) -> Series | None:
        """Return the mapping that stands for this set, None where it was never admitted."""
        with self._lock:
            return self._known.get(frozenset(attributes.items()))

    def _sets(self) -> list[Series]:
        with self._lock:
            return list(self._known.values())
