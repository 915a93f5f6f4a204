"""Every example runs as its docstring says, and leaves what it promises."""

import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from otel_exporter_ndjson import read

pytestmark = pytest.mark.slow

EXAMPLES = Path(__file__).parents[2] / "examples"

Run = Callable[[str], str]


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Run an example in the test's folder and return what it printed; it must end well."""

    def run_(name: str) -> str:
        done = subprocess.run(
            [sys.executable, str(EXAMPLES / name)],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert (done.returncode, done.stderr) == (0, "")
        return done.stdout

    return run_


def totals(folder: Path, metric: str) -> dict[str, float]:
    """Return a counter's last value by writer and attributes."""
    return {
        f"{record.instance} {sorted(record.data['attributes'].items())}": record.data["value"]
        for record in read(folder / "telemetry", signal="metrics")
        if record.data.get("metric") == metric and record.data["kind"] == "metric"
    }


def total(folder: Path, metric: str) -> float:
    """Return a counter's value over all series and writers."""
    return sum(totals(folder, metric).values())


def test_plain_script(run: Run, tmp_path: Path) -> None:
    """Three messages, three outcomes, two of them right, and delivered."""
    assert run("plain_script.py") == "delivered\n"
    assert total(tmp_path, "skill.executions") == 3
    assert sorted(totals(tmp_path, "skill.outcomes").values()) == [1, 2]


def test_genai_spans(run: Run, tmp_path: Path) -> None:
    """A hundred calls under a 1 % sampler count a hundred times."""
    run("genai_spans.py")

    assert total(tmp_path, "gen_ai.client.inference.usage.input_tokens") == 12_000
    assert total(tmp_path, "gen_ai.client.inference.usage.output_tokens") == 3_000


def test_own_provider(run: Run, tmp_path: Path) -> None:
    """The service's provider stays, and its own counter is archived too."""
    assert run("own_provider.py") == "True\n"
    assert total(tmp_path, "shop.checkouts") == 3


def test_user_catalog(tmp_path: Path) -> None:
    """The declared attribute is kept, the other is dropped, counted, and said once."""
    done = subprocess.run(
        [sys.executable, str(EXAMPLES / "user_catalog" / "app.py")],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )

    assert total(tmp_path, "shop.checkouts") == 2
    assert "unknown_attribute" in done.stderr
    assert "customer.id" not in str(totals(tmp_path, "shop.checkouts"))


def test_the_user_catalog_is_sound(tmp_path: Path) -> None:
    """`catalog check` finds nothing in the example's file."""
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "otel_metrics",
            "catalog",
            "check",
            str(EXAMPLES / "user_catalog" / "shop.yaml"),
        ],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert done.returncode == 0
    assert "shop_checkouts_total" in done.stdout


def test_declarative(run: Run, tmp_path: Path) -> None:
    """The file names the service and its archive."""
    run("declarative/app.py")

    services = {record.segment.service for record in read(tmp_path / "telemetry")}
    assert total(tmp_path, "sovereignty.events") == 2
    assert services == {"declarative"}


@contextmanager
def server(command: list[str], port: int, folder: Path) -> Iterator[None]:
    """Run a server until the test has asked it what it wants, then end it as an operator would."""
    process = subprocess.Popen(
        command,
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(EXAMPLES), "OTEL_EXPORTER_PROMETHEUS_PORT": "0"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        _await(port, process)
        yield
    finally:
        process.terminate()
        process.wait(30)
        assert process.stderr is not None
        process.stderr.close()


def _await(port: int, process: "subprocess.Popen[str]") -> None:
    deadline = time.monotonic() + 30
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return
        except OSError:
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.05)


def get(url: str) -> str:
    """Return a page's body."""
    with urllib.request.urlopen(url, timeout=10) as response:
        return str(response.read().decode())


@pytest.fixture
def port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as found:
        return int(found.getsockname()[1])


def test_fastapi_service(tmp_path: Path, port: int) -> None:
    """Requests answered are executions counted, by the time that the service has ended."""
    command = [sys.executable, "-m", "uvicorn", "fastapi_service:app", "--port", str(port)]
    with server(command, port, tmp_path):
        for _ in range(3):
            assert get(f"http://127.0.0.1:{port}/triage?message=parcel") == '{"queue":"shipping"}'

    assert total(tmp_path, "skill.executions") == 3


def test_gunicorn_service(tmp_path: Path, port: int) -> None:
    """Two workers count each for itself, and nothing is lost or doubled."""
    command = [
        *(sys.executable, "-m", "gunicorn", "--workers", "2", "--bind", f"127.0.0.1:{port}"),
        *("--config", "python:gunicorn_service", "gunicorn_service:app"),
    ]
    with server(command, port, tmp_path):
        for _ in range(20):
            assert get(f"http://127.0.0.1:{port}/") == "hello\n"

    assert total(tmp_path, "agent.executions") == 20
