"""Real collectors with the configurations of this project, and a service that feeds them."""

import contextlib
import json
import os
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Final

from tests.e2e.processes import Program

__all__ = [
    "CONFIGURATIONS",
    "DEADLINE_S",
    "FOLDER",
    "Collector",
    "Service",
    "arguments",
    "asked",
    "free_port",
    "until",
]

FOLDER: Final = Path(__file__).parents[2] / "collector-config"
CONFIGURATIONS: Final[Mapping[str, tuple[str, ...]]] = {
    "local": ("local.yaml",),
    "agent": ("agent.yaml",),
    "agent-kafka": ("agent.yaml", "agent-kafka.yaml"),
    "gateway": ("gateway.yaml",),
    "gateway-kafka": ("gateway.yaml", "gateway-kafka.yaml"),
    "gateway-remote-write": ("gateway.yaml", "gateway-remote-write.yaml"),
    "replay": ("replay.yaml",),
}
"""Each way to start a collector, and the files that are laid one over the other for it."""
DEADLINE_S: Final = 45.0
"""How long a busy machine may take for what takes a second."""


class Collector:
    """A collector with one of the configurations, and ports that are held until the test ends.

    Args:
        program: the path of `otelcol`.
        name: one of `CONFIGURATIONS`, or
        files: the configuration's files.
        folder: where it runs and logs.
        env: variables beside the ports.
    """

    def __init__(
        self,
        program: str,
        name: str,
        *,
        folder: Path,
        files: list[Path] | None = None,
        env: Mapping[str, str] | None = None,
    ) -> None:
        self.command = [
            program,
            *arguments(files or [FOLDER / file for file in CONFIGURATIONS[name]]),
        ]
        self.folder = folder
        self._name = name
        self._log = folder / f"{name}.log"
        self._log.touch()
        self._held, self.ports = _ports()
        self.env = {**os.environ, **self._addresses(), **(env or {})}
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> "Collector":
        """Start it, again too, and wait until it is healthy."""
        self._launch()
        health = f"http://127.0.0.1:{self.ports['HEALTH']}/"
        until(
            lambda: self._is_healthy(health), lambda: f"{self._name} does not start\n{self.log()}"
        )
        return self

    def refusal(self) -> str:
        """Start it where it is expected not to, and return what it says; fail where it runs."""
        process = self._launch()
        try:
            status = process.wait(DEADLINE_S)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"{self._name} starts\n{self.log()}") from None
        assert status == 1, f"{self._name} ends with {status}\n{self.log()}"
        return self.log()

    def stop(self) -> None:
        """End it as a service manager does, so that it hands on what it holds."""
        if self.process is not None and self.process.poll() is None:
            self.process.terminate()
            self.process.wait(DEADLINE_S)

    def kill(self) -> None:
        """End it with SIGKILL."""
        if self.process is not None:
            self.process.send_signal(signal.SIGKILL)
            self.process.wait(DEADLINE_S)

    def close(self) -> None:
        """Kill it, and give the ports back."""
        self.kill()
        for each in self._held:
            each.close()

    def log(self) -> str:
        """Return all that it has logged."""
        return self._log.read_text(errors="replace")

    def said(self, *words: str) -> list[str]:
        """Return the lines of its log that have all these words."""
        return [line for line in self.log().splitlines() if all(word in line for word in words)]

    def levels(self) -> set[str]:
        """Return the levels of the lines in its log."""
        fields = [line.split("\t") for line in self.log().splitlines()]
        return {field[1] for field in fields if len(field) > 2}

    @property
    def grpc(self) -> str:
        """Its OTLP endpoint for gRPC, as host and port."""
        return f"127.0.0.1:{self.ports['GRPC']}"

    @property
    def http(self) -> str:
        """Its OTLP endpoint for HTTP, as host and port."""
        return f"127.0.0.1:{self.ports['HTTP']}"

    def page(self, *, openmetrics: bool = False) -> str:
        """Return what its Prometheus exporter shows."""
        kind = "application/openmetrics-text" if openmetrics else "text/plain"
        return asked(f"http://127.0.0.1:{self.ports['PAGE']}/metrics", {"Accept": kind})

    def own(self, metric: str) -> float:
        """Return the sum over the series of a metric about itself; 0 where there is none yet."""
        lines = (line for line in self.own_page().splitlines() if line.startswith(f"{metric}{{"))
        return sum(float(line.rpartition(" ")[2]) for line in lines)

    def own_page(self) -> str:
        """Return the page about itself."""
        return asked(f"http://127.0.0.1:{self.ports['TELEMETRY']}/metrics")

    def _launch(self) -> "subprocess.Popen[bytes]":
        with self._log.open("ab") as log:
            self.process = subprocess.Popen(
                self.command, cwd=self.folder, env=self.env, stdout=log, stderr=log
            )
        return self.process

    def _addresses(self) -> dict[str, str]:
        listening = {
            f"OTELCOL_{name}_ENDPOINT": f"127.0.0.1:{port}"
            for name, port in self.ports.items()
            if name != "TELEMETRY"
        }
        return {**listening, "OTELCOL_TELEMETRY_PORT": str(self.ports["TELEMETRY"])}

    def _is_healthy(self, url: str) -> bool:
        assert self.process is not None
        assert self.process.poll() is None, f"{self._name} ended\n{self.log()}"
        try:
            asked(url)
        except (urllib.error.URLError, ConnectionError):
            return False
        return True


class Service:
    """A real process with the bundle, which records when it is told to.

    Args:
        folder: where it runs, and so where its archive is.
        endpoint: where it sends, as host and port, or as a URL.
        env: further variables.

    Attributes:
        total: how many outcomes it has recorded.
        page: where its own metrics page is, if it has one, as host and port.
    """

    def __init__(self, folder: Path, endpoint: str, env: Mapping[str, str] | None = None) -> None:
        folder.mkdir(exist_ok=True)
        self.total = 0
        self._program = Program(
            folder,
            SERVICE,
            env={
                "OTEL_METRICS_EXPORTER": "ndjson,otlp",
                "OTEL_LOGS_EXPORTER": "otlp",
                "OTEL_SERVICE_NAME": "desk",
                "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc",
                "OTEL_EXPORTER_OTLP_ENDPOINT": endpoint
                if "://" in endpoint
                else f"http://{endpoint}",
                "OTEL_EXPORTER_NDJSON_PATH": str(folder / "telemetry"),
                "OTEL_METRIC_EXPORT_INTERVAL": "60s",
                "OTEL_PYTHON_METRICS_HOST_METRICS": "off",
                **(env or {}),
            },
            talks=True,
        )
        self.page = f"127.0.0.1:{self._program.await_ready()}"

    def record(self, count: int) -> dict[str, list[str | None]]:
        """Record so many outcomes, and return what a flush says of each exporter."""
        self.total += count
        process = self._program.process
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(f"{count}\n")
        process.stdin.flush()
        said = process.stdout.readline()
        assert said, f"the service ended\n{self.log()}"
        verdicts: dict[str, list[str | None]] = json.loads(said)
        return verdicts

    def log(self) -> str:
        """Return all that it has logged."""
        return "\n".join(self._program.errors_so_far())

    def end(self) -> None:
        """End it, and wait for its last export."""
        status, errors = self._program.end()
        assert status == 0, errors

    def kill(self) -> None:
        """End it, where it still runs."""
        self._program.kill()


SERVICE = """
import json, sys
import otel_metrics
from opentelemetry import trace
from otel_metrics import skills
telemetry = otel_metrics.configure()
tracer = trace.get_tracer("desk")
print("ready", telemetry.metrics_port, flush=True)
for line in sys.stdin:
    for number in range(int(line)):
        with (
            tracer.start_as_current_span("work"),
            skills.execution("triage", agent="support", version="2") as run,
        ):
            run.outcome("urgent", expected="urgent" if number % 3 else "later", confidence=0.5)
    result = telemetry.flush(30)
    print(json.dumps({name: [v.status, v.reason] for name, v in result.items()}), flush=True)
"""
"""Records a run with an outcome, of which each third is incorrect; events go with it."""


def arguments(files: list[Path]) -> list[str]:
    """Return what starts a collector with these files, one laid over the other."""
    return [f"--config=file:{file}" for file in files]


def until(
    holds: Callable[[], object], otherwise: Callable[[], str], *, within_s: float = DEADLINE_S
) -> None:
    """Wait until a condition holds; fail with what `otherwise` says when it does not."""
    deadline = time.monotonic() + within_s
    while not holds():
        assert time.monotonic() < deadline, otherwise()
        time.sleep(0.05)


def asked(url: str, headers: Mapping[str, str] | None = None) -> str:
    """Return the body that a URL answers with."""
    request = urllib.request.Request(url, headers=dict(headers or {}))
    with urllib.request.urlopen(request, timeout=DEADLINE_S) as response:
        body: bytes = response.read()
    return body.decode()


@contextlib.contextmanager
def free_port() -> Iterator[int]:
    """Hold a port that nobody listens on, for a server that is started in the block."""
    with _hold() as held:
        yield held.getsockname()[1]


def _ports() -> tuple[list[socket.socket], dict[str, int]]:
    """Hold a port for each of a collector's addresses."""
    held = {name: _hold() for name in ("GRPC", "HTTP", "HEALTH", "PAGE", "TELEMETRY")}
    return list(held.values()), {name: each.getsockname()[1] for name, each in held.items()}


def _hold() -> socket.socket:
    """Hold a port without listening on it.

    That keeps the kernel from giving the port to anybody else, and lets a server that is told of
    it listen there, as both ask for SO_REUSEADDR.
    """
    held = socket.socket()
    held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    held.bind(("127.0.0.1", 0))
    return held
