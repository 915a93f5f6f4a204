"""Reading a request's head from a socket and writing an answer to it, each by a deadline."""

import contextlib
import os
import socket
import ssl
import struct
import time
from collections.abc import Callable
from typing import Final

from otel_exporter_prometheus.protocol import HEAD_BYTES_MAX

__all__ = [
    "File",
    "abort",
    "drain_and_close",
    "encrypted",
    "file_of",
    "finish",
    "is_file",
    "read_head",
    "shut",
    "write",
]

File = tuple[int, int]
"""What stands for the file behind a descriptor, whose number may be given anew."""

LINGER_S: Final = 1.0
"""What a peer still sends, when it was answered before it ended, is read for so long."""
CHUNK_BYTES: Final = 256 * 1024
"""An answer is written in pieces, so that a slow reader can be told from a dead one."""


def file_of(open_socket: socket.socket) -> File:
    """Return what a socket can be told by from whatever has its number later."""
    status = os.fstat(open_socket.fileno())
    return status.st_dev, status.st_ino


def is_file(given: socket.socket, file: File) -> bool:
    """Tell whether a socket's descriptor is still the one that it was."""
    try:
        return file_of(given) == file
    except OSError:
        return False


def encrypted(raw: socket.socket, context: ssl.SSLContext) -> ssl.SSLSocket:
    """Return a socket on which nothing was said yet; `raw` is used up."""
    return context.wrap_socket(raw, server_side=True, do_handshake_on_connect=False)


def read_head(readable: socket.socket, deadline: float) -> bytes | None:
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


def write(
    writable: socket.socket, data: bytes, deadline: float, progressed: Callable[[], None]
) -> None:
    """Write all of `data`.

    Raises:
        OSError: it was not taken by the deadline, or the peer is gone.
    """
    view = memoryview(data)
    while view:
        remaining = deadline - time.monotonic()
        if remaining <= 0:
            raise TimeoutError("the answer was not taken in time")
        writable.settimeout(remaining)
        view = view[writable.send(view[:CHUNK_BYTES]) :]
        progressed()


def finish(connection: socket.socket, *, unread_body: bool) -> None:
    """Say that all was said; then wait a little for a peer that is still sending."""
    if isinstance(connection, ssl.SSLSocket):
        with contextlib.suppress(OSError, ValueError):
            connection.settimeout(0)
            connection.unwrap()  # sends the end, and does not wait for the peer's
    with contextlib.suppress(OSError):
        shut(connection, socket.SHUT_WR)
        deadline = time.monotonic() + LINGER_S
        while unread_body and (remaining := deadline - time.monotonic()) > 0:
            connection.settimeout(remaining)
            unread_body = bool(connection.recv(65536))


def shut(connection: socket.socket, how: int) -> None:
    """Shut a socket; an encrypted one's own method would forget, under another thread, that it is
    encrypted."""
    socket.socket.shutdown(connection, how)


def abort(connection: socket.socket) -> None:
    """End a connection at once: what was not taken is thrown away, and its memory with it."""
    with contextlib.suppress(OSError):
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        shut(connection, socket.SHUT_RDWR)


def drain_and_close(closing: socket.socket) -> None:
    """Close; what is unread is read first, or the peer would see a reset instead of the answer."""
    with contextlib.suppress(OSError, ValueError):
        closing.settimeout(0)
        for _ in range(16):
            if not closing.recv(65536):
                break
    with contextlib.suppress(OSError):
        closing.close()
