"""The page's server: what clients get, good and bad ones, and what it costs the others."""

import http.client
import os
import socket
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

import pytest
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader, MetricsData
from prometheus_client.openmetrics.parser import (
    text_string_to_metric_families as parse_openmetrics,
)

from otel_exporter_prometheus import ListenError, MetricsServer
from otel_exporter_prometheus.page import Page
from otel_exporter_prometheus.server import CONNECTIONS_MAX
from otel_exporter_prometheus.settings import Settings, from_environ

DEADLINE_S = 20.0


def metrics(value: int = 1) -> MetricsData:
    reader = InMemoryMetricReader()
    provider = MeterProvider(metric_readers=[reader], shutdown_on_exit=False)
    provider.get_meter("test").create_counter("c").add(value)
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

    def __call__(self) -> MetricsData | None:
        self.collections += 1
        self.entered.set()
        assert self.open.wait(DEADLINE_S)
        if self.error is not None:
            raise self.error
        return metrics(self.collections)


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


@pytest.mark.slow
def test_a_client_that_never_asks_is_closed(server: MetricsServer, page: Page) -> None:
    """A request must be there within five seconds."""
    assert raw(server, b"GET /metrics HT") == b""
    assert page.stats().errors == {"read": 1}


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


def test_an_unsafe_setting_keeps_the_page_closed() -> None:
    """A page that was to be authenticated is not served without."""
    settings, _ = from_environ({"OTEL_EXPORTER_PROMETHEUS_BEARER_TOKEN_FILE": "/token"})

    with pytest.raises(ListenError, match="not supported by this version; the page stays closed"):
        MetricsServer(Page(metrics), settings).start()


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
