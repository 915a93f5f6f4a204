"""`PrometheusMetricReader`: in a service's own provider, and under upstream's configurator."""

import doctest
import logging
import os
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from opentelemetry.sdk.metrics import MeterProvider

import otel_exporter_prometheus
from otel_exporter_prometheus import PrometheusMetricReader, SettingError, encoding, naming
from otel_exporter_prometheus import reader as reader_module

CONFIGURED = """
import os, socket, urllib.request
with socket.socket() as free:
    free.bind(("127.0.0.1", 0))
    port = free.getsockname()[1]
os.environ["OTEL_EXPORTER_PROMETHEUS_PORT"] = str(port)
os.environ["OTEL_METRICS_EXPORTER"] = "prometheus_multiprocess"
from opentelemetry.sdk._configuration import _initialize_components
_initialize_components()
from opentelemetry import metrics
metrics.get_meter("app").create_counter("orders").add(5)
page = urllib.request.urlopen(f"http://localhost:{port}/metrics").read().decode()
print(page.splitlines()[-1])
"""


@pytest.fixture
def taken_port() -> Iterator[int]:
    """A port that another program holds."""
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        yield other.getsockname()[1]


def fetch(reader: PrometheusMetricReader) -> bytes:
    with urllib.request.urlopen(f"http://localhost:{reader.port}/metrics", timeout=20) as response:
        body: bytes = response.read()
    return body


def test_it_serves_a_provider_of_the_service(monkeypatch: pytest.MonkeyPatch) -> None:
    """A reader in anybody's MeterProvider opens a page, and closes it with the provider."""
    monkeypatch.setenv("OTEL_EXPORTER_PROMETHEUS_PORT", "0")
    reader = PrometheusMetricReader()
    provider = MeterProvider(metric_readers=[reader])
    provider.get_meter("app").create_counter("orders").add(5)

    assert fetch(reader).endswith(b"orders_total 5\n")
    provider.shutdown()
    assert reader.port is None


def test_it_works_under_upstreams_configurator() -> None:
    """`OTEL_METRICS_EXPORTER=prometheus_multiprocess` needs no code, nor the bundle's distro."""
    run = subprocess.run([sys.executable, "-c", CONFIGURED], capture_output=True, text=True)

    assert (run.stdout, run.stderr) == ("orders_total 5\n", "")


def test_before_a_provider_has_it_the_page_is_empty() -> None:
    """A scrape that comes first finds no metrics, and no warning is logged for it."""
    reader = PrometheusMetricReader(port=0)

    assert fetch(reader) == b""
    reader.shutdown()


def test_a_taken_port_is_one_line_and_the_service_runs_on(
    taken_port: int, caplog: pytest.LogCaptureFixture
) -> None:
    """Without a port there is no page; recording works, and the log says what to do."""
    reader = PrometheusMetricReader(port=taken_port)
    provider = MeterProvider(metric_readers=[reader])
    provider.get_meter("app").create_counter("orders").add(5)

    assert reader.port is None
    assert reader.page().endswith(b"orders_total 5\n")
    (record,) = caplog.records
    assert record.levelno == logging.ERROR
    assert f"localhost:{taken_port}: the port is taken by another program" in record.getMessage()
    provider.shutdown()


def test_bad_variables_are_warned_of_and_replaced(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A typing error in the environment never stops the service."""
    monkeypatch.setenv("OTEL_EXPORTER_PROMETHEUS_PROT", "1")
    reader = PrometheusMetricReader(serve=False)
    reader.shutdown()

    assert [record.getMessage() for record in caplog.records] == [
        (
            "OTEL_EXPORTER_PROMETHEUS_PROT=***: no such variable; "
            "did you mean OTEL_EXPORTER_PROMETHEUS_PORT?"
        )
    ]


def test_an_unsafe_variable_closes_the_page_with_one_line(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """An open address without authentication: no page, one error, and the service runs."""
    monkeypatch.setenv("OTEL_EXPORTER_PROMETHEUS_HOST", "0.0.0.0")
    reader = PrometheusMetricReader(port=0)

    assert reader.port is None
    assert [record.levelno for record in caplog.records] == [logging.ERROR]
    reader.shutdown()


def test_a_bad_argument_raises() -> None:
    """A mistake in code is an error at once, naming the argument."""
    with pytest.raises(SettingError, match="port=70000: accepted are 0"):
        PrometheusMetricReader(port=70000)


def test_a_file_of_an_argument_that_cannot_be_used_raises(tmp_path: Path) -> None:
    """What secures the page is looked into at once, when code names it."""
    with pytest.raises(SettingError, match=r"BEARER_TOKEN_FILE=.*: No such file or directory"):
        PrometheusMetricReader(port=0, bearer_token_file=str(tmp_path / "absent"))


def test_a_file_of_a_variable_that_cannot_be_used_closes_the_page(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """What comes from the environment never stops the service: one line, and no page."""
    monkeypatch.setenv("OTEL_EXPORTER_PROMETHEUS_BASIC_AUTH_FILE", str(tmp_path / "absent"))
    reader = PrometheusMetricReader(port=0)

    assert reader.port is None
    assert [record.levelno for record in caplog.records] == [logging.ERROR]
    assert caplog.records[0].getMessage().endswith("; the page stays closed")
    reader.shutdown()


def test_series_without_end_end_in_one() -> None:
    """No budget of ours stands before this reader: the SDK's limit bounds it, and the page says
    so."""
    reader = PrometheusMetricReader(serve=False)
    provider = MeterProvider(metric_readers=[reader])
    counter = provider.get_meter("app").create_counter("c")
    for number in range(10_000):
        counter.add(1, {"n": number})

    page = reader.page()
    assert page.count(b"\nc_total{") == 2001
    assert b'\nc_total{otel_metric_overflow="true"} 8000\n' in page
    assert reader.force_flush() is True
    provider.shutdown()


def test_a_forked_child_has_no_page_and_the_parent_keeps_its_own() -> None:
    """Two processes never answer on one socket; the child can still be asked in code."""
    reader = PrometheusMetricReader(port=0)
    provider = MeterProvider(metric_readers=[reader])
    provider.get_meter("app").create_counter("c").add(1)
    fetch(reader)
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            code = 0 if reader.port is None and b"c_total" in reader.page() else 1
        finally:
            os._exit(code)
    _, status = os.waitpid(pid, 0)

    assert os.waitstatus_to_exitcode(status) == 0
    assert fetch(reader).endswith(b"c_total 1\n")
    provider.shutdown()


@pytest.mark.parametrize("module", [reader_module, encoding, naming])
def test_examples_in_docstrings_are_true(module: object) -> None:
    """What the documentation shows is what happens."""
    assert doctest.testmod(module).failed == 0  # type: ignore[arg-type] # a module


def test_exports_are_listed_in_order() -> None:
    """`__all__` names what there is, sorted, so that nothing is exported by accident."""
    exported = otel_exporter_prometheus.__all__

    assert exported == sorted(exported)
    assert all(hasattr(otel_exporter_prometheus, name) for name in exported)
