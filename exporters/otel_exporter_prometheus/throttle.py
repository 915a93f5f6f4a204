"""How often each peer failed to say who it is, in the last minute. Bounded; the clock is given."""

import ipaddress
import threading
from collections import OrderedDict, deque
from typing import Final

__all__ = ["FAILURES_MAX", "PEERS_MAX", "WINDOW_S", "Throttle"]

FAILURES_MAX: Final = 10
"""A peer with so many failures in `WINDOW_S` is not listened to."""
WINDOW_S: Final = 60.0
PEERS_MAX: Final = 1024
"""So many peers are remembered, those that failed last."""
_PREFIX_V6: Final = 64
"""What one customer of a provider has: counted as one peer."""


class Throttle:
    """Remembers failures by peer."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._failures: OrderedDict[str, deque[float]] = OrderedDict()

    def note(self, peer: str, now: float) -> None:
        """Remember a failure."""
        key = _key(peer)
        with self._lock:
            failures = self._failures.pop(key, None) or deque(maxlen=FAILURES_MAX)
            failures.append(now)
            self._failures[key] = failures
            while len(self._failures) > PEERS_MAX:
                self._failures.popitem(last=False)

    def wait_s(self, peer: str, now: float) -> float:
        """Return how long a peer is still not listened to, 0 for one that is."""
        with self._lock:
            failures = self._failures.get(_key(peer))
            if failures is None or len(failures) < FAILURES_MAX:
                return 0.0
            return max(0.0, failures[0] + WINDOW_S - now)

    def __len__(self) -> int:
        """Return how many peers are remembered."""
        return len(self._failures)


def _key(peer: str) -> str:
    try:
        address = ipaddress.ip_address(peer.partition("%")[0])
    except ValueError:
        return peer
    if address.version == 4:
        return peer
    mapped = address.ipv4_mapped
    if mapped is not None:
        return str(mapped)
    return str(ipaddress.ip_network((address, _PREFIX_V6), strict=False))
