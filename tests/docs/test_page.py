"""The page on the metrics page: its configuration is what Prometheus takes, its code and commands
run."""

import json
import os
import re
import subprocess
import sys
import urllib.request
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from otel_exporter_prometheus.settings import VARIABLES
from otel_metrics.web import routes
from tests.docs.links import broken

REPOSITORY = Path(__file__).parents[2]
PAGE = (REPOSITORY / "docs/page.md").read_text()
COMMANDS = re.findall(r"^\$ (.*)$", PAGE, re.MULTILINE)
SERVE = """
import sys, otel_metrics
telemetry = otel_metrics.configure(prometheus_port=0, metrics_exporter=["prometheus"])
print(telemetry.metrics_port, flush=True)
sys.stdin.read()
"""


def blocks(language: str) -> list[str]:
    """Return the page's code blocks of a language."""
    return re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)


@pytest.mark.component("promtool")
@pytest.mark.parametrize("configuration", blocks("yaml"))
def test_prometheus_takes_every_configuration(
    component: Callable[[str], str], configuration: str, tmp_path: Path
) -> None:
    """As it stands, with the files that it names."""
    (tmp_path / "prometheus.yml").write_text(configuration)
    (tmp_path / "metrics.token").write_text("x")
    (tmp_path / "ca.crt").write_text("x")
    checked = subprocess.run(
        [component("promtool"), "check", "config", "--syntax-only", "prometheus.yml"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )

    assert (checked.returncode, checked.stderr) == (0, "")
    assert yaml.safe_load(configuration)["scrape_configs"]


@pytest.mark.slow
def test_the_token_of_the_page_opens_it(tmp_path: Path) -> None:
    """The three commands secure a service; curl with the token gets the metrics."""
    start = COMMANDS.index("(umask 077; openssl rand -hex 32 > metrics.token)")
    shell = "\n".join([*COMMANDS[start : start + 3], f'exec {sys.executable} -c "$SERVE"'])
    process = subprocess.Popen(
        ["sh", "-c", shell],
        cwd=tmp_path,
        env={**os.environ, "SERVE": SERVE},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    port = int(process.stdout.readline())
    token = (tmp_path / "metrics.token").read_text().strip()
    url = f"http://localhost:{port}"
    headers = {"Authorization": f"Bearer {token}"}
    with urllib.request.urlopen(urllib.request.Request(f"{url}/healthz", headers=headers)) as got:
        health = json.load(got)
    (shown,) = re.findall(r'^(\{"status".*\})$', PAGE, re.MULTILINE)
    _, warned = process.communicate("", timeout=30)

    assert list(health) == list(json.loads(shown))
    assert health["status"] == "ok"
    assert "is not encrypted: credentials and metrics can be read on the way" in warned


@pytest.mark.slow
def test_the_program_of_the_page_runs(tmp_path: Path) -> None:
    """The service that shows its own metrics starts as it stands."""
    (program, _) = blocks("python")
    code = program + "print([r.path for r in app.routes if 'otel' in (r.name or '')])"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, timeout=60
    )

    assert (done.stdout, done.stderr) == ("['/metrics', '/healthz', '/ws/sovereignty']\n", "")


def test_the_call_of_the_page_is_the_default() -> None:
    """Every argument is named, with what it is when it is not given."""
    _, call = blocks("python")
    found = eval(call, {"routes": routes})  # our own page

    assert [route.path for route in found] == ["/metrics", "/healthz", "/ws/sovereignty"]
    annotations = set(routes.__annotations__) - {"return"}
    assert set(re.findall(r"^    (\w+)=", call, re.MULTILINE)) == annotations


def test_every_variable_that_is_named_exists() -> None:
    """No variable of the page is a typing error, and what secures it is all there."""
    known = {variable.name for variable in VARIABLES} | {"OTEL_METRIC_EXPORT_INTERVAL"}
    named = set(re.findall(r"OTEL_[A-Z_]+[A-Z]", PAGE)) - {"OTEL_EXPORTER"}

    assert named <= known
    assert known - named == {"OTEL_EXPORTER_PROMETHEUS_PORT"}


def test_every_link_leads_somewhere() -> None:
    """To a heading of the page, or to a file beside it and a heading there."""
    assert broken(PAGE) == []
