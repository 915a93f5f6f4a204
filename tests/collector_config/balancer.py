"""A balancer of connections, as stands in front of gateways: it looks into none of them."""

import contextlib
import itertools
import socket
import threading
from collections.abc import Iterator

from tests.collector_config.running import DEADLINE_S

__all__ = ["Balancer", "balancer"]

CHUNK_BYTES = 65_536


class Balancer:
    """Gives each connection to the next of its servers.

    A thread accepts connections, and two more hand on the bytes of each, one for each direction.

    Attributes:
        servers: host and port of each; may grow while it runs.
        address: where it listens.
    """

    def __init__(self, listener: socket.socket, *servers: str) -> None:
        self.servers = list(servers)
        self.address = f"127.0.0.1:{listener.getsockname()[1]}"
        self._listener = listener

    def serve(self) -> None:
        """Accept connections until the listener is closed."""
        for number in itertools.count():
            try:
                client, _ = self._listener.accept()
            except OSError:  # it is closed
                return
            host, _, port = self.servers[number % len(self.servers)].rpartition(":")
            server = socket.create_connection((host, int(port)), timeout=DEADLINE_S)
            for one, other in ((client, server), (server, client)):
                threading.Thread(target=_hand_on, args=(one, other), daemon=True).start()


@contextlib.contextmanager
def balancer(*servers: str) -> Iterator[Balancer]:
    """Run a balancer in front of servers."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        running = Balancer(listener, *servers)
        thread = threading.Thread(target=running.serve)
        thread.start()
        try:
            yield running
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            thread.join(DEADLINE_S)


def _hand_on(one: socket.socket, other: socket.socket) -> None:
    """Hand on what one side sends, until either has ended."""
    with one, contextlib.suppress(OSError):
        while chunk := one.recv(CHUNK_BYTES):
            other.sendall(chunk)
        other.shutdown(socket.SHUT_WR)
