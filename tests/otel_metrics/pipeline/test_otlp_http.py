"""OTLP over HTTP: redirects, replies, deadlines, connections, TLS and proxies."""

import dataclasses
import selectors
import socket
import ssl
import time
from collections.abc import Callable
from typing import Any

import pytest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceResponse,
)

from otel_metrics.pipeline import otlp
from otel_metrics.pipeline.delivery import DELIVERED, Outcome
from otel_metrics.pipeline.otlp_http import retry_after_s

Make = Callable[..., Any]
HEADERS = {"authorization": "Bearer s3cret-token"}


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(otlp, "BACKOFF_FIRST_S", 0.01)


@pytest.fixture
def collector(http_collector: Make) -> Any:
    """A collector that speaks HTTP."""
    return http_collector()


@pytest.fixture
def answer(collector: Any) -> Make:
    """Return a maker of answers, of the class that the collectors' fixtures use."""
    return type(collector.next_answer())


def _address(collector: Any) -> str:
    return str(collector.endpoint).partition("://")[2].partition("/")[0]


def _server_tls(files: Any, *, client_authority: str | None = None) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*files.server)
    if client_authority is not None:
        context.load_verify_locations(client_authority)
        context.verify_mode = ssl.CERT_REQUIRED
    return context


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_redirect_is_failed_and_not_followed(
    http_collector: Make, metric_exporter: Make, batch: Make, answer: Make, status: int
) -> None:
    """No request, and so no secret, reaches where a redirect points to."""
    here, there = http_collector(), http_collector()
    here.answers = [answer(status=status, headers={"location": f"{there.endpoint}?token=x"})]

    outcome = metric_exporter(here, headers=HEADERS).export(batch(), 5)

    said = f"HTTP {status}: a redirect to {there.endpoint}, which is not followed"
    assert outcome == Outcome(False, said)
    assert (len(here.messages), there.messages, there.connections) == (1, [], 0)


@pytest.mark.parametrize(
    ("body", "headers", "reason"),
    [
        (b"<html>welcome</html>", {}, "unreadable reply: <html>welcome</html>"),
        (b"{not json", {"content-type": "application/json"}, "unreadable reply: {not json"),
        (b"", {"content-encoding": "gzip"}, "unreadable reply: it is compressed"),
        (b"x" * (4 * 2**20 + 1), {}, "unreadable reply: it is longer than 4 MiB"),
        (
            b'{"partialSuccess": {"rejectedDataPoints": "3", "errorMessage": "no"}}',
            {"content-type": "application/json"},
            "partial success: 3 data points rejected: no",
        ),
    ],
)
def test_what_is_no_yes_is_failed(
    collector: Any,
    metric_exporter: Make,
    batch: Make,
    answer: Make,
    body: bytes,
    headers: dict[str, str],
    reason: str,
) -> None:
    """Status 200 alone is no delivery: the reply must be readable and reject nothing."""
    collector.answers = [answer(body=body, headers=headers)]

    assert metric_exporter(collector).export(batch(), 5) == Outcome(False, reason)


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        (200, ExportMetricsServiceResponse().SerializeToString(), "application/x-protobuf"),
        (200, b"{}", "application/json; charset=utf-8"),
        (202, b"", "text/plain"),
        (204, b"", "application/json"),
    ],
)
def test_what_is_a_yes_is_delivered(
    collector: Any,
    metric_exporter: Make,
    batch: Make,
    answer: Make,
    status: int,
    body: bytes,
    kind: str,
) -> None:
    """A server may say so in protobuf, in JSON, or without words."""
    collector.answers = [answer(status=status, body=body, headers={"content-type": kind})]

    assert metric_exporter(collector).export(batch(), 5) == DELIVERED


@pytest.mark.parametrize(
    ("body", "kind", "said"),
    [
        (b"\x12\x07expired", "application/x-protobuf", "expired"),
        (b'{"code": 7, "message": "expired"}', "application/json", "expired"),
        (b"[1]", "application/json", "[1]"),
        (b"expired\r\n", "text/plain", "expired"),
        (b"", "text/plain", "Unauthorized"),
    ],
)
def test_servers_message_is_the_reason(
    collector: Any,
    metric_exporter: Make,
    batch: Make,
    answer: Make,
    body: bytes,
    kind: str,
    said: str,
) -> None:
    """The reason has the server's own words, however it packs them."""
    collector.answers = [answer(status=401, body=body, headers={"content-type": kind})]

    outcome = metric_exporter(collector).export(batch(), 5)

    hint = "check OTEL_EXPORTER_OTLP_HEADERS"
    assert outcome == Outcome(False, f"HTTP 401: {said} ({_address(collector)}); {hint}")


def test_deflate_arrives(collector: Any, metric_exporter: Make, batch: Make) -> None:
    """A request compressed by deflate is read."""
    outcome = metric_exporter(collector, compression="deflate").export(batch(), 5)

    assert outcome == DELIVERED
    assert collector.headers[0]["content-encoding"] == "deflate"
    assert collector.headers[0]["content-type"] == "application/x-protobuf"


def test_headers_that_frame_the_request_are_ours(
    collector: Any, metric_exporter: Make, batch: Make
) -> None:
    """A configured header cannot break the request."""
    wrong = {"Content-Length": "1", "transfer-encoding": "chunked", "Content-Type": "text/plain"}

    assert metric_exporter(collector, headers=wrong).export(batch(), 5) == DELIVERED


def test_connection_is_kept(collector: Any, metric_exporter: Make, batch: Make) -> None:
    """Exports of one exporter share a connection."""
    exporter = metric_exporter(collector)

    outcomes = [exporter.export(batch(), 5) for _ in range(3)]

    assert outcomes == [DELIVERED] * 3
    assert collector.connections == 1


def test_connection_that_the_server_closed_is_replaced(
    collector: Any, metric_exporter: Make, batch: Make, answer: Make
) -> None:
    """A server that closes after each reply loses nothing."""
    collector.answers = [answer(headers={"connection": "close"}) for _ in range(3)]
    exporter = metric_exporter(collector)

    outcomes = [exporter.export(batch(), 5) for _ in range(3)]

    assert outcomes == [DELIVERED] * 3
    assert collector.connections == 3


def test_connection_that_broke_while_idle_is_replaced(
    talker: Make, metric_exporter: Make, batch: Make
) -> None:
    """A server that goes away between two exports costs no export."""

    def once(connection: socket.socket) -> None:
        connection.recv(65_536)
        connection.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")
        connection.shutdown(socket.SHUT_RDWR)

    endpoint = f"http://localhost:{talker(once)}/v1/metrics"
    exporter = metric_exporter(endpoint=endpoint, protocol="http/protobuf")

    outcomes = [exporter.export(batch(), 5) for _ in range(3)]

    assert outcomes == [DELIVERED] * 3


@pytest.mark.parametrize("start", [b"HTTP/1.1 200 OK\r\ncontent-length: 9999\r\n\r\n", b"HTTP/1"])
def test_drip_is_given_up_at_the_deadline(
    talker: Make, metric_exporter: Make, batch: Make, start: bytes
) -> None:
    """A server that sends a byte now and then does not hold the exporter."""

    def drip(connection: socket.socket) -> None:
        connection.sendall(start)
        while True:
            connection.sendall(b"x")
            time.sleep(0.02)

    port = talker(drip)
    endpoint = f"http://localhost:{port}/v1/metrics"
    exporter = metric_exporter(endpoint=endpoint, protocol="http/protobuf")
    begun = time.monotonic()

    outcome = exporter.export(batch(), 0.3)

    assert outcome == Outcome(False, f"DEADLINE_EXCEEDED: no answer in time (localhost:{port})")
    assert time.monotonic() - begun < 0.6


def test_server_that_takes_nothing_is_given_up_at_the_deadline(
    talker: Make, metric_exporter: Make, batch: Make
) -> None:
    """Sending ends by the same deadline as the rest."""
    port = talker(lambda connection: connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1))
    endpoint = f"http://localhost:{port}/v1/metrics"
    exporter = metric_exporter(endpoint=endpoint, protocol="http/protobuf")
    large = batch()
    metrics = large.resource_metrics[0].scope_metrics[0].metrics
    metrics[0] = dataclasses.replace(metrics[0], description="x" * 2**24)
    begun = time.monotonic()

    outcome = exporter.export(large, 0.5)

    assert outcome == Outcome(False, f"DEADLINE_EXCEEDED: no answer in time (localhost:{port})")
    assert time.monotonic() - begun < 0.8


def test_answer_before_the_end_of_the_request_is_heard(
    talker: Make, metric_exporter: Make, batch: Make
) -> None:
    """A server that refuses a large request while it is being sent is understood."""

    def refuse(connection: socket.socket) -> None:
        connection.recv(100)
        reply = b"HTTP/1.1 413 Too Large\r\nconnection: close\r\ncontent-length: 3\r\n\r\nbig"
        connection.sendall(reply)
        connection.shutdown(socket.SHUT_WR)
        while connection.recv(65_536):
            pass

    port = talker(refuse)
    endpoint = f"http://localhost:{port}/v1/metrics"
    exporter = metric_exporter(endpoint=endpoint, protocol="http/protobuf")

    large = batch()
    metrics = large.resource_metrics[0].scope_metrics[0].metrics
    metrics[0] = dataclasses.replace(metrics[0], description="x" * 2**20)

    outcome = exporter.export(large, 5)

    assert outcome == Outcome(False, f"HTTP 413: big (localhost:{port})")


def test_tls_with_an_authority_of_ones_own(
    http_collector: Make, metric_exporter: Make, batch: Make, tls_files: Any
) -> None:
    """A server whose certificate the configured authority signed is trusted."""
    collector = http_collector(tls=_server_tls(tls_files))
    exporter = metric_exporter(collector, certificate=tls_files.authority)

    assert [exporter.export(batch(), 5) for _ in range(2)] == [DELIVERED] * 2
    assert len(collector.messages) == 2


@pytest.mark.parametrize("authority", ["stranger", None])
def test_tls_with_a_stranger_posts_nothing(
    http_collector: Make,
    metric_exporter: Make,
    batch: Make,
    tls_files: Any,
    authority: str | None,
) -> None:
    """A server that is not trusted gets no request and no header."""
    collector = http_collector(tls=_server_tls(tls_files))
    certificate = tls_files.stranger if authority else None
    exporter = metric_exporter(collector, certificate=certificate, headers=HEADERS)

    outcome = exporter.export(batch(), 5)

    assert outcome.reason is not None
    assert outcome.reason.startswith("tls: the server's certificate is not trusted: ")
    assert collector.messages == []


@pytest.mark.parametrize(
    ("pair", "said"), [("elsewhere", "Hostname mismatch"), ("expired", "certificate has expired")]
)
def test_tls_with_a_certificate_that_does_not_hold_posts_nothing(
    http_collector: Make,
    metric_exporter: Make,
    batch: Make,
    tls_files: Any,
    pair: str,
    said: str,
) -> None:
    """A certificate must be for the host that was asked for, and still be valid."""
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(*getattr(tls_files, pair))
    collector = http_collector(tls=tls)
    exporter = metric_exporter(collector, certificate=tls_files.authority, headers=HEADERS)

    outcome = exporter.export(batch(), 5)

    assert outcome.reason is not None
    assert said in outcome.reason
    assert "s3cret" not in outcome.reason
    assert collector.messages == []


def test_redirect_from_tls_to_plain_text_is_not_followed(
    http_collector: Make, metric_exporter: Make, batch: Make, answer: Make, tls_files: Any
) -> None:
    """No header is ever sent in the clear because a server says so."""
    here, there = http_collector(tls=_server_tls(tls_files)), http_collector()
    here.answers = [answer(status=308, headers={"location": there.endpoint})]
    exporter = metric_exporter(here, certificate=tls_files.authority, headers=HEADERS)

    outcome = exporter.export(batch(), 5)

    assert not outcome.ok
    assert (len(here.messages), there.connections) == (1, 0)


def test_mutual_tls(
    http_collector: Make, metric_exporter: Make, batch: Make, tls_files: Any
) -> None:
    """A server that wants to know who we are is shown the configured certificate."""
    tls = _server_tls(tls_files, client_authority=tls_files.authority)
    collector = http_collector(tls=tls)
    certificate, key = tls_files.client
    named = metric_exporter(
        collector,
        certificate=tls_files.authority,
        client_certificate=certificate,
        client_key=key,
    )
    nameless = metric_exporter(collector, certificate=tls_files.authority)

    assert named.export(batch(), 5) == DELIVERED
    assert not nameless.export(batch(), 1).ok
    assert len(collector.messages) == 1


def test_missing_certificate_file_is_named(
    collector: Any, metric_exporter: Make, batch: Make
) -> None:
    """A file that is not there fails the export, and never loosens the check."""
    endpoint = collector.endpoint.replace("http:", "https:")
    exporter = metric_exporter(collector, endpoint=endpoint, certificate="/nowhere/ca.pem")

    outcome = exporter.export(batch(), 5)

    reason = "tls: cannot read /nowhere/ca.pem: No such file or directory"
    assert outcome == Outcome(False, f"{reason} ({_address(collector)})")
    assert collector.connections == 0


def test_plain_proxy(
    http_collector: Make, metric_exporter: Make, batch: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A plain request goes through the proxy that the environment names."""
    proxy = http_collector()
    monkeypatch.setenv("http_proxy", f"http://me:pw@{_address(proxy)}")
    exporter = metric_exporter(
        endpoint="http://collector.invalid:4318/v1/metrics", protocol="http/protobuf"
    )

    outcome = exporter.export(batch(), 5)

    assert outcome == DELIVERED
    assert proxy.paths == ["http://collector.invalid:4318/v1/metrics"]
    assert proxy.headers[0]["host"] == "collector.invalid:4318"
    assert proxy.headers[0]["proxy-authorization"] == "Basic bWU6cHc="


def test_no_proxy(
    http_collector: Make, metric_exporter: Make, batch: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An address that the environment exempts is spoken to directly."""
    collector, proxy = http_collector(), http_collector()
    monkeypatch.setenv("http_proxy", f"http://{_address(proxy)}")
    monkeypatch.setenv("no_proxy", "localhost")

    assert metric_exporter(collector).export(batch(), 5) == DELIVERED
    assert proxy.connections == 0


def test_proxy_sees_no_header_of_a_request_in_tls(
    http_collector: Make,
    metric_exporter: Make,
    batch: Make,
    talker: Make,
    tls_files: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Through a tunnel, the proxy learns the address and nothing else."""
    collector = http_collector(tls=_server_tls(tls_files))
    seen: list[bytes] = []

    def tunnel(connection: socket.socket) -> None:
        seen.append(connection.recv(65_536))
        port = int(_address(collector).partition(":")[2])
        with socket.create_connection(("127.0.0.1", port)) as onward:
            connection.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
            _pump(connection, onward)

    monkeypatch.setenv("https_proxy", f"http://localhost:{talker(tunnel)}")
    exporter = metric_exporter(collector, certificate=tls_files.authority, headers=HEADERS)

    outcome = exporter.export(batch(), 5)

    assert outcome == DELIVERED
    assert collector.headers[0]["authorization"] == HEADERS["authorization"]
    where = _address(collector)
    assert seen == [f"CONNECT {where} HTTP/1.1\r\nhost: {where}\r\n\r\n".encode()]


def _pump(one: socket.socket, other: socket.socket) -> None:
    with selectors.DefaultSelector() as selector:
        selector.register(one, selectors.EVENT_READ, other)
        selector.register(other, selectors.EVENT_READ, one)
        while True:
            for key, _ in selector.select():
                data = key.fileobj.recv(65_536)  # type: ignore[union-attr]  # a socket
                if not data:
                    return
                key.data.sendall(data)


def test_proxy_that_refuses_fails(
    http_collector: Make, metric_exporter: Make, batch: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a proxy does not let through is not sent past it."""
    proxy = http_collector()
    monkeypatch.setenv("https_proxy", f"http://{_address(proxy)}")
    endpoint = "https://collector.invalid/v1/metrics"
    exporter = metric_exporter(endpoint=endpoint, protocol="http/protobuf", headers=HEADERS)

    outcome = exporter.export(batch(), 2)

    where = f"collector.invalid:443 through the proxy {_address(proxy)}"
    said = "the proxy answers 501 unsupported method ('connect')"
    assert outcome == Outcome(False, f"UNAVAILABLE: {said} ({where})")
    assert proxy.messages == []


@pytest.mark.parametrize(
    ("value", "wait_s"),
    [
        (None, None),
        ("0", 0.0),
        ("120", 120.0),
        ("1000000000", 1e9),
        ("-5", None),
        ("soon", None),
        ("", None),
        ("Thu, 01 Jan 1970 00:16:50 GMT", 10.0),
        ("Thu, 01 Jan 1970 00:16:30 GMT", None),
        ("Thu, 99 Jan 1970 00:16:30 GMT", None),
    ],
)
def test_retry_after(value: str | None, wait_s: float | None) -> None:
    """Seconds and dates to come are understood; anything else asks for nothing."""
    assert retry_after_s(value, now=1000.0) == wait_s
