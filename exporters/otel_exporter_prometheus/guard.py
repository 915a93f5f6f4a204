"""Who may ask, and for what: everything about a request but its credentials. Pure.

A page on loopback is read by its own machine only, and a browser is part of that machine: a foreign
site may point a name of its own at 127.0.0.1. So the Host must be one of ours there, and an Origin,
which only browsers send, everywhere. Credentials are `auth.py`'s; it is asked between `admit` and
`judge`, so that a stranger does not learn what there is.
"""

import re
from dataclasses import dataclass
from typing import Final

from otel_exporter_prometheus.protocol import Answer, Request, plain
from otel_exporter_prometheus.settings import is_loopback

__all__ = ["HEALTHZ", "METRICS", "PORTS", "Rules", "admit", "judge"]

METRICS: Final = "/metrics"
HEALTHZ: Final = "/healthz"
PORTS: Final = {"http": 80, "https": 443}
"""Where a scheme's page is when no port is named."""

_AUTHORITY: Final = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[^][:/@\s]+)(?::([0-9]{0,5}))?")
"""RFC 9110, section 4.2: a host, and its port where one is given."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """What a page is called.

    Attributes:
        scheme: `http` or `https`.
        port: where it listens.
        hosts: names that lead to it, beside those of loopback.
        any_host: whether names may lead to it that we cannot know.
    """

    scheme: str
    port: int
    hosts: tuple[str, ...] = ()
    any_host: bool = False


def admit(request: Request | None, rules: Rules) -> Answer | None:
    """Return what refuses a request before anything else is looked at, or None."""
    if request is None:
        return plain(400, "This is no request that a metrics page understands.")
    if not rules.any_host and not all(_is_ours(host, rules) for host in request.hosts):
        return plain(
            421, "This page is not served under that name; on its own machine it is localhost."
        )
    if not all(_is_own_origin(origin, rules) for origin in request.headers.get("origin", ())):
        return plain(403, "This page is not for other sites.")
    return None


def judge(request: Request) -> Answer | None:
    """Return what answers a request for anything but reading the page, or None."""
    if request.path not in (METRICS, HEALTHZ):
        return plain(404, f"The metrics are at {METRICS}.")
    if request.method not in ("GET", "HEAD"):
        return plain(405, "The page can only be read.", ("Allow", "GET, HEAD"))
    if request.has_body:
        return plain(400, "A request for the page has no body.")
    return None


def _is_ours(authority: str, rules: Rules) -> bool:
    found = _AUTHORITY.fullmatch(authority)
    if found is None:
        return False
    host = found[1].strip("[]").lower()
    return is_loopback(host) or any(host == own.lower() for own in rules.hosts)


def _is_own_origin(origin: str, rules: Rules) -> bool:
    """Compare with what we know of ourselves, never with the request's Host, which is the
    asker's."""
    scheme, _, authority = origin.partition("://")
    found = _AUTHORITY.fullmatch(authority)
    if found is None or scheme != rules.scheme:
        return False
    port = int(found[2]) if found[2] else PORTS[scheme]
    return port == rules.port and _is_ours(authority, rules)
