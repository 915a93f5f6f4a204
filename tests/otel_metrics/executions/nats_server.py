"""A real NATS server beside a test, and what a subscriber there sees."""

import asyncio
import contextlib
import json
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Coroutine, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

import nats
from nats.aio.client import Client
from nats.aio.msg import Msg

from otel_metrics.executions.announcement import SUBJECT

__all__ = ["NatsServer", "listening"]

READY_TIMEOUT_S = 10.0
T = TypeVar("T")


class NatsServer:
    """A server on a port of its own, which it keeps when it is started again.

    Args:
        program: its path.
        folder: where its streams and its log are.
        arguments: beside address and port.
    """

    def __init__(self, program: str, folder: Path, *arguments: str) -> None:
        self._program = program
        self._arguments = arguments
        self._log = folder / "nats.log"
        self.port = _free_port()
        self.url = f"nats://127.0.0.1:{self.port}"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> "NatsServer":
        """Start it, and wait until it says that it is ready."""
        command = [self._program, "-a", "127.0.0.1", "-p", str(self.port), *self._arguments]
        self._log.write_text("")
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(command, stderr=log, stdout=log)
        deadline = time.monotonic() + READY_TIMEOUT_S
        while "Server is ready" not in self._log.read_text():
            assert self._process.poll() is None, self._log.read_text()
            assert time.monotonic() < deadline, self._log.read_text()
            time.sleep(0.01)
        return self

    def kill(self) -> None:
        """End it as a power cut would."""
        if self._process is not None:
            self._process.send_signal(signal.SIGCONT)
            self._process.kill()
            self._process.wait()
            self._process = None

    @contextlib.contextmanager
    def stopped(self) -> Iterator[None]:
        """Keep it from running: the kernel accepts connections, and nobody answers."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self._process.send_signal(signal.SIGCONT)

    def ask(self, question: Callable[[Client], Coroutine[Any, Any, T]], url: str = "") -> T:
        """Return the answer of a coroutine that is given a connection."""

        async def conversation() -> T:
            client = await nats.connect(url or self.url)
            try:
                return await question(client)
            finally:
                await client.close()

        return asyncio.run(conversation())

    def add_stream(self, name: str = "ACTIVITY", **options: Any) -> None:
        """Let a stream keep what is published on the subject."""

        async def add(client: Client) -> None:
            await client.jetstream().add_stream(name=name, subjects=["activity.>"], **options)

        self.ask(add)

    def kept(self) -> list[tuple[str, dict[str, Any]]]:
        """Return what the stream holds: the id in the header, and the event."""

        async def read(client: Client) -> list[tuple[str, dict[str, Any]]]:
            context = client.jetstream()
            state = (await context.stream_info("ACTIVITY")).state
            found = []
            for sequence in range(state.first_seq, state.last_seq + 1):
                message = await context.get_msg("ACTIVITY", sequence)
                headers, data = message.headers or {}, message.data or b""
                found.append((headers["Nats-Msg-Id"], json.loads(data)))
            return found

        return self.ask(read)


@contextlib.contextmanager
def listening(url: str) -> Iterator[list[Msg]]:
    """Subscribe to the subject as a consumer does, and give the messages as they come."""
    messages: list[Msg] = []
    ready, over = threading.Event(), threading.Event()

    async def listen() -> None:
        client = await nats.connect(url)

        async def take(message: Msg) -> None:
            messages.append(message)

        await client.subscribe(SUBJECT, cb=take)
        await client.flush()
        ready.set()
        while not over.is_set():
            await asyncio.sleep(0.005)
        await client.flush()  # what was sent before the end is here then
        await asyncio.sleep(0.02)
        await client.close()

    thread = threading.Thread(target=asyncio.run, args=(listen(),))
    thread.start()
    assert ready.wait(READY_TIMEOUT_S)
    try:
        yield messages
    finally:
        over.set()
        thread.join()


def bodies(messages: Sequence[Msg]) -> list[dict[str, Any]]:
    """Return the events in messages."""
    return [json.loads(message.data) for message in messages]


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
