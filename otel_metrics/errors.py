"""The errors that this package raises on purpose, in one short tree.

    OtelMetricsError
    ├── ConfigurationError   a bad argument of `configure(...)`
    ├── CatalogError         a catalog file that does not hold
    └── RecordingError       a value that cannot be recorded; raised in strict mode only

Each is also a `ValueError`, so that callers need not import this module.
"""

__all__ = ["CatalogError", "ConfigurationError", "OtelMetricsError", "RecordingError"]


class OtelMetricsError(Exception):
    """Everything that this package raises on purpose."""


class ConfigurationError(OtelMetricsError, ValueError):
    """An argument of `configure(...)` or a command-line option is wrong."""


class CatalogError(OtelMetricsError, ValueError):
    """A catalog file does not hold; the message names every problem, each with file and line."""


class RecordingError(OtelMetricsError, ValueError):
    """A value cannot be recorded. Raised in strict mode; otherwise counted as `metric.rejected`."""
