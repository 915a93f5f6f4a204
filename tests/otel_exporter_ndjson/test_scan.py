"""Both ways to go over a segment, line by line and in blocks, find the same."""

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from opentelemetry.sdk._logs import ReadableLogRecord
from opentelemetry.sdk.metrics.export import MetricsData

from otel_exporter_ndjson import NdjsonLogRecordExporter, NdjsonMetricExporter, find_segments
from otel_exporter_ndjson.scan import Scan, check
from otel_exporter_ndjson.segments import commit_line, seal_line

SPLICES = (
    b"",
    b"\n",
    b"\n\n",
    b"\r\n",
    b" ",
    b"\0",
    b"{",
    b"}",
    b"}{",
    b'{"kind":"metric"}',
    b'{"kind":"event","time":"2026-01-01T00:00:00.000000000Z"}\n',
    b'{"kind":"describe"}\n',
    b'{"kind":"erased"}\n',
    b'{"kind":"segment"}\n',
    b'{"kind":"commit"}\n',
    b'{"kind":"seal"}\n',
    b'{"kind":"commit","records":1,"sha256":"00"}\n',
    b'{"kind":"nothing"}\n',
    b'{"kind":1}\n',
    b'{"kind":"event","observed":-5}\n',
    b'{"kind":"event","time":1.5}\n',
    b'{"kind":"event","body":"\xff"}\n',
    b'{"kind":"event","body":\n"x"}\n',
    b'{"kind":"event","body":{"kind":"seal"}}\n',
    b'{"kind":"event"}{"kind":"event"}\n\n',
    b' {"kind":"event"}\n',
    b'{"body":1,"kind":"event"}\n',
    b"[]\n",
)


@pytest.fixture(scope="module")
def segments(tmp_path_factory: pytest.TempPathFactory) -> list[bytes]:
    """What a metric and an event exporter wrote."""
    return []


@pytest.fixture
def written(
    tmp_path: Path,
    batch: Callable[..., MetricsData],
    event: Callable[..., ReadableLogRecord],
    segments: list[bytes],
) -> list[bytes]:
    """A segment of metrics and one of events, made once."""
    if not segments:
        metrics = NdjsonMetricExporter(tmp_path / "a", compression="none")
        events = NdjsonLogRecordExporter(tmp_path / "a", compression="none")
        for number in range(4):
            metrics.export(batch(number, -number))
            events.export([event(number, "\u2028 ü")])
        metrics.shutdown()
        events.shutdown()
        segments += [Path(each.path).read_bytes() for each in find_segments(tmp_path / "a")]
    return segments


def facts(scan: Scan) -> dict[str, Any]:
    """Everything that a scan says."""
    names = (
        "damages head lines records erased bytes good_line good_bytes sealed seal seal_line "
        "committed marked left_out sha256 times holds"
    )
    return {name: getattr(scan, name) for name in names.split()}


def in_blocks(data: bytes, cuts: list[int], mark: int | None) -> Scan:
    """Feed whole lines in blocks that end at the first line end after each cut."""
    scan = Scan(mark)
    start = 0
    for cut in [*sorted(cuts), len(data)]:
        end = data.rfind(b"\n", start, cut) + 1
        if end > start:
            scan.feed_block(data[start:end])
            start = end
    if start < len(data):
        scan.feed(data[start:])
    scan.finish()
    return scan


def by_line(data: bytes, mark: int | None) -> Scan:
    scan = Scan(mark)
    for line in _lines(data):
        scan.feed(line)
    scan.finish()
    return scan


def _lines(data: bytes) -> list[bytes]:
    *whole, rest = data.split(b"\n")
    return [line + b"\n" for line in whole] + ([rest] if rest else [])


def rehashed(data: bytes) -> bytes:
    """Make every commit line and seal anew, as whoever edits a segment can."""
    scan, done = Scan(), []
    for line in _lines(data):
        if line.startswith(b'{"kind":"commit"'):
            line = commit_line(scan.records, scan.sha256)
        elif line.startswith(b'{"kind":"seal"'):
            line = seal_line(scan.records, *scan.times, scan.sha256)
        scan.feed(line)
        done.append(line)
    return b"".join(done)


def test_what_a_writer_wrote_holds_either_way(written: list[bytes]) -> None:
    """Every hash, count and time; the same facts."""
    for data in written:
        block = in_blocks(data, [], None)

        assert block.damages == []
        assert block.sealed
        assert facts(block) == facts(check(_lines(data)))


@pytest.mark.slow
@settings(max_examples=1500, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_blocks_find_what_lines_find(written: list[bytes], data: st.DataObject) -> None:
    """Over random edits, some with all hashes made anew, and cuts anywhere."""
    text = data.draw(st.sampled_from(written))
    for _ in range(data.draw(st.integers(0, 3))):
        at = data.draw(st.integers(0, len(text)))
        if data.draw(st.booleans()):  # at the begin of a line
            at = text.rfind(b"\n", 0, at) + 1
        taken = data.draw(st.integers(0, 3))
        text = text[:at] + data.draw(st.sampled_from(SPLICES)) + text[at + taken :]
    if data.draw(st.booleans()):
        text = rehashed(text)
    cuts = data.draw(st.lists(st.integers(0, len(text)), max_size=4))
    mark = data.draw(st.none() | st.integers(0, len(text)))

    assert facts(in_blocks(text, cuts, mark)) == facts(by_line(text, mark))


@pytest.mark.parametrize(
    "lines",
    [
        b'{"kind":"event","body":\n{"kind":"x"}}\n{"kind":"event"}{"kind":"event"}\n',
        b'{"kind":"event","body":{"a":{}\n}}\n{"kind":"event"}{"kind":"event"}\n',
        b'{"kind":"event"}{"kind":"event"}\n\n',
        b'{"kind":"event"}{"kind":"event"}\n\n{"kind":"event"}\n',
    ],
)
def test_as_many_objects_as_lines_is_not_one_a_line(lines: bytes) -> None:
    """An object over two lines and two on one line do not make up for each other."""
    text = rehashed(b'{"kind":"segment"}\n' + lines + b'{"kind":"seal"}\n')
    found = in_blocks(text, [], None)

    assert found.damages
    assert facts(found) == facts(by_line(text, None))


def test_every_flip_of_a_bit_shows(written: list[bytes]) -> None:
    """In every byte of a sealed segment."""
    chance = random.Random(5)
    missed = []
    for data in written:
        for at in range(len(data)):
            bit = 1 << chance.randrange(8)
            scan = Scan()
            flipped = data[:at] + bytes([data[at] ^ bit]) + data[at + 1 :]
            for line in _lines(flipped):
                scan.feed(line)
            if scan.sealed and not scan.damages:
                missed.append((at, bit))

    assert missed == []


def test_an_erased_line_is_no_record() -> None:
    """It is counted apart, and a line in its place keeps the numbers of those behind it."""
    head = b'{"kind":"segment"}\n'
    event = b'{"kind":"event","time":"2026-01-01T00:00:00.000000000Z"}\n'
    scan = check(_lines(rehashed(head + b'{"kind":"erased"}\n' + event + b'{"kind":"seal"}\n')))

    assert (scan.damages, scan.records, scan.erased) == ([], 1, 1)


def test_only_the_first_hash_that_differs_is_told(written: list[bytes]) -> None:
    """Every later one is over the same bytes; it would say nothing new about where the edit is."""
    data = written[0].replace(b'"value":1', b'"value":7', 1)

    assert [damage.message for damage in check(_lines(data)).damages] == ["commit hash differs"]


@pytest.mark.slow
def test_findings_of_one_segment_are_bounded() -> None:
    """A million line ends are a thousand findings and a number."""
    for line in (b"\n", b'{"kind":"commit"}\n'):
        scan = Scan()
        scan.feed_block(line * 1_000_000)

        assert len(scan.damages) == 1_000
        assert scan.left_out >= 998_000
        assert scan.lines == 1_000_000


def test_a_seal_behind_many_bad_lines_is_seen() -> None:
    """A recovery seals over damage; the hash of its seal is over all of it."""
    text = rehashed(b'{"kind":"segment"}\n' + b"lost\n" * 5_000 + b'{"kind":"seal"}\n')
    scan = in_blocks(text, [len(text) // 2], None)

    assert (scan.sealed, scan.holds, scan.lines) == (True, True, 5_002)
    assert scan.left_out + len(scan.damages) == 5_000
