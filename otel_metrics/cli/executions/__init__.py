"""The commands about executions of agents, one a file."""

from otel_metrics.cli.executions.group import executions

__all__ = ["executions"]
