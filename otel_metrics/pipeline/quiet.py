"""Runs our own work with instrumentation suppressed, so that an instrumented HTTP client does not
count our exports."""

from collections.abc import Iterator
from contextlib import contextmanager

from opentelemetry.context import _SUPPRESS_INSTRUMENTATION_KEY, attach, detach, set_value

__all__ = ["suppressed"]


@contextmanager
def suppressed() -> Iterator[None]:
    """Suppress instrumentation for what runs inside, on this thread."""
    token = attach(set_value(_SUPPRESS_INSTRUMENTATION_KEY, value=True))
    try:
        yield
    finally:
        detach(token)
