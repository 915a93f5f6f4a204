"""`agent.yaml` and `gateway.yaml`: from a service over both to a store, with a token and over TLS."""

from pathlib import Path

import pytest
import yaml

from otel_metrics.testing import capture
from tests.collector_config.conftest import MakeCollector, MakeService
from tests.collector_config.reading import archived, counted, newest, received, series
from tests.collector_config.running import Collector, until

pytestmark = [pytest.mark.slow, pytest.mark.component("otelcol")]


@pytest.fixture
def store(collector: MakeCollector) -> Collector:
    """What stands where Prometheus and the store of events would."""
    return collector("local", label="store").start()


@pytest.fixture
def gateway(collector: MakeCollector, store: Collector) -> Collector:
    """A running gateway in front of the store."""
    return collector("gateway", env=to(store)).start()


def to(store: Collector) -> dict[str, str]:
    """Return the variables with which a gateway hands on to a store."""
    url = f"http://{store.http}"
    return {"OTELCOL_PROMETHEUS_URL": url, "OTELCOL_EVENTS_URL": url}


def test_the_store_gets_what_was_recorded(
    collector: MakeCollector, service: MakeService, store: Collector, gateway: Collector
) -> None:
    """Every point and event once, to the last bit, through agent and gateway."""
    agent = collector("agent", env={"OTELCOL_GATEWAY_ENDPOINT": gateway.grpc}).start()
    desk = service("desk", agent.grpc)
    before = counted(store.page(), "skill_executions_total")
    desk.record(30)
    desk.record(12)
    desk.end()
    sent = archived(store.folder.parent / "desk")
    out = store.folder / "out"
    until(lambda: received(out).total() >= sent.total(), lambda: agent.log() + gateway.log())

    assert before == 0
    assert received(out) == sent
    assert counted(store.page(), "skill_executions_total") == 42
    assert [log.levels() for log in (agent, gateway, store)] == [{"info"}] * 3
