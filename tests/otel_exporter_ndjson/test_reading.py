"""Reading never trusts a file: whatever it holds is a finding, and what comes after it is read."""

import os
import random
import struct
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import pytest
import zstandard
from opentelemetry.sdk._logs import ReadableLogRecord
from opentelemetry.sdk.metrics.export import MetricsData

from otel_exporter_ndjson import (
    Finding,
    NdjsonLogRecordExporter,
    NdjsonMetricExporter,
    find_segments,
    read,
    read_events,
    read_metrics,
)
from otel_exporter_ndjson.findings import FINDINGS_MAX
from otel_exporter_ndjson.frames import compress

Batches = Callable[..., MetricsData]
Events = Callable[..., ReadableLogRecord]

MEBI = 2**20
RSS_GROWTH_MAX = 16 * MEBI
"""A line of at most 8 MiB, a chunk, a window, and what the heap keeps."""

ODD: tuple[object, ...] = (
    *(None, True, -1, 1e300, 2**70, "", "x", "$"),
    *([], [[]], {}, {"$float": "x"}, {"": 1}),
)

# Reads a segment twice: a small one to have everything loaded, then the one it is about.
READING = """
import sys
from otel_exporter_ndjson import read
def peak():  # of this program alone; ru_maxrss begins with that of the one that started it
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmHWM"))
list(read(sys.argv[1]))
before = peak()
findings = []
records = sum(1 for _ in read(sys.argv[2], findings=findings))
print((peak() - before) * 1024, records, len(findings))
print(*[finding.message for finding in findings[:3]], sep="\\n")
"""


@pytest.fixture
def segment(tmp_path: Path, batch: Batches) -> Path:
    """An unsealed segment of three points, as a killed writer leaves it."""
    exporter = NdjsonMetricExporter(tmp_path, sync="never", compression="none")
    exporter.export(batch(1, 2, 3))
    exporter.shutdown()
    for thread in threading.enumerate():
        if thread.name == "otel-exporter-ndjson-zstd":
            thread.join()  # a recovery must not come upon the file while it is written anew
    (found,) = find_segments(tmp_path)
    path = Path(found.path)
    path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[:-1]))
    return path


def values_and_findings(path: Path) -> tuple[list[int], list[Finding]]:
    findings: list[Finding] = []
    return [record.data["value"] for record in read(path, findings=findings)], findings


def reading(small: Path, path: Path) -> tuple[int, int, int, str]:
    """Read in a process of its own: how much memory that took, records, findings, messages."""
    run = subprocess.run(
        [sys.executable, "-c", READING, small, path], capture_output=True, text=True, check=True
    )
    figures, _, messages = run.stdout.partition("\n")
    grown, records, findings = map(int, figures.split())
    return grown, records, findings, messages


@pytest.mark.parametrize(
    ("tail", "kinds"),
    [
        (b"\0" * 5000, ["torn_tail"]),
        (b"garbage", ["torn_tail"]),
        (b"garbage\n", ["damage"]),
        (b"\n\n\n", ["damage"]),
        (b"\x1b]0;owned\x07\n", ["damage"]),
        (b'{"kind":"event","body":"\xff\xfe"}\n', ["damage"]),
        (b'{"kind":"event","body":"\x01"}\n', ["damage"]),
        (b'{"kind":"metric","value":1', ["torn_tail"]),
    ],
)
def test_a_tail_of_anything_leaves_what_is_before_it(
    segment: Path, tail: bytes, kinds: list[str]
) -> None:
    """All points are read, and what follows is told."""
    segment.write_bytes(segment.read_bytes() + tail)
    values, findings = values_and_findings(segment)

    assert (values, [finding.kind for finding in findings]) == ([1, 2, 3], kinds)


@pytest.mark.parametrize("mark", [b"\xef\xbb\xbf", b""])
@pytest.mark.parametrize("end", [b"\r\n", b"\n"])
def test_what_an_editor_adds_is_one_finding(segment: Path, mark: bytes, end: bytes) -> None:
    """A byte order mark and other line ends hide no record, not even of its resource."""
    before = list(read_metrics(segment))
    segment.write_bytes(mark + segment.read_bytes().replace(b"\n", end))
    values, findings = values_and_findings(segment)

    assert values == [1, 2, 3]
    assert len(findings) == bool(mark) + (end == b"\r\n")
    assert list(read_metrics(segment)) == before


@pytest.mark.parametrize(
    ("old", "new", "name"),
    [
        (b'"value":2', b'"value":2,"value":7', "value"),
        (b'"value":2', b'"value":2,"val\\u0075e":7', "value"),
        (b'"n":2', b'"n":2,"n":2', "n"),
        (b'"value":2', b'"value":20000000000.0,"value":2e10,"x":1e-1', "value"),
        (b'{"kind":"metric"', b'{"kind":"event","kind":"metric"', "kind"),
    ],
)
def test_a_name_that_stands_twice_is_a_finding(
    segment: Path, old: bytes, new: bytes, name: str
) -> None:
    """Readers differ in which of the two counts, so neither does; the next line is read."""
    lines = segment.read_bytes().splitlines(keepends=True)
    assert old in lines[3]
    lines[3] = lines[3].replace(old, new)
    segment.write_bytes(b"".join(lines))
    values, findings = values_and_findings(segment)

    assert values == [1, 3]
    assert [(each.line, each.message) for each in findings] == [
        (4, f"the name {name!r} stands twice in one object")
    ]


def test_a_bad_block_in_the_middle_loses_nothing_behind_it(tmp_path: Path, batch: Batches) -> None:
    """512 bytes overwritten by anything: every other line is read, and the file stays as it is."""
    exporter = NdjsonMetricExporter(tmp_path, sync="never", compression="none")
    exporter.export(batch(*range(100)))
    exporter.shutdown()
    (path,) = tmp_path.rglob("*.ndjson")
    whole = path.read_bytes()
    dice = random.Random(3)
    for block in (bytes(512), b"\n" * 512, dice.randbytes(512), b"\xff" * 512, whole[:512]):
        at = dice.randrange(len(whole) // 3, len(whole) // 2)
        path.write_bytes(whole[:at] + block + whole[at + 512 :])
        values, findings = values_and_findings(path)
        spoilt = whole.count(b"\n", 0, at), whole.count(b"\n", 0, at + 512)
        expected = [n for n in range(100) if not spoilt[0] - 2 <= n <= spoilt[1] - 2]

        assert [value for value in values if value in expected] == expected
        assert "damage" in {finding.kind for finding in findings}
        assert path.read_bytes()[at : at + 512] == block


def test_findings_are_bounded(segment: Path) -> None:
    """A million odd lines are not a million findings; how many there were is said."""
    segment.write_bytes(segment.read_bytes() + b"?\n" * (FINDINGS_MAX + 70_000))
    values, findings = values_and_findings(segment)

    assert values == [1, 2, 3]
    assert len(findings) == FINDINGS_MAX + 1
    assert findings[-1].message == "70000 more findings of this segment are not told one by one"


def test_a_cut_compressed_segment_gives_the_lines_before_the_cut(
    tmp_path: Path, batch: Batches
) -> None:
    """However far the file reaches: a prefix of the records, never a wrong one, and a finding."""
    exporter = NdjsonMetricExporter(tmp_path, sync="never", compression="none")
    for start in range(0, 4000, 100):
        exporter.export(batch(*range(start, start + 100)))
    exporter.shutdown()
    (plain,) = tmp_path.rglob("*.ndjson")
    data = plain.read_bytes()
    packed = b"".join(compress([data], len(data)))
    path = Path(f"{plain}.zst")
    plain.unlink()
    most = 0
    for size in [*range(0, len(packed), max(1, len(packed) // 50)), len(packed) - 1]:
        path.write_bytes(packed[:size])
        values, findings = values_and_findings(path)
        most = max(most, len(values) if size < len(packed) * 0.9 else 0)

        assert values == list(range(len(values)))
        assert "damage" in {finding.kind for finding in findings}
    assert most > 1000


def frames(pieces: Iterator[bytes]) -> bytes:
    squeeze = zstandard.ZstdCompressor(level=1).compress
    return b"".join([squeeze(piece) for piece in pieces])


def declared(window_log: int, data: bytes) -> bytes:
    parameters = zstandard.ZstdCompressionParameters(window_log=window_log, compression_level=3)
    packed = zstandard.ZstdCompressor(compression_params=parameters).compressobj()
    return packed.compress(data) + packed.flush()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: declared(20, bytes(200 * MEBI)), "inflates beyond all measure"),
        (lambda: declared(20, b"\n" * (200 * MEBI)), "empty lines"),
        (lambda: frames(bytes(2**17) for _ in range(1600)), "inflates beyond all measure"),
        (lambda: declared(27, bytes(200 * MEBI)), "no whole zstd frame"),
        (lambda: declared(31, bytes(200 * MEBI)), "no whole zstd frame"),
        (lambda: struct.pack("<IB", 0xFD2FB528, 0) + b"\xff" * 100, "no whole zstd frame"),
    ],
    ids=["zeros", "lines", "small frames", "window", "huge window", "nonsense"],
)
def test_a_bomb_takes_no_memory(segment: Path, make: Callable[[], bytes], message: str) -> None:
    """200 MiB in a few kilobytes, in every form: reading stops with a finding."""
    bomb = Path(f"{segment}.zst")
    bomb.write_bytes(make())
    grown, records, _, messages = reading(segment, bomb)

    assert message in messages
    assert records == 0
    assert grown < RSS_GROWTH_MAX


@pytest.mark.slow
@pytest.mark.parametrize("holes", [True, False])
def test_a_line_of_a_gibibyte_takes_no_memory(
    tmp_path: Path, segment: Path, *, holes: bool
) -> None:
    """It is told with its size, and the line after it is read."""
    lines = segment.read_bytes().splitlines(keepends=True)
    folder = tmp_path / "metrics" / "service=long" / "date=2026-01-01"
    folder.mkdir(parents=True)
    path = folder / segment.name
    size = 1024 * MEBI if holes else 256 * MEBI
    with path.open("wb") as file:
        file.writelines(lines[:3])
        if holes:
            file.truncate(file.tell() + size)
            file.seek(0, os.SEEK_END)
        else:
            for _ in range(size // MEBI):
                file.write(b"[" * MEBI)
        file.write(b"\n")
        file.writelines(lines[3:])
    grown, records, findings, messages = reading(segment, path)

    assert (records, findings) == (3, 1)
    assert f"a line of {size + 1} bytes" in messages
    assert grown < RSS_GROWTH_MAX


def mutations(value: object) -> Iterator[object]:
    """Every way to put something odd in one place of a JSON value, or to leave something out."""
    yield from ODD
    if isinstance(value, dict):
        for key, inner in value.items():
            yield {name: each for name, each in value.items() if name != key}
            for odd in mutations(inner):
                yield {**value, key: odd}
    if isinstance(value, list):
        for at, inner in enumerate(value[:2]):
            for odd in mutations(inner):
                yield [*value[:at], odd, *value[at + 1 :]]


@pytest.mark.slow
@pytest.mark.parametrize("signal", ["metrics", "events"])
def test_no_line_makes_reading_raise(
    tmp_path: Path, batch: Batches, event: Events, signal: str
) -> None:
    """Each member of each line replaced by each odd value: at worst a finding, never an error."""
    if signal == "metrics":
        metrics = NdjsonMetricExporter(tmp_path, sync="never", compression="none")
        metrics.export(batch(1))
        metrics.shutdown()
    else:
        events = NdjsonLogRecordExporter(tmp_path, sync="never", compression="none")
        events.export([event(1, "text")])
        events.shutdown()
    (path,) = tmp_path.rglob("*.ndjson")
    lines = path.read_bytes().splitlines(keepends=True)
    tried = 0
    for at, line in enumerate(lines):
        for odd in mutations(msgspec.json.decode(line)):
            spoilt = [*lines[:at], msgspec.json.encode(odd) + b"\n", *lines[at + 1 :]]
            path.write_bytes(b"".join(spoilt))
            list(read(path, since=1, findings=[]))
            list(read_metrics(tmp_path, findings=[]))
            list(read_events(tmp_path, findings=[]))
            tried += 1

    assert tried > 500
