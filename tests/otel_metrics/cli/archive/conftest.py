"""Endpoints to replay to: the servers of the OTLP tests, and a real collector."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.collector_config.running import Collector, until
from tests.otel_metrics.archive.everything import of_lines
from tests.otel_metrics.pipeline.conftest import (
    _no_proxies,
    collector,
    grpc_collector,
    http_collector,
)

__all__ = ["_no_proxies", "collector", "grpc_collector", "http_collector"]

CONFIGURATION = """
extensions:
  health_check: {endpoint: "${env:OTELCOL_HEALTH_ENDPOINT}"}
receivers:
  otlp:
    protocols:
      grpc: {endpoint: "${env:OTELCOL_GRPC_ENDPOINT}", max_recv_msg_size_mib: 4}
      http: {endpoint: "${env:OTELCOL_HTTP_ENDPOINT}"}
  otlp_json_file: {include: ["${env:READ}"], start_at: beginning, include_file_name: false}
exporters:
  file/metrics: {path: metrics.jsonl, flush_interval: 100ms}
  file/logs: {path: logs.jsonl, flush_interval: 100ms}
service:
  extensions: [health_check]
  telemetry: {metrics: {level: none}}
  pipelines:
    metrics: {receivers: [otlp, otlp_json_file], exporters: [file/metrics]}
    logs: {receivers: [otlp, otlp_json_file], exporters: [file/logs]}
"""


class RealCollector(Collector):
    """A running OpenTelemetry Collector, which writes what it receives to two files."""

    def wait_for(self, records: int) -> None:
        """Wait until it has written so many points and log records."""
        until(lambda: of_lines(self._lines()).total() >= records, self.log)

    def lines(self) -> list[str]:
        """End it, and return what it wrote."""
        self.stop()
        assert self.process is not None
        assert self.process.returncode == 0, self.log()
        return self._lines()

    def _lines(self) -> list[str]:
        texts = (file.read_text(encoding="utf-8") for file in self.folder.glob("*.jsonl"))
        return [line for text in texts for line in text.split("\n")[:-1]]


MakeRealCollector = Callable[..., RealCollector]


@pytest.fixture
def real_collector(component: Callable[[str], str], tmp_path: Path) -> Iterator[MakeRealCollector]:
    """Start a collector: `real_collector(read=file)`."""
    started: list[RealCollector] = []

    def start(read: Path | None = None) -> RealCollector:
        folder = tmp_path / "collector"
        folder.mkdir()
        configuration = folder / "collector.yaml"
        configuration.write_text(CONFIGURATION)
        program = component("otelcol")
        env = {"READ": str(read or "/nowhere")}
        made = RealCollector(program, "real", folder=folder, files=[configuration], env=env)
        started.append(made)
        made.start()
        return made

    yield start
    for each in started:
        each.close()
