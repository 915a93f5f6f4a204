"""OTLP over HTTP/protobuf: one POST on a connection of our own, by one deadline.

No redirect is followed, so that no header reaches another origin; a server's certificate is always
verified; a proxy is taken from the usual variables.
"""

import email.utils
import gzip
import http.client
import json
import math
import socket
import ssl
import time
import urllib.request
import zlib
from typing import Final
from urllib.parse import quote, urlsplit

from google.protobuf.message import DecodeError
from google.rpc import status_pb2

from otel_metrics.pipeline.otlp_reply import (
    CREDENTIALS_HINT,
    RESPONSE_BYTES_MAX,
    Redactor,
    Reply,
    judge,
)
from otel_metrics.pipeline.otlp_settings import OtlpSettings
from otel_metrics.pipeline.otlp_values import (
    PORT_DEFAULTS,
    Dialled,
    parse_endpoint,
    without_secrets,
)
from otel_metrics.pipeline.otlp_wire import Resolver, Wire
from otel_metrics.version import __version__

__all__ = ["HttpTransport", "retry_after_s"]

ACCEPTED: Final = frozenset({200, 202, 204})
"""The specification says 200; 202 and 204 are what some vendors say for the same."""
RETRYABLE: Final = frozenset({429, 502, 503, 504})
TOO_LARGE: Final = 413
NOT_LET_IN: Final = frozenset({401, 403})
OURS: Final = frozenset(
    {"accept-encoding", "connection", "content-length", "expect", "proxy-authorization"}
    | {"te", "trailer", "transfer-encoding", "upgrade"}
)
"""Headers that would change how the request is framed or where it goes, and are not sent."""
URL_SAFE: Final = "!#$%&'()*+,/:;=?@[]~"


class HttpTransport:
    """The HTTP side of an exporter. Not thread-safe, but for `interrupt`."""

    def __init__(self, settings: OtlpSettings, redact: Redactor) -> None:
        self._settings = settings
        self._redact = redact
        self._url = urlsplit(quote(settings.endpoint, safe=URL_SAFE))
        self._headers = {
            **{name: value.reveal() for name, value in settings.headers if name not in OURS},
            "content-type": "application/x-protobuf",
        }
        self._headers.setdefault("user-agent", f"otel-metrics/{__version__}")
        if settings.compression != "none":
            self._headers["content-encoding"] = settings.compression
        self._resolver = Resolver()
        self._wire: Wire | None = None
        self._connection: http.client.HTTPConnection | None = None
        self._through = ""
        self._path = ""
        self._sent_headers: dict[str, str] = {}

    def pack(self, request: bytes) -> bytes:
        """Return the body of a request."""
        if self._settings.compression == "gzip":
            return gzip.compress(request, mtime=0)
        if self._settings.compression == "deflate":
            return zlib.compress(request)
        return request

    def send(self, body: bytes, deadline: float) -> Reply:
        """Make one attempt, by `deadline` (`time.monotonic`). Never raises."""
        try:
            if self._is_connected(deadline):
                try:
                    return self._post(body)
                except ConnectionError:  # closed by the server while it was idle
                    self.close()
            self._connect(deadline)
            return self._post(body)
        except Exception as error:  # noqa: BLE001  # network, TLS, proxy: all end the attempt
            self.close()
            return self._failed(error)

    def interrupt(self) -> None:
        """End the request that is under way. May be called from any thread."""
        wire = self._wire
        if wire is not None:
            wire.interrupt()

    def close(self) -> None:
        """Close the connection; the next attempt opens another."""
        wire, self._wire, self._connection = self._wire, None, None
        if wire is not None:
            wire.hang_up()

    def abandon(self) -> None:
        """Close a parent's connection in a forked child, which says nothing to the server."""
        self.close()

    def _is_connected(self, deadline: float) -> bool:
        if self._wire is None or self._connection is None:
            return False
        if self._wire.is_stale():
            self.close()
            return False
        self._wire.deadline = deadline
        return True

    def _connect(self, deadline: float) -> None:
        scheme, host = self._url.scheme, self._url.hostname or ""
        port = self._url.port or PORT_DEFAULTS[scheme]
        context = self._tls() if scheme == "https" else None
        self._through = ""
        proxy = _proxy(scheme, host, port)
        wire = self._wire = Wire(deadline)
        if proxy is None:
            wire.open(host, port, self._resolver)
        else:
            url = urlsplit(proxy.endpoint)
            self._through = f" through the proxy {url.netloc}"
            wire.open(url.hostname or "", url.port or PORT_DEFAULTS["http"], self._resolver)
        path = self._url._replace(scheme="", netloc="").geturl() or "/"
        headers = self._headers
        if proxy is not None and context is None:
            path = self._url.geturl()
            headers = {**headers, **_proxy_headers(proxy)}
        elif proxy is not None:
            _tunnel(wire, host, port, _proxy_headers(proxy))
        if context is not None:
            wire.secure(context, host)
        self._path, self._sent_headers = path, headers
        self._connection = http.client.HTTPConnection(host, port)
        self._connection.auto_open = 0
        self._connection.sock = wire

    def _tls(self) -> ssl.SSLContext:
        settings = self._settings
        for path in (settings.certificate, settings.client_certificate, settings.client_key):
            if path is not None:
                open(path, "rb").close()  # OpenSSL's own error does not name the file
        context = ssl.create_default_context(cafile=settings.certificate)
        context.set_alpn_protocols(["http/1.1"])
        if settings.client_certificate:
            # A password, though a wrong one, or OpenSSL would ask for it at the terminal.
            context.load_cert_chain(settings.client_certificate, settings.client_key, password="")
        return context

    def _post(self, body: bytes) -> Reply:
        connection = self._connection
        assert connection is not None
        connection.request("POST", self._path, body=body, headers=self._sent_headers)
        response = connection.getresponse()
        received = response.read(RESPONSE_BYTES_MAX + 1)
        if len(received) > RESPONSE_BYTES_MAX:
            self.close()
            return Reply(ok=False, reason="unreadable reply: it is longer than 4 MiB")
        if response.length:
            raise OSError("the reply breaks off")
        if connection.sock is None:  # the server wants it closed
            self.close()
        return self._reply(response, received)

    def _reply(self, response: http.client.HTTPResponse, body: bytes) -> Reply:
        status = response.status
        kind = (response.getheader("content-type") or "").partition(";")[0].strip().lower()
        is_packed = (response.getheader("content-encoding") or "identity").lower() != "identity"
        if status in ACCEPTED and is_packed:
            return Reply(ok=False, reason="unreadable reply: it is compressed")
        if status in ACCEPTED:
            is_json = kind == "application/json" and bool(body)
            return judge(body, self._settings.signal, self._redact, is_json=is_json)
        if 300 <= status < 400:
            target = self._redact(without_secrets(response.getheader("location") or "nowhere"))
            return Reply(
                ok=False, reason=f"HTTP {status}: a redirect to {target}, which is not followed"
            )
        said = self._redact("" if is_packed else _message(kind, body))
        said = said or self._redact(response.reason)
        hint = f"; {CREDENTIALS_HINT}" if status in NOT_LET_IN else ""
        return Reply(
            ok=False,
            reason=f"HTTP {status}: {said} ({self._settings.address}){hint}",
            retryable=status in RETRYABLE,
            too_large=status == TOO_LARGE,
            wait_s=retry_after_s(response.getheader("retry-after"), now=time.time()),
        )

    def _failed(self, error: Exception) -> Reply:
        kind, words = _words(error)
        reason = f"{kind}: {self._redact(words)} ({self._settings.address}{self._through})"
        retryable = kind in ("UNAVAILABLE", "DEADLINE_EXCEEDED")
        answered = not isinstance(error, ConnectionRefusedError | socket.gaierror)
        return Reply(ok=False, reason=reason, retryable=retryable, answered=answered)


def _words(error: Exception) -> tuple[str, str]:
    """Return the kind of a failure, in gRPC's words, and what happened, in plain ones."""
    if isinstance(error, TimeoutError):
        return "DEADLINE_EXCEEDED", "no answer in time"
    if isinstance(error, ssl.SSLCertVerificationError):
        return "tls", f"the server's certificate is not trusted: {error.verify_message}"
    if isinstance(error, ssl.SSLEOFError | ssl.SSLZeroReturnError):
        return "UNAVAILABLE", "the connection was closed"
    if isinstance(error, ssl.SSLError):
        return "tls", (error.reason or str(error)).replace("_", " ").lower()
    if isinstance(error, socket.gaierror):
        return "UNAVAILABLE", "the name has no address"
    if isinstance(error, OSError) and error.filename is not None:
        return "tls", f"cannot read {error.filename}: {error.strerror}"
    if isinstance(error, OSError):
        return "UNAVAILABLE", (error.strerror or str(error) or type(error).__name__).lower()
    if isinstance(error, http.client.HTTPException):
        return "unreadable reply", str(error) or type(error).__name__
    return type(error).__name__, str(error)


def _message(kind: str, body: bytes) -> str:
    """Return what the body of an error says."""
    if kind == "application/x-protobuf":
        try:
            return str(status_pb2.Status.FromString(body).message)
        except DecodeError:
            pass  # not what its type says
    if kind == "application/json":
        try:
            said = json.loads(body)
        except (ValueError, RecursionError):
            said = None
        if isinstance(said, dict) and isinstance(said.get("message"), str):
            return str(said["message"])
    return body[:65_536].decode("utf-8", "replace")


def retry_after_s(value: str | None, *, now: float) -> float | None:
    """Return the seconds of a Retry-After: a number or a date; None for what is neither."""
    if value is None:
        return None
    text = value.strip()
    if text.isascii() and text.isdecimal():
        return float(text[:12])
    try:
        wait_s = email.utils.parsedate_to_datetime(text).timestamp() - now
    except (ValueError, OverflowError):
        return None
    return wait_s if wait_s > 0 and math.isfinite(wait_s) else None


def _proxy(scheme: str, host: str, port: int) -> Dialled | None:
    """Return the proxy that the environment names for an address."""
    proxies = urllib.request.getproxies_environment()
    named = proxies.get(scheme) or proxies.get("all")
    if not named or urllib.request.proxy_bypass(f"{host}:{port}", proxies):
        return None
    dialled = parse_endpoint(named if "://" in named else f"http://{named}", "http/protobuf")
    if dialled.scheme != "http":
        raise OSError("a proxy that is not spoken to by http:// is not supported")
    return dialled


def _proxy_headers(proxy: Dialled) -> dict[str, str]:
    if proxy.authorization is None:
        return {}
    return {"proxy-authorization": proxy.authorization.reveal()}


def _tunnel(wire: Wire, host: str, port: int, headers: dict[str, str]) -> None:
    """Ask a proxy for a way through. It sees the address, and none of the request's headers."""
    where = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    lines = [f"CONNECT {where} HTTP/1.1", f"host: {where}"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    wire.sendall("\r\n".join([*lines, "", ""]).encode("latin-1"))
    response = http.client.HTTPResponse(wire, method="CONNECT")  # type: ignore[arg-type]  # all that it asks of a socket
    response.begin()
    if response.status != 200:
        raise OSError(f"the proxy answers {response.status} {response.reason}")
