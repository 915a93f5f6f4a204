"""Every configuration starts without a complaint, open to this machine alone."""

from pathlib import Path

import psutil
import pytest
import yaml

from tests.collector_config.conftest import MakeCollector
from tests.collector_config.running import CONFIGURATIONS, FOLDER

pytestmark = [pytest.mark.slow, pytest.mark.component("otelcol")]

COMPLAINTS = ("deprecated", "alias", "unset environment variable")
ALONE = sorted(set(CONFIGURATIONS) - {"agent", "gateway-kafka"})
"""Those that reach for nobody when they start; the others warn that nobody is there."""


def complaints(log: str) -> list[str]:
    """Return the lines with an error, or about something that will go."""
    return [
        line
        for line in log.splitlines()
        if "\terror\t" in line or any(word in line for word in COMPLAINTS)
    ]


@pytest.mark.parametrize("name", CONFIGURATIONS)
def test_the_log_has_no_complaint(collector: MakeCollector, name: str) -> None:
    """No error, nothing that is deprecated, no variable without a default."""
    started = collector(name).start()

    assert complaints(started.log()) == []


@pytest.mark.parametrize("name", ALONE)
def test_the_log_has_no_warning(collector: MakeCollector, name: str) -> None:
    """Where nothing is needed from elsewhere, there is nothing to warn of."""
    started = collector(name).start()

    assert started.levels() == {"info"}


def test_an_old_name_is_a_complaint(collector: MakeCollector, tmp_path: Path) -> None:
    """The control: with the name of an exporter that went in 2026, the same check finds it."""
    old = tmp_path / "old.yaml"
    old.write_text((FOLDER / "replay.yaml").read_text().replace("otlp_http", "otlphttp"))
    started = collector("replay", files=[old]).start()

    assert '"otlphttp" alias is deprecated' in complaints(started.log())[0]


@pytest.mark.parametrize("name", CONFIGURATIONS)
def test_every_port_is_for_this_machine(collector: MakeCollector, name: str) -> None:
    """Whoever listens beyond it has said so."""
    started = collector(name).start()
    assert started.process is not None
    connections = psutil.Process(started.process.pid).net_connections("tcp")
    listening = {each.laddr.port: each.laddr.ip for each in connections if each.status == "LISTEN"}

    assert set(listening.values()) == {"127.0.0.1"}
    assert set(listening) <= set(started.ports.values())


def test_no_port_by_default_is_for_others() -> None:
    """Every address in the files is this machine's."""
    text = "".join(file.read_text() for file in FOLDER.glob("*.yaml"))

    assert "0.0.0.0" not in text
    assert "[::]" not in text


@pytest.mark.parametrize(
    ("file", "exporter"),
    [("agent", "otlp_http/gateway"), ("agent-kafka", "kafka"), ("replay", "otlp_http")],
)
def test_what_was_taken_is_tried_for_ever(file: str, exporter: str) -> None:
    """By itself a collector drops after five minutes, which no test waits for."""
    configuration = yaml.safe_load((FOLDER / f"{file}.yaml").read_text())

    assert configuration["exporters"][exporter]["retry_on_failure"]["max_elapsed_time"] == "0s"
