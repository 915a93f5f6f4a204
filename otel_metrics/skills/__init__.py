"""What skills come to: runs, outcomes, fidelity, promotions, cost."""

from otel_metrics.skills.appender import MetricsAppender
from otel_metrics.skills.recorder import (
    record_fidelity,
    record_outcome,
    record_performance,
)
from otel_metrics.skills.run import Execution
from otel_metrics.skills.scope import current_execution, execution
from otel_metrics.skills.stages import record_promotion, record_rollback
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
