"""Collectors that are down, silent, slow or flapping: the service does not notice, the archive goes
on, and what was recorded arrives within an interval of their coming back."""

import json
import re
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from otel_exporter_ndjson import read
from tests.e2e.processes import Program, until
from tests.otel_metrics.cli.archive.conftest import real_collector
from tests.otel_metrics.pipeline.conftest import grpc_collector, http_collector, talker

__all__ = ["grpc_collector", "http_collector", "real_collector", "talker"]

pytestmark = pytest.mark.slow

INTERVAL_S = 0.2
Make = Callable[..., Any]

SERVICE = """
import json, os, sys, threading, time
import otel_metrics
from otel_metrics import instruments, skills
telemetry = otel_metrics.configure()
handle = instruments.metric("skill.executions")
print("ready", flush=True)
number, slowest, stop, most_threads = 0, 0.0, threading.Event(), 0
threading.Thread(target=lambda: (sys.stdin.read(), stop.set()), daemon=True).start()
while not stop.wait(0.005):
    begun = time.perf_counter()
    handle.add(1, {"gen_ai.skill.name": "x"})
    slowest = max(slowest, time.perf_counter() - begun)
    number += 1
    if number % 20 == 0:
        most_threads = max(most_threads, threading.active_count())
result = telemetry.flush(1)
print(json.dumps({"recorded": number, "slowest": slowest, "threads": most_threads,
                  "verdicts": {name: v.status for name, v in result.items()}}))
"""


class Service:
    """A service that records two hundred times a second until it is told to stop."""

    def __init__(self, folder: Path, endpoint: str, protocol: str, interval_s: float) -> None:
        self.archive = folder / "telemetry"
        env = {
            "OTEL_METRICS_EXPORTER": "ndjson,otlp",
            "OTEL_EXPORTER_OTLP_ENDPOINT": endpoint,
            "OTEL_EXPORTER_OTLP_PROTOCOL": protocol,
            "OTEL_EXPORTER_OTLP_TIMEOUT": "500ms",
            "OTEL_METRIC_EXPORT_INTERVAL": f"{interval_s * 1000:.0f}",
        }
        self.program = Program(folder, SERVICE, env=env, talks=True)
        self.program.await_ready()

    def archived(self) -> list[float]:
        """Return what the archive has of the counter, in order."""
        if not self.archive.exists():
            return []
        return [
            record.data["value"]
            for record in read(self.archive, signal="metrics")
            if record.data.get("metric") == "skill.executions" and record.data["kind"] == "metric"
        ]

    def stop(self) -> tuple[dict[str, Any], list[str]]:
        """End it, and return what it says and its log lines."""
        output, errors = self.program.finish()
        return json.loads(output), errors.splitlines()


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Callable[..., Service]]:
    """Start a service: `serve(endpoint, protocol)`."""
    services: list[Service] = []

    def start(
        endpoint: str, protocol: str = "http/protobuf", interval_s: float = INTERVAL_S
    ) -> Service:
        services.append(Service(tmp_path, endpoint, protocol, interval_s))
        return services[-1]

    yield start
    for service in services:
        service.program.kill()


def state(lines: list[str]) -> list[str]:
    """Return what the log says of the exporter's state, in short."""
    found = (re.search(r"exporter otlp: (down|still down|up again)", line) for line in lines)
    return [match[1] for match in found if match]


def free_port() -> int:
    """Return a port that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as found:
        return int(found.getsockname()[1])


def counted(collector: Any) -> float:
    """Return the newest value of the counter at a collector."""
    values = [
        point.as_int
        for message in list(collector.messages)
        for resource in message.resource_metrics
        for scope in resource.scope_metrics
        for metric in scope.metrics
        if metric.name == "skill.executions"
        for point in metric.sum.data_points
    ]
    return max(values, default=0)


def test_down_at_start_and_back_later(serve: Callable[..., Service], grpc_collector: Make) -> None:
    """A collector that starts after the service, goes and comes back is found within an interval
    or two each time; the log has a line a change, the archive a record an interval."""
    port = free_port()
    service = serve(f"http://127.0.0.1:{port}", "grpc")
    until(lambda: len(service.archived()) >= 5)
    first = grpc_collector(port=port)
    begun = time.monotonic()
    until(lambda: counted(first) > 0)
    found_s = time.monotonic() - begun
    said, lines = service.stop()

    assert found_s < INTERVAL_S + 1.0  # the attempt that failed last may have to run out
    assert said["verdicts"] == {"ndjson": "delivered", "otlp": "delivered"}
    assert counted(first) == said["recorded"] == service.archived()[-1]
    assert state(lines) == ["down", "up again"]


@pytest.mark.parametrize("protocol", ["grpc", "http/protobuf"])
def test_a_real_collector_that_is_stopped(
    serve: Callable[..., Service], real_collector: Make, protocol: str
) -> None:
    """While the collector accepts and is silent (SIGSTOP) the archive keeps its interval; when it
    goes on, so does delivery."""
    collector = real_collector()
    address = collector.grpc if protocol == "grpc" else collector.http
    service = serve(f"http://{address}", protocol)
    collector.wait_for(3)
    collector.process.send_signal(signal.SIGSTOP)
    until(lambda: "down" in state(service.program.errors_so_far()))
    before, begun = len(service.archived()), time.monotonic()
    until(lambda: len(service.archived()) >= before + 5)
    took_s = time.monotonic() - begun
    collector.process.send_signal(signal.SIGCONT)
    until(lambda: "up again" in state(service.program.errors_so_far()))
    said, lines = service.stop()

    assert took_s < 5 * INTERVAL_S + 1.5
    assert said["verdicts"] == {"ndjson": "delivered", "otlp": "delivered"}
    assert state(lines) == ["down", "up again"]
    assert f'"asInt":"{said["recorded"]}"' in "".join(collector.lines())


def _slow(connection: socket.socket) -> None:
    connection.recv(65_536)
    time.sleep(8)
    connection.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")


def _drip(connection: socket.socket) -> None:
    connection.recv(65_536)
    for byte in b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n":
        connection.sendall(bytes([byte]))
        time.sleep(1)


@pytest.mark.parametrize("talk", [_slow, _drip, lambda connection: None])
def test_a_slow_collector_delays_nobody(
    serve: Callable[..., Service], talker: Make, talk: Callable[[socket.socket], None]
) -> None:
    """One that takes 8 s, drips a byte a second or says nothing: the archive keeps its interval,
    no call takes long, a flush says so in time, and the exit keeps its budget."""
    service = serve(f"http://127.0.0.1:{talker(talk)}")
    until(lambda: service.archived())
    before, begun = len(service.archived()), time.monotonic()
    until(lambda: len(service.archived()) >= before + 10)
    took_s = time.monotonic() - begun
    begun = time.monotonic()
    said, lines = service.stop()
    end_s = time.monotonic() - begun

    assert took_s < 10 * INTERVAL_S + 1.5
    assert said["verdicts"]["ndjson"] == "delivered"
    assert said["verdicts"]["otlp"] in ("failed", "timed_out")
    assert said["slowest"] < 0.2
    assert end_s < 1 + 2 + 0.5  # the flush, the exit timeout, and what an exit may take beyond
    assert service.archived()[-1] == said["recorded"]
    assert state(lines) == ["down"]


def test_flapping_under_load(serve: Callable[..., Service], http_collector: Make) -> None:
    """A collector that comes and goes every 100 ms costs two lines, no thread and no record."""
    collector = http_collector()
    answer = type(collector.next_answer())
    service = serve(collector.endpoint.removesuffix("/v1/metrics"), interval_s=0.02)
    done = threading.Event()

    def flap() -> None:
        while not done.wait(0.1):
            collector.answers = [] if collector.answers else [answer(status=500)] * 1000

    flapping = threading.Thread(target=flap)
    flapping.start()
    until(lambda: len(collector.messages) > 150)
    done.set()
    flapping.join()
    collector.answers = []
    said, lines = service.stop()

    assert state(lines) == ["down", "up again"]
    assert len(lines) == 2
    assert said["threads"] <= 9  # one of them only until prices are loaded
    assert counted(collector) == said["recorded"]


def test_a_long_outage_costs_no_memory_and_no_count(
    serve: Callable[..., Service], http_collector: Make, tmp_path: Path
) -> None:
    """A day's outage, scaled: after 200 intervals down the first batch says it all."""
    collector = http_collector()
    answer = type(collector.next_answer())
    collector.answers = [answer(status=503)] * 100_000
    service = serve(collector.endpoint.removesuffix("/v1/metrics"), interval_s=0.02)
    until(lambda: len(service.archived()) >= 20)
    before = _memory(service.program.process.pid)
    until(lambda: len(service.archived()) >= 200)
    grown = _memory(service.program.process.pid) - before
    collector.answers = []
    said, lines = service.stop()

    assert grown < 4 * 2**20
    assert counted(collector) == said["recorded"] == service.archived()[-1]
    assert state(lines) == ["down", "up again"]


def _memory(pid: int) -> int:
    pages = Path(f"/proc/{pid}/statm").read_text().split()[1]
    return int(pages) * 4096
