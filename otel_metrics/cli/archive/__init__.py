"""`otel-metrics archive` and its commands, one file each."""

from otel_metrics.cli.archive.group import archive

__all__ = ["archive"]
