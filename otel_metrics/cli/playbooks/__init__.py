"""`otel-metrics playbooks` and its commands, one file each."""

from otel_metrics.cli.playbooks.group import playbooks

__all__ = ["playbooks"]
