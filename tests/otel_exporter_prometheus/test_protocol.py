"""HTTP as far as a page needs it: requests of all sorts, and which format a client wants."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from otel_exporter_prometheus.guard import judge
from otel_exporter_prometheus.protocol import parse, plain, response, wants_openmetrics
from otel_exporter_prometheus.settings import Settings

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


@given(st.binary(max_size=200))
def test_any_bytes_are_judged(head: bytes) -> None:
    """Whatever arrives is a request or is refused; nothing raises."""
    judge(parse(head), Settings())


@pytest.mark.parametrize(
    ("head", "status"),
    [
        ("GET /metrics HTTP/1.1\r\nHost: localhost", 0),
        ("HEAD /metrics HTTP/1.1\r\nHost: localhost:9464", 0),
        ("GET /metrics?name[]=x HTTP/1.1\r\nHost: 127.0.0.1:9464", 0),
        ("GET /metrics HTTP/1.1\r\nhost:\t[::1]:9464 ", 0),
        ("GET /metrics HTTP/1.1\r\nHost: LOCALHOST", 0),
        ("GET /metrics HTTP/1.0", 0),
        ("GET http://localhost/metrics HTTP/1.1\r\nHost: localhost", 0),
        ("GET /metrics HTTP/1.1", 400),
        ("GET /metrics HTTP/2.0\r\nHost: localhost", 400),
        ("GET /metrics", 400),
        ("GET /metrics HTTP/1.1\r\nHost: localhost\r\n folded: x", 400),
        ("GET /metrics HTTP/1.1\r\nHost: localhost\r\nno colon", 400),
        ("\x16\x03\x01", 400),
        ("GET /metrics HTTP/1.1\r\nHost: evil.example", 421),
        ("GET /metrics HTTP/1.1\r\nHost: localhost.evil.example", 421),
        ("GET /metrics HTTP/1.1\r\nHost: localhost\r\nHost: evil.example", 421),
        ("GET http://evil.example/metrics HTTP/1.1\r\nHost: localhost", 421),
        ("GET /metrics HTTP/1.1\r\nHost: ", 421),
        ("GET / HTTP/1.1\r\nHost: localhost", 404),
        ("GET /metrics/ HTTP/1.1\r\nHost: localhost", 404),
        ("GET /metrics/../x HTTP/1.1\r\nHost: localhost", 404),
        ("POST /metrics HTTP/1.1\r\nHost: localhost", 405),
        ("get /metrics HTTP/1.1\r\nHost: localhost", 405),
    ],
)
def test_requests_are_judged(head: str, status: int) -> None:
    """Only GET and HEAD of /metrics, asked of this machine by its own name, have the page."""
    refusal = judge(parse(head.encode("latin-1")), Settings())

    assert (b"" if refusal is None else refusal[:12]) == (
        f"HTTP/1.1 {status}" if status else ""
    ).encode()


def test_a_page_for_others_has_no_list_of_hosts() -> None:
    """An address that others reach is asked for by names that we cannot know."""
    request = parse(b"GET /metrics HTTP/1.1\r\nHost: service.example")

    assert judge(request, Settings(host="0.0.0.0", allow_unauthenticated=True)) is None


def test_responses_forbid_caching_and_guessing() -> None:
    """Headers keep the page out of caches and say nothing of who serves it."""
    for answer in (plain(404, "x"), response(b"1234", openmetrics=False, head_only=False)):
        head = answer.partition(b"\r\n\r\n")[0].decode()

        assert "Cache-Control: no-store" in head
        assert "X-Content-Type-Options: nosniff" in head
        assert "Server:" not in head
        assert "Access-Control" not in head


def test_head_has_the_length_of_the_page_and_no_body() -> None:
    """HEAD tells what GET would send."""
    answer = response(b"1234", openmetrics=True, head_only=True)

    assert b"Content-Length: 4\r\n" in answer
    assert b"application/openmetrics-text; version=1.0.0; charset=utf-8" in answer
    assert answer.endswith(b"\r\n\r\n")
