"""What `doctor` says of the archive: whether it can be written, and when the disk will be full."""

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from otel_exporter_ndjson.settings import Settings
from otel_metrics.archive.growth import Growth, growth
from otel_metrics.autoconfig.archive_trial import try_archive

NOW = datetime(2026, 3, 8, 12, tzinfo=UTC)


def segment(archive: Path, began: datetime, size: int, sequence: int = 1) -> None:
    """Put a file of that size where a segment of service `shop` would be."""
    folder = archive / "metrics/service=shop" / f"date={began:%Y-%m-%d}"
    folder.mkdir(parents=True, exist_ok=True)
    name = f"{began:%Y%m%dT%H%M%S.%fZ}-{'ab' * 8}-{sequence:06d}.ndjson.zst"
    (folder / name).write_bytes(b"x" * size)


def test_growth_is_that_of_the_last_week(tmp_path: Path) -> None:
    """What was written a month ago counts as held, not as growth."""
    segment(tmp_path, NOW - timedelta(days=30), 1_000_000)
    for day in range(4):
        segment(tmp_path, NOW - timedelta(days=4 - day), 100, day + 2)

    found = growth(str(tmp_path), NOW)

    assert found == Growth(segments=5, bytes=1_000_400, bytes_per_day=100.0)
    assert found.days_left(1000) == 10


def test_a_young_or_silent_archive_tells_nothing(tmp_path: Path) -> None:
    """Minutes are no measure of a day, and where nothing was written for a week nothing grows."""
    segment(tmp_path / "young", NOW - timedelta(minutes=10), 100)
    segment(tmp_path / "silent", NOW - timedelta(days=10), 100)

    assert growth(str(tmp_path / "young"), NOW).bytes_per_day is None
    assert growth(str(tmp_path / "silent"), NOW).days_left(1000) is None


def test_doctor_says_when_the_disk_is_full(tmp_path: Path) -> None:
    """A growth of a megabyte a day on a disk with room for years."""
    for hours in (40, 20):
        segment(tmp_path, datetime.now(UTC) - timedelta(hours=hours), 2**20, hours)

    ok, finding = try_archive(Settings(path=str(tmp_path), free_bytes_min=0), "shop")

    assert ok
    assert "; 2.0 MiB in 2 segments, grows 1.2 MiB a day: room for" in finding


def test_doctor_says_what_a_writer_would_refuse(tmp_path: Path) -> None:
    """A folder that others may write in, a link, an unsafe key, and a disk below the floor."""
    key = tmp_path / "key"
    key.write_text("ab" * 32)
    key.chmod(0o644)
    folder = tmp_path / "open/metrics/service=shop"
    folder.mkdir(parents=True)
    folder.chmod(0o777)
    (tmp_path / "link/metrics").mkdir(parents=True)
    os.symlink(tmp_path, tmp_path / "link/metrics/service=shop")

    def refused(**settings: object) -> str:
        ok, finding = try_archive(Settings(**settings), "shop")  # type: ignore[arg-type] # by name
        assert not ok
        return finding

    assert "others may write in it (mode 0777); chmod it" in refused(path=str(tmp_path / "open"))
    assert "symbolic link is in place of our folder" in refused(path=str(tmp_path / "link"))
    assert "chmod it to 0600" in refused(path=str(tmp_path / "a"), seal_key_file=str(key))
    assert "No such file" in refused(path=str(tmp_path / "a"), seal_key_file=str(key) + "x")
    assert "fewer than the floor" in refused(path=str(tmp_path / "a"), free_bytes_min=2**62)


@pytest.mark.parametrize("there", [True, False])
def test_doctor_writes_nothing(tmp_path: Path, *, there: bool) -> None:
    """It leaves no file and no folder behind."""
    path = tmp_path / "telemetry"
    if there:
        path.mkdir()
    before = sorted(tmp_path.rglob("*"))

    assert try_archive(Settings(path=str(path), free_bytes_min=0), "shop")[0]
    assert sorted(tmp_path.rglob("*")) == before
