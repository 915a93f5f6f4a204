"""A NATS server for the tests of executions."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.otel_metrics.executions.nats_server import NatsServer

MakeServer = Callable[..., NatsServer]


@pytest.fixture
def nats_server(component: Callable[[str], str], tmp_path: Path) -> Iterator[MakeServer]:
    """Return what starts a server with arguments; all of them end with the test."""
    program = component("nats-server")
    servers: list[NatsServer] = []

    def make(*arguments: str, started: bool = True) -> NatsServer:
        folder = tmp_path / f"nats-{len(servers)}"
        folder.mkdir()
        if "-js" in arguments:
            arguments = (*arguments, "-sd", str(folder))
        servers.append(NatsServer(program, folder, *arguments))
        return servers[-1].start() if started else servers[-1]

    yield make
    for server in servers:
        server.kill()
