"""What runs of whole agents came to."""

from typing import TYPE_CHECKING

from otel_metrics.executions.recorder import record

if TYPE_CHECKING:
    from otel_metrics.executions.files import ExecutionFiles

__all__ = ["ExecutionFiles", "record"]


def __getattr__(name: str) -> object:
    """Load the files when they are asked for: not everybody who records has any."""
    if name != "ExecutionFiles":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from otel_metrics.executions.files import ExecutionFiles

    return ExecutionFiles
