"""`capture` as a pytest fixture: `pytest_plugins = ["otel_metrics.pytest_fixtures"]`."""

from collections.abc import Iterator

import pytest

from otel_metrics.testing import Captured, capture

__all__ = ["captured_telemetry"]


@pytest.fixture
def captured_telemetry() -> Iterator[Captured]:
    """What the test records, in memory; a value that cannot be recorded is a `ValueError`."""
    with capture() as seen:
        yield seen
