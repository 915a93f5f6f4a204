"""`otel-metrics budgets` and its commands, one file each."""

from otel_metrics.cli.budgets.group import budgets

__all__ = ["budgets"]
