"""The guard: which requests are answered, by the names that lead to the page and by where they
come from."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from otel_exporter_prometheus.guard import Rules, admit, judge
from otel_exporter_prometheus.protocol import Answer, parse

LOOPBACK = Rules(scheme="http", port=9464)
OPEN = Rules(scheme="https", port=443, hosts=("metrics.example",), any_host=True)


def status(head: str, rules: Rules = LOOPBACK) -> int:
    """Return what refuses a request, 0 where nothing does."""
    request = parse(head.encode("latin-1"))
    refusal = admit(request, rules)
    if refusal is None and request is not None:
        refusal = judge(request)
    return 0 if refusal is None else refusal.status


@given(st.binary(max_size=200))
def test_any_bytes_are_judged(head: bytes) -> None:
    """Whatever arrives is a request or is refused; nothing raises."""
    status(head.decode("latin-1"))


@given(st.text(max_size=60))
def test_any_host_and_origin_are_judged(text: str) -> None:
    """Garbage in a header is a refusal and no error."""
    status(f"GET /metrics HTTP/1.1\r\nHost: {text}\r\nOrigin: {text}".encode().decode("latin-1"))


@pytest.mark.parametrize(
    ("head", "expected"),
    [
        ("GET /metrics HTTP/1.1\r\nHost: localhost", 0),
        ("HEAD /metrics HTTP/1.1\r\nHost: localhost:9464", 0),
        ("GET /healthz HTTP/1.1\r\nHost: localhost", 0),
        ("GET /metrics?name[]=x HTTP/1.1\r\nHost: 127.0.0.1:9464", 0),
        ("GET /metrics HTTP/1.1\r\nhost:\t[::1]:9464 ", 0),
        ("GET /metrics HTTP/1.1\r\nHost: LOCALHOST", 0),
        ("GET /metrics HTTP/1.0", 0),
        ("GET http://localhost/metrics HTTP/1.1\r\nHost: localhost", 0),
        ("GET /metrics HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0", 0),
        ("GET /metrics HTTP/1.1", 400),
        ("GET /metrics HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9", 400),
        ("GET /metrics HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked", 400),
        ("GET /metrics HTTP/1.1\r\nHost: evil.example", 421),
        ("GET /metrics HTTP/1.1\r\nHost: localhost.", 421),
        ("GET /metrics HTTP/1.1\r\nHost: localhost.evil.example", 421),
        ("GET /metrics HTTP/1.1\r\nHost: evil.example:80@localhost", 421),
        ("GET /metrics HTTP/1.1\r\nHost: [::1]evil.example", 421),
        ("GET /metrics HTTP/1.1\r\nHost: localhost\r\nHost: evil.example", 421),
        ("GET http://evil.example/metrics HTTP/1.1\r\nHost: localhost", 421),
        ("GET /metrics HTTP/1.1\r\nHost: ", 421),
        ("GET / HTTP/1.1\r\nHost: localhost", 404),
        ("GET /metrics/ HTTP/1.1\r\nHost: localhost", 404),
        ("GET /metrics/../x HTTP/1.1\r\nHost: localhost", 404),
        ("POST /metrics HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9", 405),
        ("OPTIONS /metrics HTTP/1.1\r\nHost: localhost", 405),
        ("get /metrics HTTP/1.1\r\nHost: localhost", 405),
    ],
)
def test_requests_are_judged(head: str, expected: int) -> None:
    """Only GET and HEAD of the two paths, asked of this machine by its own name, are answered."""
    assert status(head) == expected


@pytest.mark.parametrize(
    ("origin", "expected"),
    [
        ("http://localhost:9464", 0),
        ("http://127.0.0.1:9464", 0),
        ("http://[::1]:9464", 0),
        ("http://localhost", 403),
        ("http://localhost:3000", 403),
        ("https://localhost:9464", 403),
        ("http://evil.example:9464", 403),
        ("http://localhost.evil.example:9464", 403),
        ("null", 403),
        ("", 403),
        ("http://localhost:9464, http://evil.example", 403),
        ("http://evil.example@localhost:9464", 403),
        ("http://localhost:9464/x", 403),
        ("file://", 403),
    ],
)
def test_only_our_own_origin_may_ask(origin: str, expected: int) -> None:
    """A browser says which site asks; only ours, by scheme, host and port, is answered."""
    assert status(f"GET /metrics HTTP/1.1\r\nHost: localhost\r\nOrigin: {origin}") == expected


def test_two_origins_are_one_too_many() -> None:
    """A foreign origin beside ours is foreign."""
    head = "GET /metrics HTTP/1.1\r\nHost: localhost\r\nOrigin: http://localhost:9464\r\n"

    assert status(head + "Origin: http://evil.example:9464") == 403


def test_a_page_for_others_has_no_list_of_hosts() -> None:
    """An address that others reach is asked for by names that we cannot know."""
    assert status("GET /metrics HTTP/1.1\r\nHost: service.example", OPEN) == 0


@pytest.mark.parametrize(
    ("origin", "expected"),
    [
        ("https://metrics.example", 0),
        ("https://METRICS.example:443", 0),
        ("https://service.example", 403),
        ("http://metrics.example", 403),
    ],
)
def test_the_requests_own_host_is_no_origin_of_ours(origin: str, expected: int) -> None:
    """Host is what the asker says; an origin must be one that the settings name."""
    head = f"GET /metrics HTTP/1.1\r\nHost: service.example\r\nOrigin: {origin}"

    assert status(head, OPEN) == expected


def test_a_wrong_method_says_which_are_right() -> None:
    """405 has `Allow`, as HTTP asks for."""
    request = parse(b"DELETE /metrics HTTP/1.1\r\nHost: localhost")

    assert request is not None
    assert judge(request) == Answer(
        405, b"The page can only be read.\n", extra=(("Allow", "GET, HEAD"),)
    )
