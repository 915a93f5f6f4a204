"""One conversation with a NATS broker: connect, ask for a stream, send, wait for each answer.

Threads: everything runs on the caller's thread, in an event loop of its own; a name that DNS does
not answer keeps a daemon thread.
"""

import asyncio
import contextlib
import math
import os
import socket
import ssl
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from otel_metrics.executions.announcement import SUBJECT
from otel_metrics.executions.broker import Broker, Server

if TYPE_CHECKING:
    from nats.aio.client import Client

__all__ = ["CONNECT_TIMEOUT_S", "REPLY_TIMEOUT_S", "Course", "Message", "PublishError", "send"]

CONNECT_TIMEOUT_S: Final = 2.0
"""For name, connection, TLS and the first answer, all servers together."""
REPLY_TIMEOUT_S: Final = 2.0
"""For the answers to `WINDOW` messages."""
CLOSE_TIMEOUT_S: Final = 0.5
WINDOW: Final = 64
"""Messages that are on their way at a time."""
ADDRESSES_MAX: Final = 4
"""Addresses of one name that are tried."""


class PublishError(Exception):
    """The broker did not take messages; the message says why."""


@dataclass(frozen=True, slots=True)
class Message:
    """What is sent, and the id by which the server knows it again."""

    id: str
    payload: bytes

    @property
    def headers(self) -> dict[str, str]:
        """What is sent with it."""
        return {"Nats-Msg-Id": self.id}

    @property
    def size(self) -> int:
        """Bytes that the server counts."""
        return len(self.payload) + len(f"NATS/1.0\r\nNats-Msg-Id: {self.id}\r\n\r\n")


@dataclass(slots=True)
class Course:
    """How far a conversation came.

    Attributes:
        sent: ids of what the broker has.
        too_large: ids of what it does not take.
    """

    sent: set[str] = field(default_factory=set)
    too_large: set[str] = field(default_factory=set)


def send(broker: Broker, messages: Sequence[Message], course: Course, timeout_s: float) -> None:
    """Send messages over one connection, in their order. Not from inside an event loop.

    Args:
        course: is kept up to date, also where this raises.
        timeout_s: for all of it.

    Raises:
        PublishError: not all were sent.
    """
    try:
        import nats  # noqa: F401  # of the extra `nats`
    except ImportError:
        raise PublishError("nats-py is not installed; pip install 'otel-metrics[nats]'") from None
    deadline = time.monotonic() + timeout_s
    addresses = _addresses(broker, min(deadline, time.monotonic() + CONNECT_TIMEOUT_S))
    asyncio.run(_session(broker, addresses, messages, course, deadline))


def _addresses(broker: Broker, deadline: float) -> list[tuple[Server, str]]:
    """Return the addresses of the servers. Resolved here, so that DNS keeps nobody waiting: a
    thread of the event loop's would be waited for at exit."""
    found: list[tuple[Server, str]] = []
    reasons: list[str] = []
    for server in broker.servers:
        answer: list[str] = []
        reason = ["no answer from DNS"]
        thread = threading.Thread(
            target=_resolve, args=(server, answer, reason), name="nats-resolve", daemon=True
        )
        thread.start()
        thread.join(max(0.0, deadline - time.monotonic()))
        addresses = list(answer)[:ADDRESSES_MAX]
        if not addresses:
            reasons.append(f"{server.shown}: {reason[0]}")
        found += [(server, address) for address in addresses]
    if not found:
        raise PublishError("; ".join(reasons))
    return found


def _resolve(server: Server, answer: list[str], reason: list[str]) -> None:
    try:
        found = socket.getaddrinfo(server.host, server.port, type=socket.SOCK_STREAM)
        answer += dict.fromkeys(str(each[4][0]) for each in found)
    except (OSError, UnicodeError) as error:
        reason[0] = getattr(error, "strerror", None) or str(error)


async def _session(
    broker: Broker,
    addresses: Sequence[tuple[Server, str]],
    messages: Sequence[Message],
    course: Course,
    deadline: float,
) -> None:
    errors: list[str] = []
    client = await _connected(broker, addresses, errors, deadline)
    try:
        send_all = _send_kept if await _has_stream(client, errors, deadline) else _send_passed_on
        fitting = [message for message in messages if message.size <= client.max_payload]
        course.too_large |= {each.id for each in messages} - {each.id for each in fitting}
        for start in range(0, len(fitting), WINDOW):
            left_s = min(REPLY_TIMEOUT_S, deadline - time.monotonic())
            if left_s <= 0:
                raise PublishError("the time for publishing is over")
            await send_all(client, fitting[start : start + WINDOW], course, errors, left_s)
    finally:
        await _closed(client)
    if course.too_large:
        raise PublishError(
            f"{len(course.too_large)} of them larger than the {client.max_payload} bytes that "
            "the broker takes; raise its max_payload"
        )


async def _connected(
    broker: Broker,
    addresses: Sequence[tuple[Server, str]],
    errors: list[str],
    deadline: float,
) -> "Client":
    """Return a connection to the first server that answers."""
    end = min(deadline, time.monotonic() + CONNECT_TIMEOUT_S)
    reasons: dict[str, None] = {}
    for index, (server, address) in enumerate(addresses):
        share_s = (end - time.monotonic()) / (len(addresses) - index)
        try:
            return await _connect(broker, server, address, errors, share_s)
        except PublishError as error:
            reasons[f"{server.shown}: {error}"] = None
    raise PublishError("; ".join(reasons))


async def _connect(
    broker: Broker, server: Server, address: str, errors: list[str], timeout_s: float
) -> "Client":
    from nats.aio.client import Client

    async def note(error: Exception) -> None:
        errors.append(_text(error))

    client = Client()

    def guarded(secret: str | None) -> Callable[[], str] | None:
        """Give a secret to a server only as the URL demands it: nats-py itself would send it in
        the clear where the server, or who stands in its place, does not ask for TLS."""

        def give() -> str:
            _demand_tls(server, client)
            return secret or ""

        return None if secret is None else give

    errors.clear()
    options: dict[str, Any] = {
        "name": "otel-metrics",
        "error_cb": note,
        "allow_reconnect": False,
        "max_reconnect_attempts": 1,
        "reconnect_time_wait": 0,
        "connect_timeout": timeout_s,
        "tls": ssl.create_default_context(),
        "tls_hostname": server.host,
        "user_credentials": broker.credentials,
    }
    if server.password is None:
        options["token"] = guarded(server.user)
    else:
        options["user"], options["password"] = guarded(server.user or ""), guarded(server.password)
    shown = f"[{address}]" if ":" in address else address
    try:
        await asyncio.wait_for(
            client.connect(f"nats://{shown}:{server.port}", **options), timeout_s
        )
        _demand_tls(server, client)
    except ModuleNotFoundError as error:
        await _closed(client)
        message = f"NATS_CREDS needs {error.name}; pip install 'nats-py[nkeys]'"
        raise PublishError(message) from None
    except Exception as error:  # noqa: BLE001  # nats-py raises its own, asyncio's and the socket's
        await _closed(client)
        raise PublishError(_why(error, errors)) from None
    return client


def _demand_tls(server: Server, client: "Client") -> None:
    # No public name says what the server announced; a test connects to one without TLS.
    announced = getattr(client, "_server_info", {})
    if server.tls and not announced.get("tls_required"):
        raise PublishError("the server does not ask for TLS, which tls:// demands")


def _why(error: BaseException, errors: Sequence[str]) -> str:
    if isinstance(error, PublishError):
        return str(error)
    if isinstance(error, TimeoutError):
        return "no answer"
    return errors[0] if errors else _text(error)


def _text(error: BaseException) -> str:
    if isinstance(error, OSError) and error.errno and not isinstance(error, ssl.SSLError):
        return os.strerror(error.errno)  # asyncio's own text repeats the address
    return str(error) or type(error).__qualname__


async def _has_stream(client: "Client", errors: list[str], deadline: float) -> bool:
    """Tell whether a JetStream stream keeps the subject; who may not ask is told nothing."""
    from nats.js.errors import APIError, NotFoundError

    left_s = min(REPLY_TIMEOUT_S, max(0.01, deadline - time.monotonic()))
    errors.clear()
    asked = asyncio.ensure_future(
        client.jetstream(timeout=left_s).find_stream_name_by_subject(SUBJECT)
    )
    refused = asyncio.ensure_future(_refusal(errors))
    try:
        await asyncio.wait({asked, refused}, timeout=left_s, return_when=asyncio.FIRST_COMPLETED)
        if asked.done():
            return bool(asked.result())
        if refused.done():
            return False
    except (NotFoundError, APIError):
        return False
    except Exception as error:  # noqa: BLE001  # as in _connect
        raise PublishError(_why(error, errors)) from None
    finally:
        asked.cancel()
        refused.cancel()
        await asyncio.gather(asked, refused, return_exceptions=True)
    raise PublishError("no answer")


async def _refusal(errors: Sequence[str]) -> None:
    """Wait until the server has refused what was asked."""
    while not any("permissions violation" in error.lower() for error in errors):
        await asyncio.sleep(0.005)


async def _send_kept(
    client: "Client",
    messages: Sequence[Message],
    course: Course,
    errors: list[str],
    timeout_s: float,
) -> None:
    """Send what a stream keeps, and wait for its answers."""
    context = client.jetstream(timeout=timeout_s)
    answers = await asyncio.gather(
        *(
            context.publish(SUBJECT, message.payload, headers=message.headers)
            for message in messages
        ),
        return_exceptions=True,
    )
    failures = []
    for message, answer in zip(messages, answers, strict=True):
        if isinstance(answer, BaseException):
            failures.append(answer)
        else:
            course.sent.add(message.id)
    if failures:
        raise PublishError(_why(failures[0], errors))


async def _send_passed_on(
    client: "Client",
    messages: Sequence[Message],
    course: Course,
    errors: list[str],
    timeout_s: float,
) -> None:
    """Send to whoever listens now, and wait until the server has them."""
    errors.clear()
    try:
        async with asyncio.timeout(timeout_s):
            for message in messages:
                await client.publish(SUBJECT, message.payload, headers=message.headers)
            await _flushed(client, timeout_s)
    except Exception as error:  # noqa: BLE001  # as in _connect
        raise PublishError(_why(error, errors)) from None
    refusals = [error for error in errors if SUBJECT in error]
    if refusals:
        raise PublishError(refusals[0])
    course.sent |= {message.id for message in messages}


async def _flushed(client: "Client", timeout_s: float) -> None:
    """Wait until the server has read all that was published.

    nats-py 2.16 writes the PING of a flush before what is still pending, so that the first answer
    proves nothing; when nothing is pending any more, the second one does.
    """
    whole_s = max(1, math.ceil(timeout_s))  # nats-py takes whole seconds; the caller's time holds
    await client.flush(timeout=whole_s)
    while client.pending_data_size:
        await asyncio.sleep(0)
    await client.flush(timeout=whole_s)


async def _closed(client: "Client") -> None:
    """Close a connection, and let it go where its end is not taken note of."""
    with contextlib.suppress(Exception):
        async with asyncio.timeout(CLOSE_TIMEOUT_S):
            await client.close()
