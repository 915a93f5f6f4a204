"""The colours of figures: from the limits that the code itself goes by."""

from typing import Final

from otel_metrics.efficiency.recorder import DIP_BELOW
from otel_metrics.render.limits import AGENT_FAILURES_ABOVE, BUDGET_REMAINING_BELOW, ROLLBACK
from otel_metrics.render.panels import Steps, rising
from otel_metrics.skills.thresholds import DEFAULTS
from otel_metrics.sovereignty.report import TARGETS

__all__ = [
    "BUDGET",
    "CORRECT",
    "EFFICIENCY",
    "ERRORS",
    "FAILURES",
    "FIDELITY",
    "LOST",
    "SOVEREIGN",
    "STATE",
]

CORRECT: Final = rising(ROLLBACK.correct_min, DEFAULTS.production.correct_min)
FIDELITY: Final = rising(ROLLBACK.fidelity_min, DEFAULTS.production.fidelity_min)
SOVEREIGN: Final = rising(TARGETS[0][1] / 100, TARGETS[-1][1] / 100)
BUDGET: Final = rising(BUDGET_REMAINING_BELOW, 2 * BUDGET_REMAINING_BELOW)
EFFICIENCY: Final[Steps] = (("red", None), ("green", DIP_BELOW))
ERRORS: Final[Steps] = (("green", None), ("red", ROLLBACK.exception_rate_max))
FAILURES: Final[Steps] = (("green", None), ("red", AGENT_FAILURES_ABOVE))
LOST: Final[Steps] = (("green", None), ("red", 1))
"""What should be zero."""
STATE: Final[Steps] = (("red", None), ("green", 1))
"""1 is up."""
