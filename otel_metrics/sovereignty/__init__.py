"""How much of the work is done without a model, and what the rest costs."""

from typing import TYPE_CHECKING

from otel_metrics.sovereignty.configured import (
    NoStoreError,
    get_cost_per_hour,
    get_skills_crystallized,
    get_sovereignty_pct,
    snapshot,
)
from otel_metrics.sovereignty.kinds import EVENT_TYPES, LAYERS
from otel_metrics.sovereignty.recorder import end_session, record, start_session

if TYPE_CHECKING:
    from otel_metrics.sovereignty.store import SovereigntyStore

__all__ = [
    "EVENT_TYPES",
    "LAYERS",
    "NoStoreError",
    "SovereigntyStore",
    "end_session",
    "get_cost_per_hour",
    "get_skills_crystallized",
    "get_sovereignty_pct",
    "record",
    "snapshot",
    "start_session",
]


def __getattr__(name: str) -> object:
    """Load the store when it is asked for: SQLite is not for everybody who records."""
    if name != "SovereigntyStore":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from otel_metrics.sovereignty.store import SovereigntyStore

    return SovereigntyStore
