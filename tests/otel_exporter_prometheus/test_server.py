"""The page's server: what clients get, good and bad ones, and what it costs the others."""

import contextlib
import gzip
import http.client
import json
import os
import re
import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from pathlib import Path

import pytest
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader, MetricsData
from prometheus_client.openmetrics.parser import (
    text_string_to_metric_families as parse_openmetrics,
)
from prometheus_client.parser import text_string_to_metric_families as parse_text

from otel_exporter_prometheus import ListenError, MetricsServer
from otel_exporter_prometheus.page import Page
from otel_exporter_prometheus.server import CONNECTIONS_MAX
from otel_exporter_prometheus.settings import Settings

DEADLINE_S = 20.0
Got = tuple[int, dict[str, str], bytes]


def metrics(value: int = 1) -> MetricsData:
    reader = InMemoryMetricReader()
    provider = MeterProvider(metric_readers=[reader], shutdown_on_exit=False)
    provider.get_meter("test").create_counter("c").add(value)
    data = reader.get_metrics_data()
    assert data is not None
    return data


def many_metrics() -> MetricsData:
    """Return a page of several megabytes, more than sockets keep for who does not read."""
    reader = InMemoryMetricReader()
    provider = MeterProvider(metric_readers=[reader], shutdown_on_exit=False)
    counter = provider.get_meter("test").create_counter("c")
    for number in range(1500):
        counter.add(1, {"n": f"{number:04}" + "x" * 6000})
    data = reader.get_metrics_data()
    assert data is not None
    return data


class Source:
    """What is collected: counts the collections, and can be held up or fail."""

    def __init__(self) -> None:
        self.collections = 0
        self.open = threading.Event()
        self.open.set()
        self.entered = threading.Event()
        self.error: Exception | None = None
        self.data: MetricsData | None = None

    def __call__(self) -> MetricsData | None:
        self.collections += 1
        self.entered.set()
        assert self.open.wait(DEADLINE_S)
        if self.error is not None:
            raise self.error
        return self.data or metrics(self.collections)


@pytest.fixture
def source() -> Source:
    """What the server collects."""
    return Source()


@pytest.fixture
def page(source: Source) -> Iterator[Page]:
    """The page that the server serves."""
    page = Page(source)
    page.start()
    yield page
    source.open.set()
    page.stop()


@pytest.fixture
def server(page: Page) -> Iterator[MetricsServer]:
    """A running server on a free port."""
    server = MetricsServer(page, Settings(port=0))
    server.start()
    yield server
    server.stop()


def get(
    server: MetricsServer,
    path: str = "/metrics",
    *,
    method: str = "GET",
    host: str = "127.0.0.1",
    headers: dict[str, str] | None = None,
) -> tuple[int, dict[str, str], bytes]:
    connection = http.client.HTTPConnection(host, server.port, timeout=DEADLINE_S)
    try:
        connection.request(method, path, headers=headers or {})
        response = connection.getresponse()
        return response.status, dict(response.getheaders()), response.read()
    finally:
        connection.close()


def raw(server: MetricsServer, sent: bytes) -> bytes:
    """Send bytes, and return all that comes back until the server closes."""
    with socket.create_connection(("127.0.0.1", server.port), timeout=DEADLINE_S) as client:
        client.sendall(sent)
        received = b""
        while more := client.recv(65536):
            received += more
        return received


def wait_until(holds: Callable[[], bool]) -> None:
    """Wait for a condition, and fail where it never holds."""
    deadline = time.monotonic() + DEADLINE_S
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def timed(ask: Callable[[], Got]) -> tuple[Got, float]:
    """Return an answer, and the seconds that it took."""
    begun = time.monotonic()
    return ask(), time.monotonic() - begun


def has_ipv6() -> bool:
    try:
        with socket.socket(socket.AF_INET6) as probe:
            probe.bind(("::1", 0))
    except OSError:
        return False
    return True


def test_a_scrape_gets_the_page(server: MetricsServer) -> None:
    """A plain client gets text 0.0.4, whole, and with headers that keep it out of caches."""
    status, headers, body = get(server)

    assert (status, headers["Content-Type"]) == (200, "text/plain; version=0.0.4; charset=utf-8")
    assert body.endswith(b"c_total 1\n")
    assert headers["Content-Length"] == str(len(body))
    assert headers["Cache-Control"] == "no-store"
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert "Server" not in headers
    age = datetime.now(UTC) - parsedate_to_datetime(headers["Date"])
    assert abs(age.total_seconds()) < 60


def test_a_client_that_prefers_openmetrics_gets_it(server: MetricsServer) -> None:
    """What is declared is what is sent."""
    _, headers, body = get(server, headers={"Accept": "application/openmetrics-text"})

    assert headers["Content-Type"] == "application/openmetrics-text; version=1.0.0; charset=utf-8"
    families = parse_openmetrics(body.decode())  # type: ignore[no-untyped-call]  # theirs
    assert [family.name for family in families] == ["target", "c"]


def test_head_is_get_without_the_body(server: MetricsServer) -> None:
    """HEAD tells the length and sends nothing."""
    status, headers, body = get(server, method="HEAD")

    assert (status, body) == (200, b"")
    assert int(headers["Content-Length"]) > 0


@pytest.mark.parametrize(
    ("path", "method", "headers", "status"),
    [
        ("/", "GET", {}, 404),
        ("/metrics", "POST", {}, 405),
        ("/metrics", "GET", {"Host": "evil.example"}, 421),
        ("/metrics", "GET", {"X": "y" * 20_000}, 431),
        ("/metrics", "GET", {"Accept": ";q=;;,=,"}, 200),
    ],
)
def test_other_requests_are_refused(
    server: MetricsServer, path: str, method: str, headers: dict[str, str], status: int
) -> None:
    """Nothing but the page is served, and only under this machine's own names."""
    assert get(server, path, method=method, headers=headers)[0] == status


def test_a_wrong_path_says_where_the_metrics_are(server: MetricsServer) -> None:
    """Who opens the port in a browser learns what to ask for."""
    assert get(server, "/")[2] == b"The metrics are at /metrics.\n"


def test_localhost_is_both_loopback_addresses(server: MetricsServer) -> None:
    """A client that resolves localhost to ::1 finds the same page."""
    if not has_ipv6():
        pytest.skip("this machine has no ::1")

    assert get(server, host="::1")[0] == 200


def test_each_scrape_has_what_was_recorded_before_it(server: MetricsServer) -> None:
    """Scrapes one after the other never get an old page."""
    values = [get(server)[2].split()[-1] for _ in range(8)]

    assert values == [str(number).encode() for number in range(1, 9)]


def test_concurrent_scrapes_share_a_collection(server: MetricsServer, source: Source) -> None:
    """Hundreds of clients at once cost a handful of collections, and each has an answer."""
    with ThreadPoolExecutor(64) as pool:
        statuses = list(pool.map(lambda _: get(server)[0], range(300)))

    assert set(statuses) <= {200, 503}
    assert statuses.count(200) >= 64
    assert source.collections <= 8


def test_waiting_scrapes_are_answered_by_one_collection(
    server: MetricsServer, source: Source
) -> None:
    """Who asks while a collection is under way waits for the next, together with all others."""
    source.open.clear()
    with ThreadPoolExecutor(4) as pool:
        first = pool.submit(get, server)
        assert source.entered.wait(DEADLINE_S)
        others = [pool.submit(get, server) for _ in range(3)]
        source.open.set()
        statuses = [future.result()[0] for future in (first, *others)]

    assert statuses == [200] * 4
    assert source.collections <= 4


def test_a_failing_collection_is_503_and_counted(
    server: MetricsServer, page: Page, source: Source, caplog: pytest.LogCaptureFixture
) -> None:
    """Frozen numbers would look healthy; a failed collection is an error, logged once."""
    source.error = RuntimeError("callback")
    statuses = [get(server)[0] for _ in range(3)]
    source.error = None
    statuses.append(get(server)[0])

    assert statuses == [503, 503, 503, 200]
    assert page.stats().errors == {"collect": 3}
    assert [record.getMessage() for record in caplog.records] == [
        "the metrics page is unavailable, collecting failed: callback"
    ]


@pytest.mark.slow
def test_a_callback_that_hangs_is_answered_with_the_last_page(
    server: MetricsServer, page: Page, source: Source
) -> None:
    """A scrape waits five seconds for a collection, then shows the last one."""
    get(server)
    source.open.clear()

    status, _, body = get(server)

    assert (status, body.split()[-1]) == (200, b"1")
    assert page.stats().errors == {"timeout": 1}


def test_half_open_connections_do_not_lock_a_scraper_out(server: MetricsServer) -> None:
    """With every connection taken by clients that never ask, a scraper still gets its page."""
    slow = [
        socket.create_connection(("127.0.0.1", server.port), timeout=DEADLINE_S)
        for _ in range(CONNECTIONS_MAX * 2)
    ]
    try:
        statuses = {get(server)[0] for _ in range(20)}
    finally:
        for client in slow:
            client.close()

    assert statuses == {200}


def test_dead_readers_do_not_lock_a_scraper_out(server: MetricsServer, source: Source) -> None:
    """With every connection taken by clients that never read, a scraper still gets its page."""
    source.data = many_metrics()
    request = b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n"
    dead = []
    try:
        for _ in range(CONNECTIONS_MAX * 2):
            client = socket.socket()
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            client.connect(("127.0.0.1", server.port))
            client.sendall(request)
            dead.append(client)
        answers = [timed(lambda: get(server)) for _ in range(5)]
    finally:
        for client in dead:
            client.close()

    assert [answer[0] for answer, _ in answers] == [200] * 5
    assert max(seconds for _, seconds in answers) < 1.0


@pytest.mark.slow
def test_a_client_that_never_asks_is_closed(server: MetricsServer, page: Page) -> None:
    """A request must be there within five seconds."""
    assert raw(server, b"GET /metrics HT") == b""
    assert page.stats().errors == {"read": 1}


@pytest.mark.slow
def test_a_reader_that_stops_is_closed(server: MetricsServer, page: Page, source: Source) -> None:
    """An answer must have been taken within ten seconds."""
    source.data = many_metrics()
    with socket.create_connection(("127.0.0.1", server.port), timeout=DEADLINE_S) as client:
        client.sendall(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n")
        wait_until(lambda: page.stats().errors == {"write": 1})

        with pytest.raises(ConnectionResetError):
            while client.recv(65536):
                pass


@pytest.mark.parametrize(
    ("accept", "openmetrics"),
    [
        ("", False),
        ("text/plain;version=0.0.4;q=0.3,application/openmetrics-text;version=1.0.0;q=0.5", True),
        ("application/openmetrics-text;version=1.0.0;q=0.1,text/plain;q=0.5", False),
        ("application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily", False),
        ("*/*;q=0.1", False),
        (",;=q\xff", False),
    ],
)
@pytest.mark.parametrize("encoding", ["", "gzip;q=0.5", "gzip;q=0", "identity;q=0, *"])
def test_a_page_is_what_it_says(
    server: MetricsServer, accept: str, openmetrics: bool, encoding: str
) -> None:
    """Whatever is asked for, the body is of the type and coding that the headers declare."""
    _, headers, body = get(server, headers={"Accept": accept, "Accept-Encoding": encoding})
    text = (gzip.decompress(body) if "Content-Encoding" in headers else body).decode()

    assert headers["Content-Type"].startswith("application/openmetrics") is openmetrics
    assert text.endswith("# EOF\n") is openmetrics
    read = parse_openmetrics if openmetrics else parse_text
    assert "c" in [family.name for family in read(text)]


@pytest.mark.slow
def test_a_busy_server_says_so(server: MetricsServer, source: Source) -> None:
    """When every connection is being answered, a new one gets 503 and not a reset."""
    source.open.clear()
    request = b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n"
    clients = []
    try:
        for _ in range(CONNECTIONS_MAX):
            client = socket.create_connection(("127.0.0.1", server.port), timeout=DEADLINE_S)
            client.sendall(request)
            clients.append(client)
        answers: list[bytes] = []
        while not answers or b"503" not in answers[-1]:  # until all have been read
            assert len(answers) < 50
            answers.append(raw(server, request)[:12])
    finally:
        source.open.set()
        for client in clients:
            client.close()

    assert answers[-1] == b"HTTP/1.1 503"


def test_a_taken_port_is_named_with_what_to_do() -> None:
    """The error says which port, and how to choose another."""
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]

        with pytest.raises(ListenError) as raised:
            MetricsServer(Page(metrics), Settings(port=port)).start()

    assert str(raised.value) == (
        f"the metrics page cannot listen on localhost:{port}: the port is taken by another "
        "program; stop it, or set OTEL_EXPORTER_PROMETHEUS_PORT to a free one (0 takes any)"
    )


@pytest.mark.parametrize("host", ["192.0.2.1", "no.such.host.invalid"])
def test_an_address_that_is_not_ours_is_named(host: str) -> None:
    """An address of another machine, or a name of none, is an error with what to do."""
    settings = Settings(host=host, port=0, allow_unauthenticated=True)

    with pytest.raises(ListenError, match="use localhost or an address of this machine"):
        MetricsServer(Page(metrics), settings).start()


def test_a_file_that_cannot_be_used_keeps_the_page_closed(tmp_path: Path) -> None:
    """A page that was to be authenticated is not served without."""
    file = tmp_path / "token"
    file.write_text("short")
    file.chmod(0o600)

    with pytest.raises(ListenError) as raised:
        MetricsServer(Page(metrics), Settings(port=0, bearer_token_file=str(file))).start()

    assert str(raised.value) == (
        f"OTEL_EXPORTER_PROMETHEUS_BEARER_TOKEN_FILE={file}: the token in line 1 is shorter than "
        "16 characters; make one with `openssl rand -hex 32`; the page stays closed"
    )


TOKEN = "0123456789abcdef"


@pytest.fixture
def token_file(tmp_path: Path) -> str:
    """A file with one token."""
    file = tmp_path / "token"
    file.touch(mode=0o600)
    file.write_text(TOKEN)
    return str(file)


@pytest.fixture
def guarded(page: Page, token_file: str) -> Iterator[MetricsServer]:
    """A running server that asks for a token."""
    server = MetricsServer(page, Settings(port=0, bearer_token_file=token_file))
    server.start()
    yield server
    server.stop()


def test_a_token_is_asked_for_before_anything_is_told(guarded: MetricsServer, page: Page) -> None:
    """Without it every path and method is 401; with it there is the page."""
    wrong = [
        get(guarded, path, method=method, headers=headers)
        for path, method, headers in [
            ("/metrics", "GET", {}),
            ("/healthz", "GET", {}),
            ("/elsewhere", "GET", {}),
            ("/metrics", "POST", {}),
            ("/metrics?token=" + TOKEN, "GET", {}),
            ("/metrics", "GET", {"Authorization": "Bearer wrong"}),
        ]
    ]
    right = get(guarded, headers={"Authorization": f"Bearer {TOKEN}"})

    alike = [
        (status, {name: each for name, each in headers.items() if name != "Date"}, body)
        for status, headers, body in wrong
    ]
    assert alike == [alike[0]] * 6
    assert (alike[0][0], alike[0][1]["WWW-Authenticate"]) == (401, 'Bearer realm="metrics"')
    assert (right[0], right[2].split()[-1]) == (200, b"1")
    assert page.stats().errors == {"auth": 6}


def test_ten_failures_in_a_minute_are_enough(guarded: MetricsServer) -> None:
    """Who guesses is told to wait."""
    answers = [get(guarded)[:2] for _ in range(11)]

    assert [status for status, _ in answers] == [401] * 10 + [429]
    assert 0 < int(answers[10][1]["Retry-After"]) <= 60


@pytest.mark.parametrize("encrypted", [False, True])
def test_an_authenticated_page_for_others_should_be_encrypted(
    token_file: str,
    certify: Callable[..., tuple[str, str]],
    caplog: pytest.LogCaptureFixture,
    encrypted: bool,
) -> None:
    """Without TLS one line says that credentials can be read on the way; with it, none."""
    cert, key = certify() if encrypted else (None, None)
    settings = Settings(
        host="0.0.0.0", port=0, bearer_token_file=token_file, tls_cert_file=cert, tls_key_file=key
    )
    server = MetricsServer(Page(metrics), settings)
    for _ in range(2):
        server.start()
        server.stop()

    said = [record.getMessage().split(": ")[1] for record in caplog.records]
    assert len(said) == (0 if encrypted else 1)
    assert all(line.startswith("credentials and metrics can be read on the way") for line in said)


def test_a_foreign_site_is_refused(server: MetricsServer) -> None:
    """A browser that runs another site's code gets nothing, by Origin as by Host."""
    own = f"http://localhost:{server.port}"
    statuses = [get(server, headers={"Origin": each})[0] for each in (own, "http://a.b", "null")]

    assert statuses == [200, 403, 403]


def test_a_client_that_takes_gzip_gets_it(server: MetricsServer) -> None:
    """The compressed page is the page, and says what it is."""
    _, plain_headers, _ = get(server)
    _, headers, body = get(server, headers={"Accept-Encoding": "gzip"})

    assert gzip.decompress(body).endswith(b"c_total 2\n")
    assert (headers["Content-Encoding"], headers["Content-Length"]) == ("gzip", str(len(body)))
    assert headers["Vary"] == "Accept, Accept-Encoding"
    assert "Content-Encoding" not in plain_headers


@pytest.mark.parametrize("path", ["/metrics", "/elsewhere"])
def test_an_answer_to_head_has_no_body(server: MetricsServer, path: str) -> None:
    """Whatever the status, nothing follows the head, and its length is that of GET."""
    answer = raw(server, f"HEAD {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())

    head, _, body = answer.partition(b"\r\n\r\n")
    assert body == b""
    assert b"Content-Length: 0" not in head


@pytest.mark.parametrize(
    "body",
    [
        b"Content-Length: 5\r\n\r\nhello",
        b"Content-Length: 1000000\r\n\r\n",
        b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET /metrics HTTP/1.0\r\n\r\n",
        b"Content-Length: 0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"Content-Length: 6\r\nContent-Length: 0\r\n\r\nGET / ",
    ],
)
def test_a_body_neither_hangs_nor_smuggles(server: MetricsServer, body: bytes) -> None:
    """A request with a body gets one refusal, and what follows it is no second request."""
    answer = raw(server, b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n" + body)

    assert answer.startswith(b"HTTP/1.1 400 ")
    assert answer.count(b"HTTP/1.1") == 1


def test_a_long_body_does_not_cost_the_client_its_answer(server: MetricsServer) -> None:
    """Who sends megabytes that nobody reads is told so, not reset."""
    head = b"POST /metrics HTTP/1.1\r\nHost: localhost\r\nContent-Length: 4000000\r\n\r\n"

    assert raw(server, head + b"x" * 4_000_000).startswith(b"HTTP/1.1 405 ")


def test_requests_in_a_row_are_answered_once(server: MetricsServer) -> None:
    """One connection, one request: the second of a pipeline is not looked at."""
    answer = raw(server, b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n" * 2)

    assert answer.count(b"HTTP/1.1 200") == 1


@pytest.mark.slow
def test_health_is_told_beside_the_metrics(server: MetricsServer, source: Source) -> None:
    """A page without bad news is well; one that cannot be collected is not."""
    well = get(server, "/healthz")
    source.error = RuntimeError("callback")
    wait_until(lambda: get(server, "/healthz")[0] == 503)
    unwell = get(server, "/healthz")

    assert (well[0], well[1]["Content-Type"]) == (200, "application/json")
    assert json.loads(well[2])["status"] == "ok"
    assert json.loads(unwell[2])["problems"] == ["the metrics cannot be collected"]


def test_an_open_page_is_warned_of_once(caplog: pytest.LogCaptureFixture) -> None:
    """Who opens the page to everyone reads so in the log."""
    page = Page(metrics)
    page.start()
    server = MetricsServer(page, Settings(host="0.0.0.0", port=0, allow_unauthenticated=True))
    server.start()
    try:
        status = get(server, headers={"Host": "any.example"})[0]
    finally:
        server.stop()
        page.stop()

    assert status == 200
    assert [record.getMessage() for record in caplog.records] == [
        f"the metrics page on 0.0.0.0:{server.port} is open to everyone who reaches this machine"
    ]


def test_stop_finishes_what_is_under_way(server: MetricsServer, source: Source) -> None:
    """A scrape during shutdown has a whole page or an error, never half of one."""
    source.open.clear()
    with ThreadPoolExecutor(2) as pool:
        scrape = pool.submit(get, server)
        assert source.entered.wait(DEADLINE_S)
        stop = pool.submit(server.stop, DEADLINE_S)
        source.open.set()
        status, headers, body = scrape.result()
        stop.result()

    assert (status, headers["Content-Length"]) == (200, str(len(body)))
    with pytest.raises(OSError):
        get(server)


def test_stop_twice_and_without_start_is_quiet() -> None:
    """Shutting down is always allowed."""
    server = MetricsServer(Page(metrics), Settings(port=0))
    server.stop()
    server.start()
    server.stop()
    server.stop()


def test_the_port_is_free_again_after_stop(server: MetricsServer, page: Page) -> None:
    """A reload opens the same port at once."""
    get(server)
    server.stop()
    again = MetricsServer(page, Settings(port=server.port))

    again.start()

    assert get(again)[0] == 200
    again.stop()


def test_a_forked_child_lets_go_of_the_page(server: MetricsServer, page: Page) -> None:
    """The child holds no socket of the parent's, and the parent goes on answering."""

    def child() -> int:
        server.after_fork()
        page.after_fork()
        server.stop()
        return 0 if page.stats().scrapes == 0 and not _listens(server.port) else 1

    get(server)
    pid = os.fork()
    if pid == 0:
        os._exit(_guarded(child))
    _, status = os.waitpid(pid, 0)

    assert os.waitstatus_to_exitcode(status) == 0
    assert get(server)[0] == 200


def whole(answer: bytes) -> bool:
    """Say whether an answer is nothing at all, or a page or a 503 with all of its body."""
    head, _, body = answer.partition(b"\r\n\r\n")
    length = re.search(rb"\r\nContent-Length: (\d+)", head)
    if not answer:
        return True
    return answer[9:12] in (b"200", b"503") and length is not None and int(length[1]) == len(body)


@contextmanager
def scrapers(port: int) -> Iterator[list[bytes]]:
    """Scrape without end from four threads; give what they got."""
    end = threading.Event()
    answers: list[bytes] = []

    def scrape() -> None:
        while not end.is_set():
            received = []
            with (
                contextlib.suppress(OSError),
                socket.create_connection(("127.0.0.1", port), timeout=DEADLINE_S) as client,
            ):
                client.sendall(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n")
                while more := client.recv(2**20):
                    received.append(more)
            answers.append(b"".join(received))

    with ThreadPoolExecutor(4) as pool:
        futures = [pool.submit(scrape) for _ in range(4)]
        yield answers
        end.set()
        for future in futures:
            future.result()


@pytest.mark.slow
def test_no_scrape_is_cut_by_a_reload(page: Page, source: Source) -> None:
    """While the page closes and opens again, each scrape has all, a 503, or no connection."""
    source.data = many_metrics()
    server = MetricsServer(page, Settings(port=0))
    server.start()
    settings = Settings(port=server.port)
    with scrapers(server.port) as answers:
        for _ in range(10):
            before = len(answers)
            wait_until(lambda: len(answers) > before + 8)  # noqa: B023  # waited for at once
            server.stop()
            server = MetricsServer(page, settings)
            server.start()
        server.stop()

    assert [answer[:200] for answer in answers if not whole(answer)] == []
    assert sum(answer[9:12] == b"200" for answer in answers) > 10


@pytest.mark.slow
def test_no_scrape_is_cut_by_a_fork(server: MetricsServer, page: Page, source: Source) -> None:
    """Children that let go of the page take no answer with them."""
    source.data = many_metrics()
    with scrapers(server.port) as answers:
        for _ in range(10):
            before = len(answers)
            wait_until(lambda: len(answers) > before + 2)  # noqa: B023  # waited for at once
            pid = os.fork()
            if pid == 0:
                server.after_fork()
                os._exit(0)
            os.waitpid(pid, 0)

    assert [answer[:200] for answer in answers if not whole(answer)] == []
    assert {answer[9:12] for answer in answers} == {b"200"}


def _guarded(child: Callable[[], int]) -> int:
    try:
        return child()
    except BaseException:  # noqa: BLE001  # a forked child must end here, whatever happens
        return 2


def _listens(port: int) -> bool:
    """Say whether this process holds a listening socket on `port`."""
    inodes = set()
    for table in ("/proc/self/net/tcp", "/proc/self/net/tcp6"):
        with open(table) as lines:
            for line in list(lines)[1:]:
                fields = line.split()
                if fields[3] == "0A" and int(fields[1].rpartition(":")[2], 16) == port:
                    inodes.add(f"socket:[{fields[9]}]")
    for descriptor in os.listdir("/proc/self/fd"):
        try:
            if os.readlink(f"/proc/self/fd/{descriptor}") in inodes:
                return True
        except OSError:
            continue
    return False
