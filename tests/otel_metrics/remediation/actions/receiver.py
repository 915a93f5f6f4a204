"""A server that calls go to, over TLS or not: it keeps what it got, and answers by the path."""

import json
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

__all__ = ["Received", "Receiver", "receiving"]


@dataclass(frozen=True, slots=True)
class Received:
    """One request."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes

    def json(self) -> object:
        """Return what its body says."""
        return json.loads(self.body)


@dataclass(slots=True)
class Receiver:
    """Where it listens, and what it got."""

    port: int
    requests: list[Received] = field(default_factory=list)


class _Handler(BaseHTTPRequestHandler):
    """`/slow` never answers, `/trickle` never ends, `/flood` answers with 1 MiB, `/NUMBER` with
    that status."""

    server: "_Server"

    def handle_one_request(self) -> None:
        try:
            super().handle_one_request()
        except OSError:  # the caller gave up
            self.close_connection = True

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
        headers = {key.lower(): value for key, value in self.headers.items()}
        request = Received(self.command, self.path, headers, body)
        self.server.receiver.requests.append(request)
        if self.path == "/slow":
            self.server.over.wait(60)
        elif self.path == "/trickle":
            while not self.server.over.wait(0.05):
                self.wfile.write(b"H")
        else:
            self._answer()

    def do_PUT(self) -> None:
        self.do_POST()

    def _answer(self) -> None:
        status = self.path.strip("/").split("/")[0]
        self.send_response(int(status) if status.isdecimal() else 200)
        self.send_header("Location", f"https://localhost:{self.server.receiver.port}/stolen")
        content = b"x" * 1_048_576 if self.path == "/flood" else b"done, password=hunter2hunter2"
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  # the library's name
        """Stay silent."""


class _Server(ThreadingHTTPServer):
    """Serves until it is over."""

    receiver: Receiver
    over: threading.Event

    def handle_error(self, request: object, client_address: object) -> None:
        """A caller that does not trust the certificate is what some tests are about."""


@contextmanager
def receiving(context: ssl.SSLContext | None = None) -> Iterator[Receiver]:
    """Serve on a port of 127.0.0.1 while the block runs."""
    server = _Server(("127.0.0.1", 0), _Handler)
    server.receiver, server.over = Receiver(server.server_address[1]), threading.Event()
    if context is not None:
        server.socket = context.wrap_socket(
            server.socket, server_side=True, do_handshake_on_connect=False
        )
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield server.receiver
    finally:
        server.over.set()
        server.shutdown()
        thread.join(30)
        server.server_close()
