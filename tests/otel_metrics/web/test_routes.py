"""Routes in real services: FastAPI and Starlette under uvicorn, with and without an own port."""

import asyncio
import concurrent.futures
import doctest
import gzip
import json
import os
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

import pytest

from otel_metrics.web import routes as exported
from otel_metrics.web.threads import THREADS_MAX, BusyError, in_thread

DEADLINE_S = 30.0
Got = tuple[int, dict[str, str], bytes]
T = TypeVar("T")
STARLETTE = """
from starlette.applications import Starlette
from otel_metrics.web import routes
app = Starlette(routes=routes())
"""
FASTAPI = """
from fastapi import FastAPI
from otel_metrics.web import routes
app = FastAPI()
app.router.routes.extend(routes())
@app.get("/alive")
async def alive(): return "yes"
"""
CONFIGURE = """
import otel_metrics
otel_metrics.configure(service_name="shop")
from opentelemetry import metrics
metrics.get_meter("shop").create_counter("orders").add(41)
"""
COUNT = """
import itertools
from opentelemetry.metrics import Observation
counted = itertools.count(1)
metrics.get_meter("shop").create_observable_gauge(
    "collections", [lambda options: [Observation(next(counted))]]
)
"""
HANG = """
import threading
from opentelemetry.metrics import Observation
hangs = threading.Event()
def observe(options):
    threading.Event().wait(30 if hangs.is_set() else 0)
    return [Observation(1)]
metrics.get_meter("shop").create_observable_gauge("g", [observe])
@app.get("/hang")
async def hang(): hangs.set()
"""


@contextmanager
def service(folder: Path, program: str, **variables: str) -> Iterator[str]:
    """Run a program's `app` under uvicorn, and give its URL."""
    (folder / "service.py").write_text(
        program
        + "\nif __name__ == '__main__':\n"
        + "    import socket, uvicorn\n"
        + "    listener = socket.create_server(('127.0.0.1', 0))\n"
        + "    print(listener.getsockname()[1], flush=True)\n"
        + "    uvicorn.Server(uvicorn.Config(app, log_level='error')).run([listener])\n"
    )
    variables.setdefault("OTEL_METRICS_EXPORTER", "ndjson")
    process = subprocess.Popen(
        [sys.executable, "service.py"],
        cwd=folder,
        env={**os.environ, **variables},
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        url = f"http://127.0.0.1:{int(process.stdout.readline())}"
        until(lambda: get(url + "/") is not None)
        yield url
    finally:
        process.terminate()
        process.communicate(timeout=DEADLINE_S)


def get(url: str, **headers: str) -> Got | None:
    """Ask, without following a redirect; None where nobody answers yet."""
    opener = urllib.request.build_opener(_NoRedirect)
    try:
        with opener.open(urllib.request.Request(url, headers=headers), timeout=DEADLINE_S) as got:
            return got.status, dict(got.headers), got.read()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, dict(error.headers), error.read()
    except OSError:
        return None


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *args: object) -> None:
        return None


def until(find: Callable[[], T]) -> T:
    """Try until there is something."""
    deadline = time.monotonic() + DEADLINE_S
    while not (found := find()):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    return found


@pytest.mark.slow
@pytest.mark.parametrize("framework", [STARLETTE, FASTAPI], ids=["starlette", "fastapi"])
def test_a_service_shows_its_metrics_itself(tmp_path: Path, framework: str) -> None:
    """Under the service's own port, without a port for the page, and without a redirect."""
    with service(tmp_path, CONFIGURE + framework) as url:
        page, health = get(url + "/metrics"), get(url + "/healthz")
        packed = get(url + "/metrics", **{"Accept-Encoding": "gzip"})

    assert page is not None
    assert (page[0], page[1]["content-type"]) == (200, "text/plain; version=0.0.4; charset=utf-8")
    assert b"\norders_total 41\n" in page[2]
    assert health is not None
    assert (health[0], json.loads(health[2])["status"]) == (200, "ok")
    assert packed is not None
    assert packed[1]["content-encoding"] == "gzip"
    assert b"\norders_total 41\n" in gzip.decompress(packed[2])


@pytest.mark.slow
def test_before_telemetry_runs_the_answer_says_what_to_do(tmp_path: Path) -> None:
    """`routes()` may come first; until `configure()` there is no page."""
    later = '@app.get("/start")\ndef start():\n' + "".join(
        f"    {line}\n" for line in CONFIGURE.strip().splitlines()
    )
    with service(tmp_path, FASTAPI + later) as url:
        before = get(url + "/metrics")
        started = get(url + "/start")
        after = get(url + "/metrics")

    assert before is not None
    assert (before[0], before[2]) == (
        503,
        b"No telemetry runs in this process; call otel_metrics.configure() when it starts.\n",
    )
    assert started is not None
    assert started[0] == 200
    assert after is not None
    assert b"\norders_total 41\n" in after[2]


@pytest.mark.slow
def test_health_names_an_exporter_that_is_down(tmp_path: Path) -> None:
    """With a collector that is not there, telemetry is degraded, and the service answers."""
    variables = {
        "OTEL_METRICS_EXPORTER": "ndjson,otlp",
        "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1",
        "OTEL_METRIC_EXPORT_INTERVAL": "200ms",
    }
    with service(tmp_path, CONFIGURE + FASTAPI, **variables) as url:

        def unwell() -> Got | None:
            found = get(url + "/healthz")
            return found if found is not None and found[0] == 503 else None

        _, headers, body = until(unwell)  # type: ignore[misc] # never None

    assert headers["content-type"] == "application/json"
    found = json.loads(body)
    assert (found["status"], found["exporters_down"]) == ("degraded", ["otlp"])
    assert found["problems"] == ["exporter otlp does not deliver"]


@pytest.mark.slow
def test_a_collection_that_hangs_does_not_hold_up_the_service(tmp_path: Path) -> None:
    """Other routes answer at once while a scrape waits, and the scrape gets the last page."""
    with service(tmp_path, CONFIGURE + FASTAPI + HANG) as url:
        get(url + "/metrics")
        get(url + "/hang")
        with concurrent.futures.ThreadPoolExecutor(1) as pool:
            scrape = pool.submit(get, url + "/metrics")
            begun = time.monotonic()
            alive = [get(url + "/alive") for _ in range(20)]
            spent = time.monotonic() - begun
            held_up = not scrape.done()
            page = scrape.result()

    assert (held_up, spent < 2.0) == (True, True)
    assert [each is not None and each[0] for each in alive] == [200] * 20
    assert page is not None
    assert (page[0], b"\norders_total 41\n" in page[2]) == (200, True)


@pytest.mark.slow
def test_many_scrapes_share_a_collection(tmp_path: Path) -> None:
    """Hundreds at once get the page or 503, and never an error, from a few collections."""
    with (
        service(tmp_path, CONFIGURE + COUNT + STARLETTE) as url,
        concurrent.futures.ThreadPoolExecutor(64) as pool,
    ):
        begun = time.monotonic()
        found = list(pool.map(lambda _: get(url + "/metrics"), range(300)))
        took_s = time.monotonic() - begun
        last = get(url + "/metrics")

    statuses = [each[0] for each in found if each is not None]
    assert len(statuses) == 300
    assert set(statuses) <= {200, 503}
    assert statuses.count(200) >= 64
    assert last is not None
    collections = int(last[2].partition(b"\ncollections ")[2].split(b"\n")[0])
    assert collections <= 10 + 2 * took_s  # one for each of the first, then one a second


async def test_an_error_comes_back_from_the_thread() -> None:
    """What the work raises is raised where it is awaited, and no thread is lost for the next."""

    def fail() -> None:
        raise ValueError("no")

    for _ in range(100):
        with pytest.raises(ValueError, match="no"):
            await in_thread(fail)
    assert await in_thread(lambda: 42) == 42


async def test_threads_have_a_bound() -> None:
    """When all are at work, the next is told so and does not wait."""
    end = threading.Event()
    working = [asyncio.ensure_future(in_thread(end.wait)) for _ in range(THREADS_MAX)]
    await asyncio.sleep(0)
    with pytest.raises(BusyError):
        await in_thread(end.wait)
    end.set()

    assert await asyncio.gather(*working) == [True] * THREADS_MAX


def test_the_example_in_the_docstring_is_true() -> None:
    """What the documentation shows is what happens."""
    module = sys.modules[exported.__module__]

    assert doctest.testmod(module).failed == 0


def test_without_starlette_the_import_says_what_to_install() -> None:
    """The package works without; this part of it names its extra."""
    code = "import sys; sys.modules['starlette'] = None\nimport otel_metrics.web"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)

    assert done.stderr.splitlines()[-1] == (
        "ImportError: otel_metrics.web needs Starlette; pip install 'otel-metrics[web]'"
    )
