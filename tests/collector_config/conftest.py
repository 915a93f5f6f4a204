"""Starts collectors and services, with the files that they need, and ends them."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.collector_config.credentials import Secrets, make_secrets
from tests.collector_config.running import Collector, Service

MakeCollector = Callable[..., Collector]
MakeService = Callable[..., Service]


@pytest.fixture
def secrets(tmp_path: Path) -> Secrets:
    """A token, an authority and a certificate for the gateway."""
    return make_secrets(tmp_path / "secrets")


@pytest.fixture
def collector(
    component: Callable[[str], str], secrets: Secrets, tmp_path: Path
) -> Iterator[MakeCollector]:
    """Make a collector: `collector("agent").start()`, or with other `files`, `env` and `label`."""
    made: list[Collector] = []

    def make(
        name: str,
        *,
        files: list[Path] | None = None,
        env: dict[str, str] | None = None,
        label: str | None = None,
    ) -> Collector:
        folder = tmp_path / (label or name)
        targets = folder / "targets"
        targets.mkdir(parents=True, exist_ok=True)
        places = {
            "OTELCOL_FOLDER": str(folder / "out"),
            "OTELCOL_QUEUE_FOLDER": str(folder / "queue"),
            "OTELCOL_TARGETS_FOLDER": str(targets),
            "OTELCOL_SCRAPE_INTERVAL": "1s",
            "OTELCOL_SCRAPE_TIMEOUT": "1s",
        }
        env = {**secrets.env, **places, **(env or {})}
        made.append(Collector(component("otelcol"), name, folder=folder, files=files, env=env))
        return made[-1]

    yield make
    for each in made:
        each.close()


@pytest.fixture
def store(collector: MakeCollector) -> Collector:
    """What stands where Prometheus and the store of events would."""
    return collector("local", label="store").start()


@pytest.fixture
def gateway(collector: MakeCollector, store: Collector) -> Collector:
    """A gateway in front of the store, not started."""
    url = f"http://{store.http}"
    return collector("gateway", env={"OTELCOL_PROMETHEUS_URL": url, "OTELCOL_EVENTS_URL": url})


@pytest.fixture
def service(tmp_path: Path) -> Iterator[MakeService]:
    """Start a service: `service("desk", collector.grpc)`."""
    made: list[Service] = []

    def make(name: str, endpoint: str, env: dict[str, str] | None = None) -> Service:
        made.append(Service(tmp_path / name, endpoint, env))
        return made[-1]

    yield make
    for each in made:
        each.kill()


@pytest.fixture(autouse=True)
def _no_variables_of_collectors(monkeypatch: pytest.MonkeyPatch) -> None:
    """Start each collector without `OTELCOL_*` variables of the machine."""
    for variable in [name for name in os.environ if name.startswith("OTELCOL_")]:
        monkeypatch.delenv(variable)
