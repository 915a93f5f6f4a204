"""`agent-kafka.yaml` and `gateway-kafka.yaml`: from a service over a broker to a store.

The broker speaks Kafka's protocol and is none: it keeps topics in memory. What a real one does to
its replicas is not tested here.
"""

import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.collector_config.conftest import MakeCollector, MakeService
from tests.collector_config.credentials import TOKEN, Secrets
from tests.collector_config.reading import archived, counted, received
from tests.collector_config.running import Collector, free_port, until

pytestmark = [
    pytest.mark.slow,
    pytest.mark.component("otelcol"),
    pytest.mark.component("broker"),
    pytest.mark.timeout(500),
]

REBALANCED_S = 200.0
"""A reader that dies while a group shares its partitions out is waited for by the others, a minute
by Kafka's default."""


@pytest.fixture
def broker(
    component: Callable[[str], str], secrets: Secrets, tmp_path: Path
) -> Iterator[Callable[[], dict[str, str]]]:
    """Start a broker over TLS and with a password, and return the variable that says where."""
    program = component("broker")
    started: list[subprocess.Popen[str]] = []
    with free_port() as port, (tmp_path / "broker.log").open("w") as log:
        words = [str(port), str(secrets.cert), str(secrets.key), TOKEN]

        def start() -> dict[str, str]:
            process = subprocess.Popen(
                [program, *words], stdout=subprocess.PIPE, stderr=log, text=True
            )
            started.append(process)
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n", (tmp_path / "broker.log").read_text()
            return {"OTELCOL_KAFKA_BROKERS": f"[127.0.0.1:{port}]"}

        yield start
        for process in started:
            process.kill()
            process.communicate()


def test_two_gateways_bring_what_was_recorded(
    collector: MakeCollector,
    service: MakeService,
    store: Collector,
    broker: Callable[[], dict[str, str]],
) -> None:
    """Every point and event of several processes, though one gateway is killed meanwhile."""
    url = f"http://{store.http}"
    env = {**broker(), "OTELCOL_PROMETHEUS_URL": url, "OTELCOL_EVENTS_URL": url}
    agent = collector("agent-kafka", env=env).start()
    gateways = [collector("gateway-kafka", env=env, label=label) for label in ("one", "two")]
    services = [service(f"desk{number}", agent.grpc) for number in range(3)]
    for gateway in gateways:
        gateway.start()
    for each in services:
        each.record(7)
    before = counted(store.page(), "skill_executions_total")
    until(lambda: counted(store.page(), "skill_executions_total") == 21, agent.log)
    until(  # of points and of events; killed before, others wait a minute and more for its answer
        lambda: gateways[1].log().count("new group session begun") >= 2,
        lambda: gateways[1].log(),
        within_s=REBALANCED_S,
    )
    gateways[0].kill()
    for each in services:
        each.record(11)
        each.end()
    folders = [store.folder.parent / f"desk{number}" for number in range(3)]
    sent = {record for folder in folders for record in archived(folder)}
    until(
        lambda: set(received(store.folder / "out")) >= sent,
        lambda: gateways[1].log(),
        within_s=REBALANCED_S,
    )

    assert before in (0, 7, 14, 21)
    assert set(received(store.folder / "out")) == sent
    assert counted(store.page(), "skill_executions_total") == 54


def test_a_wrong_password_loses_nothing(
    collector: MakeCollector,
    service: MakeService,
    secrets: Secrets,
    store: Collector,
    broker: Callable[[], dict[str, str]],
) -> None:
    """What an agent cannot hand over stays in its queue; with the right one, all of it arrives."""
    file = secrets.token.with_name("agents-password")
    file.write_text("wrong")
    url = f"http://{store.http}"
    env = {**broker(), "OTELCOL_PROMETHEUS_URL": url, "OTELCOL_EVENTS_URL": url}
    agent = collector("agent-kafka", env={**env, "OTELCOL_KAFKA_PASSWORD_FILE": str(file)}).start()
    collector("gateway-kafka", env=env).start()
    service("desk", agent.grpc).record(3)
    until(lambda: agent.said("Will retry", '"metrics"'), agent.log)
    waiting = agent.own("otelcol_exporter_queue_size")
    arrived = counted(store.page(), "skill_executions_total")
    agent.stop()
    file.write_text(TOKEN)
    agent.start()
    until(lambda: counted(store.page(), "skill_executions_total") == 3, agent.log)

    assert waiting > 0
    assert arrived == 0
