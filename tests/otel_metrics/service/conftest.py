"""No function that one test registers is asked in another; a database server for all of them."""

from collections.abc import Callable, Iterator

import pytest

from otel_metrics.service import registry
from tests.postgres import Postgres, running_postgres


@pytest.fixture(autouse=True)
def _no_functions() -> Iterator[None]:
    registry.clear()
    yield
    registry.clear()


@pytest.fixture(scope="session")
def postgres(component: Callable[[str], str]) -> Iterator[Postgres]:
    """A real PostgreSQL."""
    with running_postgres(component("postgres")) as server:
        yield server
