"""Who may read the page. Pure; nothing here reads a socket or a file.

A page on loopback is read by its own machine only, and a browser is part of that machine: a foreign
site may point a name of its own at 127.0.0.1. So the Host must be one of ours there. Checks of the
Authorization header belong here too, in front of `judge`'s last line.
"""

from otel_exporter_prometheus.protocol import PATH, Request, plain
from otel_exporter_prometheus.settings import Settings, is_loopback

__all__ = ["judge"]


def judge(request: Request | None, settings: Settings) -> bytes | None:
    """Return the response that refuses a request, or None when it may have the page."""
    if request is None:
        return plain(400, "This is no request that a metrics page understands.")
    if is_loopback(settings.host) and not _hosts_allowed(request.hosts, settings.host):
        return plain(421, "This page is for its own machine; ask for it as localhost.")
    if request.path != PATH:
        return plain(404, f"The metrics are at {PATH}.")
    if request.method not in ("GET", "HEAD"):
        return plain(405, "The page can only be read.", allow="GET, HEAD")
    return None


def _hosts_allowed(hosts: tuple[str, ...], own: str) -> bool:
    return all(_is_own(_without_port(host), own) for host in hosts)


def _is_own(host: str, own: str) -> bool:
    return is_loopback(host) or host.lower() == own.lower()


def _without_port(host: str) -> str:
    if host.startswith("["):
        return host[1:].partition("]")[0]
    return host.partition(":")[0]
