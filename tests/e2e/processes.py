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
        talks: it reads its standard input, which `finish` ends.
    """

    def __init__(
        self,
        folder: Path,
        code: str = "",
        *,
        command: list[str] | None = None,
        env: Mapping[str, str] | None = None,
        talks: bool = False,
    ) -> None:
        self._errors = folder / "errors.txt"
        if command is None:
            script = folder / "program.py"
            script.write_text(code)
            command = [sys.executable, "-u", str(script)]
        with self._errors.open("w") as errors:
            self.process = subprocess.Popen(
                command,
                cwd=folder,
                env={**os.environ, "OTEL_METRICS_EXPORTER": "ndjson", **(env or {})},
                stdin=subprocess.PIPE if talks else subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=errors,
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
        self.finish()
        return self.process.returncode, self._errors.read_text()

    def finish(self) -> tuple[str, str]:
        """End its standard input, wait for its end, and return what it wrote since it was ready."""
        try:
            output, _ = self.process.communicate(timeout=END_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self.kill()
            raise AssertionError(f"it does not end: {self._errors.read_text()}") from None
        return output, self._errors.read_text()

    def errors_so_far(self) -> list[str]:
        """Return the lines on its standard error."""
        return self._errors.read_text().splitlines()

    def kill(self) -> None:
        """End it and its children, where they still run."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        if self.process.returncode is None:
            self.process.communicate()


def until(holds: Callable[[], object], *, timeout_s: float = 20.0) -> None:
    """Wait until a condition holds."""
    deadline = time.monotonic() + timeout_s
    while not holds():
        assert time.monotonic() < deadline, "it does not come to hold"
        time.sleep(0.01)
