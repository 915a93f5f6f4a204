"""`doctor`: says what is in force, tries each exporter, and its exit status follows."""

import json
import socket
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from otel_metrics.cli.doctor import doctor


@pytest.fixture
def free_port() -> str:
    with socket.create_server(("127.0.0.1", 0)) as found:
        return str(found.getsockname()[1])


def ask(environ: dict[str, str], *arguments: str) -> Result:
    """Run `doctor` with variables."""
    return CliRunner(env=environ).invoke(doctor, arguments)


def answer(environ: dict[str, str]) -> tuple[int, dict[str, Any]]:
    """Return exit status and the answer as data."""
    result = ask(environ, "--format", "json")
    return result.exit_code, json.loads(result.stdout)


def test_all_is_well(tmp_path: Path, free_port: str) -> None:
    """With the defaults both exporters work, status 0, and nothing is written."""
    status, said = answer({"OTEL_EXPORTER_PROMETHEUS_PORT": free_port})

    assert status == 0
    assert [(e["exporter"], e["ok"]) for e in said["exporters"]] == [
        ("ndjson", True),
        ("prometheus", True),
    ]
    assert list(tmp_path.iterdir()) == []


def test_a_dead_endpoint_fails_with_a_plain_reason() -> None:
    """Status 1, and the reason names the address."""
    environ = {
        "OTEL_METRICS_EXPORTER": "otlp",
        "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1",
        "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf",
    }
    status, said = answer(environ)

    (trial,) = said["exporters"]
    assert (status, trial["ok"]) == (1, False)
    assert "127.0.0.1:1" in trial["finding"]


def test_a_port_that_another_program_holds_fails() -> None:
    """Status 1, and the finding says what to do."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = str(other.getsockname()[1])
        environ = {"OTEL_METRICS_EXPORTER": "prometheus", "OTEL_EXPORTER_PROMETHEUS_PORT": port}
        status, said = answer(environ)

    (trial,) = said["exporters"]
    assert (status, trial["ok"]) == (1, False)
    assert "OTEL_EXPORTER_PROMETHEUS_PORT" in trial["finding"]


def test_a_port_that_a_running_service_holds_is_well() -> None:
    """The page that answers there is named by its service."""

    class Page(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b'target_info{service_name="shop"} 1\n')

        def log_message(self, *args: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Page)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        port = str(server.server_address[1])
        environ = {
            "OTEL_METRICS_EXPORTER": "prometheus",
            "OTEL_EXPORTER_PROMETHEUS_HOST": "127.0.0.1",
            "OTEL_EXPORTER_PROMETHEUS_PORT": port,
        }
        status, said = answer(environ)
    finally:
        server.shutdown()
        server.server_close()

    assert status == 0
    assert '"shop"' in said["exporters"][0]["finding"]


def test_an_archive_that_cannot_be_made_fails(tmp_path: Path) -> None:
    """Status 1, and the finding names the folder."""
    (tmp_path / "file").write_text("")
    environ = {
        "OTEL_METRICS_EXPORTER": "ndjson",
        "OTEL_EXPORTER_NDJSON_PATH": str(tmp_path / "file" / "archive"),
    }
    status, said = answer(environ)

    assert status == 1
    assert str(tmp_path / "file") in said["exporters"][0]["finding"]


def test_a_typo_is_refused_with_a_suggestion(free_port: str) -> None:
    """A variable that cannot be used is status 1, with what was meant."""
    result = ask(
        {"OTEL_METRICS_EXPORTER": "promethues", "OTEL_EXPORTER_PROMETHEUS_PORT": free_port}
    )

    assert result.exit_code == 1
    assert "did you mean 'prometheus'?" in result.output.replace("\n", " ")


def test_a_secret_is_not_shown() -> None:
    """The value of a header never appears, in either form."""
    environ = {
        "OTEL_METRICS_EXPORTER": "none",
        "OTEL_EXPORTER_OTLP_HEADERS": "authorization=Bearer%20hunter2hunter2",
    }
    shown = ask(environ).output + ask(environ, "--format", "json").output

    assert "OTEL_EXPORTER_OTLP_HEADERS" in shown
    assert "hunter2" not in shown


def test_disabled_tries_nothing() -> None:
    """`OTEL_SDK_DISABLED` is said, and no exporter is tried."""
    result = ask({"OTEL_SDK_DISABLED": "true"})

    assert result.exit_code == 0
    assert "nothing is started" in result.output
