"""Where events are published: `NATS_URL` and `NATS_CREDS`, read and checked.

A password is in no message and no repr. Pure, but for a look at the credentials file's mode.
"""

import os
import stat
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import unquote, urlsplit

__all__ = ["DEFAULT_URL", "Broker", "BrokerError", "Server", "from_environ"]

DEFAULT_URL: Final = "nats://localhost:4222"
PORT: Final = 4222
SCHEMES: Final = ("nats", "tls")
SERVERS_MAX: Final = 16
"""Servers of one broker that are tried."""
SECRET_CHARS_MIN: Final = 4
"""Shorter secrets are not looked for in messages: they would be found in words."""

_OTHERS: Final = 0o077
_ACCEPTED: Final = "accepted: nats://HOST:PORT or tls://HOST:PORT, several behind commas"


class BrokerError(ValueError):
    """A setting cannot be used; the message names it and says what to do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    """One server of a broker.

    Attributes:
        tls: whether the connection must be encrypted.
        user: or, without a password, the token.
    """

    host: str
    port: int
    tls: bool
    user: str | None = field(default=None, repr=False)
    password: str | None = field(default=None, repr=False)

    @property
    def shown(self) -> str:
        """What messages call it."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{'tls' if self.tls else 'nats'}://{host}:{self.port}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Broker:
    """A broker's servers, and the credentials file for all of them."""

    servers: tuple[Server, ...]
    credentials: str | None = None

    @property
    def shown(self) -> str:
        """What messages call it."""
        return ",".join(server.shown for server in self.servers)

    def redacted(self, text: str) -> str:
        """Return a text of others without the secrets that are known here."""
        for server in self.servers:
            for secret in (server.user, server.password):
                if secret is not None and len(secret) >= SECRET_CHARS_MIN:
                    text = text.replace(secret, "***")
        return text


def from_environ(environ: Mapping[str, str]) -> Broker:
    """Read the broker's settings from variables; empty means unset.

    Raises:
        BrokerError: one cannot be used.
    """
    urls = [url.strip() for url in (environ.get("NATS_URL") or DEFAULT_URL).split(",")]
    servers = tuple(_server(url) for url in urls if url)
    if not 0 < len(servers) <= SERVERS_MAX:
        raise BrokerError(f"NATS_URL: names {len(servers)} servers; {_ACCEPTED}")
    return Broker(servers=servers, credentials=_credentials(environ.get("NATS_CREDS", "").strip()))


def _server(url: str) -> Server:
    scheme, separator, rest = url.rpartition("://")
    userinfo, at, host = rest.rpartition("@")
    shown = f"{scheme}{separator}{'***@' if at else ''}{host}"
    try:
        parts = urlsplit(f"//{host}")
        port, hostname = parts.port, parts.hostname
    except ValueError as error:
        raise BrokerError(f"NATS_URL={shown}: {error}; {_ACCEPTED}") from None
    if (scheme or "nats").lower() not in SCHEMES:
        raise BrokerError(f"NATS_URL={shown}: {scheme}:// is not spoken here; {_ACCEPTED}")
    if not hostname or parts.path.strip("/") or parts.query or parts.fragment:
        raise BrokerError(f"NATS_URL={shown}: is no address of a server; {_ACCEPTED}")
    user, colon, password = userinfo.partition(":")
    return Server(
        host=hostname,
        port=PORT if port is None else port,
        tls=scheme.lower() == "tls",
        user=unquote(user) if at else None,
        password=unquote(password) if colon else None,
    )


def _credentials(path: str) -> str | None:
    """Return the path of a credentials file that nobody else may read."""
    if not path:
        return None
    path = os.path.expanduser(path)
    try:
        mode = os.stat(path).st_mode
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise BrokerError(f"NATS_CREDS={path}: {reason}; name the credentials file") from None
    if not stat.S_ISREG(mode):
        raise BrokerError(f"NATS_CREDS={path}: is no plain file; name the credentials file")
    if mode & _OTHERS:
        raise BrokerError(
            f"NATS_CREDS={path}: others may read or change it (mode {stat.S_IMODE(mode):04o}); "
            "chmod it to 0600"
        )
    return path
