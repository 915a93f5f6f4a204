"""What is done with an archive after it was written."""

from otel_metrics.archive.database import DamageMode, MissingDuckdbError, connect

__all__ = ["DamageMode", "MissingDuckdbError", "connect"]
