"""`agent.yaml` and `gateway.yaml`: from a service over both to a store, with a token, over TLS."""

import contextlib
import json
import re
import subprocess
import urllib.error
import urllib.parse
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import yaml

from tests.collector_config.conftest import MakeCollector, MakeService
from tests.collector_config.reading import archived, counted, received, series
from tests.collector_config.running import FOLDER, Collector, asked, free_port, until

pytestmark = [pytest.mark.slow, pytest.mark.component("otelcol")]

PAGE = FOLDER.parent / "docs" / "collector.md"
FAMILY = "skill_executions_total"


def test_the_store_gets_what_was_recorded(
    collector: MakeCollector, service: MakeService, store: Collector, gateway: Collector
) -> None:
    """Every point and event once, to the last bit, through agent and gateway, in silence."""
    gateway.start()
    agent = collector("agent", env={"OTELCOL_GATEWAY_ENDPOINT": gateway.http}).start()
    desk = service("desk", agent.grpc)
    before = counted(store.page(), FAMILY)
    desk.record(30)
    desk.record(12)
    desk.end()
    sent, out = archived(store.folder.parent / "desk"), store.folder / "out"
    until(lambda: received(out).total() >= sent.total(), lambda: agent.log() + gateway.log())

    assert before == 0
    assert received(out) == sent
    assert counted(store.page(), FAMILY) == 42
    assert [log.levels() for log in (agent, gateway, store)] == [{"info"}] * 3


@pytest.mark.parametrize("changed", ["agent", "gateway"])
def test_an_exporter_that_is_taken_out_brings_nothing(
    collector: MakeCollector, service: MakeService, store: Collector, changed: str, tmp_path: Path
) -> None:
    """The control: with another exporter in agent or gateway, nothing comes to the store."""
    configuration = yaml.safe_load((FOLDER / f"{changed}.yaml").read_text())
    configuration["exporters"]["debug"] = {}
    configuration["service"]["pipelines"]["metrics"]["exporters"] = ["debug"]
    file = tmp_path / f"{changed}.yaml"
    file.write_text(yaml.safe_dump(configuration))
    files = {changed: [file]}
    url = f"http://{store.http}"
    env = {"OTELCOL_PROMETHEUS_URL": url, "OTELCOL_EVENTS_URL": url}
    gateway = collector("gateway", files=files.get("gateway"), env=env).start()
    env = {"OTELCOL_GATEWAY_ENDPOINT": gateway.http}
    agent = collector("agent", files=files.get("agent"), env=env).start()
    service("desk", agent.grpc).record(3)
    end = agent if changed == "agent" else gateway
    until(lambda: end.own("otelcol_exporter_sent_metric_points"), end.log)

    assert end.said("debug", '"data points": ')
    assert counted(store.page(), FAMILY) == 0


@pytest.mark.parametrize("token", [None, "0123456789abcdef"])
def test_a_page_is_scraped(
    collector: MakeCollector,
    service: MakeService,
    store: Collector,
    gateway: Collector,
    token: str | None,
    tmp_path: Path,
) -> None:
    """A file in the folder of targets, and what a service shows is at the store, with its name;
    with a token where the page asks for one."""
    gateway.start()
    file = tmp_path / "scrape-token"
    file.write_text(token or "")
    file.chmod(0o600)
    asks = {"OTEL_EXPORTER_PROMETHEUS_BEARER_TOKEN_FILE": str(file)} if token else {}
    gives = {"OTELCOL_SCRAPE_TOKEN_FILE": str(file)} if token else {}
    env = {"OTELCOL_GATEWAY_ENDPOINT": gateway.http, **gives}
    agent = collector("agent", env=env).start()
    shown = {"OTEL_METRICS_EXPORTER": "prometheus", "OTEL_EXPORTER_PROMETHEUS_PORT": "0"}
    desk = service("desk", "nobody", {**shown, **asks, "OTEL_LOGS_EXPORTER": "none"})
    desk.record(30)
    before = counted(store.page(), FAMILY)
    target = [{"targets": [desk.page], "labels": {"job": "desk"}}]
    (agent.folder / "targets" / "desk.yaml").write_text(yaml.safe_dump(target))
    until(lambda: counted(store.page(), FAMILY) == 30, agent.log)
    desk.record(12)
    until(lambda: counted(store.page(), FAMILY) == 42, agent.log)

    assert before == 0
    (labels,) = series(store.page(), FAMILY)
    assert labels == (
        'gen_ai_agent_name="support",gen_ai_skill_name="triage",gen_ai_skill_version="2",'
        f'instance="{desk.page}",job="desk"'
    )


@pytest.mark.parametrize(
    ("program", "name", "variable", "path", "flag"),
    [
        pytest.param(
            "prometheus",
            "gateway-remote-write",
            "OTELCOL_REMOTE_WRITE_URL",
            "/api/v1/write",
            "--web.enable-remote-write-receiver",
            marks=pytest.mark.component("prometheus"),
        ),
        pytest.param(
            "prometheus3",
            "gateway",
            "OTELCOL_PROMETHEUS_URL",
            "/api/v1/otlp",
            "--web.enable-otlp-receiver",
            marks=pytest.mark.component("prometheus3"),
        ),
    ],
)
def test_prometheus_has_what_was_recorded(
    component: Callable[[str], str],
    collector: MakeCollector,
    service: MakeService,
    tmp_path: Path,
    program: str,
    name: str,
    variable: str,
    path: str,
    flag: str,
) -> None:
    """The totals by OTLP and by remote write, under the same names and labels; a Prometheus that is
    away is waited for, and takes the late points with the setting of docs/collector.md."""
    (storage,) = re.findall(r"```yaml\n(storage:.*?)```", PAGE.read_text(), re.DOTALL)
    (tmp_path / "prometheus.yml").write_text(storage)
    with free_port() as port:
        url = f"http://127.0.0.1:{port}"
        gateway = collector(name, env={variable: url + path}).start()
        agent = collector("agent", env={"OTELCOL_GATEWAY_ENDPOINT": gateway.http}).start()
        desk = service("desk", agent.grpc, {"OTEL_LOGS_EXPORTER": "none"})
        desk.record(30)
        until(lambda: agent.said("Will retry", '"metrics"'), agent.log)
        with running(component(program), tmp_path, port, flag):
            until(lambda: _queried(url) == [30], lambda: agent.log() + gateway.log())
            desk.record(12)
            until(lambda: _queried(url) == [42], lambda: agent.log() + gateway.log())
            (found,) = (each["metric"] for each in _query(url, FAMILY))

    assert sorted(found) == [
        "__name__",
        "gen_ai_agent_name",
        "gen_ai_skill_name",
        "gen_ai_skill_version",
        "instance",
        "job",
    ]
    assert found["job"] == "desk"
    assert not agent.said("Dropping data")


@contextlib.contextmanager
def running(program: str, folder: Path, port: int, flag: str) -> Iterator[None]:
    """Run a Prometheus."""
    words = [
        "--config.file=prometheus.yml",
        f"--web.listen-address=127.0.0.1:{port}",
        "--storage.tsdb.path=prometheus",
        flag,
    ]
    with (folder / "prometheus.log").open("wb") as log:
        process = subprocess.Popen([program, *words], cwd=folder, stdout=log, stderr=log)
    try:
        yield
    finally:
        process.kill()
        process.wait()


def _query(url: str, expression: str) -> list[dict[str, dict[str, str]]]:
    asked_for = urllib.parse.urlencode({"query": expression})
    try:
        reply = asked(f"{url}/api/v1/query?{asked_for}")
    except (urllib.error.URLError, ConnectionError):
        return []
    found: list[dict[str, dict[str, str]]] = json.loads(reply)["data"]["result"]
    return found


def _queried(url: str) -> list[float]:
    return [float(each["value"][1]) for each in _query(url, f"sum({FAMILY})")]  # type: ignore[index]  # a pair
