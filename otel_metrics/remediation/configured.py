"""The engine that decides and acts in this process, for the doors that lead to it.

Threads: any; which engine it is is set at start-up.
"""

from typing import TYPE_CHECKING

from otel_metrics.errors import OtelMetricsError

if TYPE_CHECKING:
    from otel_metrics.remediation.engine import Engine

__all__ = ["NoEngineError", "current", "use"]

VARIABLES = "OTEL_PYTHON_METRICS_PLAYBOOKS and OTEL_PYTHON_METRICS_REMEDIATION_DB"

_engine: "Engine | None" = None


class NoEngineError(OtelMetricsError, RuntimeError):
    """Something was asked for, and nobody in this process decides about it."""


def use(engine: "Engine | None") -> None:
    """Ask this engine from now on."""
    global _engine
    _engine = engine


def current() -> "Engine":
    """Return the engine of this process.

    Raises:
        NoEngineError: there is none.
    """
    if _engine is None:
        raise NoEngineError(
            f"no playbooks run in this process; set {VARIABLES}, and call otel_metrics.configure()"
        )
    return _engine
