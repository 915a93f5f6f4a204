"""Opens the sockets that the page listens on, and says in a sentence why one cannot be opened."""

import errno
import socket
from typing import Final

from otel_exporter_prometheus.errors import ListenError
from otel_exporter_prometheus.ownership import holder
from otel_exporter_prometheus.settings import OTEL_EXPORTER_PROMETHEUS_PORT, Settings

__all__ = ["listen"]

BACKLOG: Final = 1024
"""So many connections wait to be accepted; beyond, a client tries again after a second or more."""


def listen(settings: Settings) -> list[socket.socket]:
    """Return non-blocking listeners on the settings' host, the first on its real port.

    `localhost` is 127.0.0.1 and, where this machine has it, ::1.

    Raises:
        ListenError: none can be opened.
    """
    host, port = settings.host, settings.port
    if host.lower() != "localhost":
        return [_bound(family, address, settings) for family, address in _addresses(host, port)]
    first = _bound(socket.AF_INET, ("127.0.0.1", port), settings)
    listeners = [first]
    try:
        address = ("::1", first.getsockname()[1])
        listeners.append(_bound(socket.AF_INET6, address, settings))
    except ListenError as error:
        if (
            error.is_taken and port != 0
        ):  # whoever holds it would answer for us where ::1 is asked first
            first.close()
            raise
    return listeners


def _addresses(host: str, port: int) -> list[tuple[socket.AddressFamily, tuple[str, int]]]:
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except (OSError, UnicodeError) as error:
        raise ListenError(
            f"the metrics page cannot listen on {host}:{port}: {error}; "
            "use localhost or an address of this machine"
        ) from error
    family, _, _, _, address = found[0]
    return [(family, (str(address[0]), port))]


def _bound(
    family: socket.AddressFamily, address: tuple[str, int], settings: Settings
) -> socket.socket:
    listener: socket.socket | None = None
    try:
        listener = socket.socket(family, socket.SOCK_STREAM)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            only = 0 if address[0] == "::" else 1
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, only)
        listener.bind(address)
        listener.listen(BACKLOG)
        listener.settimeout(0)
    except OSError as error:
        if listener is not None:
            listener.close()
        raise ListenError(_cannot_listen(settings, address, error)) from error
    return listener


def _cannot_listen(settings: Settings, address: tuple[str, int], error: OSError) -> str:
    where = f"{settings.host}:{address[1]}"
    match error.errno:
        case errno.EADDRINUSE:
            why = f"the port is taken by {holder(address[1]) or 'another program'}"
            remedy = f"stop it, or set {OTEL_EXPORTER_PROMETHEUS_PORT} to a free one (0 takes any)"
        case errno.EACCES:
            why = "this user may not use that port"
            remedy = f"set {OTEL_EXPORTER_PROMETHEUS_PORT} to 1024 or more"
        case errno.EADDRNOTAVAIL:
            why = "this machine has no such address"
            remedy = "use localhost or an address of this machine"
        case _:
            why = error.strerror or str(error)
            remedy = "use localhost and a free port"
    return f"the metrics page cannot listen on {where}: {why}; {remedy}"
