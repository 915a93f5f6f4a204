"""Where a pain is measured: a folder, a backend, free ports, and the programs that run there."""

import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from tests.compare.backend import Backend

__all__ = ["DEADLINE_S", "NOBODY", "Lab", "free_port", "scraped", "summed", "wait_for"]

DEADLINE_S: Final = 60.0
"""No program of a pain runs longer."""
NOBODY: Final = "http://127.0.0.1:1"
"""An endpoint where no collector is."""
PAGE_TIMEOUT_S: Final = 10.0


class Lab:
    """Runs programs with the standard variables set, and the same ones on both sides.

    Attributes:
        folder: where programs run, and where an archive is.
        backend: where `OTEL_EXPORTER_OTLP_ENDPOINT` leads, unless a measure says otherwise.
        page_port: what `OTEL_EXPORTER_PROMETHEUS_PORT` says.
    """

    def __init__(self) -> None:
        self._cleanup = ExitStack()

    def __enter__(self) -> Self:
        folder = tempfile.TemporaryDirectory(prefix="compare-", ignore_cleanup_errors=True)
        self.folder = Path(self._cleanup.enter_context(folder))
        self.backend = self._cleanup.enter_context(Backend())
        self.page_port = free_port()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._cleanup.close()

    @property
    def archive(self) -> Path:
        """The folder of the NDJSON archive."""
        return self.folder / "telemetry"

    def start(
        self, program: str, *, command: Sequence[str] = (), **variables: str
    ) -> subprocess.Popen[str]:
        """Start a program; it and its children are killed at the end if it still runs.

        Args:
            program: Python, saved as `program.py` in the folder.
            command: what to run in place of `python program.py`.
            variables: set, beside those that are always set.
        """
        (self.folder / "program.py").write_text(program)
        process = subprocess.Popen(
            [*(command or [sys.executable, "program.py"])],
            cwd=self.folder,
            env=self._environ(variables),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        self._cleanup.callback(_end, process)
        return process

    def run(
        self, program: str, *, command: Sequence[str] = (), **variables: str
    ) -> tuple[str, str]:
        """Run a program to its end; return what it wrote to its output and to its log.

        Raises:
            RuntimeError: it failed; the pain cannot be measured.
        """
        process = self.start(program, command=command, **variables)
        output, log = process.communicate("", timeout=DEADLINE_S)
        if process.returncode != 0:
            raise RuntimeError(f"the program ended with {process.returncode}: {log[-2000:]}")
        return output, log

    def page(self, port: int | None = None) -> tuple[int, str]:
        """Return the status and the text of a metrics page; status 0 where nobody listens."""
        try:
            address = f"http://127.0.0.1:{port or self.page_port}/metrics"
            with urllib.request.urlopen(address, timeout=PAGE_TIMEOUT_S) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, ""
        except (OSError, urllib.error.URLError):
            return 0, ""

    def _environ(self, variables: dict[str, str]) -> dict[str, str]:
        inherited = {key: value for key, value in os.environ.items() if key[:5] != "OTEL_"}
        return {
            **inherited,
            "OTEL_SERVICE_NAME": "shop",
            "OTEL_EXPORTER_OTLP_ENDPOINT": self.backend.endpoint,
            "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf",
            "OTEL_EXPORTER_PROMETHEUS_PORT": str(self.page_port),
            **variables,
        }


def free_port() -> int:
    """Return a port of this machine where nobody listens just now."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def wait_for(condition: Callable[[], bool], *, timeout_s: float) -> bool:
    """Ask ten times a second until a condition holds; say whether it did in time."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.1)
    return True


def scraped(lab: Lab, program: str) -> int:
    """Start a program that says when it is ready, and return the status of a scrape."""
    process = lab.start(program)
    assert process.stdout is not None
    process.stdout.readline()
    return lab.page()[0]


def summed(page: str, family: str) -> float:
    """Return the sum of a family's samples on a page, whatever their labels."""
    samples = re.findall(rf"^{family}(?:\{{.*\}})? (\S+)", page, re.MULTILINE)
    return sum(float(value) for value in samples)


def _end(process: subprocess.Popen[str]) -> None:
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)  # its workers, too
    process.communicate()
