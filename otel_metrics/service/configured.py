"""The keeper of this process's service telemetry, for pages of the service.

Threads: any; which keeper it is is set at start-up.
"""

from typing import TYPE_CHECKING

from otel_metrics.errors import OtelMetricsError

if TYPE_CHECKING:
    from otel_metrics.service.keeper import Keeper

__all__ = ["NoServiceTelemetryError", "current", "use"]

_keeper: "Keeper | None" = None


class NoServiceTelemetryError(OtelMetricsError, RuntimeError):
    """The metrics of a service are asked for, and none are sampled."""


def use(keeper: "Keeper | None") -> None:
    """Answer from this keeper from now on."""
    global _keeper
    _keeper = keeper


def current() -> "Keeper":
    """Return the keeper of this process.

    Raises:
        NoServiceTelemetryError: there is none.
    """
    if _keeper is None:
        raise NoServiceTelemetryError(
            "no service telemetry runs in this process: set OTEL_PYTHON_METRICS_SERVICE_DB, or "
            "register a source, and call otel_metrics.configure()"
        )
    return _keeper
