"""Several gateways behind a balancer of connections."""

import pytest

from tests.collector_config.balancer import balancer
from tests.collector_config.conftest import MakeCollector, MakeService
from tests.collector_config.reading import counted
from tests.collector_config.running import Collector, until

pytestmark = [pytest.mark.slow, pytest.mark.component("otelcol")]

SENT = "otelcol_exporter_sent_metric_points"


def test_a_gateway_that_is_added_gets_its_share(
    collector: MakeCollector, service: MakeService, store: Collector, gateway: Collector
) -> None:
    """Of an agent that was there before it, without a restart of anything, and nothing is lost."""
    gateway.start()
    added = collector("gateway", label="added", env=_store_of(gateway)).start()
    with balancer(gateway.http) as between:
        agent = collector("agent", env={"OTELCOL_GATEWAY_ENDPOINT": between.address}).start()
        desk = service("desk", agent.grpc, {"OTEL_LOGS_EXPORTER": "none"})

        def arrive() -> None:
            desk.record(1)
            until(lambda: counted(store.page(), "skill_executions_total") == desk.total, agent.log)

        for _ in range(2):
            arrive()
        between.servers.append(added.http)
        for _ in range(4):
            arrive()

        assert added.own(SENT) > 0
        assert gateway.own(SENT) > added.own(SENT)
    assert agent.levels() == {"info"}


def _store_of(gateway: Collector) -> dict[str, str]:
    """Return the variables that say where a gateway sends."""
    names = ("OTELCOL_PROMETHEUS_URL", "OTELCOL_EVENTS_URL")
    return {name: gateway.env[name] for name in names}
