"""What a query of a real Prometheus gives, and what an answer of another gives."""

import contextlib
import http.server
import json
import re
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from otel_metrics.service.prometheus import parse_reply, prometheus_reader
from otel_metrics.service.readings import SourceError
from otel_metrics.service.sources import PROMETHEUS_URL
from otel_metrics.testing import Captured
from tests.collector_config.scraped import Prometheus, started
from tests.e2e.services import until
from tests.otel_metrics.service.sampling import ERRORS, declared, sampling

Component = Callable[[str], str]
TIMEOUT_S = 20.0


class Page:
    """A real page of metrics, that can go away."""

    def __init__(self) -> None:
        self.text = b'queue_depth{queue="mail"} 7\nqueue_depth{queue="orders"} 80\n'
        page = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.send_response(200 if page.text else 500)
                self.send_header("content-type", "text/plain; version=0.0.4")
                self.end_headers()
                self.wfile.write(page.text)

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.port = self.server.server_address[1]


@pytest.fixture
def page() -> Iterator[Page]:
    """A page of two queues."""
    made = Page()
    threading.Thread(target=made.server.serve_forever, args=(0.02,), daemon=True).start()
    yield made
    made.server.shutdown()
    made.server.server_close()


@pytest.fixture
def prometheus(component: Component, page: Page, tmp_path: Path) -> Iterator[Prometheus]:
    """A Prometheus that scrapes it every 200 ms."""
    job = {
        "job_name": "shop",
        "scrape_interval": "200ms",
        "scrape_timeout": "200ms",
        "static_configs": [{"targets": [f"127.0.0.1:{page.port}"]}],
    }
    (tmp_path / "prometheus.yml").write_text(json.dumps({"scrape_configs": [job]}))
    with started(component("prometheus"), tmp_path) as server:
        until(lambda: server.series("queue_depth"))
        yield server


def failure(url: str, query: str = "up", *, timeout_s: float = TIMEOUT_S) -> SourceError:
    """Return why a query gives nothing."""
    with pytest.raises(SourceError) as raised:
        prometheus_reader(PROMETHEUS_URL, url, query, "queue", timeout_s)()
    return raised.value


@pytest.mark.slow
@pytest.mark.component("prometheus")
def test_series_are_values_by_resource(prometheus: Prometheus, page: Page) -> None:
    """By the label that is called as the scope is, else by the instance; a number is the value of
    the metric's only resource."""

    def ask(query: str, scope: str = "queue") -> object:
        return prometheus_reader(PROMETHEUS_URL, prometheus.url, query, scope, TIMEOUT_S)()

    assert ask("queue_depth") == {"mail": 7.0, "orders": 80.0}
    assert ask("up", "host") == {f"127.0.0.1:{page.port}": 1.0}
    assert ask("sum(queue_depth)") == {None: 87.0}
    assert ask("scalar(sum(queue_depth))") == {None: 87.0}


@pytest.mark.slow
@pytest.mark.component("prometheus")
def test_what_gives_no_number_is_refused(prometheus: Prometheus) -> None:
    """With Prometheus' own words where it has any."""
    expected = {
        "no_such_series": "no_rows",
        "queue_depth[1m]": "query",
        '"text"': "query",
        "sum(": "query",
        "sum by (job) (queue_depth) or vector(1)": "ambiguous",
    }

    assert {query: failure(prometheus.url, query).kind for query in expected} == expected
    assert "parse error" in str(failure(prometheus.url, "sum("))


@pytest.mark.slow
@pytest.mark.component("prometheus")
def test_a_target_that_is_gone_has_no_value(
    captured_telemetry: Captured, prometheus: Prometheus, page: Page
) -> None:
    """From its first failed scrape on, not after five minutes; and it comes back."""
    metric = declared(type="prometheus", query="queue_depth", timeout_s=TIMEOUT_S)
    with sampling(metric, variables={PROMETHEUS_URL: prometheus.url}) as kept:
        until(lambda: kept.values() == {"mail": 7.0, "orders": 80.0})
        text, page.text = page.text, b""
        until(lambda: kept.values() == {})
        page.text = text
        until(lambda: kept.values() == {"mail": 7.0, "orders": 80.0})

    assert kept.reasons() == {"no_rows"}
    assert {sample.band for sample in kept.samples} == {"good", "critical"}


@pytest.mark.slow
@pytest.mark.component("prometheus")
def test_what_is_no_number_is_counted(captured_telemetry: Captured, prometheus: Prometheus) -> None:
    """A share of nothing is NaN to Prometheus."""
    metric = declared(type="prometheus", query="vector(0) / 0", timeout_s=TIMEOUT_S)
    with sampling(metric, variables={PROMETHEUS_URL: prometheus.url}) as kept:
        until(lambda: kept.missed)

    assert kept.reasons() == {"not_a_number"}


@contextlib.contextmanager
def answering(reply: bytes, *, drip_s: float = 0) -> Iterator[str]:
    """Answer every request with these bytes, all at once or one by one, and give the URL."""
    listening = socket.create_server(("127.0.0.1", 0))
    ended = threading.Event()

    def serve() -> None:
        while True:
            try:
                client, _ = listening.accept()
            except OSError:
                return
            with client, contextlib.suppress(OSError):
                _take_request(client)
                pieces = [reply[at : at + 1] for at in range(len(reply))] if drip_s else [reply]
                for piece in pieces:
                    client.sendall(piece)
                    ended.wait(drip_s)

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
    finally:
        ended.set()
        listening.shutdown(socket.SHUT_RDWR)
        listening.close()
        thread.join()


def _take_request(client: socket.socket) -> None:
    """Read a request to its end: closing what is not read would reset the connection."""
    received = b""
    while True:
        head, found, body = received.partition(b"\r\n\r\n")
        length = re.search(rb"content-length: (\d+)", head, re.IGNORECASE)
        if found and length is not None and len(body) >= int(length[1]):
            return
        more = client.recv(65536)
        if not more:
            return
        received += more


def http_reply(status: str, body: bytes = b"", *headers: str) -> bytes:
    """Return the bytes of an HTTP reply."""
    lines = [f"HTTP/1.1 {status}", f"content-length: {len(body)}", "connection: close", *headers]
    return "\r\n".join([*lines, "", ""]).encode() + body


ERROR = b'{"status":"error","errorType":"%s","error":"why"}'
PARTIAL = (
    b'{"status":"success","data":{"resultType":"vector","result":[]},'
    b'"warnings":["a store is down"]}'
)
HISTOGRAM = (
    b'{"status":"success","data":{"resultType":"vector","result":[{"metric":{},'
    b'"histogram":[1,{"count":"1","sum":"1"}]}]}}'
)


@pytest.mark.parametrize(
    ("reply", "kind", "said"),
    [
        (http_reply("200 OK", PARTIAL), "partial", "a store is down"),
        (http_reply("200 OK", HISTOGRAM), "not_a_number", "histogram"),
        (http_reply("200 OK", b"<html>"), "query", "not an answer"),
        (http_reply("200 OK", b"{}"), "query", "not an answer"),
        (http_reply("422 Unprocessable", ERROR % b"execution"), "query", "HTTP 422: why"),
        (http_reply("503 Unavailable", ERROR % b"timeout"), "timeout", "HTTP 503: why"),
        (http_reply("401 Unauthorized"), "connection", "HTTP 401"),
        (http_reply("502 Bad Gateway", b"<html>"), "connection", "HTTP 502"),
        (http_reply("500 Broken", b"<html>"), "query", "HTTP 500"),
        (http_reply("302 Found", b"", "location: http://evil.example/"), "connection", "redirect"),
        (b"", "connection", ""),
        (b"SSH-2.0-OpenSSH\r\n", "connection", ""),
        (http_reply("200 OK", PARTIAL)[:-20], "query", "not an answer"),
        (http_reply("200 OK", b" " * (4 * 1024 * 1024 + 1)), "query", "4 MiB"),
    ],
)
def test_an_answer_of_no_use_says_why(reply: bytes, kind: str, said: str) -> None:
    """Whatever stands at the address."""
    with answering(reply) as url:
        found = failure(url)

    assert found.kind == kind
    assert said in str(found)


def test_a_server_that_is_down_is_no_connection() -> None:
    """As the system says."""
    with socket.create_server(("127.0.0.1", 0)) as held:
        address = f"http://127.0.0.1:{held.getsockname()[1]}"

    assert failure(address).kind == "connection"


@pytest.mark.slow
@pytest.mark.parametrize(
    "reply",
    [
        http_reply("200 OK", b" " * 5000),
        http_reply("200 OK", b"", f"x-name: {'x' * 5000}"),
        b"HTTP/1.1 100 Continue\r\n\r\n" * 200,
        http_reply("500 Broken", b" " * 5000),
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n" + b"0" * 5000,
    ],
    ids=["body", "header", "continue", "error", "chunk"],
)
def test_an_answer_that_drips_ends_with_the_timeout(reply: bytes) -> None:
    """A byte at a time is not an answer in time."""
    began = time.monotonic()
    with answering(reply, drip_s=0.02) as url:
        assert failure(url, timeout_s=2.5).kind == "timeout"

    assert time.monotonic() - began < 30


def test_credentials_of_the_url_are_sent_and_not_shown(
    captured_telemetry: Captured, caplog: pytest.LogCaptureFixture
) -> None:
    """As basic authentication, to that server alone."""
    metric = declared(type="prometheus", query="up")
    with answering(http_reply("401 Unauthorized")) as url:
        secret = url.replace("//", "//reader:s3cret@")
        with sampling(metric, variables={PROMETHEUS_URL: secret}) as kept:
            until(lambda: kept.missed)

    assert kept.reasons() == {"connection"}
    assert "s3cret" not in caplog.text


@pytest.mark.parametrize(
    "url", ["prometheus:9090", "ftp://reader:s3cret@db", "http://", "http://h:x", "http://h/?q=1"]
)
def test_a_url_of_no_use_is_said_with_a_remedy(
    captured_telemetry: Captured, caplog: pytest.LogCaptureFixture, url: str
) -> None:
    """Without the URL, which may hold a password."""
    metric = declared(type="prometheus", query="up")
    with sampling(metric, variables={PROMETHEUS_URL: url}) as kept:
        until(lambda: len(kept.missed) >= 3)

    about = {"service.metric": metric.name, "service.source": "prometheus"}
    assert captured_telemetry.value(ERRORS, {**about, "error.type": "configuration"}) >= 3
    (line,) = [record.getMessage() for record in caplog.records]
    assert f"{PROMETHEUS_URL}: not the address of a Prometheus; such as" in line
    assert "s3cret" not in line


JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["status", "data", "result", "value", "metric"]), inner)
    ),
    max_leaves=10,
)


@given(st.binary(max_size=200) | JSON.map(lambda value: json.dumps(value).encode()))
@example(b'{"status":"success","data":{"resultType":"scalar","result":[1,"x"]}}')
@example(b'{"status":"success","data":{"resultType":"vector","result":7}}')
@example(b"[" * 100_000)
def test_no_answer_breaks_the_source(body: bytes) -> None:
    """Any bytes are numbers by resource, or an error that is counted."""
    with contextlib.suppress(SourceError):
        assert isinstance(parse_reply(body, "queue"), dict)


NUMBERS = st.dictionaries(
    st.text(min_size=1, max_size=5), st.floats(allow_nan=False), min_size=1, max_size=5
)


@given(NUMBERS)
def test_numbers_arrive_as_they_were_sent(numbers: dict[str, float]) -> None:
    """Infinities too, which are refused later."""
    series = [{"metric": {"queue": id_}, "value": [1, repr(n)]} for id_, n in numbers.items()]
    reply = {"status": "success", "data": {"resultType": "vector", "result": series}}

    assert parse_reply(json.dumps(reply).encode(), "queue") == numbers
