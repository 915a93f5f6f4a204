"""What writers do on a simulated disk, written down operation by operation with what they told.

A life is one process: it records, forces to the disk, rotates, is closed or killed. The log of a
life has everything that a crash at any moment of it depends on.
"""

import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from random import Random
from typing import Any, Final, Literal

from opentelemetry._logs import LogRecord
from opentelemetry.context import Context
from opentelemetry.sdk._logs import ReadableLogRecord
from opentelemetry.sdk.metrics.export import (
    AggregationTemporality,
    Metric,
    MetricsData,
    NumberDataPoint,
    ResourceMetrics,
    ScopeMetrics,
    Sum,
)
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.util.instrumentation import InstrumentationScope

from otel_exporter_ndjson.audit import AuditLog
from otel_exporter_ndjson.encoding import MetricEncoder
from otel_exporter_ndjson.events import EventEncoder
from otel_exporter_ndjson.opening import DAY_NS, Clocks
from otel_exporter_ndjson.retention import Limits, Removed, Retention
from otel_exporter_ndjson.settings import Settings
from otel_exporter_ndjson.streams import Batch
from otel_exporter_ndjson.writer import SegmentWriter
from tests.otel_exporter_ndjson.simdisk import Disk, File, Op
from tests.otel_exporter_ndjson.simfs import Short, SimFs

__all__ = [
    "ARCHIVE",
    "LANE",
    "Clock",
    "Life",
    "MakeFs",
    "Past",
    "Step",
    "live",
    "settled",
    "steps_of",
]

ARCHIVE: Final = "/data/archive"
LANE: Final = 1_000_000
"""Numbers of one recording thread; within them the order is that of recording."""
BEGAN_NS: Final = 1_700_000_000 * 10**9
ROTATE_BYTES: Final = 6_000
WAIT_S: Final = 30.0
_RESOURCE: Final = Resource({"service.name": "shop"})
_SCOPE: Final = InstrumentationScope("simulation", "1")

MakeFs = Callable[..., SimFs]
Step = tuple[Literal["event", "metrics", "flush", "tick", "day", "burst", "prepare"], int]


class Clock:
    """A time that passes by a little with every look at it, and as told."""

    def __init__(self) -> None:
        self.now_ns = BEGAN_NS

    def world_ns(self) -> int:
        """Return the time of the world."""
        self.now_ns += 1_000
        return self.now_ns

    def monotonic_s(self) -> float:
        """Return the same in seconds."""
        return self.world_ns() / 10**9

    def pass_by(self, seconds: float) -> None:
        """Let time pass."""
        self.now_ns += int(seconds * 10**9)


@dataclass(slots=True)
class Past:
    """What was before a life.

    Attributes:
        disk: as the life finds it.
        written, kept: numbers whose callers were told that they survive a kill, or a power cut.
        lines: every line that was ever submitted, by number.
    """

    disk: Disk = field(default_factory=Disk)
    written: frozenset[int] = frozenset()
    kept: frozenset[int] = frozenset()
    lines: dict[int, bytes] = field(default_factory=dict)
    clock: Clock = field(default_factory=Clock)


@dataclass(slots=True)
class Life:
    """One process: what was before, what it did, and the disk at the moment when it was killed."""

    past: Past
    log: list[Op]
    left: Disk

    def told(self, what: str) -> frozenset[int]:
        """Return all numbers of which callers were told `what`, before this life or in it."""
        known = self.past.written if what == "written" else self.past.kept
        return known.union(*[op.numbers for op in self.log if op.call == what])

    def after_kill(self) -> Past:
        """Return what the next life finds when this one was killed, or has ended."""
        past = self.past
        return Past(
            self.left.copy(), self.told("written"), self.told("kept"), past.lines, past.clock
        )


class _Recorder:
    """Two writers of one process, one for events and one for metrics."""

    def __init__(self, fs: SimFs, past: Past, settings: Settings) -> None:
        self._fs = fs
        self._past = past
        self._always = settings.sync == "always"
        self._lock = threading.Lock()
        self._next: dict[int, int] = {}
        self._told: set[int] = set()
        self._others = frozenset(threading.enumerate())  # another test may have left one
        clocks = Clocks(past.clock.world_ns, past.clock.monotonic_s)
        self._audit = AuditLog(settings, fs=fs, clocks=clocks)
        self._events, self._metrics = [
            SegmentWriter(
                signal,
                settings,
                fs=fs,
                clocks=clocks,
                retention=_retention(settings, self._audit.removed, clocks),
            )
            for signal in ("events", "metrics")
        ]
        self._encode_event, self._encode_metrics = EventEncoder().encode, MetricEncoder().encode

    def do(self, step: Step) -> None:
        """Do one step, and wait until compression has come to rest."""
        what, number = step
        match what:
            case "event":
                self._append_event(0, number)
            case "metrics":
                numbers = [self._number(0) for _ in range(number)]
                batch = self._encode_metrics(_metrics(numbers, self._past.clock.now_ns))
                self._append(self._metrics, batch, numbers)
            case "burst":
                self._burst(number)
            case "flush":
                self._flush()
            case "prepare":
                self._events.prepare("shop")
            case "tick":
                self._past.clock.pass_by(number)
            case "day":
                self._past.clock.pass_by(DAY_NS / 10**9)
        self._rest("zstd")

    def close(self) -> None:
        """End in order."""
        for writer in (self._events, self._metrics):
            writer.close(WAIT_S)
        self._rest("zstd")
        self._audit.close()
        self._rest("zstd")
        self._rest("sync")

    def _rest(self, name: str) -> None:
        """Wait until our threads of this name have ended, so that a seed says all."""
        wanted = f"otel-exporter-ndjson-{name}"
        while running := [
            thread
            for thread in threading.enumerate()
            if thread.name == wanted and thread not in self._others
        ]:
            for thread in running:
                with suppress(RuntimeError):  # it is just being started
                    thread.join(WAIT_S)

    def _flush(self) -> None:
        """Tell what a flush of both signals promises: all that was acknowledged before it."""
        before = frozenset(self._told)
        results = [writer.flush(WAIT_S) for writer in (self._events, self._metrics)]
        if all(results):
            self._fs.told("kept", before)

    def _burst(self, threads: int) -> None:
        """Record from several threads at once."""

        def record(lane: int) -> None:
            for _ in range(2):
                self._append_event(lane, 100)

        running = [threading.Thread(target=record, args=[lane]) for lane in range(1, threads + 1)]
        for thread in running:
            thread.start()
        for thread in running:
            thread.join()

    def _append_event(self, lane: int, size: int) -> None:
        number = self._number(lane)
        batch = self._encode_event([_event(number, size, self._past.clock.now_ns)])
        self._append(self._events, batch, [number])

    def _append(self, writer: SegmentWriter, batch: Batch | None, numbers: list[int]) -> None:
        assert batch is not None
        lines = b"".join([part.body for part in batch.parts]).splitlines(keepends=True)
        self._past.lines.update(zip(numbers, lines, strict=True))
        if writer.append(batch) is None:
            with self._lock:
                self._told.update(numbers)
                self._fs.told("written", frozenset(numbers))
                if self._always:
                    self._fs.told("kept", frozenset(numbers))

    def _number(self, lane: int) -> int:
        with self._lock:
            known = [n for n in self._past.lines if n // LANE == lane]
            number = self._next.get(lane, max(known, default=lane * LANE) + 1)
            self._next[lane] = number + 1
            return number


def live(
    past: Past,
    steps: list[Step],
    *,
    make_fs: MakeFs = SimFs,
    faults: Mapping[tuple[str, int], int | Short] | None = None,
    close: bool = True,
    **settings: Any,
) -> Life:
    """Live through the steps, and return the log; without `close` the process is killed behind
    the last of them."""
    disk = past.disk.copy()
    fs = make_fs(disk, faults=faults, clock=past.clock.world_ns)
    chosen: dict[str, Any] = {"rotate_bytes": ROTATE_BYTES, "sync_interval_s": 10.0**6} | settings
    recorder = _Recorder(fs, past, Settings(path=ARCHIVE, **chosen))
    for step in steps:
        recorder.do(step)
    killed = Life(past, list(fs.log), fs.disk.copy())
    recorder.close()
    return Life(past, list(fs.log), fs.disk.copy()) if close else killed


def steps_of(random: Random, count: int) -> list[Step]:
    """Return steps as they come in a service, rare ones more often."""
    kinds: list[Step] = [
        *[("event", random.choice((10, 100, 700, 3_000))) for _ in range(6)],
        *[("metrics", random.randint(1, 4)) for _ in range(3)],
        *[("flush", 0) for _ in range(3)],
        ("tick", 2),
        ("day", 1),
        ("burst", 3),
        ("prepare", 0),
    ]
    return [random.choice(kinds) for _ in range(count)]


def _retention(
    settings: Settings, say: Callable[[Removed], None], clocks: Clocks
) -> Retention | None:
    limits = Limits(bytes_max=settings.retention_bytes)
    return Retention(settings.path, limits, say, _nothing, clocks.world_ns) if limits else None


def _nothing() -> None:
    """Stand for the end of a retention: this audit is sealed with its writer."""


def _event(number: int, size: int, time_ns: int) -> ReadableLogRecord:
    record = LogRecord(
        timestamp=time_ns,
        event_name="order.placed",
        attributes={"n": number, "text": f"{number:x}." * (size // 4)},
        context=Context(),
    )
    return ReadableLogRecord(record, resource=_RESOURCE, instrumentation_scope=_SCOPE)


def _metrics(numbers: list[int], time_ns: int) -> MetricsData:
    points = [NumberDataPoint({"n": n}, 1, time_ns, n) for n in numbers]
    total: Any = Sum(points, AggregationTemporality.CUMULATIVE, is_monotonic=True)
    scoped = ScopeMetrics(_SCOPE, [Metric("orders", "Orders.", "1", total)], "")
    return MetricsData([ResourceMetrics(_RESOURCE, [scoped], "")])


def settled(past: Past) -> Past:
    """Return the same with everything on the disk, as some time later."""
    disk = past.disk.copy()
    for number, node in disk.nodes.items():
        disk.apply(Op("sync" if isinstance(node, File) else "sync_dir", number))
    return Past(disk, past.written, past.written, past.lines, past.clock)
