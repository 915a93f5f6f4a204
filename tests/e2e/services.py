"""Services of several processes: started, watched on their page, and asked what they left."""

import contextlib
import http.client
import http.server
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
import uuid
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

import psutil
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
    ExportMetricsServiceResponse,
)

__all__ = [
    "HEALED_S",
    "PATIENCE_S",
    "Receiver",
    "Samples",
    "Scraper",
    "Service",
    "children",
    "free_port",
    "parse",
    "receiving",
    "until",
]

PATIENCE_S = 30.0
"""What a busy machine may take for anything that is waited for."""
READ_TIMEOUT_S = 10.0
HEALED_S = 2.0
"""A page whose owner has died answers again within this time."""


def free_port() -> int:
    """Return a port that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as found:
        return int(found.getsockname()[1])


def until(holds: Callable[[], object], *, timeout_s: float = PATIENCE_S, what: str = "") -> None:
    """Wait until a condition holds."""
    deadline = time.monotonic() + timeout_s
    while not holds():
        assert time.monotonic() < deadline, what or "it does not come to hold"
        time.sleep(0.01)


def children(process: int) -> list[int]:
    """Return the processes that one has started and that live."""
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        found = Path(f"/proc/{process}/task/{process}/children").read_text().split()
        return [int(each) for each in found if not _is_dead(int(each))]
    return []


def _listens_on(process: int) -> set[int]:
    with contextlib.suppress(psutil.Error):
        found = psutil.Process(process).net_connections("tcp")
        return {each.laddr.port for each in found if each.status == psutil.CONN_LISTEN}
    return set()


def _is_dead(process: int) -> bool:
    try:
        state = Path(f"/proc/{process}/stat").read_bytes().rpartition(b")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return True
    return state in (b"Z", b"X")


@dataclass
class Samples:
    """A page as it was read once. `counting` are the series that may never go down."""

    values: dict[str, float] = field(default_factory=dict)
    counting: dict[str, float] = field(default_factory=dict)

    def total(self, name: str) -> float:
        """Return the sum of the series of a name."""
        return sum(self.series(name).values())

    def series(self, name: str) -> dict[str, float]:
        """Return the series of a name, by what stands in braces."""
        return {
            labels.rstrip("}"): value
            for series, value in self.values.items()
            for found, _, labels in [series.partition("{")]
            if found == name
        }


def parse(page: str) -> Samples:
    """Return the samples of a page in the text format."""
    read = Samples()
    counts = False
    for line in page.splitlines():
        if line.startswith("# TYPE"):
            counts = line.rpartition(" ")[2] in ("counter", "histogram")
        elif not line.startswith("#"):
            series, _, value = line.rpartition(" ")
            read.values[series] = float(value)
            if counts:
                read.counting[series] = float(value)
    return read


class Service:
    """A program that runs in a folder, its name and its page's port; ended with the test.

    What it prints goes to a file; where it waits for a byte of its standard input, `go` gives it.

    Args:
        folder: where it runs, and so where its archive is.
        code: Python code, or else
        command: what to run instead.
        env: variables beside the machine's and those that name the service and its port.
    """

    def __init__(
        self,
        folder: Path,
        code: str = "",
        *,
        command: list[str] | None = None,
        name: str = "",
        port: int = 0,
        env: Mapping[str, str] | None = None,
    ) -> None:
        self.name = name or f"t-{uuid.uuid4().hex[:12]}"
        self.port = port or free_port()
        if command is None:
            script = folder / f"{self.name}.py"
            script.write_text(code)
            command = [sys.executable, "-u", str(script)]
        self.output = folder / f"{self.name}.out"
        own = {
            "OTEL_SERVICE_NAME": self.name,
            "OTEL_EXPORTER_PROMETHEUS_PORT": str(self.port),
            "OTEL_PYTHON_METRICS_HOST_METRICS": "off",
            "OTEL_PYTHON_METRICS_EXIT_TIMEOUT": f"{PATIENCE_S}s",
            "PYTHONPATH": str(folder),
            "PYTHONUNBUFFERED": "1",
        }
        with self.output.open("ab") as output:
            self.process = subprocess.Popen(
                command,
                cwd=folder,
                env={**os.environ, **own, **(env or {})},
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self.pid = self.process.pid

    def said(self) -> str:
        """Return what it has printed so far."""
        return self.output.read_text(errors="replace")

    def await_line(self, line: str) -> None:
        """Wait until it has printed a line."""
        try:
            until(lambda: self._has_said(line))
        except AssertionError:
            raise AssertionError(f"it does not say {line!r}: {self.said()}") from None

    def _has_said(self, line: str) -> bool:
        runs = self.process.poll() is None
        said = line in self.said().splitlines()
        assert runs or said, self.said()
        return said

    def go(self, processes: int = 1) -> None:
        """Let so many of its processes go on, each of which reads a byte of standard input."""
        assert self.process.stdin is not None
        self.process.stdin.write(b"." * processes)
        self.process.stdin.flush()

    def end(self, *, status: int = 0) -> None:
        """Wait for its end, by itself, in all its processes."""
        try:
            ended = self.process.wait(PATIENCE_S)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"it does not end: {self.said()}") from None
        assert ended == status, self.said()
        self.await_nobody()

    def await_nobody(self) -> None:
        """Wait until no process that it started is left."""
        until(lambda: not self.members(), what="a process of it does not end")

    def members(self) -> list[int]:
        """Return the processes of it that live."""
        found = []
        for entry in os.listdir("/proc"):
            if entry.isdigit() and not _is_dead(int(entry)):
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    if os.getsid(int(entry)) == self.pid:
                        found.append(int(entry))
        return found

    def kill(self) -> None:
        """End what is left of it."""
        for member in self.members():
            with contextlib.suppress(ProcessLookupError):
                os.kill(member, signal.SIGKILL)
        self.process.communicate()

    def page(self) -> Samples:
        """Read its page, as soon as there is one."""
        found: list[Samples] = []
        until(lambda: self._read(found), what="there is no page")
        return found[0]

    def _read(self, found: list[Samples]) -> bool:
        with contextlib.suppress(OSError, http.client.HTTPException):
            found.append(self.read())
        return bool(found)

    def read(self) -> Samples:
        """Read its page now.

        Raises:
            OSError, http.client.HTTPException: there is none.
        """
        url = f"http://127.0.0.1:{self.port}/metrics"
        with urllib.request.urlopen(url, timeout=READ_TIMEOUT_S) as reply:
            return parse(reply.read().decode())

    def owner(self) -> int:
        """Return the process that has its page's port."""
        owners = [each for each in self.members() if self.port in _listens_on(each)]
        assert len(owners) == 1, f"{owners} listen"
        return owners[0]

    def state(self) -> list[Path]:
        """Return the files through which its processes share their page."""
        roots = [
            Path(f"/run/user/{os.getuid()}/otel-metrics"),
            Path(f"/tmp/otel-metrics-{os.getuid()}"),
        ]
        return [
            file
            for root in roots
            for folder in root.glob(f"{self.name}-*")
            if (folder / "owner.lock").exists()
            for file in folder.iterdir()
        ]


class Scraper(threading.Thread):
    """Reads a service's page all the time, and notes what must not be.

    Args:
        service: whose page it reads.
        bounds: by the name of a sample, what its sum may not exceed when the page has been read.

    Attributes:
        wrong: what was seen and must not be, in words.
        scrapes: how many pages were read.
        silent_s: the longest time without a page.
    """

    def __init__(
        self, service: Service, bounds: Mapping[str, Callable[[], float]] | None = None
    ) -> None:
        super().__init__(daemon=True)
        self._service = service
        self._bounds = bounds or {}
        self._ending = threading.Event()
        self._last: dict[str, float] = {}
        self.wrong: list[str] = []
        self.scrapes = 0
        self.silent_s = 0.0

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ending.set()
        self.join()

    def run(self) -> None:
        """Read, and compare with what was read before."""
        read_at = time.monotonic()
        while not self._ending.wait(0.02):
            try:
                page = self._service.read()
            except (OSError, http.client.HTTPException):
                continue
            finally:
                self.silent_s = max(self.silent_s, time.monotonic() - read_at)
            read_at = time.monotonic()
            self.scrapes += 1
            self._compare(page)

    def _compare(self, page: Samples) -> None:
        for series, value in self._last.items():
            now = page.counting.get(series)
            if now is None or now < value:
                self.wrong.append(f"{series} went from {value!r} to {now!r}")
        self._last = page.counting
        for name, bound in self._bounds.items():
            shown, most = page.total(name), bound()
            if shown > most:
                self.wrong.append(f"{name} is {shown}, and only {most} were asked for")


@dataclass
class Receiver:
    """A real OTLP/HTTP endpoint that keeps the newest value of each stream it is sent."""

    endpoint: str = ""
    newest: dict[tuple[str, str, str], float] = field(default_factory=dict)

    def add(self, request: ExportMetricsServiceRequest) -> None:
        """Take in what one request holds."""
        for resource_metrics in request.resource_metrics:
            attributes = {each.key: each.value for each in resource_metrics.resource.attributes}
            instance = attributes["service.instance.id"].string_value
            for scope_metrics in resource_metrics.scope_metrics:
                for metric in scope_metrics.metrics:
                    for point in metric.sum.data_points:
                        key = (metric.name, instance, str(point.attributes))
                        self.newest[key] = point.as_int or point.as_double

    def by_instance(self, metric: str) -> dict[str, float]:
        """Return a counter's value by service instance."""
        found: defaultdict[str, float] = defaultdict(float)
        for (name, instance, _), value in list(self.newest.items()):
            if name == metric:
                found[instance] += value
        return dict(found)

    def total(self, metric: str) -> float:
        """Return a counter's value over all series and instances."""
        return sum(self.by_instance(metric).values())


@contextlib.contextmanager
def receiving() -> Iterator[Receiver]:
    """Run an OTLP/HTTP endpoint on a free port."""
    kept = Receiver()

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            kept.add(ExportMetricsServiceRequest.FromString(body))
            answer = ExportMetricsServiceResponse().SerializeToString()
            self.send_response(200)
            self.send_header("content-type", "application/x-protobuf")
            self.send_header("content-length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    kept.endpoint = f"http://127.0.0.1:{server.server_address[1]}"
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    try:
        yield kept
    finally:
        server.shutdown()
        server.server_close()
