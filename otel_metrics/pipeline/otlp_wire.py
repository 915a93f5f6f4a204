"""A TCP connection whose every step ends by one deadline: resolving, connecting, TLS, both ways.

A socket's own timeout bounds one operation, so a server that drips a byte a second is never late.
What `http.client` asks of a socket is here; it is the only user.
"""

import contextlib
import io
import queue
import socket
import ssl
import threading
import time
from typing import Any, Final

__all__ = ["Resolver", "Wire"]

SEND_BYTES: Final = 65_536
"""Handed to the socket at once, so that the deadline is looked at between two such pieces."""

Addresses = list[tuple[Any, ...]]


class Resolver:
    """Looks names up on a thread, since a look-up cannot be told when to end."""

    def __init__(self) -> None:
        self._thread: threading.Thread | None = None

    def look_up(self, host: str, port: int, answers: "queue.SimpleQueue[Any]") -> None:
        """Put the addresses, or the error, into `answers`, now or later."""
        try:
            answers.put(_addresses(host, port, socket.AI_NUMERICHOST))
            return
        except OSError:
            pass  # a name
        if self._thread is not None and self._thread.is_alive():
            raise TimeoutError("an earlier look-up of the name has no answer yet")

        def ask() -> None:
            try:
                answers.put(_addresses(host, port, 0))
            except (OSError, UnicodeError) as error:
                answers.put(error)

        self._thread = threading.Thread(target=ask, name="otel-metrics-resolver", daemon=True)
        try:
            self._thread.start()
        except RuntimeError:  # the interpreter is ending and starts no more threads
            ask()


class Wire:
    """One connection. Not thread-safe, but for `interrupt`.

    Args:
        deadline: when everything must be over (`time.monotonic`); may be moved between requests.
    """

    def __init__(self, deadline: float) -> None:
        self.deadline = deadline
        self._socket: socket.socket | None = None
        self._answers: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._interrupted = False

    def open(self, host: str, port: int, resolver: Resolver) -> None:
        """Connect to the first address that answers.

        Raises:
            OSError: none does, the name has no address, or it is too late (`TimeoutError`).
        """
        resolver.look_up(host, port, self._answers)
        try:
            addresses = self._answers.get(timeout=self.left_s())
        except queue.Empty:
            raise TimeoutError("the name was not resolved in time") from None
        if isinstance(addresses, Exception):
            raise addresses
        failure: OSError | None = None
        for number, (family, kind, protocol, _, address) in enumerate(addresses or ()):
            try:
                self._socket = socket.socket(family, kind, protocol)
                self._socket.settimeout(self.left_s() / (len(addresses) - number))
                self._socket.connect(address)
            except OSError as error:
                failure = error
                self.hang_up()
            else:
                self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                return
        raise failure or OSError("the name has no address")

    def secure(self, context: ssl.SSLContext, host: str) -> None:
        """Speak TLS from here on.

        Raises:
            ssl.SSLError: the server does not prove to be `host`, or wants a certificate of ours.
        """
        assert self._socket is not None
        wrapped = context.wrap_socket(
            self._socket, server_hostname=host, do_handshake_on_connect=False
        )
        self._socket = wrapped
        wrapped.settimeout(self.left_s())
        wrapped.do_handshake()

    def is_stale(self) -> bool:
        """Tell whether an idle connection was closed, or says something out of turn."""
        if self._socket is None:
            return True
        self._socket.settimeout(0.0)
        try:
            # The plain socket's method: one of TLS has no way to peek.
            socket.socket.recv(self._socket, 1, socket.MSG_PEEK)
        except BlockingIOError:
            return False
        except OSError:
            return True
        return True

    def interrupt(self) -> None:
        """End what waits on this connection, from any thread."""
        self._interrupted = True
        self._answers.put(OSError("interrupted"))
        held = self._socket
        if held is not None:
            with contextlib.suppress(OSError):  # it was not connected, or is closed
                # As above: the method of TLS would take the session from under its reader.
                socket.socket.shutdown(held, socket.SHUT_RDWR)

    def hang_up(self) -> None:
        """Close the connection."""
        held, self._socket = self._socket, None
        if held is not None:
            held.close()

    def left_s(self) -> float:
        """Return the seconds until the deadline.

        Raises:
            TimeoutError: it has passed.
        """
        if self._interrupted:
            raise OSError("interrupted")
        left_s = self.deadline - time.monotonic()
        if left_s <= 0:
            raise TimeoutError("the deadline has passed")
        return left_s

    def receive_into(self, buffer: Any) -> int:
        """Receive what is there, waiting until the deadline; 0 at the end."""
        if self._socket is None:
            return 0
        self._socket.settimeout(self.left_s())
        return self._socket.recv_into(buffer)

    def sendall(self, data: bytes) -> None:
        """Send everything. A connection that breaks is the reader's to report: a server that does
        not want the rest of a request may have said why."""
        assert self._socket is not None
        view = memoryview(data)
        while view:
            self._socket.settimeout(self.left_s())
            try:
                view = view[self._socket.send(view[:SEND_BYTES]) :]
            except (BrokenPipeError, ConnectionResetError, ssl.SSLEOFError, ssl.SSLZeroReturnError):
                return

    def makefile(self, mode: str) -> io.BufferedReader:
        """Return what is received, as a file."""
        del mode
        return io.BufferedReader(_Received(self))

    def close(self) -> None:
        """Do nothing: `http.client` calls this before the reply is read. See `hang_up`."""


class _Received(io.RawIOBase):
    def __init__(self, wire: Wire) -> None:
        self._wire = wire

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        return self._wire.receive_into(buffer)


def _addresses(host: str, port: int, flags: int) -> Addresses:
    return [*socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=flags)]
