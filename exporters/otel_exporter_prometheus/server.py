"""Sockets and threads of the metrics page: `MetricsServer`.

`otel-prometheus-accept` accepts and does nothing that waits; each connection has a thread of its
own (`slots.py` says how many), which shakes hands, reads, checks credentials, and writes. A
connection that finds no slot waits a little for one, the newest first, and is then told 503 by the
accepting thread, which alone touches `_waiting` and `_lingering`.
"""

import contextlib
import errno
import logging
import selectors
import socket
import threading
import time
from collections import deque
from typing import Final

from otel_exporter_prometheus import access, contents, guard, wire
from otel_exporter_prometheus.auth import Authenticator
from otel_exporter_prometheus.errors import ListenError, SettingError
from otel_exporter_prometheus.health import STALLED_AFTER_S, Watch
from otel_exporter_prometheus.listeners import listen
from otel_exporter_prometheus.page import Page
from otel_exporter_prometheus.pressure import Pressure
from otel_exporter_prometheus.protocol import (
    HEAD_BYTES_MAX,
    Answer,
    Request,
    head,
    parse,
    plain,
)
from otel_exporter_prometheus.settings import Settings, is_loopback
from otel_exporter_prometheus.slots import CONNECTIONS_MAX, Connection, Slots
from otel_exporter_prometheus.tls import Tls

__all__ = ["CONNECTIONS_MAX", "MetricsServer"]

HEAD_TIMEOUT_S: Final = 5.0
"""A request must have arrived within this time, with the handshake before it."""
SERVED_S: Final = 10.0
"""A response must have been taken so long after its connection was accepted,"""
WRITE_TIMEOUT_S: Final = 5.0
"""or so long after it was ready, where that took its time."""
WAIT_S: Final = 1.0
"""A connection waits this long for a slot."""
WAITING_MAX: Final = 256
"""So many wait; one more, and the one that has waited longest is refused."""
LINGER_S: Final = 1.0
LINGERING_MAX: Final = 128
"""Refused connections stay open this long, and so many, so that the refusal arrives."""
ACCEPTED_MAX: Final = 128
"""So many connections are accepted in one go."""
_SELECTOR: Final = getattr(selectors, "PollSelector", selectors.SelectSelector)
"""Not `select`, which refuses descriptors above 1023; nor `epoll`, which a fork shares."""
_BUSY: Final = plain(503, "Too many connections at once; try again.")

_logger = logging.getLogger("otel_exporter_prometheus")


class MetricsServer:
    """Serves a page on a port of its own, and telemetry's health beside it.

    Args:
        page: what is served; it is the caller's to start and stop.
        settings: where to listen, and who may read.
        stalled_after_s: how old the last collection may be until telemetry is unwell.
    """

    def __init__(
        self, page: Page, settings: Settings, *, stalled_after_s: float = STALLED_AFTER_S
    ) -> None:
        self._settings = settings
        self._page = page
        self._errors = page.errors
        self._stalled_after_s = stalled_after_s
        self._watch = Watch(stalled_after_s=stalled_after_s)
        self._slots = Slots()
        self._rules = guard.Rules(scheme="http", port=settings.port)
        self._authenticator: Authenticator | None = None
        self._tls: Tls | None = None
        self._pressure = Pressure()
        self._waiting: deque[Connection] = deque()
        self._lingering: deque[tuple[float, socket.socket]] = deque()
        self._listeners: list[socket.socket] = []
        self._wake: tuple[socket.socket, socket.socket] | None = None
        self._own_sockets: list[tuple[socket.socket, wire.File]] = []
        self._thread: threading.Thread | None = None
        self._port = settings.port
        self._warned = False

    @property
    def port(self) -> int:
        """The port that the page listens on; once started, the real one."""
        return self._port

    def start(self) -> None:
        """Open the page.

        Raises:
            ListenError: it cannot be opened, or must not be, with what to do.
        """
        settings = self._settings
        if settings.refusal is not None:
            raise ListenError(settings.refusal)
        try:
            self._authenticator = access.authenticator(settings, self._errors.add)
            self._tls = access.tls(settings)
        except SettingError as error:
            raise ListenError(f"{error}; the page stays closed") from error
        self._listeners = listen(settings)
        self._port = self._listeners[0].getsockname()[1]
        self._rules = guard.Rules(
            scheme="http" if self._tls is None else "https",
            port=self._port,
            hosts=(settings.host,),
            any_host=not is_loopback(settings.host),
        )
        self._warn()
        self._wake = socket.socketpair()
        self._own_sockets = [(each, wire.file_of(each)) for each in (*self._listeners, *self._wake)]
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
        self._slots.end(max(0.0, deadline - time.monotonic()))

    @property
    def is_running(self) -> bool:
        """Whether connections are accepted; not once a service has closed every descriptor."""
        return self._thread is not None and self._thread.is_alive()

    def abandon(self) -> None:
        """Let go of a server that has ended by itself: those of its sockets that are still its own
        are closed. A number of a closed one may be a file of the service's by now."""
        for each, file in self._own_sockets:
            if wire.is_file(each, file):
                each.close()
            else:
                each.detach()
        self._own_sockets = []
        self._listeners, self._wake, self._thread = [], None, None

    def after_fork(self) -> None:
        """Let go, in a forked child, of the sockets that are the parent's."""
        sockets = [*self._listeners, *(self._wake or ()), *self._slots.after_fork()]
        sockets += [waiting.socket for waiting in list(self._waiting)]
        sockets += [refused for _, refused in list(self._lingering)]
        self._listeners, self._wake, self._thread = [], None, None
        self._waiting, self._lingering = deque(), deque()
        self._watch = Watch(stalled_after_s=self._stalled_after_s)
        for inherited in sockets:
            with contextlib.suppress(OSError):
                inherited.close()

    def _warn(self) -> None:
        """Say once what an operator of an open page must know."""
        if is_loopback(self._settings.host) or self._warned:
            return
        self._warned = True
        where = f"the metrics page on {self._settings.host}:{self._port}"
        if not self._settings.authenticated:
            secret = "" if self._tls is None else ", though encrypted"
            _logger.warning("%s is open to everyone who reaches this machine%s", where, secret)
        elif self._tls is None:
            _logger.warning(
                "%s is not encrypted: credentials and metrics can be read on the way; "
                "set OTEL_EXPORTER_PROMETHEUS_TLS_CERT_FILE and _TLS_KEY_FILE",
                where,
            )

    def _accept(self) -> None:
        assert self._wake is not None
        wake = self._wake[0]
        with _SELECTOR() as selector:
            for each in (wake, *self._listeners):
                selector.register(each, selectors.EVENT_READ, each)
            while True:
                ready = [key.data for key, _ in selector.select(self._tick_s())]
                if wake in ready:
                    break
                if not all(self._accept_from(listener) for listener in ready):
                    _wait_readable(wake, 0.1)  # no descriptor is free; wait without spinning
                self._seat(time.monotonic())
                self._bury(time.monotonic())
        if self._thread is not None:
            return  # nobody stopped it: the descriptors were closed, and may be anybody's by now
        self._seat(float("inf"))
        for listener in self._listeners:
            self._turn_away(listener)
            listener.close()
        wake.close()
        self._bury(float("inf"))

    def _tick_s(self) -> float | None:
        """How long to wait for a connection: no longer than somebody can wait for a slot."""
        if self._waiting:
            return 0.02
        return 0.25 if self._lingering else None

    def _accept_from(self, listener: socket.socket) -> bool:
        """Accept those that wait; False when there is no descriptor for another."""
        for _ in range(ACCEPTED_MAX):
            try:
                accepted, address = listener.accept()
            except BlockingIOError:
                return True
            except OSError as error:
                if error.errno in (errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ENOBUFS):
                    self._errors.add("refused")
                    return False
                continue  # it is gone already
            self._waiting.append(Connection(accepted, str(address[0]), time.monotonic()))
            self._seat(time.monotonic())
        return True

    def _seat(self, now: float) -> None:
        """Give those that wait the slots that are free, and refuse who has waited long enough."""
        while self._waiting and self._slots.admit(self._waiting[-1]):
            self._begin(self._waiting.pop())
        while self._waiting and (
            len(self._waiting) > WAITING_MAX or self._waiting[0].since + WAIT_S <= now
        ):
            self._refuse(self._waiting.popleft().socket)

    def _turn_away(self, listener: socket.socket) -> None:
        """Tell those that wait, when the page closes, that it does."""
        for _ in range(ACCEPTED_MAX):
            try:
                accepted, _ = listener.accept()
            except OSError:
                return
            self._refuse(accepted)

    def _begin(self, connection: Connection) -> None:
        thread = threading.Thread(
            target=self._serve, args=(connection,), name="otel-prometheus-serve", daemon=True
        )
        try:
            thread.start()
        except RuntimeError:  # no thread can be had, as at the interpreter's end
            self._errors.add("thread")
            self._slots.release(connection)
            self._refuse(connection.socket)

    def _refuse(self, refused: socket.socket) -> None:
        """Answer 503 without a thread; closing at once would take the answer away again."""
        self._errors.add("refused")
        with contextlib.suppress(OSError):
            refused.settimeout(0)
            if self._tls is None:  # else there is nothing that could be said without a handshake
                refused.send(head(_BUSY) + _BUSY.body)
            refused.shutdown(socket.SHUT_WR)
        if len(self._lingering) >= LINGERING_MAX:
            wire.drain_and_close(self._lingering.popleft()[1])
        self._lingering.append((time.monotonic() + LINGER_S, refused))

    def _bury(self, now: float) -> None:
        while self._lingering and self._lingering[0][0] <= now:
            wire.drain_and_close(self._lingering.popleft()[1])

    def _serve(self, connection: Connection) -> None:
        try:
            if self._shake_hands(connection):
                self._converse(connection)
        except OSError:
            self._errors.add("write")
            wire.abort(connection.socket)
        except Exception:
            self._errors.add("serve")
            _logger.exception("a scrape could not be answered")
        finally:
            self._slots.release(connection)
            wire.drain_and_close(connection.socket)

    def _shake_hands(self, connection: Connection) -> bool:
        """Begin TLS, where there is a certificate; False for a peer that does not."""
        if self._tls is None:
            return True
        try:
            encrypted = wire.encrypted(connection.socket, self._tls.context())
            connection.socket = encrypted
            encrypted.settimeout(max(0.001, connection.since + HEAD_TIMEOUT_S - time.monotonic()))
            if not connection.evicted:
                encrypted.do_handshake()
        except (OSError, ValueError):  # ValueError: the peer was gone before it began
            self._errors.add("tls")
            return False
        return not connection.evicted

    def _converse(self, connection: Connection) -> None:
        received = wire.read_head(connection.socket, connection.since + HEAD_TIMEOUT_S)
        if connection.evicted:
            self._errors.add("refused")
            answer, request = _BUSY, None
        elif received is None:
            self._errors.add("read")
            return
        elif len(received) > HEAD_BYTES_MAX:
            answer, request = plain(431, "The request's headers are too long."), None
        else:
            request = parse(received, connection.peer)
            answer = self._answer(request, connection)
        connection.answer_begins()
        deadline = max(connection.since + SERVED_S, time.monotonic() + WRITE_TIMEOUT_S)
        wire.write(connection.socket, head(answer), deadline, connection.progressed)
        if request is None or request.method != "HEAD":
            wire.write(connection.socket, answer.body, deadline, connection.progressed)
        wire.finish(connection.socket, unread_body=request is not None and request.has_body)

    def _answer(self, request: Request | None, connection: Connection) -> Answer:
        refusal = guard.admit(request, self._rules)
        if refusal is not None or request is None:
            return refusal or _BUSY
        if self._authenticator is not None:
            refusal = self._authenticator.refusal(request)
        refusal = refusal or guard.judge(request)
        if refusal is not None:
            return refusal
        connection.stage = "waiting"
        pressed = self._pressure.is_high(len(self._slots))
        return contents.answer(request, self._page, self._watch, pressed=pressed)


def _wait_readable(readable: socket.socket, timeout_s: float) -> None:
    with _SELECTOR() as selector:
        selector.register(readable, selectors.EVENT_READ)
        selector.select(timeout_s)
