"""`otel-metrics sovereignty` and its commands, one file each."""

from otel_metrics.cli.sovereignty.group import sovereignty

__all__ = ["sovereignty"]
