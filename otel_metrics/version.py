"""The version of the distribution, and of the instrumentation scope under which it records."""

__all__ = ["__version__"]

__version__ = "0.1.0"
