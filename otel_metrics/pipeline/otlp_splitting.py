"""Into how many requests a batch goes: what sizes a server refused and took, and what is left out.

A server says that a request is too large, and not what it takes. So the batch is halved until it
takes the parts, and what it took is remembered for the next batch. Decides, and sends nothing.
"""

import math
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

__all__ = ["TOO_LARGE", "LeftOut", "RequestSize", "Sizes"]

TOO_LARGE: Final = "too_large"
"""The reason of a point or record that is too large for a request of its own."""
FORGET_S: Final = 3600.0
"""A server that refused nothing for so long is tried with a whole batch again."""
NEAR: Final = 0.9
"""Of a size that was refused: a part of such a size is cut before it is sent."""
NAMES_SHOWN_MAX: Final = 5
"""Names of what is left out that one line holds."""


@dataclass(frozen=True, slots=True)
class RequestSize:
    """Bytes of a request: as a message, and as it is sent. A server may mean either."""

    plain: int
    packed: int


class Sizes:
    """What is known of one server: nothing before it has refused a request. Not thread-safe."""

    def __init__(self) -> None:
        self._refused: RequestSize | None = None
        self._refused_at = 0.0
        self._taken = 0  # the largest message that it took since then
        self._bytes = self._items = 0  # of the batch under way
        self._item_bytes = 0.0  # of an item in the batch before

    def begin(self, now: float) -> None:
        """Begin with a batch, at a time of a clock that only goes forward."""
        if self._items:
            self._item_bytes = self._bytes / self._items
        self._bytes = self._items = 0
        if self._refused is not None and now - self._refused_at >= FORGET_S:
            self._refused, self._taken = None, 0

    def parts(self, items: int) -> int:
        """Return into how many parts a batch of `items` is cut, so that none is refused."""
        if self._refused is None:
            return 1
        limit = self._taken or max(1, self._refused.plain // 2)
        return max(1, min(items, math.ceil(items * self._item_bytes / limit)))

    def is_refused(self, size: RequestSize, items: int) -> bool:
        """Tell whether a request would be refused, as one was that was no larger.

        A part that can be cut further need not be larger by every byte.
        """
        refused = self._refused
        near = NEAR if items > 1 else 1.0
        return (
            refused is not None
            and size.plain >= refused.plain * near
            and size.packed >= refused.packed * near
        )

    def refuse(self, size: RequestSize, now: float) -> None:
        """Note that a request is too large."""
        self._refused_at = now
        if self._refused is None or size.plain < self._refused.plain:
            self._refused = size
        if self._taken >= size.plain:  # it takes less than it did
            self._taken = 0

    def take(self, size: RequestSize, items: int) -> None:
        """Note that a request was taken."""
        self._bytes += size.plain
        self._items += items
        if self._refused is not None:
            self._taken = max(self._taken, size.plain)


class LeftOut:
    """What of one batch is in no request: how many by reason, and what it is called."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self._unencodable: set[str] = set()
        self._large: set[str] = set()

    def add_unencodable(self, counts: Mapping[str, int], names: Iterable[str]) -> None:
        """Add what the encoder left out of one request."""
        self.counts.update(counts)
        self._unencodable.update(names)

    def add_large(self, name: str) -> None:
        """Add one point or record that is too large for a request of its own."""
        self.counts[TOO_LARGE] += 1
        self._large.add(name)

    def __str__(self) -> str:
        """Return what to say of it; nothing where there is nothing."""
        large = self.counts[TOO_LARGE]
        kinds = (
            (self.counts.total() - large, "could not be encoded and were", self._unencodable),
            (large, "were too large for the server and", self._large),
        )
        return "; ".join(
            f"{count} {why} left out: {', '.join(sorted(names)[:NAMES_SHOWN_MAX])}"
            for count, why, names in kinds
            if count
        )
