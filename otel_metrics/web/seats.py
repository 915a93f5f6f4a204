"""How many may stay connected: `Seats`. Used on one event loop or several, guarded by a lock."""

import threading
from collections import Counter
from typing import Final

from otel_exporter_prometheus.settings import is_loopback_address

__all__ = ["SEATS_MAX", "SEATS_PER_PEER_MAX", "Seats"]

SEATS_MAX: Final = 100
"""So many sockets are open at once."""
SEATS_PER_PEER_MAX: Final = 20
"""So many of them from one address; loopback may have all, since a proxy there is many peers."""


class Seats:
    """Counts who sits, in all and by address."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._by_peer: Counter[str] = Counter()

    def take(self, peer: str) -> bool:
        """Take a seat; False when there is none."""
        with self._lock:
            most = SEATS_MAX if is_loopback_address(peer) else SEATS_PER_PEER_MAX
            if self._by_peer.total() >= SEATS_MAX or self._by_peer[peer] >= most:
                return False
            self._by_peer[peer] += 1
            return True

    def leave(self, peer: str) -> None:
        """Give a seat back."""
        with self._lock:
            self._by_peer[peer] -= 1
            if not self._by_peer[peer]:
                del self._by_peer[peer]
