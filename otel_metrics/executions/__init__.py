"""What runs of whole agents came to."""

from otel_metrics.executions.files import ExecutionFiles
from otel_metrics.executions.recorder import record

__all__ = ["ExecutionFiles", "record"]
