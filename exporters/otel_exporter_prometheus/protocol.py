"""HTTP/1.1 as far as a metrics page needs it: one request a connection, GET and HEAD of /metrics.

Bytes in, bytes out; only the clock is read, for `Date`. Who may read the page is `guard.py`'s;
sockets are `server.py`'s.
"""

import math
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from otel_exporter_prometheus.encoding import OPENMETRICS, TEXT

__all__ = [
    "HEAD_BYTES_MAX",
    "PATH",
    "Request",
    "parse",
    "plain",
    "response",
    "wants_openmetrics",
]

PATH: Final = "/metrics"
HEAD_BYTES_MAX: Final = 16 * 1024
"""A longer request line and headers are answered with 431."""

_DAYS: Final = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MONTHS: Final = (
    *("Jan", "Feb", "Mar", "Apr", "May", "Jun"),
    *("Jul", "Aug", "Sep", "Oct", "Nov", "Dec"),
)
_REASONS: Final = {
    200: "OK",
    400: "Bad Request",
    404: "Not Found",
    405: "Method Not Allowed",
    408: "Request Timeout",
    421: "Misdirected Request",
    431: "Request Header Fields Too Large",
    503: "Service Unavailable",
}


@dataclass(frozen=True, slots=True)
class Request:
    """A request's head. Header names are in lower case; a repeated header has several values."""

    method: str
    path: str
    hosts: tuple[str, ...]
    headers: Mapping[str, tuple[str, ...]]

    @property
    def openmetrics(self) -> bool:
        """Whether the client would rather have OpenMetrics than text."""
        return wants_openmetrics(",".join(self.headers.get("accept", ())))


def parse(head: bytes) -> Request | None:
    """Read a request's head, without the empty line that ends it; None when it is none."""
    lines = head.decode("latin-1").split("\r\n")
    words = lines[0].split(" ")
    if len(words) != 3 or words[2] not in ("HTTP/1.0", "HTTP/1.1"):
        return None
    headers: dict[str, tuple[str, ...]] = {}
    for line in lines[1:]:
        name, colon, value = line.partition(":")
        if not colon or not name or name != name.strip():
            return None
        key = name.lower()
        headers[key] = (*headers.get(key, ()), value.strip(" \t"))
    hosts = headers.get("host", ())
    target = words[1]
    if target.startswith("http://"):
        authority, slash, rest = target.removeprefix("http://").partition("/")
        hosts, target = (*hosts, authority), slash + rest
    if words[2] == "HTTP/1.1" and not hosts:
        return None
    return Request(words[0], target.partition("?")[0], hosts, headers)


def wants_openmetrics(accept: str) -> bool:
    """Say whether an Accept header prefers OpenMetrics 1.0.0 to text; garbage prefers text."""
    openmetrics, text = 0.0, -1.0
    for media_range in accept.split(","):
        kind, *parameters = [part.strip().lower() for part in media_range.split(";")]
        given = dict(parameter.split("=", 1) for parameter in parameters if "=" in parameter)
        quality = _quality(given.get("q", "1"))
        if kind == "application/openmetrics-text" and given.get("version", "1.0.0") == "1.0.0":
            openmetrics = max(openmetrics, quality)
        elif kind == "text/plain" and given.get("version", "0.0.4") == "0.0.4":
            text = max(text, quality)
    return openmetrics > 0 and openmetrics >= text


def _quality(text: str) -> float:
    try:
        quality = float(text)
    except ValueError:
        return 0.0
    return quality if math.isfinite(quality) and 0 <= quality <= 1 else 0.0


def plain(status: int, message: str, *, allow: str = "") -> bytes:
    """Return a whole response of one sentence."""
    extra = f"Allow: {allow}\r\n" if allow else ""
    body = f"{message}\n".encode()
    return _head(status, "text/plain; charset=utf-8", len(body), extra) + body


def response(body: bytes, *, openmetrics: bool, head_only: bool) -> bytes:
    """Return a whole response with the page."""
    head = _head(200, OPENMETRICS if openmetrics else TEXT, len(body), "")
    return head if head_only else head + body


def _head(status: int, content_type: str, length: int, extra: str) -> bytes:
    return (
        f"HTTP/1.1 {status} {_REASONS[status]}\r\n"
        f"Date: {_date(time.time())}\r\n"
        f"Content-Type: {content_type}\r\n"
        f"Content-Length: {length}\r\n"
        "Cache-Control: no-store\r\n"
        "X-Content-Type-Options: nosniff\r\n"
        "Vary: Accept\r\n"
        f"{extra}"
        "Connection: close\r\n\r\n"
    ).encode("latin-1")


def _date(at: float) -> str:
    """Write a time as HTTP wants it, whatever the locale; `email.utils` would cost 2 ms to load."""
    year, month, day, hour, minute, second, weekday, _, _ = time.gmtime(at)
    date = f"{_DAYS[weekday]}, {day:02d} {_MONTHS[month - 1]} {year}"
    return f"{date} {hour:02d}:{minute:02d}:{second:02d} GMT"
