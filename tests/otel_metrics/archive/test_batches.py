"""Batches: bounded, complete, and never of two segments."""

import os
from collections import Counter
from pathlib import Path

import pytest
from opentelemetry.sdk.metrics.export import MetricsData

from otel_exporter_ndjson import Finding, find_segments, read_metrics
from otel_metrics.archive.batches import Batch, Selection, batches, chain_of
from tests.otel_metrics.archive.recorded import (
    T0,
    S,
    append,
    emit,
    event,
    exporter,
    record,
    segment_path,
    total,
)
from tests.otel_metrics.archive.recorded import batch as collection


def values(found: list[Batch]) -> list[float]:
    """Return the value of every point, in order."""
    return [
        point.value  # type: ignore[union-attr]  # of sums only
        for batch in found
        if isinstance(batch.data, MetricsData)
        for resource in batch.data.resource_metrics
        for scope in resource.scope_metrics
        for metric in scope.metrics
        for point in metric.data.data_points
    ]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """An archive with one segment of three collections of two points each."""
    path = tmp_path / "a"
    record(path, *([total(n, n), total(n + 0.5, n, name="b")] for n in range(3)))
    return path


@pytest.mark.parametrize("records_max", [1, 2, 3, 4, 100])
def test_a_batch_holds_no_more_records_than_it_may(folder: Path, records_max: int) -> None:
    """A collection is cut where it must be; nothing is lost or said twice."""
    found = list(batches(folder, Selection(), records_max=records_max))

    assert values(found) == [0, 0.5, 1, 1.5, 2, 2.5]
    assert max(batch.records for batch in found) <= records_max
    assert sum(batch.records for batch in found) == 6


def test_a_batch_holds_no_more_bytes_than_it_may(folder: Path) -> None:
    """A record that is longer than that comes alone."""
    assert [batch.records for batch in batches(folder, Selection(), bytes_max=1)] == [1] * 6
    assert [batch.records for batch in batches(folder, Selection(), bytes_max=700)] == [3, 3]


def test_whole_collections_are_what_was_exported(folder: Path) -> None:
    """With their resource, scope, names and times."""
    (found,) = batches(folder, Selection())

    exported = [each for data in read_metrics(folder) for each in data.resource_metrics]
    assert found.data == MetricsData(exported)


def test_reading_goes_on_behind_a_place(folder: Path) -> None:
    """From any batch on, what comes is what had not come."""
    every = list(batches(folder, Selection(), records_max=1))

    for number, batch in enumerate(every, start=1):
        assert batch.reached is not None
        after = {chain_of(batch.segment): batch.reached}
        rest = list(batches(folder, Selection(), after=after))
        assert values(rest) == values(every)[number:]


def test_only_what_is_wanted_comes(tmp_path: Path) -> None:
    """Of a signal, a service and a time."""
    record(tmp_path, *([total(n, n)] for n in range(4)))
    record(tmp_path, [total(9, 1)], service="bank")
    emit(tmp_path, event("e", 1))

    window = Selection(signals=("metrics",), service="shop", since=T0 + S, until=T0 + 3 * S)
    assert values(list(batches(tmp_path, window))) == [1, 2]
    (events,) = batches(tmp_path, Selection(signals=("events",)))
    assert events.records == 1


def test_what_until_left_out_is_not_passed(tmp_path: Path) -> None:
    """The place stays before it, even where later lines are of an earlier time."""
    emit(tmp_path, event("a", 1), event("b", 5), event("c", 2))

    found = list(batches(tmp_path, Selection(until=T0 + 3 * S), records_max=1))

    assert [batch.records for batch in found] == [1, 1]
    assert found[0].reached is not None
    assert found[1].reached is None


def test_a_segment_of_another_time_is_not_read(tmp_path: Path) -> None:
    """Its seal says of which it is; damage in it is then nobody's concern."""
    record(tmp_path, [total(1, 1)])
    path = Path(segment_path(tmp_path))
    record(tmp_path, [total(2, 10)])
    os.chmod(path, 0o640)
    path.write_bytes(path.read_bytes().replace(b'"value":1', b'"value"!1'))
    findings: list[Finding] = []

    late = list(batches(tmp_path, Selection(since=T0 + 5 * S), findings=findings))
    assert (values(late), findings) == ([2], [])
    early = list(batches(tmp_path, Selection(until=T0 + 5 * S), findings=findings))
    assert (values(early), len(findings) > 0) == ([], True)


def test_a_cursor_does_not_pass_a_segment_that_until_left_out(tmp_path: Path) -> None:
    """Nor what comes behind it."""
    writer = exporter(tmp_path)
    for second, service in ((9, "shop"), (0, "bank"), (1, "shop")):
        writer.export(collection(total(second, second), service=service))
    writer.shutdown()

    found = list(batches(tmp_path, Selection(until=T0 + 5 * S)))

    assert {batch.segment.service: batch.reached is None for batch in found} == {
        "shop": True,
        "bank": False,
    }


def test_the_place_of_one_service_is_not_anothers(tmp_path: Path) -> None:
    """A writer's numbers run through the segments of all its services."""
    writer = exporter(tmp_path)
    for value, service in enumerate(("shop", "bank", "shop", "bank")):
        writer.export(collection(total(value, value), service=service))
    writer.shutdown()
    shop = list(batches(tmp_path, Selection(service="shop")))
    after = {chain_of(each.segment): each.reached for each in shop if each.reached}

    rest = batches(tmp_path, Selection(), after=after)

    assert Counter(values(list(rest))) == Counter([1, 3])


def test_damage_leaves_the_rest(folder: Path) -> None:
    """A line that cannot be read is a finding; the other points of its collection come."""
    path = segment_path(folder)
    lines = Path(path).read_bytes().splitlines(keepends=True)
    number = next(at for at, line in enumerate(lines) if b'"value":1.5' in line)
    lines[number] = lines[number][:30] + b"\n"
    os.chmod(path, 0o640)
    Path(path).write_bytes(b"".join(lines))
    findings: list[Finding] = []

    found = list(batches(folder, Selection(), findings=findings))

    assert values(found) == [0, 0.5, 1, 2, 2.5]
    assert number + 1 in {finding.line for finding in findings}


def test_a_torn_tail_is_no_record(folder: Path) -> None:
    """What a killed writer could not finish is left out."""
    append(segment_path(folder), b'{"kind":"metric","time":"20')

    assert len(values(list(batches(folder, Selection())))) == 6


def test_a_missing_segment_is_told(tmp_path: Path) -> None:
    """A hole in a writer's numbers is not taken for silence."""
    writer = exporter(tmp_path)
    for value in range(3):
        writer.export(collection(total(value, value), service=f"s{value}"))
    writer.shutdown()
    os.unlink(find_segments(tmp_path)[1].path)
    findings: list[Finding] = []

    list(batches(tmp_path, Selection(), findings=findings))

    assert "gap" in {finding.kind for finding in findings}
