"""`otel-metrics approvals` and its commands, one file each."""

from otel_metrics.cli.approvals.group import approvals

__all__ = ["approvals"]
