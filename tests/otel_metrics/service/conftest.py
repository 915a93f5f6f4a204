"""No function that one test registers is asked in another."""

from collections.abc import Iterator

import pytest

from otel_metrics.service import registry


@pytest.fixture(autouse=True)
def _no_functions() -> Iterator[None]:
    registry.clear()
    yield
    registry.clear()
