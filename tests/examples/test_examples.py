"""Every example runs by the commands in its docstring, prints what it says, and leaves it."""

import ast
import json
import os
import re
import shlex
import socket
import subprocess
import sys
import time
import urllib.request
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from otel_exporter_ndjson import read

pytestmark = pytest.mark.slow

EXAMPLES = Path(__file__).parents[2] / "examples"
PROGRAMS = os.path.dirname(sys.executable)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The folder that holds examples/, as their docstrings call it."""
    (tmp_path / "examples").symlink_to(EXAMPLES)
    return tmp_path


def docstring(name: str) -> str:
    """Return what an example says of itself."""
    said = ast.get_docstring(ast.parse((EXAMPLES / name).read_text()))
    assert said is not None
    return said


def commands(name: str) -> Sequence[str]:
    """Return the commands of an example's docstring."""
    return re.findall(r"^    (\S.*)$", docstring(name), re.MULTILINE)


def environ() -> Mapping[str, str]:
    """Return variables under which a shell finds what is installed beside this Python."""
    path = f"{PROGRAMS}{os.pathsep}{os.environ['PATH']}"
    return {**os.environ, "PATH": path, "OTEL_EXPORTER_PROMETHEUS_PORT": "0"}


def run(folder: Path, command: str) -> tuple[str, str]:
    """Run a command in the folder, and return what it printed and what it complained of."""
    done = subprocess.run(
        shlex.split(command),
        cwd=folder,
        env=environ(),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout, done.stderr


def run_all(folder: Path, name: str) -> Sequence[str]:
    """Run an example's commands in turn, and return what each printed; none complains."""
    printed = [run(folder, command) for command in commands(name)]
    assert [complaint for _, complaint in printed] == [""] * len(printed)
    return [output for output, _ in printed]


def lines(printed: str) -> list[Mapping[str, object]]:
    """Return the archive's lines, as `archive cat` prints them."""
    return [json.loads(line) for line in printed.splitlines()]


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


@pytest.mark.parametrize(
    "name", [str(path.relative_to(EXAMPLES)) for path in sorted(EXAMPLES.rglob("*.py"))]
)
def test_an_example_says_how_to_run_it(name: str) -> None:
    """What to install, where to run it, and at least one command."""
    said = docstring(name)

    assert "pip install otel-metrics" in said
    assert "in the folder that holds examples/" in said
    assert commands(name)


def test_plain_script(folder: Path) -> None:
    """Three messages, three outcomes, two of them right."""
    printed, shown = run_all(folder, "plain_script.py")

    assert printed.splitlines() == [
        "Where is my parcel? shipping, expected shipping",
        "I want my money back refund, expected refund",
        "Refund my shipping costs shipping, expected refund",
        "in ./telemetry",
    ]
    assert [re.findall(r'"correct":(\w+)', line) for line in shown.splitlines()] == [
        ["true"],
        ["true"],
        ["false"],
    ]
    assert total(folder, "skill.executions") == 3
    assert sorted(totals(folder, "skill.outcomes").values()) == [1, 2]


def test_genai_spans(folder: Path) -> None:
    """A hundred calls under a 1 % sampler count a hundred times."""
    printed, shown = run_all(folder, "genai_spans.py")

    assert re.fullmatch(
        r"100 calls, \d+ of them sampled, all of them counted\nin \./telemetry\n", printed
    )
    assert lines(shown)[-1]["metric"] == "llm.cost"
    assert total(folder, "gen_ai.client.inference.usage.input_tokens") == 12_000
    assert total(folder, "gen_ai.client.inference.usage.output_tokens") == 3_000


def test_own_provider(folder: Path) -> None:
    """The service's provider stays, and its own counter is archived too."""
    printed, shown = run_all(folder, "own_provider.py")

    assert printed == "the provider is the service's own: True\nin ./telemetry\n"
    assert lines(shown)[-1]["value"] == 3


def test_user_catalog(folder: Path) -> None:
    """The file is sound; the declared attribute is kept, the other is dropped and said once."""
    check, record, show = commands("user_catalog/app.py")

    assert "shop_checkouts_total" in run(folder, check)[0]
    printed, complaint = run(folder, record)
    assert printed == "in ./telemetry\n"
    assert complaint.count("unknown_attribute") == 1
    shown, _ = run(folder, show)
    assert sum(line["value"] == 1 for line in lines(shown)) >= 2
    assert "customer.id" not in shown
    assert total(folder, "shop.checkouts") == 2


def test_declarative(folder: Path) -> None:
    """The file names the service and its archive."""
    printed, shown = run_all(folder, "declarative/app.py")

    services = {record.segment.service for record in read(folder / "telemetry")}
    assert printed == "in ./telemetry\n"
    assert len(lines(shown)) == 2
    assert total(folder, "sovereignty.events") == 2
    assert services == {"declarative"}


def test_service_telemetry(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A queue is sampled each second, in bands of the example's own, and worked off."""
    # Of all processes of a service on this host one asks the database: here this one.
    monkeypatch.setenv("OTEL_RESOURCE_ATTRIBUTES", f"service.namespace=t-{uuid.uuid4().hex}")
    prepare, create, work = commands("service_telemetry/worker.py")
    assert commands("service_telemetry/service.py")[:2] == [prepare, create]
    _, _, sample, show = commands("service_telemetry/service.py")

    assert run(folder, prepare)[0] == ""
    assert run(folder, create)[0] == "30 tasks wait in emails\n"
    assert run(folder, sample) == ("in ./telemetry\n", "")
    payloads = [line["attributes"]["payload"] for line in lines(run(folder, show)[0])]  # type: ignore[index]  # an event's
    depths = [each for each in payloads if each["metric_id"] == "executor.queue_depth"]
    assert {(each["value"], each["computed_band"]) for each in depths} == {(30, "critical")}
    assert {"infra.memory_utilization", "infra.pod_ready_ratio"} <= {
        each["metric_id"] for each in payloads
    }
    assert run(folder, work)[0] == "worker-1 finished 30 tasks\n"


@contextmanager
def server(command: str, port: int, folder: Path, *, page_port: int = 0) -> Iterator[None]:
    """Run a server until the test has asked it what it wants, then end it as an operator would."""
    process = subprocess.Popen(
        shlex.split(command),
        cwd=folder,
        env={**environ(), "OTEL_EXPORTER_PROMETHEUS_PORT": f"{page_port}"},
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
    """A port for the service."""
    return _free_port()


@pytest.fixture
def page_port() -> int:
    """A port for its metrics page."""
    return _free_port()


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as found:
        return int(found.getsockname()[1])


def test_fastapi_service(folder: Path, port: int) -> None:
    """Requests answered are executions counted, by the time that the service has ended."""
    start, ask, _ = commands("fastapi_service.py")
    url = shlex.split(ask)[-1].replace("localhost:8000", f"http://127.0.0.1:{port}")
    with server(f"{start} --port {port}", port, folder):
        for _ in range(3):
            assert get(url) == '{"queue":"shipping"}'

    assert total(folder, "skill.executions") == 3


def test_metrics_routes(folder: Path, port: int) -> None:
    """The service's own port shows what it did, and that telemetry is well."""
    start, *asked = commands("metrics_routes.py")
    triage, metrics, health = [
        shlex.split(each)[-1].replace("localhost:8000", f"http://127.0.0.1:{port}")
        for each in asked
    ]
    with server(f"{start} --port {port}", port, folder):
        assert get(triage) == '{"queue":"shipping"}'
        assert re.search(r"^skill_executions_total\{.*\} 1$", get(metrics), re.MULTILINE)
        assert json.loads(get(health))["status"] == "ok"


@pytest.mark.parametrize("preload", [" --preload", ""], ids=["preload", "no preload"])
def test_gunicorn_service(folder: Path, port: int, page_port: int, preload: str) -> None:
    """Two workers count each for itself, on one page, and nothing is lost or doubled."""
    start, ask, look, show = commands("gunicorn_service.py")
    url = shlex.split(ask)[-1].replace("localhost:8000", f"http://127.0.0.1:{port}")
    page = shlex.split(look)[-1].replace("localhost:9464", f"http://127.0.0.1:{page_port}")
    command = f"{start.replace(' --preload', preload)} --bind 127.0.0.1:{port}"
    with server(command, port, folder, page_port=page_port):
        for _ in range(20):
            assert re.fullmatch(r"hello from process \d+\n", get(url))
        _await_line(r"agent_executions_total\{.*\} 20", page)

    assert lines(run(folder, show)[0])
    assert total(folder, "agent.executions") == 20


def _await_line(line: str, page: str) -> None:
    """Wait until a page shows a line: another process shows what it counted within a second."""
    deadline = time.monotonic() + 30
    while not re.search(f"^{line}$", get(page), re.MULTILINE):
        assert time.monotonic() < deadline, get(page)
        time.sleep(0.05)
