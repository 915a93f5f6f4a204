"""`doctor`: says what is in force, tries each exporter, and its exit status follows."""

import json
import socket
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from otel_exporter_prometheus import PrometheusMetricReader
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


@pytest.mark.slow
def test_a_port_that_another_program_holds_fails() -> None:
    """Status 1, and the finding says what to do."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = str(other.getsockname()[1])
        environ = {"OTEL_METRICS_EXPORTER": "prometheus", "OTEL_EXPORTER_PROMETHEUS_PORT": port}
        status, said = answer(environ)

    (trial,) = said["exporters"]
    assert (status, trial["ok"]) == (1, False)
    assert trial["finding"] == (
        f"the metrics page cannot listen on localhost:{port}: the port is taken by another "
        "program; stop it, or set OTEL_EXPORTER_PROMETHEUS_PORT to a free one (0 takes any)"
    )


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


def test_a_page_that_asks_for_authentication_is_well(tmp_path: Path) -> None:
    """A running page of ours is told from another program, though it shows nothing."""
    token = tmp_path / "token"
    token.touch(mode=0o600)
    token.write_text("0123456789abcdef")
    environ = {
        "OTEL_METRICS_EXPORTER": "prometheus",
        "OTEL_EXPORTER_PROMETHEUS_HOST": "127.0.0.1",
        "OTEL_EXPORTER_PROMETHEUS_BEARER_TOKEN_FILE": str(token),
    }
    reader = PrometheusMetricReader(host="127.0.0.1", port=0, bearer_token_file=str(token))
    port = str(reader.port)
    try:
        status, said = answer({**environ, "OTEL_EXPORTER_PROMETHEUS_PORT": port})
    finally:
        reader.shutdown()

    assert status == 0
    assert said["exporters"][0]["finding"] == (
        f"http://127.0.0.1:{port}/metrics answers: it asks for authentication"
    )


def test_a_file_that_cannot_secure_the_page_fails(tmp_path: Path, free_port: str) -> None:
    """What would keep the page closed is found before the service starts."""
    environ = {
        "OTEL_METRICS_EXPORTER": "prometheus",
        "OTEL_EXPORTER_PROMETHEUS_PORT": free_port,
        "OTEL_EXPORTER_PROMETHEUS_BASIC_AUTH_FILE": str(tmp_path / "absent"),
    }
    status, said = answer(environ)

    assert (status, said["exporters"][0]["ok"]) == (1, False)
    assert "No such file or directory" in said["exporters"][0]["finding"]


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
    assert result.output.count("did you mean 'prometheus'?") == 1
    assert result.output.count("OTEL_METRICS_EXPORTER") == 1


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


def test_sigterm_is_explained() -> None:
    """It says what a SIGTERM brings, within which time, and whose handler has the say."""
    environ = {"OTEL_METRICS_EXPORTER": "none", "OTEL_PYTHON_METRICS_EXIT_TIMEOUT": "700ms"}
    said = ask(environ).output

    assert "On SIGTERM what was recorded is exported within 0.7 s" in said
    assert "A handler of the service, also one installed later, replaces this" in said
    assert answer(environ)[1]["sigterm"] in said


CONFIGURED = """
file_format: "1.1"
tracer_provider: {{processors: [{{simple: {{exporter: {{console: }}}}}}]}}
meter_provider:
  readers:
    - periodic: {{interval: 5000, exporter: {{ndjson: {{path: {path}}}}}}}
    - periodic: {{exporter: {{otlp_http: {{endpoint: "http://u:hunter2@127.0.0.1:1/v1/metrics"}}}}}}
"""


def test_a_configuration_file_is_read(tmp_path: Path) -> None:
    """What it makes hold is printed with it as the source, and its exporters are tried."""
    file = tmp_path / "otel.yaml"
    file.write_text(CONFIGURED.format(path=tmp_path / "there"))
    environ = {
        "OTEL_CONFIG_FILE": str(file),
        "OTEL_METRICS_EXPORTER": "prometheus",
        "OTEL_PYTHON_METRICS_EXIT_TIMEOUT": "1s",
    }
    status, said = answer(environ)
    held = {row["name"]: (row["value"], row["source"]) for row in said["variables"]}

    assert held == {
        "OTEL_CONFIG_FILE": (str(file), "environment"),
        "OTEL_METRICS_EXPORTER": ("ndjson,otlp", "OTEL_CONFIG_FILE"),
        "OTEL_METRIC_EXPORT_INTERVAL": ("5000", "OTEL_CONFIG_FILE"),
        "OTEL_PYTHON_METRICS_EXIT_TIMEOUT": ("1s", "environment"),
        "OTEL_EXPORTER_NDJSON_PATH": (str(tmp_path / "there"), "OTEL_CONFIG_FILE"),
        "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT": (
            "http://***@127.0.0.1:1/v1/metrics",
            "OTEL_CONFIG_FILE",
        ),
        "OTEL_EXPORTER_OTLP_METRICS_PROTOCOL": ("http/protobuf", "OTEL_CONFIG_FILE"),
    }
    assert [(trial["exporter"], trial["ok"]) for trial in said["exporters"]] == [
        ("ndjson", True),
        ("otlp", False),
    ]
    assert status == 1
    assert "traces" in said["variables"][1]["effect"]


def test_a_configuration_file_replaces_the_variables(tmp_path: Path) -> None:
    """One that is set and has no effect is said to have none."""
    file = tmp_path / "otel.yaml"
    file.write_text("file_format: '1.1'")
    _, said = answer({"OTEL_CONFIG_FILE": str(file), "OTEL_EXPORTER_NDJSON_PATH": "/a"})
    effects = {row["name"]: row["effect"] for row in said["variables"]}

    assert effects["OTEL_EXPORTER_NDJSON_PATH"] == "none: OTEL_CONFIG_FILE replaces it"
    assert said["exporters"] == []


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (None, "not found"),
        ("{ a: [", "Failed to parse YAML"),
        ("file_format: '1.1'\nmeter_provider: 3", "does not match"),
    ],
)
def test_a_wrong_configuration_file_is_refused(
    tmp_path: Path, free_port: str, content: str | None, why: str
) -> None:
    """Status 1 and one line; the other variables hold, as they do in the service."""
    file = tmp_path / "otel.yaml"
    if content is not None:
        file.write_text(content)
    environ = {"OTEL_CONFIG_FILE": str(file), "OTEL_EXPORTER_PROMETHEUS_PORT": free_port}
    status, said = answer(environ)
    shown = ask(environ)

    assert status == 1
    (problem,) = said["problems"]
    assert problem.startswith(f"OTEL_CONFIG_FILE={file}: ")
    assert why in problem
    assert [trial["ok"] for trial in said["exporters"]] == [True, True]
    assert shown.stderr == ""
    assert shown.stdout.count(why) == 1


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (None, "cannot be read: No such file or directory"),
        ("file_format: definition/2\nmetrics: [{name: x}]\n", ":2:"),
    ],
)
def test_a_wrong_catalog_is_refused(tmp_path: Path, content: str | None, why: str) -> None:
    """Status 1, with the first problem."""
    file = tmp_path / "own.yaml"
    if content is not None:
        file.write_text(content)
    status, said = answer(
        {"OTEL_METRICS_EXPORTER": "none", "OTEL_PYTHON_METRICS_CATALOG": str(file)}
    )

    (problem,) = said["problems"]
    assert status == 1
    assert problem.startswith(f"OTEL_PYTHON_METRICS_CATALOG={file}: {file}")
    assert why in problem


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (None, "cannot be read: No such file or directory; name a readable file"),
        ("playbooks: {shift-laod: {steps: []}}\n", "did you mean 'shift-load'?"),
        ("polcy: []\nenabeld: true\n", "(and 1 more: otel-metrics playbooks list)"),
    ],
)
def test_a_wrong_file_of_playbooks_is_refused(
    tmp_path: Path, content: str | None, why: str
) -> None:
    """Status 1, with the first problem."""
    file = tmp_path / "playbooks.yaml"
    if content is not None:
        file.write_text(content)
        file.chmod(0o600)
    status, said = answer(
        {"OTEL_METRICS_EXPORTER": "none", "OTEL_PYTHON_METRICS_PLAYBOOKS": str(file)}
    )

    (problem,) = said["problems"]
    assert status == 1
    assert problem.startswith(f"OTEL_PYTHON_METRICS_PLAYBOOKS={file}: {file}:")
    assert why in problem
    assert problem.endswith("; no playbook runs until it is right")


@pytest.mark.parametrize(
    "environ",
    [
        {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://joe:hunter2@127.0.0.1:1"},
        {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://joe:hunter2/x@127.0.0.1:1"},
        {"OTEL_EXPORTER_OTLP_ENDPOINT": "joe:hunter2@127.0.0.1:1"},
        {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1/?key=hunter2"},
        {"OTEL_EXPORTER_OTLP_ENDPOINT": "htp://joe:hunter2@127.0.0.1:1"},
        {"OTEL_METRICS_EXPORTER": "http://joe:hunter2@127.0.0.1"},
        {"OTEL_PYTHON_METRICS_SERVICE_SQL_URL": "postgresql://joe:hunter2@127.0.0.1/tasks"},
        {"OTEL_PYTHON_METRICS_SERVICE_SQL_URL": "postgresql:///tasks?password=hunter2"},
        {"OTEL_PYTHON_METRICS_SERVICE_SQL_URL": "joe:hunter2@127.0.0.1"},
        {"OTEL_PYTHON_METRICS_SERVICE_PROMETHEUS_URL": "http://joe:hunter2@127.0.0.1:9090"},
        {"OTEL_PYTHON_METRICS_SERVICE_PROMETHEUS_URL": "htp://joe:hunter2@127.0.0.1:9090"},
        {"OTEL_RESOURCE_ATTRIBUTES": "http://joe:hunter2@127.0.0.1"},
        {"OTEL_EXPORTR_OTLP_HEADERS": "authorization=hunter2"},
        {"OTEL_EXPORTER_PROMETHEUS_BEARER": "hunter2"},
        {"OTEL_CONFIG_FILE": "http://joe:hunter2@127.0.0.1"},
        {"OTEL_PYTHON_METRICS_CATALOG": "http://joe:hunter2@127.0.0.1"},
    ],
    ids=lambda environ: next(iter(environ)),
)
def test_a_password_is_not_shown(environ: dict[str, str]) -> None:
    """Neither as a value nor in what is wrong with it, in either form."""
    environ = {"OTEL_METRICS_EXPORTER": "otlp", "OTEL_EXPORTER_OTLP_TIMEOUT": "0.2", **environ}
    shown = ask(environ).output + ask(environ, "--format", "json").output

    assert "hunter2" not in shown


def test_an_address_is_shown_without_its_user() -> None:
    """The rest of it is what one looks for."""
    environ = {
        "OTEL_METRICS_EXPORTER": "none",
        "OTEL_EXPORTER_OTLP_ENDPOINT": "http://u:pw@host:4318/x",
    }

    assert "http://***@host:4318/x" in ask(environ).output


def test_names_and_lines_stay_whole_when_piped(tmp_path: Path) -> None:
    """One line a variable, however long name and value are."""
    path = str(tmp_path / ("long" * 40))
    environ = {"OTEL_METRICS_EXPORTER": "none", "OTEL_EXPORTER_NDJSON_PATH": path}
    (row,) = [line for line in ask(environ).output.splitlines() if "NDJSON_PATH" in line]

    assert row.split()[:2] == ["OTEL_EXPORTER_NDJSON_PATH", path]
    assert row.endswith("The folder of the archive.")


def test_a_value_cannot_drive_the_terminal() -> None:
    """Escape sequences and line ends are shown, not sent."""
    environ = {"OTEL_METRICS_EXPORTER": "none", "OTEL_SERVICE_NAME": "a\x1b[31mb\nc"}

    assert "a\\u001b[31mb\\nc" in ask(environ).stdout


def test_a_folder_that_takes_no_files_is_said_to_take_none() -> None:
    """`/proc` is there, and nobody can write in it."""
    environ = {"OTEL_METRICS_EXPORTER": "ndjson", "OTEL_EXPORTER_NDJSON_PATH": "/proc/x/y"}
    status, said = answer(environ)

    (trial,) = said["exporters"]
    assert status == 1
    assert "/proc takes no files: it is not writable" in trial["finding"]
    assert "No such file" not in trial["finding"]
