"""OTLP JSON Lines: what upstream's reader finds in them is what upstream's encoder would say."""

import json
from pathlib import Path

import pytest

from otel_metrics.archive.batches import Selection, batches
from otel_metrics.archive.otlp_json import line_of
from tests.otel_metrics.archive.everything import (
    SPAN_ID,
    TRACE_ID,
    of_archive,
    of_lines,
    record_everything,
)
from tests.otel_metrics.archive.recorded import emit, event, record, total


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """An archive with each kind of point and event."""
    record_everything(tmp_path / "a")
    return tmp_path / "a"


def lines_of(folder: Path) -> list[str]:
    return [line_of(batch).data.decode() for batch in batches(folder, Selection())]


def test_lines_say_what_was_exported(folder: Path) -> None:
    """Every point, exemplar and event, decoded by opentelemetry-proto-json."""
    expected = of_archive(folder)

    assert of_lines(lines_of(folder)) == expected
    assert expected.total() == 30


def test_ids_are_hex_long_integers_text_and_enums_numbers(folder: Path) -> None:
    """As OTLP has it, and protobuf's own JSON has not."""
    points, events = map(json.loads, lines_of(folder))

    record = events["resourceLogs"][0]["scopeLogs"][0]["logRecords"][0]
    assert (record["traceId"], record["spanId"]) == (f"{TRACE_ID:032x}", f"{SPAN_ID:016x}")
    assert record["severityNumber"] == 14
    runs, _, level = points["resourceMetrics"][0]["scopeMetrics"][0]["metrics"]
    assert runs["sum"]["aggregationTemporality"] == 2
    assert runs["sum"]["dataPoints"][0]["asInt"] == str(2**53 + 1)
    odd = [point.get("asDouble") for point in level["gauge"]["dataPoints"]]
    assert odd[:3] == ["NaN", "Infinity", "-Infinity"]


def test_a_line_is_one_line_for_every_reader(folder: Path) -> None:
    """Also for those that take U+2028 for its end."""
    assert [len(line.splitlines()) for line in lines_of(folder)] == [1, 1]


def test_what_otlp_cannot_say_is_counted(tmp_path: Path) -> None:
    """The other points of the batch are there."""
    record(tmp_path, [total(2**64, 1), total(3, 1, name="b")])
    (batch,) = batches(tmp_path, Selection())

    line = line_of(batch)

    assert line.left_out == 1
    assert [part for part in (b'"name":"jobs"', b'"name":"b"') if part in line.data] == [
        b'"name":"b"'
    ]


def test_a_batch_of_which_nothing_can_be_said_is_no_line(tmp_path: Path) -> None:
    """An empty request is not written."""
    emit(tmp_path, event("e", 1, huge=2**70))
    (batch,) = batches(tmp_path, Selection())

    assert (line_of(batch).data, line_of(batch).left_out) == (b"", 1)
