"""A real Alertmanager in front of a service: an alert of a fleet runs a playbook, once."""

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
import uvicorn
from starlette.applications import Starlette

from otel_exporter_ndjson import read
from otel_metrics.remediation import configured
from otel_metrics.web import alert_routes
from tests.collector_config.running import DEADLINE_S, free_port, until
from tests.e2e import alertmanager
from tests.e2e.alertmanager import Alertmanager
from tests.otel_metrics.remediation.shop import TOKENS, Shop

pytestmark = pytest.mark.slow

BUSY = {
    "alertname": "HostIsBusy",
    "severity": "critical",
    "playbook": "shift-load",
    "metric": "infra.cpu_utilization",
    "service_resource_id": "web-1",
}
REPEATS = 3
"""So often Alertmanager asks before a test is sure that it changes nothing."""

Notifier = Callable[..., Alertmanager]


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    """The files of a service."""
    folder = tmp_path / "shop"
    folder.mkdir()
    return Shop(folder)


@pytest.fixture
def port() -> Iterator[int]:
    """A port that is held for the service."""
    with free_port() as port:
        yield port


@pytest.fixture
def notifier(component: Callable[[str], str], tmp_path: Path, port: int) -> Iterator[Notifier]:
    """Starts Alertmanagers that tell the service."""
    program = component("prometheus-alertmanager")
    with ExitStack() as running:

        def start(name: str = "one", *, token: str = TOKENS["alertmanager"]) -> Alertmanager:
            service = f"http://127.0.0.1:{port}/alerts"
            folder = tmp_path / name
            return running.enter_context(
                alertmanager.running(program, folder, service=service, token=token)
            )

        yield start


@contextmanager
def serving(shop: Shop, port: int) -> Iterator[None]:
    """Run a service with playbooks on a port."""
    app = Starlette(routes=alert_routes(actors_file=shop.actors))
    server = uvicorn.Server(uvicorn.Config(app, log_level="error", lifespan="off"))
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind(("127.0.0.1", port))
    listener.listen()
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    with shop.engine() as engine:
        configured.use(engine)
        thread.start()
        try:
            yield
        finally:
            server.should_exit = True
            thread.join(DEADLINE_S)
            listener.close()
            configured.use(None)


def test_an_alert_runs_its_playbook_once(shop: Shop, port: int, notifier: Notifier) -> None:
    """However often Alertmanager repeats it; the audit names the token's actor."""
    fleet = notifier()
    with serving(shop, port):
        fleet.fire(BUSY, summary="web-1 has no CPU left")
        until(shop.did, lambda: "nothing is run")
        until(lambda: fleet.notified() > REPEATS, lambda: "the alert is not repeated")

    assert (shop.did(), fleet.notified(failed=True)) == (["shift web-9"], 0)
    intents = [
        record.data["attributes"]
        for record in read(shop.archive, signal="audit")
        if record.data["event"] == "remediation.intent"
    ]
    assert [(each["actor"], each["reason"], each["resource"]) for each in intents] == [
        ("alertmanager", "HostIsBusy: web-1 has no CPU left", "host/web-1")
    ]


def test_an_alert_waits_for_a_service_that_is_down(
    shop: Shop, port: int, notifier: Notifier
) -> None:
    """Alertmanager asks again until it is there."""
    fleet = notifier()
    fleet.fire(BUSY)
    until(lambda: fleet.notified() > 0, lambda: "it is not told")
    with serving(shop, port):
        until(shop.did, lambda: "nothing is run")

    assert shop.did() == ["shift web-9"]


def test_two_alertmanagers_cause_one_run(shop: Shop, port: int, notifier: Notifier) -> None:
    """Each of a pair that does not know of the other sends the same alert."""
    pair = [notifier("one"), notifier("two")]
    with serving(shop, port):
        began_at = pair[0].fire(BUSY)
        pair[1].fire(BUSY, began_at=began_at)
        until(lambda: all(each.notified() > REPEATS for each in pair), lambda: "not told")
        until(shop.did, lambda: "nothing is run")

    assert shop.did() == ["shift web-9"]


def test_what_is_known_to_nobody_runs_nothing(shop: Shop, port: int, notifier: Notifier) -> None:
    """Alerts of other teams, other hosts and with hostile labels are answered, and are no error."""
    fleet = notifier()
    with serving(shop, port):
        fleet.fire({**BUSY, "service_resource_id": "web-7"})
        fleet.fire({**BUSY, "playbook": "$(reboot)"})
        fleet.fire({**BUSY, "service_resource_id": "web-1; reboot"})
        until(lambda: fleet.notified() > REPEATS, lambda: "it is not told")

    assert (shop.did(), fleet.notified(failed=True)) == ([], 0)


def test_a_wrong_token_runs_nothing(shop: Shop, port: int, notifier: Notifier) -> None:
    """Nobody is named, so nobody is let in."""
    fleet = notifier(token="another-0123456789abcdef")
    with serving(shop, port):
        fleet.fire(BUSY)
        until(lambda: fleet.notified(failed=True) > 0, lambda: "it is not refused")

    assert shop.did() == []
