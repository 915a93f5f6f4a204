"""Makes golden archives: `python -m tests.golden.make FOLDER_OF_A_NEW_SET`.

What is committed beside this file is never made again and never changed: it is what a version of
the past wrote, and every later version must read it as it says. When the format grows, a new set
is made in a new folder (`format-1`, `format-1-2`, ...) and added. Nothing here is random but ids.
"""

import errno
import json
import os
import shutil
import socket
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from hashlib import sha256
from itertools import count
from pathlib import Path
from typing import Any, Final

from opentelemetry._logs import LogRecord, SeverityNumber
from opentelemetry.context import Context
from opentelemetry.sdk._logs import ReadableLogRecord
from opentelemetry.sdk.metrics import Exemplar
from opentelemetry.sdk.metrics.export import (
    AggregationTemporality,
    Buckets,
    ExponentialHistogram,
    ExponentialHistogramDataPoint,
    Gauge,
    Histogram,
    HistogramDataPoint,
    Metric,
    MetricsData,
    NumberDataPoint,
    ResourceMetrics,
    ScopeMetrics,
    Sum,
)
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.util.instrumentation import InstrumentationScope

from otel_exporter_ndjson import NdjsonLogRecordExporter, NdjsonMetricExporter, find_segments
from otel_exporter_ndjson.audit import AuditLog
from otel_exporter_ndjson.fs import RealFs
from otel_exporter_ndjson.opening import Clocks
from otel_exporter_ndjson.recovery import recover_service
from otel_exporter_ndjson.retention import Limits, prune
from otel_exporter_ndjson.settings import Settings
from tests.golden.reading import seen

KEY: Final = "TEST-ONLY-NOT-A-SECRET.key"
"""The key of the signed archives: public, and so no secret of anybody."""
START_NS: Final = 1_767_225_600_000_000_000
_TICKS = count()

AWKWARD: Final = 'tab\t esc\x1b bell\x07 c1\x85 bidi\u202e line\u2028 ünï 😀 \\ " $'
VALUES: Final[dict[str, Any]] = {
    "text": AWKWARD,
    "bytes": b"\x00\xff",
    "nan": float("nan"),
    "inf": float("-inf"),
    "int": 2**63 - 1,
    "float": 1.0,
    "none": None,
    "list": ["a", "b"],
    "map": {"$float": "NaN", "inner": {"deep": [1, 2.5, True, None, b"x"]}},
    "ключ": "значение",
}


def now_ns() -> int:
    """Return a time that goes on by a millisecond at each call."""
    return START_NS + next(_TICKS) * 10**6


CLOCKS: Final = Clocks(world_ns=now_ns)


def settings(path: Path, **given: Any) -> Settings:
    """Return settings of an archive of the smallest segments."""
    chosen: dict[str, Any] = {"sync": "never", "compression": "none", **given}
    return Settings(path=str(path), **chosen)


def numbers(*values: float, service: str = "shop", attributes: Any = None) -> MetricsData:
    """Return a batch of one counter."""
    points = [
        NumberDataPoint(attributes or {"n": at}, START_NS, now_ns(), value)
        for at, value in enumerate(values)
    ]
    total = Sum(points, AggregationTemporality.CUMULATIVE, is_monotonic=True)
    return one(Metric("orders", "Orders.", "1", total), service=service)


def one(*metrics: Metric, service: str = "shop") -> MetricsData:
    """Return a batch of metrics of one scope."""
    scope = InstrumentationScope("golden", "1.0", "https://example.org/scope", {"scope": True})
    resource = Resource({"service.name": service, "host.name": "golden"}, "https://example.org/r")
    scoped = ScopeMetrics(scope, list(metrics), "https://example.org/scope")
    return MetricsData([ResourceMetrics(resource, [scoped], "https://example.org/r")])


def event(number: int, body: Any = None, **attributes: Any) -> ReadableLogRecord:
    """Return an event."""
    record = LogRecord(
        timestamp=now_ns(),
        observed_timestamp=now_ns(),
        event_name="order.placed",
        body=body,
        severity_text="INFO",
        severity_number=SeverityNumber.INFO,
        attributes={"n": number, **attributes},
        context=Context(),
    )
    record.trace_id, record.span_id = 2**127 + number, 2**63 + number
    return ReadableLogRecord(
        record,
        resource=Resource({"service.name": "shop"}),
        instrumentation_scope=InstrumentationScope("golden"),
    )


def end(exporter: NdjsonMetricExporter | NdjsonLogRecordExporter) -> None:
    """Shut an exporter down, and wait for those of its threads that look after old segments."""
    exporter.shutdown()
    for thread in threading.enumerate():
        if thread.name.startswith("otel-exporter-ndjson"):
            thread.join(10)


def every_point(path: Path) -> None:
    """Points of every type with every kind of value, plain and sealed."""
    exemplar = Exemplar({"why": AWKWARD}, 0.5, START_NS, 2**63, 2**127)
    values = [0, -1, 2**53 + 1, 1.0, 1e-300, float("nan"), float("inf"), float("-inf"), -0.0]
    points = [NumberDataPoint(VALUES, START_NS, now_ns(), value, [exemplar]) for value in values]
    plain = HistogramDataPoint({}, START_NS, now_ns(), 3, 6.5, (1, 0, 2), (0.1, 1.0), 0.05, 5.5)
    empty = HistogramDataPoint(
        {"empty": True}, START_NS, now_ns(), 0, 0, (0,), (), float("inf"), float("-inf"), [exemplar]
    )
    exponential = ExponentialHistogramDataPoint(
        {"n": 1}, START_NS, now_ns(), 4, 2.5, 3, 1, Buckets(-2, (1, 2)), Buckets(0, ()), 0, 0.1, 2.0
    )
    cumulative, delta = AggregationTemporality.CUMULATIVE, AggregationTemporality.DELTA
    batch = one(
        Metric("sum", "A sum.", "1", Sum(points, cumulative, is_monotonic=True)),
        Metric("level", AWKWARD, "By", Sum(points, delta, is_monotonic=False)),
        Metric("gauge", "", "", Gauge(points)),
        Metric("histogram", "H.", "s", Histogram([plain, empty], cumulative)),
        Metric("exponential", "E.", "s", ExponentialHistogram([exponential], delta)),
    )
    exporter = NdjsonMetricExporter(settings=settings(path), clocks=CLOCKS)
    exporter.export(batch)
    exporter.export(batch)
    end(exporter)


def every_event(path: Path) -> None:
    """Events with every kind of body and attribute, compressed."""
    exporter = NdjsonLogRecordExporter(settings=settings(path), clocks=CLOCKS)
    for number, body in enumerate([*VALUES.values(), VALUES]):
        exporter.export([event(number, body, **VALUES)])
    end(exporter)
    compressed(path)


def chain(path: Path, **given: Any) -> None:
    """Two writers of two services that rotate at each batch, compressed."""
    for service in ("shop", "desk/ü"):
        small = settings(path, rotate_bytes=1, **given)
        exporter = NdjsonMetricExporter(settings=small, clocks=CLOCKS)
        for number in range(4):
            exporter.export(numbers(number, number + 0.5, service=service))
        end(exporter)
    compressed(path)


def signed(path: Path) -> None:
    """As `chain`, each seal signed with the key beside this file."""
    with tempfile.TemporaryDirectory() as folder:
        key = Path(folder) / "key"
        shutil.copy(Path(__file__).parent / KEY, key)
        key.chmod(0o600)
        chain(path, seal_key_file=str(key))


def killed(path: Path) -> None:
    """A writer that was killed in the middle of a line: no seal, and a torn tail."""
    exporter = NdjsonMetricExporter(settings=settings(path), clocks=CLOCKS)
    exporter.export(numbers(1, 2, 3))
    end(exporter)
    (file,) = path.rglob("*.ndjson")
    lines = file.read_bytes().splitlines(keepends=True)
    file.write_bytes(b"".join(lines[:-1]) + lines[2][:50])


def recovered(path: Path) -> None:
    """As `killed`, then the next start sealed it and set the torn tail aside."""
    killed(path)
    exporter = NdjsonMetricExporter(settings=settings(path), clocks=CLOCKS)
    exporter.export(numbers(4))
    end(exporter)
    assert list(path.rglob("*.torn"))


class _FailingSync(RealFs):
    failing = 0

    def sync(self, descriptor: int) -> None:
        if self.failing:
            self.failing -= 1
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        super().sync(descriptor)


def continues(path: Path) -> None:
    """Two fsyncs failed: what they may have lost stands in the next segments again."""
    fs = _FailingSync()
    slow = settings(path, sync="interval", sync_interval_s=3600.0)
    exporter = NdjsonMetricExporter(settings=slow, clocks=CLOCKS, fs=fs)
    for number in range(6):
        exporter.export(numbers(number))
        fs.failing = number in (1, 3)
        exporter.force_flush()
    end(exporter)


def pruned(path: Path) -> None:
    """The oldest segments were removed, as the audit says."""
    chain(path)
    audit = AuditLog(settings(path), clocks=CLOCKS)
    limits = Limits(bytes_max=2500)
    list(prune(RealFs(), str(path), limits, now_ns=now_ns(), say=audit.removed, service="shop"))
    audit.close()


def erased(path: Path) -> None:
    """One event was erased: a segment that names what it replaces, and an audit that says so."""
    exporter = NdjsonLogRecordExporter(settings=settings(path), clocks=CLOCKS)
    for number in range(3):
        exporter.export([event(number, "a person's text")])
    end(exporter)
    (segment,) = find_segments(path)
    old = Path(segment.path).read_bytes()
    lines = old.splitlines(keepends=True)
    before = sha256(old).hexdigest()
    at = [line.startswith(b'{"kind":"event"') for line in lines].index(True) + 1
    lines[at] = b'{"kind":"erased"}\n'
    names = b',"replaces":{"sha256":"%s","records":3,"reason":"erasure"}}\n' % before.encode()
    lines[0] = lines[0][:-2] + names
    new = b"".join(_hashed(lines))
    audit = AuditLog(settings(path), clocks=CLOCKS)
    said: dict[str, str | int] = {
        "signal": "events",
        "service": "shop",
        "segment": segment.name,
        "sha256": before,
        "records": 3,
        "bytes": len(old),
        "reason": "erasure",
        "actor": "golden",
        "replaced_by": sha256(new).hexdigest(),
    }
    audit.say("archive.segment.replaced", said, service="shop")
    audit.close()
    Path(segment.path).write_bytes(new)


def _hashed(lines: list[bytes]) -> Iterator[bytes]:
    """Return lines with the hashes and counts of commit and seal lines as they have to be."""
    digest, records = sha256(), 0
    for line in lines:
        said = json.loads(line)
        records += said["kind"] in ("event", "metric")
        if said["kind"] in ("commit", "seal"):
            line = line.replace(said["sha256"].encode(), digest.hexdigest().encode())
            line = line.replace(b'"records":%d' % said["records"], b'"records":%d' % records)
        digest.update(line)
        yield line


def compressed(path: Path) -> None:
    """Compress what is sealed, as the next start does behind its caller's back."""
    fs = RealFs()
    for folder in {segment.folder_of_service for segment in find_segments(path)}:
        descriptor = fs.open_root(folder)
        results = recover_service(fs, descriptor, compress=True)
        assert not [each for each in results if each.action != "compressed"], results
        fs.close(descriptor)


def spoil(change: Callable[[bytes], bytes], *, of: Callable[[Path], None] = every_event) -> Any:
    """Return a maker of an archive whose last segment was changed by somebody."""

    def make(path: Path) -> None:
        of(path)
        file = Path(find_segments(path)[-1].path)
        file.chmod(0o640)
        file.write_bytes(change(file.read_bytes()))

    make.__doc__ = change.__doc__
    return make


def edited(data: bytes) -> bytes:
    """A number was changed in a sealed segment."""
    return data.replace(b'"value":2', b'"value":9', 1)


def bad_block(data: bytes) -> bytes:
    """A block in the middle became zeros."""
    return data[:2000] + bytes(512) + data[2512:]


def behind_the_seal(data: bytes) -> bytes:
    """A line stands behind the seal."""
    return data + data.splitlines(keepends=True)[2]


def twice(data: bytes) -> bytes:
    """A name stands twice in a line, in a segment that its writer did not seal."""
    lines = data.splitlines(keepends=True)[:-1]
    lines[3] = lines[3].replace(b'"value":', b'"value":7,"value":')
    return b"".join(lines)


def line_ends(data: bytes) -> bytes:
    """An editor wrote a byte order mark and its own line ends."""
    return b"\xef\xbb\xbf" + data.replace(b"\n", b"\r\n")


def cut(data: bytes) -> bytes:
    """A compressed segment was cut in the middle."""
    return data[: len(data) // 2]


def flipped(data: bytes) -> bytes:
    """One bit of a compressed segment was flipped, in the hash behind its frame."""
    return data[:-1] + bytes([data[-1] ^ 1])


def emptied(data: bytes) -> bytes:
    """A compressed segment has no bytes any more."""
    return data[:0]


def hole(path: Path) -> None:
    """A segment in the middle of a chain is missing, and no audit says why."""
    chain(path)
    Path(find_segments(path)[1].path).unlink()


def plain(path: Path) -> None:
    """Three points, sealed."""
    exporter = NdjsonMetricExporter(settings=settings(path), clocks=CLOCKS)
    exporter.export(numbers(1, 2, 3))
    end(exporter)


ARCHIVES: Final[dict[str, tuple[Callable[[Path], None], bool, bool]]] = {
    "every-point": (every_point, True, True),
    "every-event": (every_event, True, True),
    "chain": (chain, True, True),
    "signed": (signed, True, True),
    "killed": (killed, True, False),
    "recovered": (recovered, True, True),
    "continues": (continues, True, True),
    "pruned": (pruned, True, True),
    "erased": (erased, True, True),
    "damaged-edited": (spoil(edited, of=plain), False, True),
    "damaged-block": (spoil(bad_block, of=every_point), False, True),
    "damaged-behind-the-seal": (spoil(behind_the_seal, of=plain), False, True),
    "damaged-twice": (spoil(twice, of=plain), False, False),
    "damaged-line-ends": (spoil(line_ends, of=plain), False, True),
    "damaged-cut": (spoil(cut), False, False),
    "damaged-flipped": (spoil(flipped), False, True),
    "damaged-emptied": (spoil(emptied), False, False),
    "damaged-hole": (hole, True, False),
}
"""Each with what `verify` must say: whether it is as it was written, and whether it is complete."""


def main(folder: Path) -> None:
    """Make a new set; what is there is not touched."""
    socket.gethostname = lambda: "golden"  # what is kept for ever names no machine
    for name, (make, whole, complete) in ARCHIVES.items():
        archive = folder / name / "archive"
        archive.mkdir(parents=True)
        make(archive)
        expected = {
            "about": make.__doc__,
            "verify": {"integrity": whole, "completeness": complete},
            **seen(archive),
        }
        text = json.dumps(expected, indent=1, ensure_ascii=True)
        (folder / name / "expected.json").write_text(f"{text}\n", encoding="ascii")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
