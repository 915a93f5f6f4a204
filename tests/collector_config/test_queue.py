"""The queue of `agent.yaml`: what it took is on the disk, whatever ends, fills up or is away."""

import contextlib
import http.server
import re
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.collector_config.conftest import MakeCollector, MakeService
from tests.collector_config.credentials import Secrets
from tests.collector_config.reading import archived, counted, received, times
from tests.collector_config.running import CONFIGURATIONS, FOLDER, Collector, until
from tests.torture.figures import NotRunError
from tests.torture.mounts import tmpfs

pytestmark = [pytest.mark.slow, pytest.mark.component("otelcol")]

BRIEF = {"OTEL_EXPORTER_OTLP_TIMEOUT": "2s"}
WITHOUT_EVENTS = {"OTEL_LOGS_EXPORTER": "none"}
MEMORY = "data refused due to high memory usage"
FULL = "no space left on device"
DOCUMENTATION = FOLDER.parent / "docs" / "collector.md"
DELIVERED = {name: ["delivered", None] for name in ("ndjson", "otlp", "otlp_logs")}


def test_a_killed_agent_loses_nothing(
    collector: MakeCollector, service: MakeService, store: Collector, gateway: Collector
) -> None:
    """The gateway is away, recording goes on, the agent is killed and started again; then the
    gateway comes, and has every point and event once, in order."""
    agent = collector("agent", env={"OTELCOL_GATEWAY_ENDPOINT": gateway.http}).start()
    desk = service("desk", agent.grpc)
    verdicts = [desk.record(count) for count in (7, 11)]
    agent.kill()
    agent.start()
    verdicts.append(desk.record(13))
    desk.end()
    agent.kill()
    waiting = counted(store.page(), "skill_executions_total")
    agent.start()
    gateway.start()
    sent, out = archived(store.folder.parent / "desk"), store.folder / "out"
    until(lambda: received(out).total() >= sent.total(), lambda: agent.log() + gateway.log())

    made = times(out, "skill.executions")
    assert verdicts == [DELIVERED] * 3
    assert waiting == 0
    assert received(out) == sent
    assert made == sorted(made)
    assert counted(store.page(), "skill_executions_total") == 31


@pytest.mark.component("strace")
@pytest.mark.parametrize("forced", ["true", "false"])
def test_what_it_took_is_forced_to_the_disk(
    component: Callable[[str], str],
    collector: MakeCollector,
    service: MakeService,
    gateway: Collector,
    forced: str,
    tmp_path: Path,
) -> None:
    """Before a service hears `delivered`; with the setting's default, which is the control, it is
    not."""
    changed = tmp_path / "agent.yaml"
    changed.write_text(
        (FOLDER / "agent.yaml").read_text().replace("fsync: true", f"fsync: {forced}")
    )
    env = {"OTELCOL_GATEWAY_ENDPOINT": gateway.http}
    agent = collector("agent", files=[changed], env=env)
    trace = tmp_path / "trace"
    words = ["-D", "-f", "-y", "-e", "trace=fsync,fdatasync", "-o", str(trace)]
    agent.command = [component("strace"), *words, *agent.command]
    desk = service("desk", agent.start().grpc)
    before = _forced(trace)
    verdicts = desk.record(1)

    assert verdicts == DELIVERED
    assert (_forced(trace) > before) is (forced == "true")


def _forced(trace: Path) -> int:
    """Return how often the queue of metrics was forced to the disk."""
    text = trace.read_text(errors="replace") if trace.exists() else ""
    return len(re.findall(r"sync\(\d+<[^>]*_metrics>", text))


def test_a_killed_gateway_loses_nothing(
    collector: MakeCollector, service: MakeService, store: Collector, gateway: Collector
) -> None:
    """What it had not answered for is still in the agent's queue."""
    gateway.start()
    agent = collector("agent", env={"OTELCOL_GATEWAY_ENDPOINT": gateway.http}).start()
    desk = service("desk", agent.grpc)
    desk.record(7)
    gateway.kill()
    verdicts = desk.record(11)
    gateway.start()
    desk.record(13)
    desk.end()
    sent, out = archived(store.folder.parent / "desk"), store.folder / "out"
    until(lambda: set(received(out)) >= set(sent), lambda: agent.log() + gateway.log())

    assert verdicts == DELIVERED
    # What was under way when it was killed may be there twice, and is the same.
    assert set(received(out)) == set(sent)
    assert counted(store.page(), "skill_executions_total") == 31


def test_a_store_that_is_away_is_waited_for(
    collector: MakeCollector, service: MakeService, store: Collector, gateway: Collector
) -> None:
    """A gateway says to the agent what the store says, so that the agent keeps it."""
    store.kill()
    gateway.start()
    agent = collector("agent", env={"OTELCOL_GATEWAY_ENDPOINT": gateway.http}).start()
    desk = service("desk", agent.grpc)
    verdicts = desk.record(7)
    until(lambda: agent.said("Will retry", '"metrics"'), agent.log)
    waiting = agent.own("otelcol_exporter_queue_size")
    store.start()
    until(lambda: counted(store.page(), "skill_executions_total") == 7, agent.log)

    assert verdicts == DELIVERED
    assert waiting > 0
    assert gateway.own("otelcol_exporter_sent_metric_points") > 0


def test_a_full_queue_refuses(
    collector: MakeCollector, service: MakeService, store: Collector, gateway: Collector
) -> None:
    """The service's verdict says so, and so do the agent's own metrics; once there is room, the
    next flush says all that was recorded."""
    agent = _small(collector, gateway, queue_size=8_000).start()
    desk = service("desk", agent.grpc, BRIEF)
    until(lambda: "sending queue is full" in str(desk.record(1)["otlp"]), agent.log)
    refused = agent.own("otelcol_exporter_enqueue_failed_metric_points")
    gateway.start()
    until(lambda: desk.record(1)["otlp"][0] == "delivered", agent.log)
    until(lambda: counted(store.page(), "skill_executions_total") == desk.total, agent.log)

    assert refused > 0


def test_its_metrics_are_those_of_the_documentation(
    collector: MakeCollector, service: MakeService, secrets: Secrets, gateway: Collector
) -> None:
    """Each name of docs/collector.md is on the agent's own page, with its labels, once what it
    counts has happened: a full queue, a token that is refused, and one that is taken."""
    rows = re.findall(r"^\| `(otelcol_\w+)` \| (.*?) \|", DOCUMENTATION.read_text(), re.MULTILINE)
    named = {name: set(re.findall(r"\w+", labels)) for name, labels in rows}
    token = secrets.token.with_name("agents-token")
    token.write_text("wrong-token-0123")
    agent = _small(collector, gateway, queue_size=8_000)
    agent.env["OTELCOL_TOKEN_FILE"] = str(token)
    agent.start()
    desk = service("desk", agent.grpc, BRIEF)
    until(lambda: desk.record(1)["otlp"][0] == "failed", agent.log)
    gateway.start()
    until(lambda: agent.own("otelcol_exporter_send_failed_metric_points"), agent.log)
    token.write_text(secrets.token.read_text())
    until(lambda: len(agent.said("refresh token")) > 1, agent.log)
    until(lambda: desk.record(1)["otlp"][0] == "delivered", agent.log)
    until(lambda: agent.own("otelcol_exporter_sent_metric_points"), agent.log)

    samples = re.findall(r"^(\w+)\{(.*)\}", agent.own_page(), re.MULTILINE)
    shown = {name: set(re.findall(r'(\w+)="', labels)) for name, labels in samples}
    assert len(named) == 7
    assert {name: shown.get(name) for name in named} == named


def test_memory_past_its_limit_refuses(
    collector: MakeCollector, service: MakeService, gateway: Collector
) -> None:
    """Before anything else is done with it, and the service's verdict says why."""
    env = {"OTELCOL_GATEWAY_ENDPOINT": gateway.http, "OTELCOL_MEMORY_LIMIT_MIB": "2"}
    agent = collector("agent", env=env).start()
    desk = service("desk", agent.grpc, BRIEF)
    until(lambda: MEMORY in str(desk.record(1)["otlp"]), agent.log)

    assert agent.own("otelcol_receiver_refused_metric_points") > 0


@pytest.mark.parametrize(
    ("name", "status"),
    [
        ("gateway", 400),
        ("gateway", 404),
        ("gateway", 500),
        ("gateway-remote-write", 400),
        ("gateway-remote-write", 429),
    ],
)
def test_what_the_store_refuses_for_good_is_dropped(
    collector: MakeCollector, service: MakeService, name: str, status: int
) -> None:
    """A limit, as docs/collector.md has it: it ends up in the agent's log, and what comes after it
    is not held up."""
    with answering(status) as (env, requests):
        agent = _agent_of(collector, name, env)
        desk = service("desk", agent.grpc, WITHOUT_EVENTS)
        desk.record(1)
        until(lambda: agent.said("Dropping data", '"metrics"'), agent.log)
        desk.record(1)
        until(lambda: len(requests) == 2, agent.log)

    assert agent.own("otelcol_exporter_send_failed_metric_points") > 0


@pytest.mark.parametrize(
    ("name", "status"),
    [
        ("gateway", 429),
        ("gateway", 502),
        ("gateway", 503),
        ("gateway", 504),
        ("gateway-remote-write", 500),
        ("gateway-remote-write", 503),
    ],
)
def test_what_the_store_does_not_take_now_is_kept(
    collector: MakeCollector, service: MakeService, name: str, status: int
) -> None:
    """The agent asks again, and drops nothing."""
    with answering(status) as (env, requests):
        agent = _agent_of(collector, name, env)
        service("desk", agent.grpc, WITHOUT_EVENTS).record(1)
        until(lambda: agent.said("Will retry", '"metrics"'), agent.log)
        until(lambda: len(requests) > 1, agent.log)

    assert not agent.said("Dropping data")


@pytest.mark.parametrize("name", ["gateway", "gateway-remote-write"])
def test_a_store_that_does_not_answer_is_asked_again(
    collector: MakeCollector, service: MakeService, name: str, tmp_path: Path
) -> None:
    """The agent drops nothing; with the timeouts of the files, twenty times as short."""
    with hanging() as env:
        gateway = collector(name, files=_hurried(name, tmp_path), env=env).start()
        env = {"OTELCOL_GATEWAY_ENDPOINT": gateway.http}
        agent = collector("agent", files=_hurried("agent", tmp_path), env=env).start()
        service("desk", agent.grpc, WITHOUT_EVENTS).record(1)
        until(lambda: agent.said('"metrics"', "Will retry") or agent.said("Dropping"), agent.log)

    assert not agent.said("Dropping data")


def _hurried(name: str, folder: Path) -> list[Path]:
    """Return the files of a configuration, with the timeouts of its exporters cut short."""
    files = []
    for file in CONFIGURATIONS[name]:
        configuration: Any = yaml.safe_load((FOLDER / file).read_text())
        for exporter in configuration["exporters"].values():
            exporter["timeout"] = f"{int(exporter['timeout'].removesuffix('s')) * 50}ms"
        files.append(folder / file)
        files[-1].write_text(yaml.safe_dump(configuration))
    return files


@contextlib.contextmanager
def hanging() -> Iterator[dict[str, str]]:
    """Listen as a store that accepts connections and says nothing, and give the variables of a
    gateway before it."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        yield {"OTELCOL_PROMETHEUS_URL": url, "OTELCOL_REMOTE_WRITE_URL": url}


def _agent_of(collector: MakeCollector, name: str, env: dict[str, str]) -> Collector:
    """Return an agent that runs before a gateway that runs."""
    gateway = collector(name, env=env).start()
    return collector("agent", env={"OTELCOL_GATEWAY_ENDPOINT": gateway.http}).start()


@contextlib.contextmanager
def answering(status: int) -> Iterator[tuple[dict[str, str], list[str]]]:
    """Run a store that answers with a status, and give the variables of a gateway before it and the
    paths that it is asked for."""
    paths: list[str] = []

    class Answering(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["content-length"]))
            paths.append(self.path)
            self.send_response(status)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answering) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        url = f"http://127.0.0.1:{server.server_port}"
        yield {"OTELCOL_PROMETHEUS_URL": url, "OTELCOL_REMOTE_WRITE_URL": url}, paths
        server.shutdown()
        thread.join()


def test_a_full_disk_refuses(
    collector: MakeCollector,
    service: MakeService,
    store: Collector,
    gateway: Collector,
    tmp_path: Path,
) -> None:
    """As a full queue: nothing is taken that cannot be kept, and nothing that was taken is lost."""
    try:
        with tmpfs(tmp_path, "size=512k") as disk:
            agent = _small(collector, gateway, queue_size=10_000_000, folder=disk).start()
            desk = service("desk", agent.grpc, BRIEF)
            (disk / "filler").write_bytes(bytes(2**17))
            until(lambda: FULL in str(desk.record(20)["otlp"]), agent.log)
            gateway.start()
            (disk / "filler").unlink()
            until(lambda: desk.record(1)["otlp"][0] == "delivered", agent.log)
            until(lambda: counted(store.page(), "skill_executions_total") == desk.total, agent.log)
            agent.kill()
    except NotRunError as error:
        pytest.skip(str(error))


def _small(
    collector: MakeCollector, gateway: Collector, *, queue_size: int, folder: Path | None = None
) -> Collector:
    """Return an agent whose queue is small, and so its batches."""
    configuration: Any = yaml.safe_load((FOLDER / "agent.yaml").read_text())
    queue = configuration["exporters"]["otlp_http/gateway"]["sending_queue"]
    queue["queue_size"] = queue_size
    queue["batch"] |= {"min_size": 1, "max_size": 5_000}
    configuration["exporters"]["otlp_http/gateway"]["retry_on_failure"]["max_interval"] = "1s"
    changed = gateway.folder / "agent.yaml"
    changed.write_text(yaml.safe_dump(configuration))
    place = {"OTELCOL_QUEUE_FOLDER": str(folder / "queue")} if folder else {}
    env = {"OTELCOL_GATEWAY_ENDPOINT": gateway.http, **place}
    return collector("agent", files=[changed], env=env)
