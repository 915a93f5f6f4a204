"""Questions to the store that the settings name, by functions of the module.

Threads: any; which store it is is set at start-up.
"""

from datetime import timedelta
from typing import TYPE_CHECKING, Final

from otel_metrics.errors import OtelMetricsError

if TYPE_CHECKING:
    from otel_metrics.sovereignty.queries import Snapshot
    from otel_metrics.sovereignty.store import SovereigntyStore

__all__ = [
    "NoStoreError",
    "current",
    "get_cost_per_hour",
    "get_skills_crystallized",
    "get_sovereignty_pct",
    "snapshot",
    "use",
]

VARIABLE: Final = "OTEL_PYTHON_METRICS_SOVEREIGNTY_DB"
HOUR_S: Final = 3600.0

_store: "SovereigntyStore | None" = None


class NoStoreError(OtelMetricsError, RuntimeError):
    """A question was asked, and no store is set that could answer it."""


def use(store: "SovereigntyStore | None") -> None:
    """Ask this store from now on."""
    global _store
    _store = store


def current() -> "SovereigntyStore":
    """Return the store of this process.

    Raises:
        NoStoreError: there is none.
    """
    if _store is None:
        raise NoStoreError(
            f"{VARIABLE} is not set, or telemetry does not run: there is no store to ask; set it "
            "and call otel_metrics.configure(), pass configure(sovereignty_db=...), or ask a "
            "SovereigntyStore(path) of your own"
        )
    return _store


def get_sovereignty_pct(layer: str, time_window: timedelta | float) -> float:
    """Return the share of a layer's work that was done without a model, 0 to 100.

    Args:
        layer: perception, decision or narration.
        time_window: how far back from now; a timedelta or seconds.

    Raises:
        NoStoreError: there is no store.
        ValueError: an argument is none of these.
        DatabaseError: the store cannot be read.
    """
    return current().get_sovereignty_pct(layer, time_window)


def get_cost_per_hour(time_window: timedelta | float) -> float:
    """Return what the window cost, in USD per hour; argument and errors as above."""
    return current().get_cost_per_hour(time_window)


def get_skills_crystallized(session_id: str | None = None) -> int:
    """Return how many skills crystallised, in a session or in all; errors as above."""
    return current().get_skills_crystallized(session_id)


def snapshot(time_window: timedelta | float = HOUR_S) -> "Snapshot":
    """Return shares, cost and crystallised skills as plain data; argument and errors as above."""
    return current().snapshot(time_window)
