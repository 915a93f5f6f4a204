"""A real Alertmanager, to which a test gives alerts as Prometheus does."""

import json
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from tests.collector_config.running import DEADLINE_S, FOLDER, asked, free_port, until

__all__ = ["Alertmanager", "running"]

SHIPPED: Final = FOLDER / "prometheus" / "alertmanager.yml"
SHIPPED_URL: Final = "http://localhost:8000/alerts"
SHIPPED_WAITS: Final = {
    "group_wait: 30s": "group_wait: 100ms",
    "group_interval: 5m": "group_interval: 1s",
    "repeat_interval: 4h": "repeat_interval: 1s",
}
"""What a test cannot wait for; it asks again each second."""

FIRING_S: Final = 3_600.0
"""Longer than a test takes, so that no alert is resolved."""


class Alertmanager:
    """An Alertmanager with the configuration of this project.

    Args:
        url: where it listens.
    """

    def __init__(self, url: str) -> None:
        self._url = url

    def fire(
        self, labels: Mapping[str, str], *, began_at: float | None = None, **notes: str
    ) -> float:
        """Report an alert, as Prometheus does, and return when it began: by default now."""
        began_at = began_at or time.time()
        alert = {
            "labels": labels,
            "annotations": notes,
            "startsAt": _time(began_at),
            "endsAt": _time(began_at + FIRING_S),
        }
        request = urllib.request.Request(
            f"{self._url}/api/v2/alerts",
            json.dumps([alert]).encode(),
            {"Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=DEADLINE_S) as answer:
            assert answer.status == 200
        return began_at

    def notified(self, *, failed: bool = False) -> int:
        """Return how often it has asked the service, or how often in vain."""
        name = (
            "alertmanager_notifications_failed_total"
            if failed
            else ("alertmanager_notifications_total")
        )
        lines = asked(f"{self._url}/metrics").splitlines()
        wanted = f'{name}{{integration="webhook"'
        return sum(int(float(line.split()[-1])) for line in lines if line.startswith(wanted))


@contextmanager
def running(
    program: str, folder: Path, *, service: str, token: str, more: Sequence[str] = ()
) -> Iterator[Alertmanager]:
    """Run Alertmanager in front of a service.

    Args:
        service: the URL at which the service takes alerts.
        token: what Alertmanager shows there.
    """
    folder.mkdir()
    (folder / "secrets").mkdir()
    (folder / "secrets" / "alerts.token").write_text(token)
    text = SHIPPED.read_text()
    for shipped, wanted in {SHIPPED_URL: service, **SHIPPED_WAITS}.items():
        assert text.count(shipped) == 1, shipped
        text = text.replace(shipped, wanted)
    (folder / "alertmanager.yml").write_text(text)
    log = folder / "alertmanager.log"
    with free_port() as port, log.open("wb") as out:
        address = f"127.0.0.1:{port}"
        process = subprocess.Popen(
            [
                program,
                "--config.file=alertmanager.yml",
                f"--storage.path={folder / 'data'}",
                f"--web.listen-address={address}",
                "--cluster.listen-address=",
                *more,
            ],
            cwd=folder,
            stdout=out,
            stderr=out,
        )
        try:
            until(lambda: _is_ready(process, f"http://{address}"), log.read_text)
            yield Alertmanager(f"http://{address}")
        finally:
            process.terminate()
            process.wait(DEADLINE_S)


def _is_ready(process: "subprocess.Popen[bytes]", url: str) -> bool:
    assert process.poll() is None
    try:
        asked(f"{url}/-/ready")
    except (urllib.error.URLError, ConnectionError):
        return False
    return True


def _time(unix_s: float) -> str:
    whole, part = divmod(unix_s, 1)
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(whole)) + f".{int(part * 1e6):06}Z"
