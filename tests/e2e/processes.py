"""Programs that run beside a test, are sent signals, and end when the test says so."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path

__all__ = ["Program", "until"]

END_TIMEOUT_S = 20.0


class Program:
    """A running program in a folder, which says `ready` on its standard output once it is.

    Args:
        folder: where it runs, and so where its archive is.
        code: Python code, or else
        command: what to run instead.
        env: variables beside the machine's.
    """

    def __init__(
        self,
        folder: Path,
        code: str = "",
        *,
        command: list[str] | None = None,
        env: Mapping[str, str] | None = None,
    ) -> None:
        if command is None:
            script = folder / "program.py"
            script.write_text(code)
            command = [sys.executable, "-u", str(script)]
        self.process = subprocess.Popen(
            command,
            cwd=folder,
            env={**os.environ, "OTEL_METRICS_EXPORTER": "ndjson", **(env or {})},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def await_ready(self) -> str:
        """Wait for the line that begins with `ready`, and return the rest of it."""
        assert self.process.stdout is not None
        for line in self.process.stdout:
            if line.startswith("ready"):
                return line.removeprefix("ready").strip()
        raise AssertionError(f"it ended before it was ready: {self.end()}")

    def send(self, *numbers: int) -> None:
        """Send signals, one after the other."""
        for number in numbers:
            self.process.send_signal(number)

    def end(self) -> tuple[int, str]:
        """Wait for the end, and return status and standard error."""
        try:
            _, errors = self.process.communicate(timeout=END_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            errors = self.kill()
            raise AssertionError(f"it does not end: {errors}") from None
        return self.process.returncode, errors

    def kill(self) -> str:
        """End it and its children, where they still run, and return its standard error."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        return self.process.communicate()[1]


def until(holds: Callable[[], object], *, timeout_s: float = 20.0) -> None:
    """Wait until a condition holds."""
    deadline = time.monotonic() + timeout_s
    while not holds():
        assert time.monotonic() < deadline, "it does not come to hold"
        time.sleep(0.01)
