"""One page for all processes of a service: who has the port, who takes it over, what is shown."""

import contextlib
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader, MetricsData

from otel_exporter_prometheus import ListenError
from otel_exporter_prometheus.page import PUBLISH_INTERVAL_S
from otel_exporter_prometheus.service import Service
from otel_exporter_prometheus.service_page import ServicePage
from otel_exporter_prometheus.settings import Settings
from otel_exporter_prometheus.state import state_folder

DEADLINE_S = 20.0
HEALED_S = 2.0

WORKER = """
import sys, threading
from opentelemetry.sdk.metrics import MeterProvider
from otel_exporter_prometheus import PrometheusMetricReader
service, port, value = sys.argv[1], int(sys.argv[2]), float(sys.argv[3])
reader = PrometheusMetricReader(service=service, port=port)
provider = MeterProvider(metric_readers=[reader], shutdown_on_exit=False)
meter = provider.get_meter("test")
meter.create_counter("c").add(value)
meter.create_gauge("g").set(value)
print("ready", flush=True)
sys.stdin.read()
provider.shutdown()
"""


class Process:
    """A process of a service: a program with the reader that has a page."""

    def __init__(self, service: str, port: int, value: float) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-c", WORKER, service, str(port), str(value)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        assert self._process.stdout is not None
        assert self._process.stdout.readline() == b"ready\n"

    def kill(self) -> None:
        self._process.send_signal(signal.SIGKILL)
        self.wait()

    def end(self) -> None:
        assert self._process.stdin is not None
        if not self._process.stdin.closed:
            self._process.stdin.close()
        self.wait()

    def wait(self) -> None:
        assert self._process.stdout is not None
        self._process.wait(DEADLINE_S)
        self._process.stdout.close()
        assert self._process.stdin is not None
        self._process.stdin.close()


@pytest.fixture
def service() -> str:
    """A service that no other test has."""
    return f"test-{secrets.token_hex(6)}"


@pytest.fixture
def start(service: str, free_port: int) -> Iterator[Callable[[float], Process]]:
    """Start one more process of the service; all end after the test."""
    started: list[Process] = []

    def begin(value: float) -> Process:
        started.append(Process(service, free_port, value))
        return started[-1]

    yield begin
    for each in started:
        each.end()


@pytest.fixture
def free_port() -> int:
    """A port that is free just now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def samples(port: int) -> dict[str, float]:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=DEADLINE_S) as answer:
        lines = answer.read().decode().splitlines()
    pairs = (line.rsplit(" ", 1) for line in lines if line[0] in "cg")
    return {name: float(value) for name, value in pairs}


def await_samples(port: int, wanted: dict[str, float], within_s: float = DEADLINE_S) -> float:
    """Wait until the page shows what is wanted; return how long that took."""
    begun = time.monotonic()
    found: dict[str, float] = {}
    while time.monotonic() - begun < within_s:
        try:
            found = samples(port)
        except OSError:
            found = {}
        if found == wanted:
            return time.monotonic() - begun
        threading.Event().wait(0.02)
    assert found == wanted
    return within_s


def collected(value: float) -> MetricsData:
    reader = InMemoryMetricReader()
    provider = MeterProvider(metric_readers=[reader], shutdown_on_exit=False)
    provider.get_meter("test").create_counter("c").add(value)
    data = reader.get_metrics_data()
    assert data is not None
    return data


@pytest.mark.slow
def test_all_processes_are_on_one_page(start: Callable[[float], Process], free_port: int) -> None:
    """Counters are added, and of a gauge the newest value stays."""
    for value in (1, 10, 100):
        start(value)

    await_samples(free_port, {"c_total": 111, "g": 100})


@pytest.mark.slow
def test_another_takes_the_port_over_and_nothing_goes_down(
    start: Callable[[float], Process], free_port: int
) -> None:
    """However the owner ends, within two seconds; what it counted stays."""
    owner, *others = [start(value) for value in (1, 10, 100)]
    await_samples(free_port, {"c_total": 111, "g": 100})

    owner.kill()
    assert await_samples(free_port, {"c_total": 111, "g": 100}, DEADLINE_S) < HEALED_S
    others[0].end()
    assert await_samples(free_port, {"c_total": 111, "g": 100}, DEADLINE_S) < HEALED_S
    start(1000)
    others[1].kill()
    assert await_samples(free_port, {"c_total": 1111, "g": 1000}, DEADLINE_S) < HEALED_S


@pytest.mark.slow
def test_a_service_that_is_started_again_counts_from_zero(
    start: Callable[[float], Process], free_port: int
) -> None:
    """Nobody of the earlier run lives, and another program start began this one."""
    start(5).end()
    start(7)

    await_samples(free_port, {"c_total": 7, "g": 7})


@pytest.mark.slow
def test_two_services_keep_apart(
    start: Callable[[float], Process], free_port: int, service: str
) -> None:
    """The second has no page on that port, until the first is gone."""
    first = start(1)
    second = Process(f"{service}-other", free_port, 100)
    try:
        await_samples(free_port, {"c_total": 1, "g": 1})
        first.end()
        await_samples(free_port, {"c_total": 100, "g": 100})
    finally:
        second.end()


def test_who_has_the_port_is_named(service: str, free_port: int) -> None:
    """One line says which service, and which process of it."""
    settings = Settings(port=free_port)
    one = ServicePage(lambda: collected(1), settings, Service(service))
    one.start()
    other = ServicePage(lambda: collected(2), settings, Service(f"{service}-other"))
    try:
        with pytest.raises(ListenError) as raised:
            other.start()
        said = f"the port is taken by service '{service}', process {os.getpid()}; stop it, or set"
        assert said in str(raised.value)
        assert (one.port, other.port) == (free_port, None)
    finally:
        other.stop()
        one.stop()


@pytest.mark.slow
def test_a_process_without_others_publishes_only_when_it_is_read(service: str) -> None:
    """A service of one process is not collected each second."""
    collections = 0

    def collect() -> MetricsData:
        nonlocal collections
        collections += 1
        return collected(1)

    alone = ServicePage(collect, Settings(port=0), Service(service))
    alone.start()
    try:
        assert alone.port is not None
        assert samples(alone.port) == {"c_total": 1}
        threading.Event().wait(2.5 * PUBLISH_INTERVAL_S)
        assert collections == 1
    finally:
        alone.stop()


def test_without_a_folder_a_process_shows_itself(
    service: str, free_port: int, caplog: pytest.LogCaptureFixture
) -> None:
    """What would be shared cannot be, which one line says; the page is there."""
    if os.getuid() != 0:
        pytest.skip("only root can give a folder to somebody else")
    folder = f"{state_folder()}/{Service(service).folder(f'localhost:{free_port}')}"
    os.mkdir(folder)
    os.chown(folder, 12345, 12345)
    shared = ServicePage(lambda: collected(3), Settings(port=free_port), Service(service))
    shared.start()
    try:
        assert [samples(free_port) for _ in range(3)] == [{"c_total": 3}] * 3
        (record,) = caplog.records
        said = (
            f"the metrics page is not shared with other processes: {folder} belongs to user 12345"
        )
        assert record.getMessage() == f"{said}, not to 0; remove it"
    finally:
        shared.stop()
        shutil.rmtree(folder)


@pytest.fixture
def full_disk(service: str, free_port: int) -> Iterator[Callable[[bool], None]]:
    """Fill the disk that the service's folder is on, and free it again."""
    folder = f"{state_folder()}/{Service(service).folder(f'localhost:{free_port}')}"
    os.mkdir(folder, 0o700)
    mount = ["mount", "-t", "tmpfs", "-o", "size=128k,mode=700", "none", folder]
    if os.getuid() != 0 or subprocess.run(mount, capture_output=True, check=False).returncode:
        os.rmdir(folder)
        pytest.skip("not run: this kernel or user mounts no tmpfs")

    def fill(full: bool) -> None:
        filler = f"{folder}/filler"
        if not full:
            os.unlink(filler)
            return
        with contextlib.suppress(OSError), open(filler, "wb", buffering=0) as file:
            while True:
                file.write(bytes(4096))

    yield fill
    subprocess.run(["umount", folder], check=True)
    os.rmdir(folder)


@pytest.mark.slow
def test_a_full_disk_takes_nothing_from_the_page(
    full_disk: Callable[[bool], None],
    service: str,
    free_port: int,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """What was published stays; who answers shows its own newest; one line says so; and when there
    is room again all is as before."""
    value = 1.0
    settings, owner = Settings(port=free_port), Service(service)
    me = ServicePage(lambda: collected(value), settings, owner)
    me.start()
    other = Process(service, free_port, 10)
    ended = Process(service, free_port, 100)
    try:
        await_samples(free_port, {"c_total": 111, "g": 100})
        full_disk(True)
        ended.kill()
        value = 2.0

        assert [samples(free_port)["c_total"] for _ in range(5)] == [112] * 5
        assert len(caplog.records) == 1
        assert "No space left on device" in caplog.text
        full_disk(False)
        await_samples(free_port, {"c_total": 112, "g": 10})
    finally:
        me.stop()
        other.end()


DAEMON = """
import os, sys, threading
from opentelemetry.sdk.metrics import MeterProvider
from otel_exporter_prometheus import PrometheusMetricReader
service, port = sys.argv[1], int(sys.argv[2])
reader = PrometheusMetricReader(service=service, port=port)
provider = MeterProvider(metric_readers=[reader], shutdown_on_exit=False)
counter = provider.get_meter("test").create_counter("c")
counter.add(1)
print("ready", flush=True)
sys.stdin.readline()
for thread in threading.enumerate():  # what is open still of a scrape is closed by its number
    if thread.name == "otel-prometheus-serve":
        thread.join()
os.closerange(3, 1000)  # as libraries that make a daemon of a process do
files = [os.open(f"own-{number}", os.O_CREAT | os.O_RDWR) for number in range(30)]
counter.add(10)
print("closed", flush=True)
sys.stdin.readline()
provider.shutdown()
print([number for number, file in enumerate(files) if not os.path.samestat(
    os.fstat(file), os.stat(f"own-{number}"))], flush=True)
"""


@pytest.mark.slow
@pytest.mark.parametrize("owner", [True, False], ids=["owner", "successor"])
def test_a_service_may_close_every_descriptor(
    start: Callable[[float], Process], service: str, free_port: int, tmp_path: Path, owner: bool
) -> None:
    """The page answers again and is exact, and no file of the service's is closed for one of
    ours."""
    others = [] if owner else [start(100)]
    daemon = subprocess.Popen(
        [sys.executable, "-c", DAEMON, service, str(free_port)],
        cwd=tmp_path,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert daemon.stdin is not None
    assert daemon.stdout is not None
    assert daemon.stdout.readline() == "ready\n"
    others += [start(100)] if owner else []
    wanted = {"c_total": 101.0, "g": 100.0}
    await_samples(free_port, wanted)

    daemon.stdin.write("\n")
    daemon.stdin.flush()
    assert daemon.stdout.readline() == "closed\n"

    await_samples(free_port, {**wanted, "c_total": 111.0})
    threading.Event().wait(2 * PUBLISH_INTERVAL_S)
    assert samples(free_port)["c_total"] == 111
    output, _ = daemon.communicate("\n", timeout=DEADLINE_S)
    assert output == "[]\n"
    await_samples(free_port, {**wanted, "c_total": 111.0})


@pytest.mark.slow
def test_a_page_that_cannot_be_whole_is_none(
    start: Callable[[float], Process], service: str, free_port: int
) -> None:
    """Without what the others published every number would go down, which reads as a restart: the
    answer is 503 until they can be read again."""
    me = ServicePage(lambda: collected(1), Settings(port=free_port), Service(service))
    me.start()
    start(100)
    try:
        await_samples(free_port, {"c_total": 101, "g": 100})
        folder = f"{state_folder()}/{Service(service).folder(f'localhost:{free_port}')}"
        os.mkdir(f"{folder}/unreadable.page")

        with pytest.raises(urllib.error.HTTPError) as refused:
            samples(free_port)
        assert refused.value.code == 503
        refused.value.close()
        os.rmdir(f"{folder}/unreadable.page")
        await_samples(free_port, {"c_total": 101, "g": 100})
    finally:
        me.stop()


def test_the_last_numbers_are_not_replaced_by_older_ones(service: str, free_port: int) -> None:
    """A scrape that began before the end ends after it."""
    settings, owner = Settings(port=free_port), Service(service)
    held, begun = threading.Event(), threading.Event()

    def collect() -> MetricsData:
        begun.set()
        assert held.wait(DEADLINE_S)
        return collected(2)

    one = ServicePage(collect, settings, owner)
    one.start()
    other = ServicePage(lambda: collected(1000), settings, owner)
    other.start()
    with ThreadPoolExecutor(2) as pool:
        scrape = pool.submit(one.page.read, openmetrics=False)
        assert begun.wait(DEADLINE_S)
        one.page.publish(collected(102))
        held.set()
        scrape.result()
    one.stop()
    try:
        await_samples(free_port, {"c_total": 1102})
    finally:
        other.stop()
