"""The page in front of the real readers: promtool, and a Prometheus server that scrapes it."""

import json
import socket
import subprocess
import time
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import bcrypt
import pytest
from opentelemetry import trace
from opentelemetry.metrics import Meter
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.resources import Resource
from opentelemetry.util.types import AnyValue

from otel_exporter_prometheus import PrometheusMetricReader

DEADLINE_S = 60.0
UGLY = '"} 1\nevil{a="b\\\r\u2028\x00\ud800# TYPE x counter\'é𝄞'

Component = Callable[[str], str]


def record(meter: Meter) -> None:
    """Record one metric of each kind, with labels that are hard to read back."""
    attributes: dict[str, AnyValue] = {
        "skill": "review",
        "ugly": UGLY,
        "n": 1.0,
        "list": ["a", "b"],
    }
    meter.create_counter("shop.orders", "{order}", "Orders.").add(41, attributes)
    meter.create_counter("shop.cost", "USD").add(0.25)
    meter.create_up_down_counter("shop.queue.length", "{order}", "Waiting.").add(-2, attributes)
    meter.create_gauge("shop.cache.hit.ratio", "1", "Hits.").set(0.5, attributes)
    context = trace.SpanContext(0xABC, 0xDEF, is_remote=False, trace_flags=trace.TraceFlags(1))
    with trace.use_span(trace.NonRecordingSpan(context)):
        histogram = meter.create_histogram("shop.order.duration", "s", "How long an order takes.")
        for value in (0.2, 3, 700):
            histogram.record(value, {**attributes, "le": "1"})


@pytest.mark.component("promtool")
def test_promtool_finds_nothing(
    component: Component, meter: Meter, reader: PrometheusMetricReader
) -> None:
    """The official linter has no complaint about names, help and types."""
    record(meter)

    checked = subprocess.run(
        [component("promtool"), "check", "metrics"], input=reader.page(), capture_output=True
    )

    assert (checked.returncode, checked.stdout, checked.stderr) == (0, b"", b"")


@contextmanager
def serving(**secured: str) -> Iterator[PrometheusMetricReader]:
    """Serve metrics on a free port."""
    reader = PrometheusMetricReader(port=0, **secured)  # type: ignore[arg-type] # files only
    provider = MeterProvider(
        metric_readers=[reader],
        resource=Resource({"service.name": "shop"}),
        shutdown_on_exit=False,
    )
    record(provider.get_meter("test"))
    yield reader
    provider.shutdown()


@contextmanager
def scraping(program: str, folder: Path, port: int | None, *lines: str) -> Iterator[str]:
    """Let a Prometheus scrape a port every 200 ms, and give its URL."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    configuration = folder / "prometheus.yml"
    configuration.write_text(
        "scrape_configs:\n- job_name: shop\n  scrape_interval: 200ms\n  scrape_timeout: 200ms\n"
        + "".join(f"  {line}\n" for line in lines)
        + f"  static_configs:\n  - targets: ['localhost:{port}']\n"
    )
    command = [program, f"--config.file={configuration}"]
    command += [f"--storage.tsdb.path={folder / 'data'}", f"--web.listen-address={address}"]
    command += ["--enable-feature=exemplar-storage", "--log.level=warn"]
    with open(folder / "prometheus.log", "wb") as log:
        server = subprocess.Popen(command, stdout=log, stderr=log)
    yield f"http://{address}"
    server.terminate()
    server.wait(DEADLINE_S)


@pytest.fixture
def prometheus(component: Component, tmp_path: Path) -> Iterator[str]:
    """The URL of a Prometheus that scrapes a page."""
    program = component("prometheus")
    with serving() as served, scraping(program, tmp_path, served.port) as url:
        yield url


def query(prometheus: str, path: str, expression: str) -> list[dict[str, object]]:
    """Ask until there is an answer; Prometheus starts, scrapes and stores in its own time."""
    url = f"{prometheus}/api/v1/{path}?" + urllib.parse.urlencode({"query": expression})
    if path == "query_exemplars":
        url += f"&start={time.time() - 600}&end={time.time() + 600}"
    deadline = time.monotonic() + DEADLINE_S
    while time.monotonic() < deadline:
        try:
            with urllib.request.urlopen(url, timeout=5) as response:
                data = json.load(response)["data"]
        except OSError:
            data = []
        found = data["result"] if path == "query" and data else data
        if found:
            assert isinstance(found, list)
            return found
        time.sleep(0.05)
    raise AssertionError(f"no answer to {expression}")


@pytest.mark.slow
@pytest.mark.component("prometheus")
def test_prometheus_reads_back_what_was_recorded(prometheus: str) -> None:
    """A real Prometheus scrapes the page, and its queries return numbers, labels and traces."""
    (orders,) = query(prometheus, "query", "shop_orders_total")
    (ratio,) = query(prometheus, "query", "shop_cache_hit_ratio")
    (count,) = query(prometheus, "query", "shop_order_duration_seconds_count")
    (bucket,) = query(prometheus, "query", 'shop_order_duration_seconds_bucket{le="5.0"}')
    (joined,) = query(
        prometheus,
        "query",
        "shop_cost_USD_total * on(instance) group_left(service_name) target_info",
    )
    (exemplars, *_) = query(prometheus, "query_exemplars", "shop_order_duration_seconds_bucket")

    assert [_value(each) for each in (orders, ratio, count, bucket)] == ["41", "0.5", "3", "2"]
    assert orders["metric"] == {
        "__name__": "shop_orders_total",
        "instance": orders["metric"]["instance"],  # type: ignore[index] # of Prometheus' answer
        "job": "shop",
        "list": '["a","b"]',
        "n": "1",
        "skill": "review",
        "ugly": UGLY.replace("\x00", "\ufffd").replace("\ud800", "\ufffd"),
    }
    assert joined["metric"]["service_name"] == "shop"  # type: ignore[index] # of Prometheus' answer
    assert f"{0xABC:032x}" in json.dumps(exemplars)


@pytest.mark.slow
@pytest.mark.component("prometheus")
def test_prometheus_scrapes_with_a_token(component: Component, tmp_path: Path) -> None:
    """The file of tokens is the one that Prometheus reads, too."""
    tokens = tmp_path / "tokens"
    tokens.touch(mode=0o600)
    tokens.write_text("0123456789abcdef0123456789abcdef\n")
    program = component("prometheus")

    with serving(bearer_token_file=str(tokens)) as served:
        how = ("authorization:", f"  credentials_file: {tokens}")
        with scraping(program, tmp_path, served.port, *how) as url:
            (orders,) = query(url, "query", "shop_orders_total")

    assert _value(orders) == "41"


@pytest.mark.slow
@pytest.mark.component("prometheus")
def test_prometheus_scrapes_with_a_password_over_tls(
    component: Component, tmp_path: Path, certify: Callable[..., tuple[str, str]]
) -> None:
    """User and password over HTTPS, every 200 ms: the password is hashed once only."""
    users = tmp_path / "users"
    users.touch(mode=0o600)
    users.write_bytes(b"prom:" + bcrypt.hashpw(b"pass:word", bcrypt.gensalt(12)) + b"\n")
    cert, key = certify()
    program = component("prometheus")

    with serving(basic_auth_file=str(users), tls_cert_file=cert, tls_key_file=key) as served:
        how = (
            *("scheme: https", "tls_config:", f"  ca_file: {cert}"),
            *("basic_auth:", "  username: prom", "  password: 'pass:word'"),
        )
        with scraping(program, tmp_path, served.port, *how) as url:
            (orders,) = query(url, "query", "shop_orders_total")
            (up,) = query(url, "query", "min_over_time(up[1s]) == 1")

    assert (_value(orders), _value(up)) == ("41", "1")


def _value(result: dict[str, object]) -> str:
    value = result["value"]
    assert isinstance(value, list)
    return str(value[1])
