"""Which hosts may be called, and at which addresses. Pure.

A name in the list may be called where it leads to a public address. An address that is not public
(this machine, its networks, the cloud's metadata) may be only where it is in the list itself, so
that whoever answers for a name cannot lead a call inside.
"""

import ipaddress
import re
from dataclasses import dataclass
from typing import Final
from urllib.parse import SplitResult, urlsplit

__all__ = ["Endpoint", "Hosts", "Scheme", "endpoint", "hosts"]

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network
Scheme = str
"""`https` or `http`."""

URL_CHARS_MAX: Final = 2_000
_PORTS: Final = {"https": 443, "http": 80}
_NAME: Final = re.compile(
    r"(?=.{1,253}\Z)[a-z0-9_](?:[a-z0-9_-]*[a-z0-9])?(?:\.[a-z0-9_](?:[a-z0-9_-]*[a-z0-9])?)*"
)
_URL: Final = re.compile(r"[\x21-\x7e]+")
_PUBLIC_V6: Final = ipaddress.ip_network("2000::/3")
"""RFC 4291: all that is allotted. Python takes much of the rest for global, such as `fec0::/10`,
an organisation's own, and `::127.0.0.1`, an IPv4 address."""
_NEVER_PUBLIC: Final = (
    ipaddress.ip_network("64:ff9b::/96"),  # RFC 6052: leads to any IPv4 address
    ipaddress.ip_network("64:ff9b:1::/48"),  # RFC 8215
    ipaddress.ip_network("2002::/16"),  # RFC 3056, likewise
    ipaddress.ip_network("2001::/32"),  # RFC 4380, likewise
)


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where a URL leads: the host in lower case, an address in its shortest form."""

    scheme: Scheme
    host: str
    port: int
    target: str = "/"

    @property
    def origin(self) -> "Endpoint":
        """Without what is asked for there."""
        return Endpoint(self.scheme, self.host, self.port)


@dataclass(frozen=True, slots=True)
class Hosts:
    """What a file lists: hosts with scheme and port, and networks of addresses."""

    origins: frozenset[Endpoint]
    networks: tuple[Network, ...]

    def allows(self, wanted: Endpoint) -> bool:
        """Tell whether this host may be called with this scheme on this port."""
        return wanted.origin in self.origins

    def allows_address(self, address: Address, port: int) -> bool:
        """Tell whether a call may connect there."""
        mapped = getattr(address, "ipv4_mapped", None)
        if mapped is not None:
            return self.allows_address(mapped, port)
        if any(address in network for network in self.networks):
            return True
        listed = (Endpoint(scheme, str(address), port) for scheme in _PORTS)
        return _is_public(address) or any(origin in self.origins for origin in listed)


def hosts(texts: dict[int, str]) -> tuple[Hosts, dict[int, str]]:
    """Return what a list allows, and what is wrong with which of its items."""
    origins, networks, wrong = set(), [], {}
    for index, text in texts.items():
        try:
            if "/" in text and "://" not in text:
                networks.append(ipaddress.ip_network(text))
            else:
                origins.add(_listed(text))
        except ValueError as error:
            said = str(error) if "; " in str(error) else f"{error}; write one as 10.0.0.0/8"
            wrong[index] = said
    return Hosts(frozenset(origins), tuple(networks)), wrong


def _listed(text: str) -> Endpoint:
    found = endpoint(text if "://" in text else f"https://{text}")
    if found != found.origin:
        raise ValueError("has a path; list the host, and write the path in the step's url")
    return found


def endpoint(url: str) -> Endpoint:
    """Return where a URL leads.

    Raises:
        ValueError: what is wrong, `; `, and what to do.
    """
    if len(url) > URL_CHARS_MAX or not _URL.fullmatch(url) or "\\" in url:
        raise ValueError("is no URL of printable ASCII; percent-encode what is not")
    if "${" in url:
        raise ValueError("has a placeholder; a URL is fixed, put the value in the body")
    parts, port = _split(url)
    if parts.scheme not in _PORTS:
        raise ValueError("has another scheme than https; write https://HOST/PATH")
    if "@" in parts.netloc:
        raise ValueError("names a user; put no secret in a URL, give a secret_file")
    if parts.fragment or "#" in url:
        raise ValueError("has a fragment; remove it")
    if port == 0 or parts.netloc.endswith(":"):
        raise ValueError("has no port behind the colon; write one, or leave out the colon")
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    host = _host(parts.hostname or "")
    return Endpoint(parts.scheme, host, port or _PORTS[parts.scheme], target)


def _split(url: str) -> tuple[SplitResult, int | None]:
    try:
        parts = urlsplit(url)
        return parts, parts.port
    except ValueError:
        raise ValueError("is no URL; write https://HOST/PATH") from None


def _host(text: str) -> str:
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        if not _NAME.fullmatch(text):
            raise ValueError(f"{text!r} is no host; write a DNS name or an address") from None
        return text
    if getattr(address, "scope_id", None):
        raise ValueError(f"{text!r} has a zone; write the address without it")
    return str(getattr(address, "ipv4_mapped", None) or address)


def _is_public(address: Address) -> bool:
    return (
        address.is_global
        and not address.is_multicast
        and (address.version == 4 or address in _PUBLIC_V6)
        and not any(address in network for network in _NEVER_PUBLIC)
    )
