"""gunicorn: its workers share one page, whatever becomes of them, and lose and double nothing."""

import contextlib
import os
import random
import signal
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.e2e.load import Load
from tests.e2e.services import HEALED_S, Scraper, Service, children, free_port, until

if TYPE_CHECKING:
    from tests.e2e.conftest import Archived

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

WORKERS = 4
LAST_S = 2.5
"""What a killed worker may have recorded and not published: its last second, on a busy machine."""
FILES_BESIDE = 4
"""Of a service's state, beside two a live worker: two locks, the run, what ended ones counted."""
TURNOVERS = 200
RELOADS = 3
KILLS = 8
BYTES_MAX = 50_000
"""What the files of five processes hold, which each has four metrics of one series or a few."""

APP = """
import os
import otel_metrics
from opentelemetry import metrics
from opentelemetry.sdk.metrics.view import ExponentialBucketHistogramAggregation, View
telemetry = otel_metrics.configure()
meter = metrics.get_meter("shop")
requests = meter.create_counter("shop.requests")
cost = meter.create_counter("shop.cost", "USD")
duration = meter.create_histogram("shop.duration", "s")
open_now = meter.create_up_down_counter("shop.open")
def app(environ, start_response):
    requests.add(1, {"worker": os.getpid()} if "PER_WORKER" in os.environ else {})
    cost.add(0.1)
    duration.record(0.1)
    open_now.add(1)
    body = str(os.getpid()).encode()
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [body]
"""


@pytest.fixture
def serve(service: Callable[..., Service], tmp_path: Path) -> Callable[..., tuple[Service, int]]:
    """Start gunicorn with options, and return it and its port once all workers answer."""

    def start(*options: str, **env: str) -> tuple[Service, int]:
        (tmp_path / "shop.py").write_text(APP)
        port = free_port()
        bind = ["--bind", f"127.0.0.1:{port}", "--workers", f"{WORKERS}", "--timeout", "120"]
        command = [sys.executable, "-m", "gunicorn", *bind, *options, "shop:app"]
        # A worker that ends on a busy machine has time: what is asked here is whether it is exact.
        patient = {"OTEL_PYTHON_METRICS_EXIT_TIMEOUT": "20s", **env}
        gunicorn = service(command=command, env=patient)
        gunicorn.page()
        until(lambda: len(members(gunicorn)) >= WORKERS)
        return gunicorn, port

    return start


def members(gunicorn: Service) -> list[Path]:
    """Return the files by which the processes that share the page say that they live."""
    return [file for file in gunicorn.state() if file.suffix == ".alive"]


def counted(gunicorn: Service) -> Counter[int]:
    """Return what its page shows of each worker."""
    series = gunicorn.page().series("shop_requests_total")
    return Counter({int(labels.split('"')[1]): int(value) for labels, value in series.items()})


def bounds(load: Load) -> dict[str, Callable[[], float]]:
    """Return what the page may show at most."""
    return {
        "shop_requests_total": lambda: load.sent,
        "shop_duration_seconds_count": lambda: load.sent,
    }


def size(file: Path) -> int:
    """Return how many bytes a file holds; none where it has just gone."""
    with contextlib.suppress(FileNotFoundError):
        return file.stat().st_size
    return 0


def kill(process: int) -> float:
    """Kill a process, and return when."""
    at = time.monotonic()
    os.kill(process, signal.SIGKILL)
    return at


@pytest.mark.parametrize("options", [["--preload"], []], ids=["preload", "no preload"])
def test_killed_workers(serve: Callable[..., tuple[Service, int]], options: list[str]) -> None:
    """Workers killed at random moments under load: nothing goes down, nothing is counted twice,
    and of each worker at most its last second is missing."""
    gunicorn, port = serve(*options, PER_WORKER="1", OTEL_METRICS_EXPORTER="prometheus")
    killed: dict[int, float] = {}
    with Load(port) as load, Scraper(gunicorn, bounds(load)) as scraper:
        for _ in range(KILLS):
            time.sleep(random.uniform(0.5, 2.0))
            workers = children(gunicorn.pid)
            victim = random.choice(workers)
            killed[victim] = kill(victim)
        until(lambda: len(children(gunicorn.pid)) == WORKERS)
    alive = [worker for worker in load.answered if worker not in killed]
    until(lambda: all(counted(gunicorn)[each] == len(load.answered[each]) for each in alive))
    shown = counted(gunicorn)
    least = {each: load.before(each, at - LAST_S) for each, at in killed.items()}

    assert scraper.wrong == []
    assert scraper.scrapes > 20
    assert {each for each in killed if shown[each] < least[each]} == set()
    assert sum(shown.values()) <= load.sent
    assert gunicorn.page().total("shop_duration_seconds_count") == sum(shown.values())


def test_turnover(serve: Callable[..., tuple[Service, int]], archived: "Archived") -> None:
    """Two hundred workers come and go: exact on the page and in the archive, and the state on disk
    is that of those which live."""
    gunicorn, port = serve("--preload", "--max-requests", "20", "--max-requests-jitter", "10")
    sizes = []
    with Load(port) as load, Scraper(gunicorn, bounds(load)) as scraper:
        while len(load.answered) < TURNOVERS + WORKERS:
            time.sleep(0.2)
            sizes.append(sum(size(file) for file in gunicorn.state()))
    until(lambda: gunicorn.page().total("shop_requests_total") == load.total)
    until(lambda: len(gunicorn.state()) <= 2 * len(members(gunicorn)) + FILES_BESIDE)
    living = len(members(gunicorn))
    gunicorn.process.send_signal(signal.SIGTERM)
    gunicorn.end()

    assert scraper.wrong == []
    assert load.sent == load.total
    assert living <= WORKERS + 1
    assert max(sizes) < BYTES_MAX
    assert archived.total("shop.requests") == load.total


def test_reload(serve: Callable[..., tuple[Service, int]], archived: "Archived") -> None:
    """All workers are exchanged at once, again and again: exact."""
    gunicorn, port = serve()
    with Load(port) as load, Scraper(gunicorn, bounds(load)) as scraper:
        for _ in range(RELOADS):
            before = set(children(gunicorn.pid))
            gunicorn.process.send_signal(signal.SIGHUP)
            until(lambda: not before & set(children(gunicorn.pid)))  # noqa: B023 # called here
            until(lambda: len(children(gunicorn.pid)) == WORKERS)
    until(lambda: gunicorn.page().total("shop_requests_total") == load.total)
    gunicorn.process.send_signal(signal.SIGTERM)
    gunicorn.end()

    assert scraper.wrong == []
    assert load.sent == load.total
    assert archived.total("shop.requests") == load.total


@pytest.mark.parametrize("options", [["--preload"], []], ids=["preload", "no preload"])
def test_the_port_owner_is_killed(
    serve: Callable[..., tuple[Service, int]], options: list[str]
) -> None:
    """The page answers again within two seconds, and shows no lower number; neither does it when
    those are killed that took over, until one process is left."""
    gunicorn, port = serve(*options)
    with Load(port) as load:
        until(lambda: load.total > 100)
    until(lambda: gunicorn.page().total("shop_requests_total") == load.total)
    with Scraper(gunicorn, bounds(load)) as scraper:
        assert (gunicorn.owner() == gunicorn.pid) == bool(options)
        if not options:  # or the master would replace what is killed
            gunicorn.process.send_signal(signal.SIGSTOP)
        for _ in range(WORKERS - 1):
            kill(gunicorn.owner())
            scrapes = scraper.scrapes
            until(lambda: scraper.scrapes > scrapes)  # noqa: B023 # called here
        page = gunicorn.page()

    assert scraper.silent_s < HEALED_S
    assert scraper.wrong == []
    assert page.total("shop_requests_total") == load.total
