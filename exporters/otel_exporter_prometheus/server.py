"""Sockets and threads of the metrics page: `MetricsServer`.

One thread accepts; each connection has a thread of its own, at most `CONNECTIONS_MAX`. When all are
taken, the one that has longest been silent about what it wants makes room, so that half-open
connections never lock a scraper out; if all are being answered, a new one gets 503.
"""

import contextlib
import errno
import logging
import selectors
import socket
import threading
import time
from collections import deque
from dataclasses import dataclass
from typing import Final

from otel_exporter_prometheus.errors import ListenError
from otel_exporter_prometheus.guard import judge
from otel_exporter_prometheus.listeners import listen
from otel_exporter_prometheus.page import Page
from otel_exporter_prometheus.protocol import HEAD_BYTES_MAX, parse, plain, response
from otel_exporter_prometheus.settings import Settings, is_loopback

__all__ = ["CONNECTIONS_MAX", "MetricsServer"]

CONNECTIONS_MAX: Final = 64
"""At most this many connections are served at once."""
HEAD_TIMEOUT_S: Final = 5.0
"""A request must have arrived within this time."""
WRITE_TIMEOUT_S: Final = 10.0
"""A response must have been taken within this time."""
PRESSURE: Final = 4
"""When more requests than this were in flight at once within the last second, they share."""
LINGER_S: Final = 1.0
LINGERING_MAX: Final = 128
"""Refused connections stay open this long, and so many, so that the refusal arrives."""
_SELECTOR: Final = getattr(selectors, "PollSelector", selectors.SelectSelector)
_BUSY: Final = "Too many connections at once; try again."

_logger = logging.getLogger("otel_exporter_prometheus")


@dataclass(slots=True, eq=False)
class _Connection:
    socket: socket.socket
    since: float
    asked: bool = False
    evicted: bool = False


class MetricsServer:
    """Serves a page on a port of its own.

    Args:
        page: what is served; it is the caller's to start and stop.
        settings: where to listen, and who may read.
    """

    def __init__(self, page: Page, settings: Settings) -> None:
        self._settings = settings
        self._page = page
        self._errors = page.errors
        self._changed = threading.Condition()
        self._connections: set[_Connection] = set()
        self._pressed_until = 0.0
        self._lingering: deque[tuple[float, socket.socket]] = deque()
        self._listeners: list[socket.socket] = []
        self._wake: tuple[socket.socket, socket.socket] | None = None
        self._thread: threading.Thread | None = None
        self._port = settings.port

    @property
    def port(self) -> int:
        """The port that the page listens on; once started, the real one."""
        return self._port

    def start(self) -> None:
        """Open the page.

        Raises:
            ListenError: it cannot be opened, or must not be, with what to do.
        """
        if self._settings.refusal is not None:
            raise ListenError(self._settings.refusal)
        self._listeners = listen(self._settings)
        self._port = self._listeners[0].getsockname()[1]
        if not is_loopback(self._settings.host):
            _logger.warning(
                "the metrics page on %s:%d is open to everyone who reaches this machine",
                self._settings.host,
                self._port,
            )
        self._wake = socket.socketpair()
        self._thread = threading.Thread(
            target=self._accept, name="otel-prometheus-accept", daemon=True
        )
        self._thread.start()

    def stop(self, timeout_s: float = 1.0) -> None:
        """Close the page; responses under way have until `timeout_s` to be taken."""
        thread, wake = self._thread, self._wake
        if thread is None or wake is None:
            return
        self._thread = None
        deadline = time.monotonic() + timeout_s
        wake[1].send(b".")
        thread.join(timeout_s)
        wake[1].close()
        with self._changed:
            silent = [each for each in self._connections if not each.asked]
        for connection in silent:
            self._evict(connection)
        with self._changed:
            remaining = max(0.0, deadline - time.monotonic())
            self._changed.wait_for(lambda: not self._connections, timeout=remaining)

    def after_fork(self) -> None:
        """Let go, in a forked child, of the sockets that are the parent's."""
        sockets = [*self._listeners, *(self._wake or ())]
        sockets += [connection.socket for connection in list(self._connections)]
        sockets += [refused for _, refused in self._lingering]
        self._listeners, self._wake, self._thread = [], None, None
        self._connections, self._lingering = set(), deque()
        self._changed = threading.Condition()
        for inherited in sockets:
            with contextlib.suppress(OSError):
                inherited.close()

    def _accept(self) -> None:
        assert self._wake is not None
        wake = self._wake[0]
        waited_for = [wake, *self._listeners]
        while True:
            ready = _readable(waited_for, 0.25 if self._lingering else None)
            if wake in ready:
                break
            for listener in ready:
                try:
                    accepted, _ = listener.accept()
                except OSError as error:
                    if error.errno in (errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ENOBUFS):
                        self._errors.add("refused")
                        _readable([wake], 0.1)  # no descriptor is free; wait without spinning
                    continue
                self._admit(accepted)
            self._bury(time.monotonic())
        for listener in self._listeners:
            listener.close()
        wake.close()
        self._bury(float("inf"))

    def _admit(self, accepted: socket.socket) -> None:
        now = time.monotonic()
        connection = _Connection(accepted, now)
        with self._changed:
            room = len(self._connections) < CONNECTIONS_MAX
            silent = [each for each in self._connections if not each.asked]
        if not room and silent:
            self._evict(min(silent, key=lambda each: each.since))
            room = True
        if not room:
            self._refuse(accepted, now)
            return
        with self._changed:
            self._connections.add(connection)
        thread = threading.Thread(
            target=self._serve, args=(connection,), name="otel-prometheus-serve", daemon=True
        )
        try:
            thread.start()
        except RuntimeError:  # no thread can be had, as at the interpreter's end
            self._errors.add("thread")
            self._forget(connection)
            self._refuse(accepted, now)

    def _evict(self, connection: _Connection) -> None:
        connection.evicted = True
        self._forget(connection)
        with contextlib.suppress(OSError):
            connection.socket.shutdown(socket.SHUT_RD)  # its thread reads the end, and answers 503

    def _forget(self, connection: _Connection) -> None:
        with self._changed:
            self._connections.discard(connection)
            self._changed.notify_all()

    def _refuse(self, refused: socket.socket, now: float) -> None:
        """Answer 503 without a thread; closing at once would take the answer away again."""
        self._errors.add("refused")
        with contextlib.suppress(OSError):
            refused.settimeout(0)
            refused.send(plain(503, _BUSY))
            refused.shutdown(socket.SHUT_WR)
        if len(self._lingering) >= LINGERING_MAX:
            _drain_and_close(self._lingering.popleft()[1])
        self._lingering.append((now + LINGER_S, refused))

    def _bury(self, now: float) -> None:
        while self._lingering and self._lingering[0][0] <= now:
            _drain_and_close(self._lingering.popleft()[1])

    def _serve(self, connection: _Connection) -> None:
        try:
            answer = self._answer(connection)
            if answer is not None:
                _send(connection.socket, answer)
        except OSError:
            self._errors.add("write")
        except Exception:
            self._errors.add("serve")
            _logger.exception("a scrape could not be answered")
        finally:
            self._forget(connection)
            _drain_and_close(connection.socket)

    def _answer(self, connection: _Connection) -> bytes | None:
        head = _read_head(connection.socket, connection.since + HEAD_TIMEOUT_S)
        if connection.evicted:
            self._errors.add("refused")
            return plain(503, _BUSY)
        if head is None:
            self._errors.add("read")
            return None
        if len(head) > HEAD_BYTES_MAX:
            return plain(431, "The request's headers are too long.")
        request = parse(head)
        refusal = judge(request, self._settings)
        if refusal is not None or request is None:
            return refusal
        connection.asked = True
        openmetrics = request.openmetrics
        body = self._page.read(openmetrics=openmetrics, pressed=self._is_pressed())
        if body is None:
            return plain(503, "The metrics cannot be collected.")
        return response(body, openmetrics=openmetrics, head_only=request.method == "HEAD")

    def _is_pressed(self) -> bool:
        now = time.monotonic()
        with self._changed:
            if len(self._connections) > PRESSURE:
                self._pressed_until = now + 1.0
            return now < self._pressed_until


def _readable(sockets: list[socket.socket], timeout_s: float | None) -> list[socket.socket]:
    """Wait until one can be read; not by `select`, which refuses descriptors above 1023."""
    with _SELECTOR() as selector:
        for each in sockets:
            selector.register(each, selectors.EVENT_READ, each)
        return [key.data for key, _ in selector.select(timeout_s)]


def _read_head(readable: socket.socket, deadline: float) -> bytes | None:
    """Return the head of a request, more than `HEAD_BYTES_MAX` when it is too long, or None."""
    received = b""
    try:
        while len(received) <= HEAD_BYTES_MAX:
            readable.settimeout(max(0.001, deadline - time.monotonic()))
            more = readable.recv(8192)
            received += more
            head, end, _ = received.partition(b"\r\n\r\n")
            if end:
                return head
            if not more or time.monotonic() >= deadline:
                return None
    except OSError:
        return None
    return received


def _send(writable: socket.socket, answer: bytes) -> None:
    deadline = time.monotonic() + WRITE_TIMEOUT_S
    view = memoryview(answer)
    while view:
        remaining = deadline - time.monotonic()
        if remaining <= 0:
            raise TimeoutError("the response was not taken in time")
        writable.settimeout(remaining)
        view = view[writable.send(view) :]
    writable.shutdown(socket.SHUT_WR)


def _drain_and_close(closing: socket.socket) -> None:
    """Close; what is unread is read first, or the peer would see a reset instead of the answer."""
    with contextlib.suppress(OSError):
        closing.settimeout(0)
        for _ in range(16):
            if not closing.recv(65536):
                break
    with contextlib.suppress(OSError):
        closing.close()
