"""`otel-metrics efficiency` and its commands, one file each."""

from otel_metrics.cli.efficiency.group import efficiency

__all__ = ["efficiency"]
