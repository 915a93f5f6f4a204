"""The queue of `agent.yaml`: what it took is on the disk, whatever ends, fills up or is away."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.collector_config.conftest import MakeCollector, MakeService
from tests.collector_config.reading import archived, counted, received
from tests.collector_config.running import FOLDER, Collector, until
from tests.torture.figures import NotRunError
from tests.torture.mounts import tmpfs

pytestmark = [pytest.mark.slow, pytest.mark.component("otelcol")]

BRIEF = {"OTEL_EXPORTER_OTLP_TIMEOUT": "2s"}
FULL = "no space left on device"
DELIVERED = {name: ["delivered", None] for name in ("ndjson", "otlp", "otlp_logs")}


def test_a_killed_agent_loses_nothing(
    collector: MakeCollector, service: MakeService, store: Collector, gateway: Collector
) -> None:
    """The gateway is away, recording goes on, the agent is killed and started again; then the
    gateway comes, and has every point and event once."""
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

    assert verdicts == [DELIVERED] * 3
    assert waiting == 0
    assert received(out) == sent
    assert counted(store.page(), "skill_executions_total") == 31


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
