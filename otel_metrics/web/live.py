"""`/ws/sovereignty`: the live picture of sovereignty, for who is let in.

Who asks is judged before the socket is accepted, but for a token that comes as the first message:
browsers can send no header. Nothing that a client says changes anything; it may say little.

Each connection has its tasks on its own event loop: one sends frames, one reads what the client
says, one looks whether it still may and can have more. The first that ends ends the connection.
"""

import asyncio
import contextlib
import json
import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Final

from starlette.types import Receive, Scope, Send

from otel_exporter_prometheus.protocol import Answer, Request
from otel_metrics.sovereignty.live import Hub, Mailbox
from otel_metrics.web.connection import MESSAGE_BYTES_MAX, Connection, GoneError, SlowError
from otel_metrics.web.guard import Door, place_of, request_of
from otel_metrics.web.seats import Seats
from otel_metrics.web.threads import BusyError, in_thread

__all__ = ["PATH", "SUBPROTOCOL", "LiveSocket", "NothingToShowError"]

PATH: Final = "/ws/sovereignty"
SUBPROTOCOL: Final = "sovereignty"
"""What we speak; a browser that sends its token as a sub-protocol offers this one, too."""

FRAMES_GAP_S: Final = 0.1
"""At least so long is between two frames to one client."""
TOKEN_WAIT_S: Final = 5.0
"""A client without credentials has so long to send them."""
RECHECK_S: Final = 20.0
"""How often it is looked whether credentials still hold; a check takes its time."""
LOOK_EVERY_S: Final = 0.25
BACKLOG_BYTES_MAX: Final = 256 * 1024
"""More than one client's frames can be: its own pings answered, and the answers not taken."""
MESSAGES_MAX: Final = 10
"""So many messages a client may send within `MESSAGES_WINDOW_S`."""
MESSAGES_WINDOW_S: Final = 10.0
LOG_EVERY_S: Final = 60.0

CLOSE_WRONG_DATA: Final = 1003
CLOSE_POLICY: Final = 1008
CLOSE_TOO_BIG: Final = 1009
CLOSE_BROKEN: Final = 1011
CLOSE_TRY_LATER: Final = 1013
CLOSE_UNAUTHORIZED: Final = 4401

_BEARER: Final = "bearer."
_WRONG: Final = "the credentials are missing or wrong"
_logger = logging.getLogger("otel_metrics.web")

Ending = tuple[int, str]
"""Code and reason of a close."""


class NothingToShowError(Exception):
    """There is nothing that a socket could show; the message, for who asks, says why."""


class LiveSocket:
    """Answers at `PATH`.

    Args:
        door: who is let in.
        hub: returns what to show; `NothingToShowError` says why there is nothing. It may wait.
    """

    def __init__(self, door: Door, hub: Callable[[], Hub]) -> None:
        self._door = door
        self._hub = hub
        self._seats = Seats()
        self._lock = threading.Lock()
        self._told_at = -LOG_EVERY_S
        self._slow = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection until it ends."""
        connection = Connection(receive, send)
        request = _with_offered_token(request_of(scope), scope.get("subprotocols", ()))
        if self._door.outer_refusal(request, *place_of(scope)) is not None:
            await connection.deny()
            return
        if not self._seats.take(request.peer):
            with contextlib.suppress(GoneError):
                await connection.accept(_chosen(scope))
                await connection.close(CLOSE_TRY_LATER, "too many clients; try again later")
            return
        try:
            await self._serve(connection, request, scope)
        except GoneError:
            pass
        finally:
            self._seats.leave(request.peer)

    async def _serve(self, connection: Connection, request: Request, scope: Scope) -> None:
        asked = self._door.authenticator is None or "authorization" in request.headers
        if asked and await self._ending(request) is not None:
            await connection.deny()
            return
        await connection.accept(_chosen(scope))
        ending: Ending | None = None
        if not asked:
            request, ending = await self._introduced(connection, request)
        if ending is None:
            ending = await self._show(connection, request)
        await connection.close(*ending)

    async def _introduced(
        self, connection: Connection, request: Request
    ) -> tuple[Request, Ending | None]:
        """Wait for credentials; return the request with them, and what ends it where they fail."""
        try:
            async with asyncio.timeout(TOKEN_WAIT_S):
                said = await connection.read()
        except TimeoutError:
            return request, (CLOSE_UNAUTHORIZED, "no token came; send it as the first message")
        if len(said) > MESSAGE_BYTES_MAX:
            return request, (CLOSE_TOO_BIG, "the message is too long")
        credentials = _credentials(said)
        if credentials is None:
            return request, (CLOSE_UNAUTHORIZED, 'say {"token": "..."} first')
        request = _with_credentials(request, credentials)
        return request, await self._ending(request)

    async def _ending(self, request: Request) -> Ending | None:
        """Return what ends a connection because of its credentials, None where they are right."""
        authenticator = self._door.authenticator
        if authenticator is None:
            return None
        try:
            refusal: Answer | None = await in_thread(lambda: authenticator.refusal(request))
        except BusyError:
            return CLOSE_TRY_LATER, "too many requests at once; try again later"
        if refusal is None:
            return None
        if refusal.status == 401:
            return CLOSE_UNAUTHORIZED, _WRONG
        return CLOSE_TRY_LATER, "too many failures to authenticate; try again later"

    async def _show(self, connection: Connection, request: Request) -> Ending:
        """Hand frames to a client that was let in, until something ends that."""
        try:
            hub = await in_thread(self._hub)
        except NothingToShowError as error:
            return CLOSE_BROKEN, str(error)
        except BusyError:
            return CLOSE_TRY_LATER, "too many requests at once; try again later"
        mailbox = hub.join()
        tasks = [
            asyncio.ensure_future(_send(connection, mailbox)),
            asyncio.ensure_future(_listen(connection)),
            asyncio.ensure_future(self._look_after(connection, request)),
        ]
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            return next(iter(done)).result()
        except SlowError:
            self._tell_slow()
            return CLOSE_TRY_LATER, "frames are not taken in time; connect again"
        finally:
            hub.leave(mailbox)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _look_after(self, connection: Connection, request: Request) -> Ending:
        """Return when a client may not have more, or has too much that it does not take."""
        authenticator = self._door.authenticator
        checked_at = time.monotonic()
        while True:
            await asyncio.sleep(LOOK_EVERY_S)
            if connection.backlog() > BACKLOG_BYTES_MAX:
                connection.cut()
                raise SlowError
            if authenticator is None or time.monotonic() - checked_at < RECHECK_S:
                continue
            with contextlib.suppress(BusyError):  # asked again at the next look
                holds = await in_thread(lambda: authenticator.still_holds(request))
                checked_at = time.monotonic()
                if not holds:
                    return CLOSE_UNAUTHORIZED, "the credentials hold no longer"

    def _tell_slow(self) -> None:
        """Say in the log that a client was too slow, at most once in `LOG_EVERY_S`."""
        with self._lock:
            self._slow += 1
            now = time.monotonic()
            if now - self._told_at < LOG_EVERY_S:
                return
            slow, self._slow, self._told_at = self._slow, 0, now
        _logger.warning("%s: %d clients were closed, which took no frames", PATH, slow)


async def _send(connection: Connection, mailbox: Mailbox) -> Ending:
    """Send every frame that the mailbox has when the last one is taken."""
    while True:
        frame = await mailbox.take()
        await connection.write(frame.text)
        await asyncio.sleep(FRAMES_GAP_S)


async def _listen(connection: Connection) -> Ending:
    """Take what a client says, which changes nothing, and bound it."""
    times: deque[float] = deque(maxlen=MESSAGES_MAX)
    while True:
        said = await connection.read()
        now = time.monotonic()
        if len(said) > MESSAGE_BYTES_MAX:
            return CLOSE_TOO_BIG, "the message is too long"
        if isinstance(said, bytes):
            return CLOSE_WRONG_DATA, "nothing binary is understood"
        if len(times) == MESSAGES_MAX and now - times[0] < MESSAGES_WINDOW_S:
            return CLOSE_POLICY, "too many messages; there is nothing to say here"
        times.append(now)


def _chosen(scope: Scope) -> str | None:
    return SUBPROTOCOL if SUBPROTOCOL in scope.get("subprotocols", ()) else None


def _with_offered_token(request: Request, offered: Iterable[str]) -> Request:
    """Take a token that is a sub-protocol for what a header would have said."""
    tokens = [each.removeprefix(_BEARER) for each in offered if each.startswith(_BEARER)]
    if "authorization" in request.headers or len(tokens) != 1:
        return request
    return _with_credentials(request, f"Bearer {tokens[0]}")


def _with_credentials(request: Request, credentials: str) -> Request:
    return replace(request, headers={**request.headers, "authorization": (credentials,)})


def _credentials(said: str | bytes) -> str | None:
    """Return what an Authorization header would hold, None where a first message says nothing.

    It is `{"token": "..."}` or `{"authorization": "Basic ..."}`.
    """
    try:
        message = json.loads(said)
    except (ValueError, RecursionError):
        return None
    if not isinstance(message, dict):
        return None
    token, authorization = message.get("token"), message.get("authorization")
    if isinstance(token, str):
        return f"Bearer {token}"
    return authorization if isinstance(authorization, str) else None
