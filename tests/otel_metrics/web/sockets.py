"""WebSocket clients for tests: a raw one that can misbehave, and the service that they talk to."""

import base64
import json
import os
import socket
import struct
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

DEADLINE_S: Final = 30.0
PATH: Final = "/ws/sovereignty"
TEXT, BINARY, CLOSE, PING, PONG = 0x1, 0x2, 0x8, 0x9, 0xA
CONTINUATION = 0x0

SERVE = """
import asyncio, os, socket, sys, threading
import uvicorn
from starlette.responses import JSONResponse
from starlette.routing import Route

async def facts(_):
    import resource
    return JSONResponse({
        "tasks": len(asyncio.all_tasks()), "descriptors": len(os.listdir("/proc/self/fd")),
        "threads": threading.active_count(),
        "rss_kib": int(open("/proc/self/statm").read().split()[1]) * resource.getpagesize() // 1024,
    })

def serve(app, **config):
    app.router.routes.append(Route("/facts", facts))
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if "SNDBUF" in os.environ:  # accepted sockets have it from their listener
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, int(os.environ["SNDBUF"]))
    listener.bind(("127.0.0.1", 0))
    listener.listen(2048)
    print(listener.getsockname()[1], flush=True)
    uvicorn.Server(uvicorn.Config(app, **{"log_level": "warning", **config})).run([listener])
"""


@dataclass
class Service:
    """A process that serves sockets."""

    port: int
    pid: int

    def facts(self) -> dict[str, int]:
        """Return what the process has open."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/facts", timeout=30) as got:
            found = json.load(got)
        assert isinstance(found, dict)
        return found


@contextmanager
def running(folder: Path, program: str, **variables: str) -> Iterator[Service]:
    """Run a program that ends with `serve(app)`."""
    (folder / "service.py").write_text(SERVE + program)
    process = subprocess.Popen(
        [sys.executable, "service.py"],
        cwd=folder,
        env={**os.environ, "OTEL_METRICS_EXPORTER": "ndjson", **variables},
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        yield Service(int(process.stdout.readline()), process.pid)
    finally:
        process.terminate()
        process.communicate(timeout=DEADLINE_S)


class Refused(Exception):  # noqa: N818  # an answer, and no fault
    """The server did not accept; `status` is HTTP's."""

    def __init__(self, status: int) -> None:
        super().__init__(status)
        self.status = status


class Client:
    """A WebSocket of our own making: it sends whatever frames it is told to.

    Args:
        port: where the server is, on this machine.
        headers: of the request, beside those of a handshake.
        receive_bytes: the size of the kernel's buffer.

    Raises:
        Refused: the server does not accept.
    """

    def __init__(
        self,
        port: int,
        *,
        path: str = PATH,
        headers: Mapping[str, str] | None = None,
        receive_bytes: int | None = None,
    ) -> None:
        self.socket = socket.socket()
        if receive_bytes is not None:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes)
        self.socket.settimeout(DEADLINE_S)
        self.socket.connect(("127.0.0.1", port))
        self.socket.sendall(_handshake(port, path, headers or {}))
        self._got = b""
        while b"\r\n\r\n" not in self._got:
            self._more()
        head, self._got = self._got.split(b"\r\n\r\n", 1)
        self.head = head.decode()
        if not self.head.startswith("HTTP/1.1 101"):
            self.socket.close()
            raise Refused(int(self.head.split()[1]))

    def send(
        self, opcode: int, payload: bytes, *, fin: bool = True, deflated: bool = False
    ) -> None:
        """Send one frame, masked as a client's is."""
        first = opcode | (0x80 if fin else 0) | (0x40 if deflated else 0)
        size = len(payload)
        if size < 126:
            head = struct.pack("!BB", first, 0x80 | size)
        elif size < 65536:
            head = struct.pack("!BBH", first, 0x80 | 126, size)
        else:
            head = struct.pack("!BBQ", first, 0x80 | 127, size)
        self.socket.sendall(head + bytes(4) + payload)  # a mask of zeros changes nothing

    def receive(self) -> tuple[int, bytes]:
        """Return the next frame.

        Raises:
            ConnectionError: there is none.
        """
        self._need(2)
        size, at = self._got[1] & 0x7F, 2
        if size == 126:
            self._need(4)
            size, at = struct.unpack("!H", self._got[2:4])[0], 4
        elif size == 127:
            self._need(10)
            size, at = struct.unpack("!Q", self._got[2:10])[0], 10
        self._need(at + size)
        opcode, payload = self._got[0] & 0x0F, self._got[at : at + size]
        self._got = self._got[at + size :]
        return opcode, payload

    def message(self) -> dict[str, Any]:
        """Return the next message; pings are answered."""
        while True:
            opcode, payload = self.receive()
            if opcode == PING:
                self.send(PONG, payload)
            elif opcode == CLOSE:
                raise AssertionError(f"closed: {closing(payload)}")
            elif opcode == TEXT:
                found = json.loads(payload)
                assert isinstance(found, dict)
                return found

    def ending(self) -> tuple[int, str]:
        """Read on, and return the code and the reason of the close; 1006 where there is none."""
        try:
            while True:
                opcode, payload = self.receive()
                if opcode == CLOSE:
                    return closing(payload)
        except OSError:
            return 1006, ""

    def close(self) -> None:
        """Go, without a word."""
        self.socket.close()

    def _need(self, size: int) -> None:
        while len(self._got) < size:
            self._more()

    def _more(self) -> None:
        got = self.socket.recv(65536)
        if not got:
            raise ConnectionError("ended")
        self._got += got


Connect = Callable[..., "Client"]
"""Makes a client that is closed when the test ends; arguments as for `Client`."""


def hurry(port: int) -> None:
    """Ask for a socket and go before the answer comes."""
    with socket.create_connection(("127.0.0.1", port), DEADLINE_S) as connection:
        connection.sendall(_handshake(port, PATH, {}))


def _handshake(port: int, path: str, headers: Mapping[str, str]) -> bytes:
    lines = {
        "Host": f"localhost:{port}",
        "Upgrade": "websocket",
        "Connection": "Upgrade",
        "Sec-WebSocket-Key": base64.b64encode(os.urandom(16)).decode(),
        "Sec-WebSocket-Version": "13",
        **headers,
    }
    text = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
    return f"GET {path} HTTP/1.1\r\n{text}\r\n".encode()


def closing(payload: bytes) -> tuple[int, str]:
    """Return the code and the reason of a close frame."""
    return struct.unpack("!H", payload[:2])[0] if payload else 1005, payload[2:].decode()


def waited(holds: Callable[[], bool], *, within_s: float = DEADLINE_S) -> float:
    """Wait for a condition, and return how long it took."""
    begun = time.monotonic()
    while not holds():
        assert time.monotonic() - begun < within_s
        time.sleep(0.05)
    return time.monotonic() - begun
