"""The page on live sovereignty: its service and its reader run, and messages are as it shows."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

from otel_metrics.cli.sovereignty import sovereignty
from tests.docs.links import broken
from tests.otel_metrics.web.sockets import Connect, Service, running

PAGE = (Path(__file__).parents[2] / "docs" / "sovereignty.md").read_text()
RECORD = """
from otel_metrics import sovereignty
for _ in range(37):
    sovereignty.record("perception_cache_hit")
for _ in range(3):
    sovereignty.record("perception_vlm_call", {"cost_usd": 0.1})
assert otel_metrics.configure().flush(30).ok  # the database's rows, too
serve(app)
"""


def blocks(language: str) -> list[str]:
    """Return the page's code blocks of a language."""
    return re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)


SERVICE, READER, MARKED = blocks("python")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the page's service runs."""
    return tmp_path_factory.mktemp("page")


@pytest.fixture(scope="module")
def service(folder: Path) -> Iterator[Service]:
    """The page's service, which records a little."""
    with running(folder, SERVICE + RECORD) as started:
        yield started


@pytest.mark.slow
def test_the_reader_of_the_page_reads_the_service_of_the_page(service: Service) -> None:
    """Percent, cost and skills."""
    program = READER.replace("localhost:8000", f"localhost:{service.port}")
    reader = subprocess.Popen(
        [sys.executable, "-u", "-c", program], stdout=subprocess.PIPE, text=True, env={**os.environ}
    )
    assert reader.stdout is not None
    lines = [reader.stdout.readline() for _ in range(5)]
    reader.terminate()
    reader.communicate(timeout=30)

    assert lines[0] == "perception 92.5 %\n"
    assert float(lines[3].removesuffix(" USD an hour\n")) == pytest.approx(0.3)
    assert lines[4] == "0 skills crystallised\n"


@pytest.mark.slow
def test_a_message_is_as_the_page_shows(service: Service, connect: Connect) -> None:
    """The same fields in the same order."""
    (shown,) = map(json.loads, blocks("json"))
    message = connect(service.port).message()

    assert list(message) == list(shown)
    assert {name: list(share) for name, share in message["layers"].items()} == {
        name: list(share) for name, share in shown["layers"].items()
    }
    assert message["layers"]["perception"] == shown["layers"]["perception"]


@pytest.mark.slow
def test_the_browser_of_the_page_is_answered(service: Service, connect: Connect) -> None:
    """It offers two sub-protocols, and the one that is no secret is chosen."""
    assert '["sovereignty", `bearer.${token}`]' in blocks("js")[0]
    client = connect(
        service.port, headers={"Sec-WebSocket-Protocol": "sovereignty, bearer.0123456789abcdef"}
    )

    assert "sec-websocket-protocol: sovereignty" in client.head.lower()


@pytest.mark.slow
def test_the_command_of_the_page_reports_the_service_of_the_page(
    service: Service, folder: Path
) -> None:
    """On the archive and on the database that it wrote."""
    assert blocks("console") == ["$ otel-metrics sovereignty report\n"]
    archive, database = folder / "telemetry", folder / "data" / "sovereignty_metrics.db"

    def reported(option: str, path: Path) -> bool:
        done = CliRunner().invoke(sovereignty, ["report", option, str(path)])
        return done.exit_code == 0 and "92.5 % of perception in hour 1" in done.stdout

    assert reported("--archive", archive)
    assert reported("--db", database)


def test_what_the_page_marks_is_understood(tmp_path: Path) -> None:
    """Earned, human and local, as the report says them."""
    program = (
        "import otel_metrics\n"
        "telemetry = otel_metrics.configure(metrics_exporter=['ndjson'], service_name='agent')\n"
        f"{MARKED}\ntelemetry.shutdown()"
    )
    subprocess.run([sys.executable, "-c", program], cwd=tmp_path, check=True)
    arguments = ["report", "--archive", str(tmp_path / "telemetry"), "--format", "json"]
    done = CliRunner().invoke(sovereignty, arguments)
    found = {each["condition"]: each for each in json.loads(done.stdout)["graduation"]}

    assert found["fewer than 5 cloud calls in a session"]["figure"] == 0
    assert found["earned more than spent"]["figure"] == 0.25
    assert found["24 hours without a human"]["verdict"] == "not met"


def test_every_link_leads_somewhere() -> None:
    """To a file or a heading that is there."""
    assert broken(PAGE) == []
