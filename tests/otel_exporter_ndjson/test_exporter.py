"""The two exporters as a service uses them."""

import json
import os
import stat
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.sdk._logs import ReadableLogRecord
from opentelemetry.sdk._logs.export import LogRecordExportResult
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import (
    MetricExportResult,
    MetricsData,
    PeriodicExportingMetricReader,
)

from otel_exporter_ndjson import (
    NdjsonLogRecordExporter,
    NdjsonMetricExporter,
    SettingError,
    Settings,
    find_segments,
    read,
    read_events,
    read_metrics,
)
from otel_exporter_ndjson.fs import RealFs

Batches = Callable[..., MetricsData]
Events = Callable[..., ReadableLogRecord]
SUCCESS = MetricExportResult.SUCCESS
FAILURE = MetricExportResult.FAILURE


def numbers(folder: Path) -> list[int]:
    return [record.data["attributes"]["n"] for record in read(folder)]


def test_nothing_recorded_writes_nothing(tmp_path: Path) -> None:
    """A process that recorded nothing leaves no folder, even with a service named."""
    exporter = NdjsonMetricExporter(tmp_path / "archive", service="shop")
    exporter.export(MetricsData([]))
    exporter.shutdown()

    assert list(tmp_path.iterdir()) == []


def test_a_record_is_in_the_file_when_export_returns(tmp_path: Path, batch: Batches) -> None:
    """Before any flush or shutdown a reader of the file sees the points, and their commit line."""
    exporter = NdjsonMetricExporter(tmp_path)
    result = exporter.export(batch(1, 2))
    (segment,) = find_segments(tmp_path)
    kinds = [json.loads(line)["kind"] for line in Path(segment.path).read_text().splitlines()]
    exporter.shutdown()

    assert result is SUCCESS
    assert kinds == ["segment", "describe", "metric", "metric", "commit"]


def test_the_lines_are_those_of_format_1(tmp_path: Path, batch: Batches) -> None:
    """First, described, point, commit and last line have the members that the format names."""
    exporter = NdjsonMetricExporter(tmp_path, compression="none")
    exporter.export(batch(7))
    exporter.shutdown()
    (segment,) = find_segments(tmp_path)
    lines = [json.loads(line) for line in Path(segment.path).read_text().splitlines()]

    head, describe, point, commit, seal = lines
    assert list(head)[:4] == ["kind", "format", "archive", "signal"]
    assert list(head)[4:] == ["resource", "writer", "sequence", "previous"]
    assert head["format"] == 1
    assert head["signal"] == "metrics"
    assert head["archive"] == (tmp_path / ".archive").read_text().strip()
    assert describe["description"] == "Orders."
    assert describe["scope"]["version"] == "1"
    assert {**point, "time": "", "start": ""} == {
        "kind": "metric",
        "time": "",
        "start": "",
        "metric": "orders",
        "type": "sum",
        "unit": "1",
        "temporality": "cumulative",
        "monotonic": True,
        "scope": "tests",
        "attributes": {"n": 7},
        "value": 7,
    }
    assert point["start"] == "1970-01-01T00:00:00.000000001Z"
    assert list(commit) == ["kind", "records", "sha256"]
    assert list(seal) == ["kind", "records", "first", "last", "sha256"]
    assert (seal["first"], seal["last"]) == (point["time"], point["time"])


def test_modes_are_ours_whatever_the_umask(tmp_path: Path, batch: Batches) -> None:
    """New folders are 0750 and new files 0640 under umask 0 and 0777 alike."""
    modes = set()
    for umask in (0, 0o777):
        before = os.umask(umask)
        try:
            root = tmp_path / f"{umask:o}"
            exporter = NdjsonMetricExporter(root, compression="none")
            exporter.export(batch(1))
            exporter.shutdown()
        finally:
            os.umask(before)
        paths = [root, *root.rglob("*")]
        modes |= {(path.is_dir(), stat.S_IMODE(path.stat().st_mode)) for path in paths}

    assert modes == {(True, 0o750), (False, 0o640)}


def test_a_sealed_segment_is_compressed_and_never_written_again(
    tmp_path: Path, batch: Batches
) -> None:
    """Rotation leaves `.zst` files without write bits, which `read` gives back in order."""
    exporter = NdjsonMetricExporter(tmp_path, rotate_bytes=4096)
    for n in range(100):
        exporter.export(batch(n))
    for thread in threading.enumerate():
        if thread.name.endswith("zstd"):
            thread.join()
    exporter.force_flush()
    for thread in threading.enumerate():
        if thread.name.endswith("zstd"):
            thread.join()
    sealed = [segment for segment in find_segments(tmp_path) if segment.compressed]
    modes = {stat.S_IMODE(os.stat(segment.path).st_mode) for segment in sealed}
    exporter.shutdown()

    assert len(sealed) > 3
    assert modes == {0o440}
    assert numbers(tmp_path) == list(range(100))
    assert exporter.stats().segments_sealed == exporter.stats().head_sequence


def test_services_have_folders_of_their_own(tmp_path: Path, batch: Batches) -> None:
    """The service of the resource names the folder, percent-encoded; another one begins anew."""
    exporter = NdjsonMetricExporter(tmp_path)
    exporter.export(batch(1, service="a/b ü"))
    exporter.export(batch(2, service="shop"))
    exporter.shutdown()

    folders = sorted(path.name for path in (tmp_path / "metrics").iterdir())
    assert folders == ["service=a%2Fb%20%C3%BC", "service=shop"]
    assert [segment.service for segment in find_segments(tmp_path)] == ["a/b ü", "shop"]
    assert [record.data["value"] for record in read(tmp_path, service="a/b ü")] == [1]


def test_events_come_back_with_identity(tmp_path: Path, event: Events) -> None:
    """A record is named by writer instance, sequence and line, and is the log record given."""
    exporter = NdjsonLogRecordExporter(tmp_path)
    results = [exporter.export([event(n)]) for n in (1, 2)]
    records = list(read(tmp_path))
    logs = list(read_events(tmp_path))
    exporter.shutdown()

    assert results == [LogRecordExportResult.SUCCESS] * 2
    assert [(r.sequence, r.line, r.data["attributes"]["n"]) for r in records] == [
        (1, 3, 1),
        (1, 4, 2),
    ]
    assert {record.instance for record in records} == {exporter.writer.instance}
    assert [dict(log.log_record.attributes or {})["n"] for log in logs] == [1, 2]


def test_many_threads_lose_and_mix_nothing(tmp_path: Path, event: Events) -> None:
    """Sixteen threads record at once; every acknowledged event is there once, line by line."""
    exporter = NdjsonLogRecordExporter(tmp_path, rotate_bytes="64KiB")

    def record(first: int) -> None:
        for n in range(first, first + 100):
            assert exporter.export([event(n)]) is LogRecordExportResult.SUCCESS

    threads = [threading.Thread(target=record, args=(n * 100,)) for n in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    exporter.shutdown()

    assert sorted(numbers(tmp_path)) == list(range(1600))
    assert exporter.stats().records == 1600


def test_a_reader_of_the_sdk_can_use_it(tmp_path: Path) -> None:
    """Under upstream's periodic reader the archive holds the last values after shutdown."""
    exporter = NdjsonMetricExporter(tmp_path)
    provider = MeterProvider([PeriodicExportingMetricReader(exporter, 3_600_000)])
    provider.get_meter("m").create_counter("c", unit="1").add(3, {"a": True})
    provider.shutdown()

    (data,) = read_metrics(tmp_path)
    (point,) = data.resource_metrics[0].scope_metrics[0].metrics[0].data.data_points
    assert (point.attributes, getattr(point, "value", None)) == ({"a": True}, 3)


def test_after_shutdown_an_export_fails_and_is_counted(tmp_path: Path, batch: Batches) -> None:
    """Nothing is written behind a seal."""
    exporter = NdjsonMetricExporter(tmp_path)
    exporter.export(batch(1))
    exporter.shutdown()

    assert exporter.export(batch(2, 3)) is FAILURE
    assert exporter.stats().dropped == {"closed": 2}
    assert numbers(tmp_path) == [1]


def test_threads_that_export_through_a_shutdown_lose_nothing_unsaid(
    tmp_path: Path, event: Events
) -> None:
    """Each record is either in the archive or counted as dropped because it was closed."""
    exporter = NdjsonLogRecordExporter(tmp_path)
    begun = threading.Barrier(5)

    def record(first: int) -> None:
        exporter.export([event(first)])
        begun.wait(10)
        for n in range(first + 1, first + 100):
            exporter.export([event(n)])

    threads = [threading.Thread(target=record, args=(n * 100,)) for n in range(4)]
    for thread in threads:
        thread.start()
    begun.wait(10)
    exporter.shutdown()
    for thread in threads:
        thread.join()
    stats = exporter.stats()

    assert stats.records + stats.dropped.get("closed", 0) == 400
    assert len(numbers(tmp_path)) == stats.records
    assert exporter.export([event(1)]) is LogRecordExportResult.FAILURE
    assert exporter.last_error == "closed"


def test_the_first_record_does_not_pay_for_the_last_run(tmp_path: Path, batch: Batches) -> None:
    """With a service named, what the chain needs of its newest sealed segment is read at once."""

    class Reading(RealFs):
        read_bytes = 0

        def read(self, descriptor: int, size: int, offset: int) -> bytes:
            data = super().read(descriptor, size, offset)
            self.read_bytes += len(data)
            return data

    before = NdjsonMetricExporter(tmp_path, compression="none")
    for n in range(100):
        before.export(batch(n))
    before.shutdown()
    (sealed,) = find_segments(tmp_path)
    fs = Reading()
    exporter = NdjsonMetricExporter(tmp_path, service="shop", fs=fs, compression="none")
    for thread in threading.enumerate():
        if thread.name.endswith("zstd"):
            thread.join()
    at_start, fs.read_bytes = fs.read_bytes, 0
    exporter.export(batch(100))
    by_the_first_record = fs.read_bytes
    exporter.shutdown()

    assert at_start > os.path.getsize(sealed.path)
    assert by_the_first_record < 100  # the archive's id
    assert numbers(tmp_path) == list(range(101))


def test_one_bad_point_costs_nothing_beside_it(tmp_path: Path, batch: Batches) -> None:
    """A value that no line can hold is dropped and counted; the rest of the batch is written."""
    data = batch(1, 2, 3)
    points = data.resource_metrics[0].scope_metrics[0].metrics[0].data.data_points
    object.__setattr__(points[1], "value", object())
    exporter = NdjsonMetricExporter(tmp_path)
    result = exporter.export(data)
    exporter.shutdown()

    assert result is SUCCESS
    assert numbers(tmp_path) == [1, 3]
    assert exporter.stats().dropped == {"not_a_number": 1}


def test_an_oversized_event_is_dropped_alone(tmp_path: Path, event: Events) -> None:
    """A record beyond 1 MiB is counted, and the one after it is written."""
    exporter = NdjsonLogRecordExporter(tmp_path)
    exporter.export([event(1, "x" * 2**21), event(2)])
    exporter.shutdown()

    assert numbers(tmp_path) == [2]
    assert exporter.stats().dropped == {"too_large": 1}


def test_a_lack_of_memory_costs_one_batch(tmp_path: Path, batch: Batches) -> None:
    """A MemoryError in the middle of an export is FAILURE; the next export works."""
    data = batch(1)

    class Greedy(list[object]):
        def __iter__(self) -> Iterator[object]:
            raise MemoryError

    exporter = NdjsonMetricExporter(tmp_path)
    results = [exporter.export(MetricsData(Greedy())), exporter.export(data)]  # type: ignore[arg-type] # on purpose
    exporter.shutdown()

    assert results == [FAILURE, SUCCESS]
    assert exporter.stats().errors == {"MemoryError": 1}
    assert numbers(tmp_path) == [1]


def test_settings_come_from_arguments_then_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """An argument wins over its variable; a bad variable warns and its default is used."""
    monkeypatch.setenv("OTEL_EXPORTER_NDJSON_ROTATE_BYTES", "1MiB")
    monkeypatch.setenv("OTEL_EXPORTER_NDJSON_SYNC_INTERVAL", "250")
    monkeypatch.setenv("OTEL_EXPORTER_NDJSON_SYNC", "sometimes")
    exporter = NdjsonMetricExporter(tmp_path, rotate_bytes=8192, file_mode=0o600)

    assert exporter.settings == Settings(
        path=str(tmp_path), rotate_bytes=8192, sync_interval_s=0.25, file_mode=0o600
    )
    assert "OTEL_EXPORTER_NDJSON_SYNC=sometimes" in caplog.text
    assert "interval, always, never" in caplog.text


@pytest.mark.parametrize(
    ("argument", "value", "said"),
    [
        ("sync", "nevr", "sync=nevr: accepted are interval, always, never; did you mean never?"),
        ("rotate_bytes", "64 parsecs", "rotate_bytes=64 parsecs: accepted are bytes"),
        ("rotate_bytes", 1, "rotate_bytes=1: must be 4096"),
        ("dir_mode", "0777", "not let everyone write"),
        ("allow_network_fs", "perhaps", "accepted are true and false"),
        ("retention_age", "30 days", "milliseconds, or a time such as 2s or 30d"),
        ("seal_key_file", "no/such/key", "No such file"),
        ("path", ["x"], "is no text, number or path"),
    ],
)
def test_a_bad_argument_raises_with_the_remedy(argument: str, value: object, said: str) -> None:
    """The constructor says which argument, what is wrong with it and what to do."""
    arguments: dict[str, object] = {argument: value}
    with pytest.raises(SettingError, match=said.replace("?", r"\?")):
        NdjsonMetricExporter(**arguments)  # type: ignore[arg-type] # that is the point


@pytest.mark.parametrize("kind", [NdjsonMetricExporter, NdjsonLogRecordExporter])
def test_an_argument_that_there_is_not_raises_and_is_named(
    kind: type[NdjsonMetricExporter | NdjsonLogRecordExporter],
) -> None:
    """A misspelt keyword is a TypeError, with the one that was meant."""
    with pytest.raises(TypeError, match=r"'rotate_byte'; did you mean 'rotate_bytes'\?"):
        kind(rotate_byte=8192)  # type: ignore[call-arg] # that is the point


@pytest.mark.parametrize("kind", [NdjsonMetricExporter, NdjsonLogRecordExporter])
def test_a_mapping_of_yaml_configures(
    tmp_path: Path, kind: type[NdjsonMetricExporter | NdjsonLogRecordExporter]
) -> None:
    """Declarative configuration hands every argument over as it stands in a file; null is unset."""
    mapping: dict[str, Any] = {
        "path": str(tmp_path),
        "sync": "never",
        "sync_interval": 250,
        "rotate_bytes": "1MiB",
        "rotate_interval": None,
        "allow_network_fs": True,
        "file_mode": "0600",
    }

    assert kind(**mapping).settings == Settings(
        path=str(tmp_path),
        sync="never",
        sync_interval_s=0.25,
        rotate_bytes=2**20,
        allow_network_fs=True,
        file_mode=0o600,
    )
