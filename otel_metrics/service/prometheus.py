"""An instant query of a Prometheus as a source: a scalar, or a series for each resource.

No redirect is followed, so that no credentials reach another origin.

Threads: a question's own.
"""

import base64
import http.client
import io
import socket
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from functools import partial
from typing import Any, Final
from urllib.parse import SplitResult, unquote, urlencode, urlsplit

import msgspec

from otel_metrics.service.readings import ErrorType, Read, Readings, SourceError

__all__ = ["REPLY_BYTES_MAX", "parse_reply", "prometheus_reader"]

REPLY_BYTES_MAX: Final = 4 * 1024 * 1024
CHUNK_BYTES: Final = 64 * 1024
RESOURCE_LABELS: Final = ("service_resource_id", "resource", "instance")
"""The labels that say whose a value is, after the one that is called as the metric's scope is."""
SAID_CHARS_MAX: Final = 300

_REFUSED: Final[Mapping[str, ErrorType]] = {"timeout": "timeout", "canceled": "timeout"}
"""`errorType` of Prometheus' API that is not the query's fault."""
_AWAY: Final = frozenset({401, 403, 407, 502, 504})
"""What a proxy in front of it says; nothing of it is about the query."""


class _Series(msgspec.Struct, frozen=True):
    metric: Mapping[str, str]
    value: tuple[float, str] | None = None


class _Data(msgspec.Struct, frozen=True, rename="camel"):
    result_type: str
    result: msgspec.Raw


class _Reply(msgspec.Struct, frozen=True, rename="camel"):
    status: str
    data: _Data | None = None
    error_type: str = ""
    error: str = ""
    warnings: tuple[str, ...] = ()


class _UntilDeadline(io.RawIOBase):
    """What a server sends, until the deadline: a timeout of the socket's begins anew with each byte
    that drips."""

    def __init__(self, sock: socket.socket, deadline_s: float) -> None:
        self._sock = sock
        self._sent = sock.makefile("rb", buffering=0)
        self._deadline_s = deadline_s

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        left_s = self._deadline_s - time.monotonic()
        if left_s <= 0:
            raise TimeoutError
        self._sock.settimeout(left_s)
        return self._sent.readinto(buffer)

    def close(self) -> None:
        self._sent.close()
        super().close()


class _Response(http.client.HTTPResponse):
    """A reply that has come by the deadline, headers and all."""

    def __init__(self, sock: socket.socket, *, deadline_s: float, **more: Any) -> None:
        super().__init__(sock, **more)
        self.fp.close()
        self.fp = io.BufferedReader(_UntilDeadline(sock, deadline_s))


class _Http(urllib.request.HTTPHandler):
    """Calls by HTTP, until the deadline."""

    def __init__(self, deadline_s: float) -> None:
        super().__init__()
        self._deadline_s = deadline_s

    def do_open(self, http_class: Any, req: urllib.request.Request, **more: Any) -> Any:
        def connection(*given: Any, **named: Any) -> http.client.HTTPConnection:
            made: http.client.HTTPConnection = http_class(*given, **named)
            response = partial(_Response, deadline_s=self._deadline_s)
            made.response_class = response  # type: ignore[assignment]  # called as the class is
            return made

        return super().do_open(connection, req, **more)


class _Https(_Http, urllib.request.HTTPSHandler):
    """Likewise by HTTPS."""


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_: object) -> None:
        """Follow none."""


def prometheus_reader(variable: str, url: str, query: str, scope: str, timeout_s: float) -> Read:
    """Return what asks `query` of the Prometheus at `url`.

    Args:
        variable: where the URL was set, for messages.
        url: of the server, with a path where it has one; user and password are sent as such.
        scope: what the metric's values are of, which is also a label's name.

    Raises:
        SourceError: the URL is of no use; it says why.
    """
    address, headers = _address(variable, url)
    form = {"query": query, "timeout": f"{max(1, int(timeout_s * 1000))}ms"}
    body = urlencode(form).encode()

    def read() -> Readings:
        deadline_s = time.monotonic() + timeout_s
        calls = (_Http(deadline_s), _Https(deadline_s))
        opener = urllib.request.build_opener(_NoRedirect, *calls)
        request = urllib.request.Request(address, body, headers)  # noqa: S310  # checked above
        try:
            with opener.open(request, timeout=timeout_s) as response:
                reply = _body(response, deadline_s)
        except urllib.error.HTTPError as error:
            with error:
                raise _refused(error, deadline_s) from None
        except TimeoutError:
            raise SourceError("timeout", f"no answer within {timeout_s:g} s") from None
        except (OSError, http.client.HTTPException) as error:
            reason = error.reason if isinstance(error, urllib.error.URLError) else error
            kind: ErrorType = "timeout" if isinstance(reason, TimeoutError) else "connection"
            raise SourceError(kind, f"{reason!s:.300}") from None
        return parse_reply(reply, scope)

    return read


def parse_reply(body: bytes, scope: str) -> Readings:
    """Return the numbers of an answer of the API, by resource.

    Raises:
        SourceError: it is none, is incomplete, or holds no number.
    """
    try:
        reply = msgspec.json.decode(body, type=_Reply)
        if reply.status != "success" or reply.data is None:
            kind = _REFUSED.get(reply.error_type, "query")
            raise SourceError(kind, reply.error[:SAID_CHARS_MAX] or "no data")
        if reply.warnings:
            raise SourceError("partial", reply.warnings[0][:SAID_CHARS_MAX])
        if reply.data.result_type == "scalar":
            return {None: float(msgspec.json.decode(reply.data.result, type=tuple[float, str])[1])}
        if reply.data.result_type == "vector":
            series = msgspec.json.decode(reply.data.result, type=list[_Series])
            return _values(series, (scope, *RESOURCE_LABELS))
    except (msgspec.DecodeError, ValueError, RecursionError) as error:
        raise SourceError("query", f"not an answer of Prometheus: {error!s:.200}") from None
    kind_of = f"{reply.data.result_type[:20]!a}"
    raise SourceError(
        "query", f"the query gives a {kind_of}; ask for a scalar or an instant vector"
    )


def _values(series: list[_Series], labels: tuple[str, ...]) -> Readings:
    if not series:
        raise SourceError("no_rows", "no series: none such, or none that was scraped of late")
    found: dict[str | None, float] = {}
    for each in series:
        if each.value is None:
            raise SourceError("not_a_number", "a series holds a histogram, not a number")
        id_ = next((each.metric[label] for label in labels if each.metric.get(label)), None)
        if id_ in found:
            whose = "without a resource" if id_ is None else f"of {id_[:100]!a}"
            by = ", ".join(labels)
            raise SourceError("ambiguous", f"several series {whose}; aggregate by one of {by}")
        found[id_] = float(each.value[1])
    return found


def _address(variable: str, url: str) -> tuple[str, dict[str, str]]:
    """Return where queries are sent, and the headers that go with them."""
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError:
        parts = SplitResult("", "", "", "", "")
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment:
        raise SourceError(
            "configuration",
            f"{variable}: not the address of a Prometheus; such as http://prometheus.example:9090",
        )
    headers = {"accept": "application/json"}
    if parts.username is not None:
        pair = f"{unquote(parts.username)}:{unquote(parts.password or '')}".encode()
        headers["authorization"] = f"Basic {base64.b64encode(pair).decode()}"
    netloc = parts.netloc.rpartition("@")[2]
    return f"{parts.scheme}://{netloc}{parts.path.rstrip('/')}/api/v1/query", headers


def _body(response: http.client.HTTPResponse | urllib.error.HTTPError, deadline_s: float) -> bytes:
    """Read an answer, however slowly it drips, until the deadline."""
    chunks: list[bytes] = []
    size = 0
    while chunk := response.read1(CHUNK_BYTES):
        chunks.append(chunk)
        size += len(chunk)
        if size > REPLY_BYTES_MAX:
            raise SourceError("query", "the answer is longer than 4 MiB; ask for fewer series")
        if time.monotonic() > deadline_s:
            raise TimeoutError
    return b"".join(chunks)


def _refused(error: urllib.error.HTTPError, deadline_s: float) -> SourceError:
    """Return why Prometheus, or what stands before it, refused."""
    if 300 <= error.code < 400:
        return SourceError("connection", f"HTTP {error.code}: a redirect, which is not followed")
    if error.code in _AWAY:
        return SourceError("connection", f"HTTP {error.code}: {error.reason!s:.200}")
    try:
        parse_reply(_body(error, deadline_s), "")
    except SourceError as said:
        return SourceError(said.kind, f"HTTP {error.code}: {said}")
    except TimeoutError:
        return SourceError("timeout", f"HTTP {error.code}: no answer within the timeout")
    except (OSError, http.client.HTTPException) as broken:
        return SourceError("connection", f"HTTP {error.code}: {broken!s:.200}")
    return SourceError("query", f"HTTP {error.code}")
