"""HTTP as far as a page needs it: requests of all sorts, and which format a client wants."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from otel_exporter_prometheus.protocol import (
    Answer,
    head,
    parse,
    plain,
    wants_gzip,
    wants_openmetrics,
)

PROMETHEUS_2 = (
    "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,"
    "text/plain;version=0.0.4;q=0.5,*/*;q=0.1"
)
PROMETHEUS_3 = (
    "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited;"
    "q=0.6,application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.5,"
    "application/openmetrics-text;version=0.0.1;q=0.4,text/plain;version=1.0.0;q=0.3,"
    "text/plain;version=0.0.4;q=0.2,*/*;q=0.1"
)


@pytest.mark.parametrize(
    ("accept", "expected"),
    [
        ("", False),
        ("*/*", False),
        ("text/plain", False),
        (PROMETHEUS_2, True),
        (PROMETHEUS_3, True),
        ("application/openmetrics-text", True),
        ("application/openmetrics-text; version=1.0.0; charset=utf-8", True),
        ("APPLICATION/OpenMetrics-Text", True),
        ("application/openmetrics-text;version=2.0.0", False),
        ("application/openmetrics-text;version=0.0.1", False),
        ("application/openmetrics-text;q=0", False),
        ("application/openmetrics-text;q=0.5, text/plain;q=0.6", False),
        ("application/openmetrics-text;q=0.6, text/plain;q=0.5", True),
        ("application/openmetrics-text;q=nan", False),
        ("application/openmetrics-text;q=9", False),
        ("application/openmetrics-text;q=, text/plain", False),
        (";;;,=,q=,,/", False),
        ("application/json", False),
        ("application/vnd.google.protobuf", False),
    ],
)
def test_negotiation(accept: str, expected: bool) -> None:
    """A client gets OpenMetrics when it prefers it, and text in every other case."""
    assert wants_openmetrics(accept) is expected


@given(st.text())
def test_any_accept_header_is_answered(accept: str) -> None:
    """Garbage in a header is no error."""
    assert wants_openmetrics(accept) in (True, False)


@pytest.mark.parametrize(
    ("accept_encoding", "expected"),
    [
        ("", False),
        ("gzip", True),
        ("GZIP", True),
        ("x-gzip", True),
        ("gzip, deflate, br", True),
        ("deflate, gzip;q=1.0, *;q=0.5", True),
        ("*", True),
        ("*;q=0", False),
        ("gzip;q=0", False),
        ("gzip;q=0.000", False),
        ("gzip;q=0, *", False),
        ("gzip;q=0.5, identity", False),
        ("gzip;q=0.5, identity;q=0.5", True),
        ("identity;q=0, gzip;q=0.1", True),
        ("gzip;q=nan", False),
        ("gzip;q=2", False),
        ("br", False),
        (";;;,=,q=,,", False),
    ],
)
def test_compression_is_negotiated(accept_encoding: str, expected: bool) -> None:
    """A client gets gzip when it takes it and likes nothing else that we have better."""
    assert wants_gzip(accept_encoding) is expected


@given(st.binary(max_size=200))
def test_any_bytes_are_read(received: bytes) -> None:
    """Whatever arrives is a request or is none; nothing raises."""
    parse(received)


@pytest.mark.parametrize(
    "received",
    [
        "",
        "GET /metrics",
        "GET  /metrics HTTP/1.1\r\nHost: localhost",
        "GET /metrics HTTP/2.0\r\nHost: localhost",
        "GET /metrics HTTP/1.1",
        "GET /metrics HTTP/1.1\r\nHost: localhost\r\n folded: x",
        "GET /metrics HTTP/1.1\r\nHost: localhost\r\nno colon",
        "GET /metrics HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding : chunked",
        "GET /metrics HTTP/1.1\r\nHost: localhost\r\nX: a\nTransfer-Encoding: chunked",
        "\x16\x03\x01",
    ],
)
def test_what_is_no_request(received: str) -> None:
    """What two readers could read in two ways is read in none."""
    assert parse(received.encode("latin-1")) is None


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("Accept: */*", False),
        ("Content-Length: 0", False),
        ("Content-Length: 5", True),
        ("Content-Length: +0", True),
        ("Content-Length: 0\r\nContent-Length: 5", True),
        ("Transfer-Encoding: chunked", True),
        ("Transfer-Encoding: identity", True),
    ],
)
def test_a_body_is_announced(header: str, expected: bool) -> None:
    """A request has a body where its head could be understood so."""
    request = parse(f"GET /metrics HTTP/1.1\r\nHost: localhost\r\n{header}".encode())

    assert request is not None
    assert request.has_body is expected


def test_every_answer_forbids_caching_and_guessing() -> None:
    """Headers keep the page out of caches and of other sites, and say nothing of who serves it."""
    said = [line.partition(": ") for line in head(plain(404, "x")).decode().split("\r\n")[1:-2]]

    headers = {name: value for name, _, value in said if name != "Date"}
    assert headers == {
        "Cache-Control": "no-store",
        "Connection": "close",
        "Content-Length": "2",
        "Content-Type": "text/plain; charset=utf-8",
        "Vary": "Accept, Accept-Encoding",
        "X-Content-Type-Options": "nosniff",
    }


def test_an_answers_own_headers_are_written() -> None:
    """What an answer adds stands in its head, each in a line."""
    written = head(Answer(401, b"", extra=(("A", "1"), ("A", "2")))).split(b"\r\n")

    assert written[0] == b"HTTP/1.1 401 Unauthorized"
    assert [line for line in written if line.startswith(b"A:")] == [b"A: 1", b"A: 2"]
