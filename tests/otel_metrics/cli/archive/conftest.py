"""Endpoints to replay to: the servers of the OTLP tests, and a real collector."""

import re
import signal
import socket
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.otel_metrics.pipeline.conftest import (
    _no_proxies,
    collector,
    grpc_collector,
    http_collector,
)

__all__ = ["_no_proxies", "collector", "grpc_collector", "http_collector"]

CONFIGURATION = """
receivers:
  otlp:
    protocols:
      grpc: {{endpoint: "127.0.0.1:{grpc}", max_recv_msg_size_mib: 4}}
      http: {{endpoint: "127.0.0.1:{http}"}}
  otlp_json_file: {{include: ["{read}"], start_at: beginning, include_file_name: false}}
exporters:
  file: {{path: "{written}"}}
  debug: {{}}
service:
  telemetry: {{metrics: {{level: none}}}}
  pipelines:
    metrics: {{receivers: [otlp, otlp_json_file], exporters: [file, debug]}}
    logs: {{receivers: [otlp, otlp_json_file], exporters: [file, debug]}}
"""

PORT_ATTEMPTS = 3
"""A port that was free may be taken before the collector has it."""


@dataclass
class RealCollector:
    """A running OpenTelemetry Collector, which writes what it receives to a file."""

    process: "subprocess.Popen[str]"
    grpc: str
    http: str
    written: Path

    def wait_for(self, records: int) -> None:
        """Wait until it has handed on so many points and log records."""
        assert self.process.stderr is not None
        for line in self.process.stderr:
            for count in re.findall(r'"(?:data points|log records)": (\d+)', line):
                records -= int(count)
            if records <= 0:
                return

    def lines(self) -> list[str]:
        """End it, and return what it wrote."""
        self.process.send_signal(signal.SIGTERM)
        self.process.communicate(timeout=30)
        return self.written.read_text(encoding="utf-8").split("\n")[:-1]


MakeRealCollector = Callable[..., RealCollector]


@pytest.fixture
def real_collector(component: Callable[[str], str], tmp_path: Path) -> Iterator[MakeRealCollector]:
    """Start a collector: `real_collector(read=file)`."""
    started: list[Any] = []

    def start(read: Path | None = None) -> RealCollector:
        for _ in range(PORT_ATTEMPTS):
            made = launch(read)
            assert made.process.stderr is not None
            if any("Everything is ready" in line for line in made.process.stderr):
                return made
        raise AssertionError("the collector does not start")

    def launch(read: Path | None) -> RealCollector:
        grpc, http = _free_ports(2)
        written = tmp_path / "written.json"
        configuration = tmp_path / "collector.yaml"
        configuration.write_text(
            CONFIGURATION.format(grpc=grpc, http=http, read=read or "/nowhere", written=written)
        )
        command = [component("otelcol"), "--config", f"file:{configuration}"]
        process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
        started.append(process)
        return RealCollector(
            process, f"http://127.0.0.1:{grpc}", f"http://127.0.0.1:{http}", written
        )

    yield start
    for process in started:
        process.kill()
        process.communicate()


def _free_ports(count: int) -> list[int]:
    held = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [each.getsockname()[1] for each in held]
    for each in held:
        each.close()
    return ports
