"""A real Prometheus 3 that takes OTLP and remote write, asked with PromQL."""

import json
import re
import socket
import subprocess
import urllib.error
import urllib.parse
from pathlib import Path
from typing import Any

import yaml

from tests.collector_config.running import DEADLINE_S, FOLDER, asked, until

__all__ = ["Prometheus", "query"]

SHIPPED = FOLDER / "prometheus" / "prometheus.yml"
"""Of which only what concerns OTLP and older points is used."""


class Prometheus:
    """A Prometheus that scrapes nobody and takes what it is sent.

    Its port is held until the test ends.

    Args:
        program: the path of `prometheus`, 3.0 or later.
        folder: where it runs, logs and stores.
        strategy: how it renders names.
    """

    def __init__(self, program: str, folder: Path, *, strategy: str = "") -> None:
        folder.mkdir()
        shipped: dict[str, Any] = yaml.safe_load(SHIPPED.read_text())
        configuration = {key: shipped[key] for key in ("storage", "otlp")}
        if strategy:
            configuration["otlp"]["translation_strategy"] = strategy
        file = folder / "prometheus.yml"
        file.write_text(yaml.safe_dump(configuration))
        self._log = folder / "prometheus.log"
        self._held = socket.socket()
        self._held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._held.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{self._held.getsockname()[1]}"
        self.url = f"http://{address}"
        self._command = [
            program,
            f"--config.file={file}",
            f"--storage.tsdb.path={folder / 'data'}",
            f"--web.listen-address={address}",
            "--web.enable-otlp-receiver",
            "--web.enable-remote-write-receiver",
            "--log.level=warn",
        ]
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def otlp(self) -> str:
        """The URL to which `/v1/metrics` is added."""
        return f"{self.url}/api/v1/otlp"

    @property
    def remote_write(self) -> str:
        """The URL for remote write."""
        return f"{self.url}/api/v1/write"

    def start(self) -> "Prometheus":
        """Start it, and wait until it answers."""
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(self._command, stdout=log, stderr=log)
        until(self._is_ready, lambda: f"Prometheus does not start\n{self._log.read_text()}")
        return self

    def query(self, expression: str) -> list[tuple[dict[str, str], float]]:
        """Return labels and value of each series that PromQL finds now."""
        return query(self.url, expression)

    def total(self, expression: str) -> float:
        """Return the sum of what PromQL finds now; 0 where that is nothing."""
        return sum(value for _, value in self.query(expression))

    def own(self, metric: str) -> float:
        """Return the sum over the series of a metric about itself."""
        lines = asked(f"{self.url}/metrics").splitlines()
        return sum(
            float(line.rpartition(" ")[2]) for line in lines if re.match(rf"{metric}[{{ ]", line)
        )

    @property
    def pid(self) -> int:
        """The process that runs."""
        assert self._process is not None
        return self._process.pid

    def close(self) -> None:
        """Kill it, and give the port back."""
        if self._process is not None:
            self._process.kill()
            self._process.wait(DEADLINE_S)
        self._held.close()

    def _is_ready(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, self._log.read_text()
        try:
            asked(f"{self.url}/-/ready")
        except (urllib.error.URLError, ConnectionError):
            return False
        return True


def query(url: str, expression: str) -> list[tuple[dict[str, str], float]]:
    """Return labels and value of each series that PromQL finds now in the Prometheus at a URL."""
    arguments = urllib.parse.urlencode({"query": expression})
    answer = json.loads(asked(f"{url}/api/v1/query?{arguments}"))
    return [(each["metric"], float(each["value"][1])) for each in answer["data"]["result"]]
