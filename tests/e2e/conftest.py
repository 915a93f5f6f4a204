"""Runs real programs, and reads what they left on disk, on the page and on the wire."""

import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from concurrent import futures
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
import pytest
import zstandard
from opentelemetry.proto.collector.logs.v1 import logs_service_pb2, logs_service_pb2_grpc
from opentelemetry.proto.collector.metrics.v1 import metrics_service_pb2, metrics_service_pb2_grpc

from otel_exporter_ndjson import read
from tests.e2e.services import Receiver, Service, receiving

Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Run Python code, or a command, in the test's folder; fail the test when it fails."""

    def run_(
        code: str = "",
        *,
        command: list[str] | None = None,
        env: Mapping[str, str] | None = None,
        status: int = 0,
    ) -> subprocess.CompletedProcess[str]:
        script = tmp_path / "program.py"
        script.write_text(code)
        done = subprocess.run(
            command or [sys.executable, str(script)],
            cwd=tmp_path,
            env={**os.environ, "OTEL_EXPORTER_PROMETHEUS_PORT": "0", **(env or {})},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == status, done.stdout + done.stderr
        return done

    return run_


@dataclass
class Archived:
    """What an archive holds, as any reader of its lines sees it."""

    root: Path

    def lines(self, kind: str) -> list[dict[str, Any]]:
        """Return the lines of a kind, straight from the files."""
        lines = (json.loads(line) for text in self._texts() for line in text.splitlines())
        return [line for line in lines if line["kind"] == kind]

    def _texts(self) -> Iterator[str]:
        files = [*self.root.rglob("*.ndjson"), *self.root.rglob("*.ndjson.zst")]
        for file in sorted(files):
            data = file.read_bytes()
            if file.suffix == ".zst":
                data = zstandard.ZstdDecompressor().decompressobj().decompress(data)
            yield data.decode()

    def totals(self, metric: str) -> Counter[str]:
        """Return a counter's last value of each writer and series, added up by series."""
        totals: Counter[str] = Counter()
        for (_, series), value in self._last(metric).items():
            totals[series] += value  # type: ignore[assignment]  # whole numbers in these tests
        return totals

    def by_writer(self, metric: str) -> dict[str, float]:
        """Return a counter's last value by writer, its series added up."""
        totals: dict[str, float] = {}
        for (writer, _), value in self._last(metric).items():
            totals[writer] = totals.get(writer, 0) + value
        return totals

    def _last(self, metric: str) -> dict[tuple[str, str], float]:
        last: dict[tuple[str, str], float] = {}
        for record in read(self.root, signal="metrics"):
            if record.data.get("metric") == metric and record.data["kind"] == "metric":
                series = json.dumps(record.data["attributes"], sort_keys=True)
                last[record.instance, series] = record.data["value"]
        return last

    def instances(self) -> list[str]:
        """Return the service instance of each writer of metrics."""
        found = {
            line["writer"]["instance"]: line["resource"]["attributes"]["service.instance.id"]
            for line in self.lines("segment")
            if line["signal"] == "metrics"
        }
        return list(found.values())

    def total(self, metric: str) -> float:
        """Return a counter's value over all series and writers."""
        return sum(self.totals(metric).values())

    def events(self, name: str) -> list[dict[str, Any]]:
        """Return the attributes of the events of that name."""
        return [line["attributes"] for line in self.lines("event") if line["event"] == name]


@pytest.fixture
def archived(tmp_path: Path) -> Archived:
    """The archive in the test's folder, where a program leaves it by default."""
    return Archived(tmp_path / "telemetry")


@dataclass
class Collector:
    """A real OTLP gRPC server that keeps what it was sent."""

    port: int = 0
    metrics: list[metrics_service_pb2.ExportMetricsServiceRequest] = field(default_factory=list)
    logs: list[logs_service_pb2.ExportLogsServiceRequest] = field(default_factory=list)

    @property
    def endpoint(self) -> str:
        """What `OTEL_EXPORTER_OTLP_ENDPOINT` is to say."""
        return f"http://127.0.0.1:{self.port}"

    def total(self, metric: str) -> float:
        """Return a counter's last value of each service instance and series, added up."""
        last: dict[tuple[str, str], float] = {}
        for request in self.metrics:
            for resource in request.resource_metrics:
                instance = str(resource.resource.attributes)
                for scope in resource.scope_metrics:
                    for kept in scope.metrics:
                        if kept.name == metric:
                            for point in kept.sum.data_points:
                                key = (instance, str(point.attributes))
                                last[key] = point.as_int or point.as_double
        return sum(last.values())

    def event_names(self) -> list[str]:
        """Return the names of the events that arrived, in order."""
        return [
            record.event_name
            for request in self.logs
            for resource in request.resource_logs
            for scope in resource.scope_logs
            for record in scope.log_records
        ]


@pytest.fixture
def collector() -> Iterator[Collector]:
    """Start a real gRPC server on a free port."""
    kept = Collector()

    class Metrics(metrics_service_pb2_grpc.MetricsServiceServicer):
        def Export(self, request: Any, context: Any) -> Any:  # noqa: N802  # the service's own name
            kept.metrics.append(request)
            return metrics_service_pb2.ExportMetricsServiceResponse()

    class Logs(logs_service_pb2_grpc.LogsServiceServicer):
        def Export(self, request: Any, context: Any) -> Any:  # noqa: N802  # likewise
            kept.logs.append(request)
            return logs_service_pb2.ExportLogsServiceResponse()

    server = grpc.server(futures.ThreadPoolExecutor(2))
    metrics_service_pb2_grpc.add_MetricsServiceServicer_to_server(Metrics(), server)  # type: ignore[no-untyped-call]  # generated
    logs_service_pb2_grpc.add_LogsServiceServicer_to_server(Logs(), server)  # type: ignore[no-untyped-call]  # generated
    kept.port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    yield kept
    server.stop(0).wait()


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Callable[..., Service]]:
    """Start services in the test's folder: `service(code)`, `service(command=[...])`."""
    started: list[Service] = []

    def start(code: str = "", **arguments: Any) -> Service:
        started.append(Service(tmp_path, code, **arguments))
        return started[-1]

    yield start
    for each in started:
        each.kill()


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    """Run a real OTLP/HTTP endpoint that keeps each stream's newest value."""
    with receiving() as kept:
        yield kept


@pytest.fixture
def exporting(service: Callable[..., Service], receiver: Receiver) -> Callable[..., Service]:
    """Start a program whose metrics go to the archive, to its page and to `receiver`."""
    env = {
        "OTEL_METRICS_EXPORTER": "ndjson,prometheus,otlp",
        "OTEL_EXPORTER_OTLP_ENDPOINT": receiver.endpoint,
        "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf",
    }
    return lambda code, **named: service(code, env=env, **named)
