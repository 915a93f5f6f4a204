"""What skills come to: runs, outcomes, fidelity, promotions, cost."""

from importlib import import_module
from typing import TYPE_CHECKING

from otel_metrics.skills.recorder import (
    record_fidelity,
    record_outcome,
    record_performance,
)
from otel_metrics.skills.run import Execution
from otel_metrics.skills.scope import current_execution, execution
from otel_metrics.skills.stages import record_promotion, record_rollback

if TYPE_CHECKING:
    from otel_metrics.skills.appender import MetricsAppender
    from otel_metrics.skills.thresholds import Thresholds
    from otel_metrics.skills.triggers import rollback_reasons

__all__ = [
    "Execution",
    "MetricsAppender",
    "Thresholds",
    "current_execution",
    "execution",
    "record_fidelity",
    "record_outcome",
    "record_performance",
    "record_promotion",
    "record_rollback",
    "rollback_reasons",
]

_LATER = {
    "MetricsAppender": "appender",
    "Thresholds": "thresholds",
    "rollback_reasons": "triggers",
}


def __getattr__(name: str) -> object:
    """Load skill files and triggers when they are asked for: not everybody who records has any."""
    if name not in _LATER:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    found: object = getattr(import_module(f"{__name__}.{_LATER[name]}"), name)
    globals()[name] = found  # so that it is not asked for again
    return found
