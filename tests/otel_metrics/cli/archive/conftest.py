"""Endpoints to replay to: the servers of the OTLP tests, and a real collector."""

import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.otel_metrics.archive.everything import of_lines
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
  file/metrics: {{path: "{folder}/metrics.jsonl", flush_interval: 100ms}}
  file/logs: {{path: "{folder}/logs.jsonl", flush_interval: 100ms}}
service:
  telemetry: {{metrics: {{level: none}}}}
  pipelines:
    metrics: {{receivers: [otlp, otlp_json_file], exporters: [file/metrics]}}
    logs: {{receivers: [otlp, otlp_json_file], exporters: [file/logs]}}
"""

PORT_ATTEMPTS = 3
"""A port that was free may be taken before the collector has it."""
DEADLINE_S = 45.0
"""How long a busy machine may take."""


@dataclass
class RealCollector:
    """A running OpenTelemetry Collector, which writes what it receives to two files."""

    process: "subprocess.Popen[bytes]"
    grpc: str
    http: str
    folder: Path

    def starts(self) -> bool:
        """Wait until it listens, and tell whether it does."""
        while "Everything is ready" not in self.log():
            if self.process.poll() is not None:
                return False
            time.sleep(0.02)
        return True

    def wait_for(self, records: int) -> None:
        """Wait until it has written so many points and log records."""
        deadline = time.monotonic() + DEADLINE_S
        while of_lines(self._lines()).total() < records:
            assert self.process.poll() is None, self.log()
            assert time.monotonic() < deadline, self.log()
            time.sleep(0.05)

    def lines(self) -> list[str]:
        """End it, and return what it wrote."""
        self.process.send_signal(signal.SIGTERM)
        assert self.process.wait(DEADLINE_S) == 0, self.log()
        return self._lines()

    def log(self) -> str:
        """Return what it has logged."""
        return (self.folder / "log").read_text()

    def _lines(self) -> list[str]:
        texts = (file.read_text(encoding="utf-8") for file in self.folder.glob("*.jsonl"))
        return [line for text in texts for line in text.split("\n")[:-1]]


MakeRealCollector = Callable[..., RealCollector]


@pytest.fixture
def real_collector(component: Callable[[str], str], tmp_path: Path) -> Iterator[MakeRealCollector]:
    """Start a collector: `real_collector(read=file)`."""
    started: list[Any] = []

    def start(read: Path | None = None) -> RealCollector:
        for number in range(PORT_ATTEMPTS):
            made = launch(tmp_path / f"collector-{number}", read)
            if made.starts():
                return made
        raise AssertionError(made.log())

    def launch(folder: Path, read: Path | None) -> RealCollector:
        grpc, http = _free_ports(2)
        folder.mkdir()
        configuration = folder / "collector.yaml"
        configuration.write_text(
            CONFIGURATION.format(grpc=grpc, http=http, read=read or "/nowhere", folder=folder)
        )
        command = [component("otelcol"), "--config", f"file:{configuration}"]
        with (folder / "log").open("wb") as log:
            process = subprocess.Popen(command, stderr=log)
        started.append(process)
        return RealCollector(
            process, f"http://127.0.0.1:{grpc}", f"http://127.0.0.1:{http}", folder
        )

    yield start
    for process in started:
        process.kill()
        process.wait()


def _free_ports(count: int) -> list[int]:
    held = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [each.getsockname()[1] for each in held]
    for each in held:
        each.close()
    return ports
