"""A service's way to Prometheus as it is deployed: `agent.yaml`, `gateway.yaml`, Prometheus 3.

Outside of a test too: the harness of faults and the benchmark of a fleet use it.
"""

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.collector_config.credentials import make_secrets
from tests.collector_config.prometheus3 import Prometheus
from tests.collector_config.running import Collector

__all__ = ["Chain", "chain"]


@dataclass(frozen=True, slots=True)
class Chain:
    """What runs: an agent, which sends to a gateway over TLS and with a token, which sends to
    Prometheus."""

    agent: Collector
    gateway: Collector
    prometheus: Prometheus

    @property
    def variables(self) -> dict[str, str]:
        """What lets a service send to the agent."""
        return {
            "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc",
            "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://{self.agent.grpc}",
        }

    def logs(self) -> str:
        """Return what agent and gateway have logged."""
        return self.agent.log() + self.gateway.log()


@contextlib.contextmanager
def chain(
    folder: Path, *, otelcol: str, prometheus3: str, env: Mapping[str, str] | None = None
) -> Iterator[Chain]:
    """Start everything in a folder, and end it after the block.

    Args:
        otelcol: the path of the collector.
        prometheus3: the path of Prometheus.
        env: further variables of agent and gateway.
    """
    with contextlib.ExitStack() as ending:
        prometheus = Prometheus(prometheus3, folder / "prometheus")
        ending.callback(prometheus.close)
        secrets = make_secrets(folder / "secrets").env

        def start(name: str, more: dict[str, str]) -> Collector:
            own = folder / name
            (own / "targets").mkdir(parents=True)
            places = {
                "OTELCOL_QUEUE_FOLDER": str(own / "queue"),
                "OTELCOL_TARGETS_FOLDER": str(own / "targets"),
            }
            variables = {**secrets, **places, **more, **(env or {})}
            collector = Collector(otelcol, name, folder=own, env=variables)
            ending.callback(collector.close)
            return collector.start()

        url = prometheus.start().otlp
        gateway = start("gateway", {"OTELCOL_PROMETHEUS_URL": url})
        agent = start("agent", {"OTELCOL_GATEWAY_ENDPOINT": gateway.http})
        yield Chain(agent, gateway, prometheus)
