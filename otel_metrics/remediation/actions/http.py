"""One HTTP call to a listed host: signed, straight to the address that was checked, never further.

No redirect is followed and no proxy is used. Certificates are verified against the system's
authorities (`SSL_CERT_FILE` names others).

Threads: a call runs on a thread of its own, so that its time limit holds for names that are slow to
resolve and for replies that trickle; at its end the caller closes its socket.
"""

import contextlib
import hashlib
import http.client
import ipaddress
import socket
import ssl
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Final

from otel_metrics import values
from otel_metrics.remediation import trusted_files
from otel_metrics.remediation.actions import signing
from otel_metrics.remediation.actions.hosts import Endpoint, Hosts
from otel_metrics.remediation.actions.waiting import line, result_of
from otel_metrics.remediation.model import StepResult

__all__ = ["BODY_BYTES_MAX", "METHODS", "REPLY_BYTES_MAX", "SECRET_BYTES_MAX", "Target", "call"]

METHODS: Final = ("POST", "PUT", "PATCH", "DELETE")
"""What may be asked for: what only reads is no action."""
BODY_BYTES_MAX: Final = 65_536
"""Longest body that is sent."""
REPLY_BYTES_MAX: Final = 65_536
"""What is read of a reply."""
SECRET_BYTES_MAX: Final = 4_096
"""Largest file of a secret."""
ABORTED_S: Final = 5.0
"""How long after its time limit a call ends by itself, where `abort` did not end it."""
ADDRESSES_MAX: Final = 4
"""Addresses of one name that are tried."""

_HEADERS: Final = {
    "Content-Type": "application/json",
    "Accept-Encoding": "identity",
    "User-Agent": "otel-metrics",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """Where calls go, and what they are signed with.

    Attributes:
        secret_file: read anew for each call, so that a secret can be changed.
    """

    method: str
    url: str
    endpoint: Endpoint
    hosts: Hosts
    secret_file: str
    timeout_s: float


def call(
    target: Target, body: bytes, *, message_id: str, stopped: Callable[[], bool]
) -> StepResult:
    """Send a body and wait for the reply. Never raises."""
    what = f"{target.method} {target.url}"
    exchange = _Exchange(target, body, message_id)
    return result_of(
        lambda: exchange.result(what),
        what=what,
        timeout_s=target.timeout_s,
        stopped=stopped,
        abort=exchange.abort,
    )


@dataclass(slots=True)
class _Exchange:
    """One call. `abort` is called by another thread than `result`."""

    target: Target
    body: bytes
    message_id: str
    is_aborted: bool = False
    connected: socket.socket | None = field(default=None)

    def result(self, what: str) -> StepResult:
        try:
            headers = self._headers()
            with contextlib.closing(self._connection()) as connection:
                self._connect(connection)
                target = self.target.endpoint.target
                connection.request(self.target.method, target, self.body, headers)
                with connection.getresponse() as response:
                    reply = response.read(REPLY_BYTES_MAX)
        except (OSError, ValueError, http.client.HTTPException) as error:
            said = line(error) or type(error).__name__
            return StepResult(verdict="failed", detail=f"{what}: {said}")
        return StepResult(
            verdict="succeeded" if 200 <= response.status < 300 else "failed",
            detail=f"{what}: {response.status}{_explained(response)}",
            exit_code=response.status,
            output=str(values.clean(reply.decode("utf-8", "replace"))),
            output_sha256=hashlib.sha256(reply).hexdigest(),
        )

    def abort(self) -> None:
        """Let what waits for the other side fail at once."""
        self.is_aborted = True
        if self.connected is not None:
            with contextlib.suppress(OSError):
                self.connected.shutdown(socket.SHUT_RDWR)

    def _headers(self) -> dict[str, str]:
        path = self.target.secret_file
        content = trusted_files.read(path, bytes_max=SECRET_BYTES_MAX, private=True)
        try:
            secret = signing.key(content)
        except ValueError as error:
            raise ValueError(f"secret_file={path}: {error}") from None
        signed = signing.headers(
            secret, message_id=self.message_id, timestamp=int(time.time()), body=self.body
        )
        return {**_HEADERS, **signed}

    def _connection(self) -> http.client.HTTPConnection:
        endpoint = self.target.endpoint
        secure = endpoint.scheme == "https"
        kind = http.client.HTTPSConnection if secure else http.client.HTTPConnection
        connection = kind(endpoint.host, endpoint.port)
        connection.auto_open = 0  # it would resolve the name once more
        return connection

    def _connect(self, connection: http.client.HTTPConnection) -> None:
        connection.sock = self._connected()
        if self.target.endpoint.scheme == "https":
            context = ssl.create_default_context()
            context.minimum_version = ssl.TLSVersion.TLSv1_2
            secure = context.wrap_socket(
                connection.sock,
                server_hostname=self.target.endpoint.host,
                do_handshake_on_connect=False,
            )
            connection.sock = secure
            self._is_connected(secure)
            secure.do_handshake()

    def _connected(self) -> socket.socket:
        """Connect to one of the host's addresses that may be called."""
        failure: OSError | None = None
        for address in self._addresses():
            made = socket.socket(
                socket.AF_INET6 if address.version == 6 else socket.AF_INET, socket.SOCK_STREAM
            )
            made.settimeout(self.target.timeout_s + ABORTED_S)
            self._is_connected(made)
            try:
                made.connect((str(address), self.target.endpoint.port))
            except OSError as error:
                made.close()
                failure = error
            else:
                return made
        raise failure or OSError("leads to no address")

    def _is_connected(self, made: socket.socket) -> None:
        """Let `abort` know the socket; one that comes too late is not used."""
        self.connected = made
        if self.is_aborted:
            made.close()
            raise TimeoutError("nobody waits for it any longer")

    def _addresses(self) -> list[ipaddress.IPv4Address | ipaddress.IPv6Address]:
        endpoint = self.target.endpoint
        found = list(dict.fromkeys(_resolved(endpoint)))
        allowed = [
            address for address in found if self.target.hosts.allows_address(address, endpoint.port)
        ]
        if found and not allowed:
            raise PermissionError(
                f"{endpoint.host} leads to {found[0]}, which is no public address; "
                f"add {found[0]}:{endpoint.port} to `hosts` if it is meant"
            )
        return allowed[:ADDRESSES_MAX]


def _resolved(endpoint: Endpoint) -> Iterator[ipaddress.IPv4Address | ipaddress.IPv6Address]:
    # Once: what is connected to is the address that was looked at.
    for *_, place in socket.getaddrinfo(endpoint.host, endpoint.port, type=socket.SOCK_STREAM):
        yield ipaddress.ip_address(str(place[0]).partition("%")[0])


def _explained(response: http.client.HTTPResponse) -> str:
    return " (a redirect, which is not followed)" if 300 <= response.status < 400 else ""
