"""What segments of one writer say of each other: a hole is told, what was written twice is not."""

import errno
from collections.abc import Callable
from pathlib import Path

import pytest
from opentelemetry.sdk.metrics.export import MetricsData

from otel_exporter_ndjson import Finding, NdjsonMetricExporter, find_segments, read
from otel_exporter_ndjson.audit import AuditLog
from otel_exporter_ndjson.fs import RealFs
from otel_exporter_ndjson.retention import Removed
from otel_exporter_ndjson.settings import Settings

Batches = Callable[..., MetricsData]


class FailingSync(RealFs):
    """A disk whose next fsync fails when told so."""

    failing = False

    def sync(self, descriptor: int) -> None:
        """Fail once."""
        if self.failing:
            self.failing = False
            raise OSError(errno.EIO, "Input/output error")
        super().sync(descriptor)


@pytest.fixture
def archive(tmp_path: Path, batch: Batches) -> Path:
    """One writer's six segments of one point each; the third belongs to another service."""
    path = tmp_path / "archive"
    settings = Settings(path=str(path), sync="never", compression="none", rotate_bytes=1)
    exporter = NdjsonMetricExporter(settings=settings)
    for number in range(1, 7):
        exporter.export(batch(number, service="desk" if number == 3 else "shop"))
    exporter.shutdown()
    return path


def gone(path: Path, *sequences: int) -> list[Removed]:
    """Take segments away, as anybody can who may write in the folder."""
    taken = []
    for segment in find_segments(path):
        if segment.sequence in sequences:
            Path(segment.path).unlink()
            taken.append(
                Removed(segment=segment, sha256="0" * 64, records=1, bytes=1, reason="prune")
            )
    return taken


def told(path: Path, service: str | None = None) -> list[tuple[str, int, str]]:
    findings: list[Finding] = []
    list(read(path, service=service, findings=findings))
    return [(each.kind, each.segment.sequence, each.message) for each in findings]


def test_a_hole_between_two_segments_is_told(archive: Path) -> None:
    """With the numbers that are missing, at the segment behind them."""
    gone(archive, 2, 4, 5)

    rest = "missing: neither here nor in the audit of what was removed"
    assert told(archive) == [
        ("gap", 3, f"segment 2 of this writer is {rest}"),
        ("gap", 6, f"segments 4 to 5 of this writer are {rest}"),
    ]


@pytest.mark.parametrize("sequences", [(), (1,), (1, 2), (6,)])
def test_what_is_missing_at_an_end_is_no_hole(archive: Path, sequences: tuple[int, ...]) -> None:
    """Retention takes the oldest, and what the newest is only a checkpoint knows."""
    gone(archive, *sequences)

    assert told(archive) == []


@pytest.mark.parametrize("service", [None, "shop", "desk"])
def test_a_writer_of_two_services_leaves_no_hole(archive: Path, service: str | None) -> None:
    """A number that stands in another service's folder is not missing."""
    assert told(archive, service) == []


def test_what_the_audit_calls_removed_is_no_hole(archive: Path) -> None:
    """As long as every number of the hole is in it."""
    audit = AuditLog(Settings(path=str(archive), compression="none"))
    for removed in gone(archive, 2, 4, 5)[:2]:
        audit.removed(removed)
    audit.close()

    assert [each[:2] for each in told(archive)] == [("gap", 6)]


def test_a_name_that_skips_a_billion_is_told_at_once(archive: Path) -> None:
    """A hole is two numbers, however wide it is."""
    last = Path(find_segments(archive)[-1].path)
    last.rename(last.with_name(last.name.replace("-000006", "-999999999999")))

    assert [each[:2] for each in told(archive)] == [("gap", 999_999_999_999)]


@pytest.mark.parametrize("service", [None, "shop", "desk"])
def test_what_was_written_again_for_another_service_is_read_once(
    tmp_path: Path, batch: Batches, service: str | None
) -> None:
    """The segment that a failed fsync began may lie in the folder of another service."""
    fs = FailingSync()
    exporter = NdjsonMetricExporter(
        tmp_path, sync="interval", sync_interval=3600, compression="none", fs=fs
    )
    exporter.export(batch(1))
    fs.failing = True
    exporter.export(batch(2, service="desk"))  # leaves the first segment, whose fsync then fails
    exporter.force_flush()
    exporter.shutdown()
    values = sorted(record.data["value"] for record in read(tmp_path, service=service))

    assert not fs.failing
    assert values == {None: [1, 2], "shop": [1], "desk": [2]}[service]
