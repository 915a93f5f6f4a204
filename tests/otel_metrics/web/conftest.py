"""What the tests of sockets share."""

from collections.abc import Iterator
from typing import Any

import pytest

from tests.otel_metrics.web.sockets import Client, Connect


@pytest.fixture
def connect() -> Iterator[Connect]:
    """Makes clients, and closes them when the test ends."""
    clients: list[Client] = []

    def make(port: int, **arguments: Any) -> Client:
        clients.append(Client(port, **arguments))
        return clients[-1]

    yield make
    for client in clients:
        client.close()
