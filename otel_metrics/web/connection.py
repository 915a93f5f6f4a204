"""One WebSocket under ASGI, with the bounds that ASGI leaves to the server.

ASGI tells neither how much of what was sent still waits nor how to cut a connection that takes
nothing: under uvicorn a close waits, without end, behind what is not taken. So the server's
transport is looked for beneath `receive`; where it is not found (another server, a wrapper of
`receive`), the bounds are those of time alone.

Used by the tasks of one connection, on its event loop.
"""

import asyncio
import contextlib
from typing import Any, Final

from starlette.types import Message, Receive, Send

__all__ = ["MESSAGE_BYTES_MAX", "Connection", "GoneError", "SlowError"]

MESSAGE_BYTES_MAX: Final = 4096
"""A longer message of a client ends its connection with 1009."""
DRAIN_WAIT_S: Final = 4.0
"""A client that takes nothing for so long is slow."""
CLOSE_WAIT_S: Final = 4.0
"""What was sent, the close included, has so long to be taken before the connection is cut."""
LOOK_EVERY_S: Final = 0.05
_WRAPPERS_MAX: Final = 16


class GoneError(Exception):
    """The client has closed, or its connection is lost."""


class SlowError(Exception):
    """The client does not take what is sent."""


class Connection:
    """What a client and we say to each other.

    Args:
        receive, send: ASGI's.
    """

    def __init__(self, receive: Receive, send: Send) -> None:
        self._receive = receive
        self._send = send
        server = _server(receive)
        self._transport = _transport(server)
        _limit_messages(server)

    async def deny(self) -> None:
        """Refuse the connection before it is accepted: HTTP 403."""
        await self._receive()  # the connect
        await self._send({"type": "websocket.close", "code": 1008})

    async def accept(self, subprotocol: str | None) -> None:
        """Accept the connection.

        Raises:
            GoneError: nobody is there any more.
        """
        await self._receive()  # the connect
        await self._say({"type": "websocket.accept", "subprotocol": subprotocol})

    async def read(self) -> str | bytes:
        """Wait for a message.

        Raises:
            GoneError: there will be none.
        """
        message = await self._receive()
        if message["type"] != "websocket.receive":
            raise GoneError
        text = message.get("text")
        return text if text is not None else message.get("bytes") or b""

    async def write(self, text: str) -> None:
        """Send a message, once what was sent before is taken.

        Raises:
            GoneError: nobody is there any more.
            SlowError: what was sent before is not taken.
        """
        if not await self._drained(DRAIN_WAIT_S):
            raise SlowError
        try:
            async with asyncio.timeout(DRAIN_WAIT_S):  # 3.11's `wait_for` swallows a cancellation
                await self._say({"type": "websocket.send", "text": text})
        except TimeoutError:
            raise SlowError from None

    async def close(self, code: int, reason: str) -> None:
        """Close, and cut the connection where the close is not taken."""
        closing = {"type": "websocket.close", "code": code, "reason": reason}
        with contextlib.suppress(GoneError, TimeoutError):
            async with asyncio.timeout(CLOSE_WAIT_S):
                await self._say(closing)
        if not await self._drained(CLOSE_WAIT_S):
            self.cut()

    def cut(self) -> None:
        """Drop the connection with what is not taken, where the server lets us."""
        if self._transport is not None:
            self._transport.abort()

    def backlog(self) -> int:
        """Return how many bytes wait here to be taken; 0 where that is not known."""
        return 0 if self._transport is None else int(self._transport.get_write_buffer_size())

    async def _drained(self, within_s: float) -> bool:
        until = asyncio.get_running_loop().time() + within_s
        while self.backlog():
            if asyncio.get_running_loop().time() >= until:
                return False
            await asyncio.sleep(LOOK_EVERY_S)
        return True

    async def _say(self, message: Message) -> None:
        try:
            await self._send(message)
        except Exception as error:  # each server has its own way to say that a client is gone
            raise GoneError from error


def _server(receive: Receive) -> Any:
    """Return the server's object for this connection, None where it is not found.

    Starlette hands `receive` through; instrumentation wraps it with `functools.wraps`.
    """
    inner: Any = receive
    for _ in range(_WRAPPERS_MAX):
        if not hasattr(inner, "__wrapped__"):
            break
        inner = inner.__wrapped__
    return getattr(inner, "__self__", None)


def _transport(server: Any) -> Any:
    transport = getattr(server, "transport", None)
    wanted = ("get_write_buffer_size", "abort")
    return transport if all(hasattr(transport, name) for name in wanted) else None


def _limit_messages(server: Any) -> None:
    """Lower the size at which the server itself refuses a message (uvicorn's is 16 MiB a client),
    so that a long one, in one frame or many, is refused before it is in memory."""
    protocol: Any = getattr(server, "conn", None)  # of the library `websockets`
    if isinstance(getattr(protocol, "max_message_size", None), int):
        protocol.max_message_size = MESSAGE_BYTES_MAX
