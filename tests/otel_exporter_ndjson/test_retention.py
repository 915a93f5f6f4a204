"""Retention: what is beyond the limits goes, oldest first, after the audit has said so."""

import errno
import json
import os
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from opentelemetry.sdk.metrics.export import MetricsData

from otel_exporter_ndjson import (
    Finding,
    NdjsonMetricExporter,
    SettingError,
    find_segments,
    read,
)
from otel_exporter_ndjson.audit import AuditLog, read_audit
from otel_exporter_ndjson.fs import RealFs
from otel_exporter_ndjson.recovery import recover_service
from otel_exporter_ndjson.retention import Limits, Removed, prune
from otel_exporter_ndjson.settings import Settings

Batches = Callable[..., MetricsData]
DAY_NS = 86_400 * 10**9


def make(archive: Path, batch: Batches, segments: int, *, compression: str = "zstd") -> None:
    """Write so many sealed segments of service `shop`."""
    for n in range(segments):
        exporter = NdjsonMetricExporter(archive, compression=compression, service="shop")
        exporter.export(batch(n))
        exporter.shutdown()
    for thread in threading.enumerate():
        if thread.name == "otel-exporter-ndjson-zstd":
            thread.join()  # what is just being compressed is not removed


def values(archive: Path) -> list[int]:
    return sorted(record.data["value"] for record in read(archive, signal="metrics"))


def keep(_: Removed) -> None:
    """Stand for an audit that was written."""


def test_the_oldest_beyond_the_size_go(tmp_path: Path, batch: Batches) -> None:
    """What stays is the newest, and no larger than the limit; the audit says hash and records."""
    make(tmp_path, batch, 5, compression="none")
    segments = find_segments(tmp_path)
    sizes = [os.stat(segment.path).st_size for segment in segments]
    audit = AuditLog(Settings(path=str(tmp_path)))

    removed = list(
        prune(
            RealFs(),
            str(tmp_path),
            Limits(bytes_max=sum(sizes[-2:])),
            now_ns=time.time_ns(),
            say=audit.removed,
        )
    )

    audit.close()
    assert values(tmp_path) == [3, 4]
    said = list(read_audit(tmp_path))
    assert [each.segment for each in said] == [each.segment.name for each in removed]
    assert [(each.event, each.reason, each.records) for each in said] == [
        ("removed", "retention_bytes", 1)
    ] * 3
    assert all(len(each.sha256) == 64 for each in said)


def test_the_hash_in_the_audit_is_what_the_next_segment_chains_to(
    tmp_path: Path, batch: Batches
) -> None:
    """So that whoever follows the chain finds the removed segment in the audit."""
    exporter = NdjsonMetricExporter(tmp_path, rotate_bytes=4096, compression="none")
    for n in range(40):
        exporter.export(batch(*range(n, n + 5)))
    exporter.shutdown()
    first, second = find_segments(tmp_path)[:2]
    chained = json.loads(Path(second.path).read_bytes().partition(b"\n")[0])["previous"]
    os.utime(first.path, ns=(0, 0))
    said: list[Removed] = []

    list(prune(RealFs(), str(tmp_path), Limits(bytes_max=0), now_ns=0, say=said.append))

    assert {"segment": said[0].segment.name, "sha256": said[0].sha256} == chained


def test_segments_whose_records_are_all_older_go(tmp_path: Path, batch: Batches) -> None:
    """A file's own time does not make a segment old; its newest record must be, too."""
    make(tmp_path, batch, 3)
    for segment in find_segments(tmp_path)[:2]:
        os.utime(segment.path, ns=(0, 0))
    later_ns = time.time_ns() + DAY_NS // 2

    young = prune(RealFs(), str(tmp_path), Limits(age_s=86_400), now_ns=later_ns, say=keep)
    assert list(young) == []
    old = prune(RealFs(), str(tmp_path), Limits(age_s=3600), now_ns=later_ns, say=keep)
    assert [each.reason for each in old] == ["retention_age"] * 3


def test_what_is_open_or_damaged_stays(tmp_path: Path, batch: Batches) -> None:
    """A live writer's segment is not touched, nor is one that is not what was sealed."""
    make(tmp_path, batch, 2, compression="none")
    damaged = Path(find_segments(tmp_path)[0].path)
    damaged.write_bytes(damaged.read_bytes().replace(b'"value":0', b'"value":9'))
    exporter = NdjsonMetricExporter(tmp_path, service="shop", compression="none")
    exporter.export(batch(7))

    list(prune(RealFs(), str(tmp_path), Limits(bytes_max=0), now_ns=time.time_ns(), say=keep))

    assert values(tmp_path) == [7, 9]
    exporter.shutdown()


def test_what_cannot_be_said_is_not_removed(tmp_path: Path, batch: Batches) -> None:
    """Where the audit cannot be written every segment stays."""
    make(tmp_path, batch, 2)

    def refuse(_: Removed) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(OSError, match="No space"):
        list(prune(RealFs(), str(tmp_path), Limits(bytes_max=0), now_ns=0, say=refuse))
    assert values(tmp_path) == [0, 1]


def test_a_dry_run_removes_and_says_nothing(tmp_path: Path, batch: Batches) -> None:
    """It returns what would go."""
    make(tmp_path, batch, 2)
    said: list[Removed] = []

    found = list(
        prune(
            RealFs(),
            str(tmp_path),
            Limits(bytes_max=0),
            now_ns=0,
            say=said.append,
            dry_run=True,
        )
    )

    assert [each.records for each in found] == [1, 1]
    assert (said, values(tmp_path)) == ([], [0, 1])


def test_a_writer_keeps_to_its_limits(tmp_path: Path, batch: Batches) -> None:
    """With RETENTION_BYTES set the archive stays about that large while it is written."""
    exporter = NdjsonMetricExporter(
        tmp_path, rotate_bytes=8192, retention_bytes=4000, compression="none"
    )
    for n in range(200):
        exporter.export(batch(*range(n, n + 10)))
    exporter.force_flush()
    deadline = time.monotonic() + 20
    while True:
        sealed = find_segments(tmp_path, signal="metrics")[:-1]
        if len(sealed) <= 1 or time.monotonic() > deadline:
            break
        time.sleep(0.02)
    exporter.shutdown()

    assert len(find_segments(tmp_path, signal="metrics")) <= 3
    assert max(values(tmp_path)) == 208
    assert {each.reason for each in read_audit(tmp_path)} == {"retention_bytes"}


def test_nothing_is_removed_unless_asked_for(tmp_path: Path, batch: Batches) -> None:
    """By default an archive only grows."""
    exporter = NdjsonMetricExporter(tmp_path, rotate_bytes=4096)
    for n in range(50):
        exporter.export(batch(*range(n, n + 5)))
    exporter.shutdown()

    assert len(list(read(tmp_path))) == 250
    assert not (tmp_path / "audit").exists()


def test_a_limit_that_is_no_limit_is_refused(tmp_path: Path) -> None:
    """A negative age or a size without a unit that we know raises with the remedy."""
    with pytest.raises(SettingError, match="retention_age=-1d: accepted are milliseconds"):
        NdjsonMetricExporter(tmp_path, retention_age="-1d")
    with pytest.raises(SettingError, match="retention_bytes=10 gallons: accepted are bytes"):
        NdjsonMetricExporter(tmp_path, retention_bytes="10 gallons")


def test_times_in_the_audit_are_those_of_the_removal(tmp_path: Path, batch: Batches) -> None:
    """An auditor can tell when, by whom and why."""
    make(tmp_path, batch, 1)
    audit = AuditLog(Settings(path=str(tmp_path)))

    list(
        prune(
            RealFs(),
            str(tmp_path),
            Limits(bytes_max=0),
            now_ns=time.time_ns(),
            say=lambda what: audit.removed(what, actor="alice"),
            reason="prune",
        )
    )
    audit.close()

    (said,) = read_audit(tmp_path)
    at_ns = said.record.time_ns or 0
    at = datetime.fromtimestamp(at_ns / 1e9, UTC)
    assert (said.reason, said.actor) == ("prune", "alice")
    assert abs(datetime.now(UTC) - at) < timedelta(minutes=1)


def test_what_was_changed_before_a_recovery_sealed_it_stays(tmp_path: Path, batch: Batches) -> None:
    """A seal over damage is no proof that all is well: the evidence is not removed."""
    exporter = NdjsonMetricExporter(tmp_path, service="shop", compression="none")
    exporter.export(batch(1))
    exporter.export(batch(2))
    (path,) = tmp_path.glob("metrics/*/*/*.ndjson")
    written = path.read_bytes()
    exporter.shutdown()
    path.write_bytes(written.replace(b'"value":1', b'"value":7'))  # unsealed, and one digit edited
    fs = RealFs()
    folder = fs.open_root(str(path.parents[1]))
    recovered = recover_service(fs, folder, compress=True)
    os.close(folder)

    removed = list(prune(fs, str(tmp_path), Limits(bytes_max=0), now_ns=time.time_ns(), say=keep))

    assert [each.action for each in recovered] == ["sealed", "compressed"]
    assert removed == []
    findings: list[Finding] = []
    assert [record.data["value"] for record in read(tmp_path, findings=findings)] == [7, 2]
    assert [(each.kind, each.line) for each in findings] == [("damage", 4)]


def test_the_order_is_that_of_writing(tmp_path: Path, batch: Batches) -> None:
    """Neither the time of a file nor a clock that goes back makes a newer segment older."""
    exporter = NdjsonMetricExporter(tmp_path, rotate_bytes=4096, compression="none")
    for n in range(40):
        exporter.export(batch(*range(n, n + 5)))
    exporter.shutdown()
    segments = find_segments(tmp_path)
    for age, segment in enumerate(segments):
        os.utime(segment.path, ns=(0, 10**18 - age))

    found = prune(RealFs(), str(tmp_path), Limits(bytes_max=0), now_ns=0, say=keep, dry_run=True)

    assert len(segments) > 3
    assert [each.segment.sequence for each in found] == [each.sequence for each in segments]


@pytest.mark.parametrize("said", ["[]", "{}", "7", "null", '"archive.segment.removed"'])
def test_a_garbled_line_of_the_audit_is_passed_over(tmp_path: Path, said: str) -> None:
    """Whatever stands in it, reading the audit ends."""
    folder = tmp_path / "audit/service=s/date=2026-01-01"
    folder.mkdir(parents=True)
    name = "20260101T000000.000000Z-0000000000000000-000001.ndjson"
    (folder / name).write_text(f'{{"kind":"event","event":{said}}}\n')

    assert list(read_audit(tmp_path)) == []


def test_what_was_removed_is_sealed_in_the_audit_at_once(tmp_path: Path, batch: Batches) -> None:
    """A service that is killed later leaves no removal in an audit that it did not seal."""
    child = os.fork()
    if child == 0:
        exporter = NdjsonMetricExporter(
            tmp_path, rotate_bytes=4096, retention_bytes=2000, compression="none", service="shop"
        )
        deadline = time.monotonic() + 20
        number = 0
        while not list(tmp_path.glob("audit/*/*/*")) and time.monotonic() < deadline:
            exporter.export(batch(*range(number, number + 10)))
            exporter.force_flush()
            number += 1
        for thread in threading.enumerate():
            if thread.name == "otel-exporter-ndjson-zstd":
                thread.join(10)
        os._exit(0)
    os.waitpid(child, 0)

    audits = find_segments(tmp_path, signal="audit")
    assert audits
    assert all(b'{"kind":"seal"' in Path(each.path).read_bytes() for each in audits)
