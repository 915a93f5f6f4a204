"""The limits of alerts, and of the colours beside them: those of the code, and a few of alerts."""

from typing import Final

from otel_metrics.skills.thresholds import DEFAULTS

__all__ = [
    "AGEING_BY_S",
    "AGENT_EXECUTIONS_MIN",
    "AGENT_FAILURES_ABOVE",
    "BUDGET_REMAINING_BELOW",
    "DROP_TO",
    "QUEUE_FILLED_ABOVE",
    "ROLLBACK",
    "SPIKE_ERRORS_MIN",
    "SPIKE_FACTOR",
    "STALLED_AFTER_S",
]

ROLLBACK: Final = DEFAULTS.rollback
"""Limits and least numbers of records of a rollback, as they are for a skill with no file of its
own."""
AGENT_FAILURES_ABOVE: Final = 0.2
"""Who subscribes to executions acts below a success rate of 0.8 …"""
AGENT_EXECUTIONS_MIN: Final = 5
"""… with at least so many executions."""
BUDGET_REMAINING_BELOW: Final = 0.1
"""Share of a budget that is left when somebody is told."""
DROP_TO: Final = 0.7
"""An efficiency that fell to this share of what it was an hour ago has dropped."""
SPIKE_FACTOR: Final = 3
"""Errors at so many times the rate of the hour before are a spike …"""
SPIKE_ERRORS_MIN: Final = 5
"""… if there are so many in five minutes."""
STALLED_AFTER_S: Final = 180
"""Three intervals of export, as they are by default."""
AGEING_BY_S: Final = 60
"""What a collection that hangs ages in two minutes is 120 s; half of that tells it from one that is
as old each time, as it ends once in a long interval."""
QUEUE_FILLED_ABOVE: Final = 0.8
"""Share of a collector's queue."""
