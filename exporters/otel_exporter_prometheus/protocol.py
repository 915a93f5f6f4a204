"""HTTP/1.1 as far as a metrics page needs it: one request a connection, whose body is never read.

Bytes in, bytes out; only the clock is read, for `Date`. Who may read what is `guard.py`'s; sockets
are `wire.py`'s.
"""

import math
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

__all__ = [
    "HEAD_BYTES_MAX",
    "JSON",
    "Answer",
    "Request",
    "head",
    "parse",
    "plain",
    "wants_gzip",
    "wants_openmetrics",
]

HEAD_BYTES_MAX: Final = 16 * 1024
"""A longer request line and headers are answered with 431."""
JSON: Final = "application/json"

_DAYS: Final = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MONTHS: Final = (
    *("Jan", "Feb", "Mar", "Apr", "May", "Jun"),
    *("Jul", "Aug", "Sep", "Oct", "Nov", "Dec"),
)
_REASONS: Final = {
    200: "OK",
    400: "Bad Request",
    401: "Unauthorized",
    403: "Forbidden",
    404: "Not Found",
    405: "Method Not Allowed",
    421: "Misdirected Request",
    429: "Too Many Requests",
    431: "Request Header Fields Too Large",
    503: "Service Unavailable",
}
_TOKEN: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
"""RFC 9110, section 5.6.2: what a method or a header's name is made of."""


@dataclass(frozen=True, slots=True)
class Request:
    """A request's head. Header names are in lower case; a repeated header has several values.

    `peer` is the address that asks, empty where that is not known.
    """

    method: str
    path: str
    hosts: tuple[str, ...]
    headers: Mapping[str, tuple[str, ...]]
    peer: str = ""

    @property
    def openmetrics(self) -> bool:
        """Whether the client would rather have OpenMetrics than text."""
        return wants_openmetrics(",".join(self.headers.get("accept", ())))

    @property
    def gzip(self) -> bool:
        """Whether the client takes gzip."""
        return wants_gzip(",".join(self.headers.get("accept-encoding", ())))

    @property
    def has_body(self) -> bool:
        """Whether something follows the head, or may."""
        lengths = self.headers.get("content-length", ())
        return "transfer-encoding" in self.headers or any(length != "0" for length in lengths)


@dataclass(frozen=True, slots=True)
class Answer:
    """A response, for whoever speaks HTTP to write. `extra` are headers of this answer alone."""

    status: int
    body: bytes
    content_type: str = "text/plain; charset=utf-8"
    extra: tuple[tuple[str, str], ...] = ()

    @property
    def headers(self) -> list[tuple[str, str]]:
        """Every header but `Date` and what concerns the connection."""
        return [
            ("Content-Type", self.content_type),
            ("Content-Length", str(len(self.body))),
            ("Cache-Control", "no-store"),
            ("X-Content-Type-Options", "nosniff"),
            ("Vary", "Accept, Accept-Encoding"),
            *self.extra,
        ]


def parse(head: bytes, peer: str = "") -> Request | None:
    """Read a request's head, without the empty line that ends it; None when it is none."""
    lines = head.decode("latin-1").split("\r\n")
    words = lines[0].split(" ")
    if len(words) != 3 or words[2] not in ("HTTP/1.0", "HTTP/1.1"):
        return None
    headers: dict[str, tuple[str, ...]] = {}
    for line in lines[1:]:
        name, colon, value = line.partition(":")
        if not colon or not _TOKEN.fullmatch(name) or "\n" in value or "\r" in value:
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
    return Request(words[0], target.partition("?")[0], hosts, headers, peer)


def wants_openmetrics(accept: str) -> bool:
    """Say whether an Accept header prefers OpenMetrics 1.0.0 to text; garbage prefers text."""
    openmetrics, text = 0.0, -1.0
    for kind, given in _listed(accept):
        quality = _quality(given.get("q", "1"))
        if kind == "application/openmetrics-text" and given.get("version", "1.0.0") == "1.0.0":
            openmetrics = max(openmetrics, quality)
        elif kind == "text/plain" and given.get("version", "0.0.4") == "0.0.4":
            text = max(text, quality)
    return openmetrics > 0 and openmetrics >= text


def wants_gzip(accept_encoding: str) -> bool:
    """Say whether an Accept-Encoding header takes gzip and prefers nothing else that we have."""
    qualities = {
        coding: _quality(given.get("q", "1")) for coding, given in _listed(accept_encoding)
    }
    gzip = qualities.get("gzip", qualities.get("x-gzip", qualities.get("*", 0.0)))
    return gzip > 0 and gzip >= qualities.get("identity", 0.0)


def plain(status: int, message: str, *extra: tuple[str, str]) -> Answer:
    """Return an answer of one sentence."""
    return Answer(status, f"{message}\n".encode(), extra=extra)


def head(answer: Answer) -> bytes:
    """Write an answer up to its body."""
    lines = [f"HTTP/1.1 {answer.status} {_REASONS[answer.status]}", f"Date: {_date(time.time())}"]
    lines += [f"{name}: {value}" for name, value in answer.headers]
    return ("\r\n".join(lines) + "\r\nConnection: close\r\n\r\n").encode("latin-1")


def _listed(header: str) -> list[tuple[str, dict[str, str]]]:
    """Read a list of names with parameters, as Accept and Accept-Encoding are."""
    listed = []
    for item in header.split(","):
        name, *parameters = [part.strip().lower() for part in item.split(";")]
        given = dict(parameter.split("=", 1) for parameter in parameters if "=" in parameter)
        listed.append((name, given))
    return listed


def _quality(text: str) -> float:
    try:
        quality = float(text)
    except ValueError:
        return 0.0
    return quality if math.isfinite(quality) and 0 <= quality <= 1 else 0.0


def _date(at: float) -> str:
    """Write a time as HTTP wants it, whatever the locale; `email.utils` would cost 2 ms to load."""
    year, month, day, hour, minute, second, weekday, _, _ = time.gmtime(at)
    date = f"{_DAYS[weekday]}, {day:02d} {_MONTHS[month - 1]} {year}"
    return f"{date} {hour:02d}:{minute:02d}:{second:02d} GMT"
