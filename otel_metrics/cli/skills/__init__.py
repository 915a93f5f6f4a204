"""The commands about skills, one file each."""

from otel_metrics.cli.skills.group import skills

__all__ = ["skills"]
