"""Following an archive: what is new, once, and at a cost that old segments do not raise."""

import errno
from collections.abc import Callable
from pathlib import Path

from opentelemetry.sdk._logs import ReadableLogRecord

from otel_exporter_ndjson import Finding, NdjsonLogRecordExporter, find_segments
from otel_exporter_ndjson.follower import Follower
from otel_exporter_ndjson.fs import RealFs
from otel_exporter_ndjson.reader import Record

Events = Callable[..., ReadableLogRecord]


class FailingSync(RealFs):
    """A disk whose next fsyncs fail when told so."""

    failing = 0

    def sync(self, descriptor: int) -> None:
        """Fail as often as told."""
        if self.failing:
            self.failing -= 1
            raise OSError(errno.EIO, "Input/output error")
        super().sync(descriptor)


class Counting(RealFs):
    """Counts files and folders that are opened, and names that are listed."""

    opened = listed = 0

    def open(self, directory: int, name: str, *, write: bool = False) -> int:
        """Count."""
        self.opened += 1
        return super().open(directory, name, write=write)

    def names(self, directory: int) -> list[str]:
        """Count."""
        found = super().names(directory)
        self.listed += len(found)
        return found


def every(_record: Record) -> bool:
    return True


def new(follower: Follower) -> list[int]:
    return [record.data["attributes"]["n"] for record in follower.new()]


def last(follower: Follower, count: int) -> list[int]:
    return [record.data["attributes"]["n"] for record in follower.last(count, every)]


def test_what_a_failed_fsync_had_written_again_is_new_once(tmp_path: Path, event: Events) -> None:
    """Records that were seen in the segment that is distrusted are not seen in the next again."""
    fs = FailingSync()
    exporter = NdjsonLogRecordExporter(
        tmp_path, sync="interval", sync_interval=3600, compression="none", fs=fs
    )
    exporter.export([event(1)])
    assert exporter.force_flush()
    exporter.export([event(2)])
    follower = Follower(tmp_path)
    before = last(follower, 10)
    exporter.export([event(3)])
    seen = new(follower)
    fs.failing = 1
    exporter.force_flush()
    exporter.export([event(4)])
    seen += new(follower)
    fs.failing = 1
    exporter.force_flush()
    exporter.export([event(5)])
    exporter.shutdown()
    seen += new(follower)

    assert (before, seen, new(follower)) == ([1, 2], [3, 4, 5], [])
    assert last(Follower(tmp_path), 10) == [1, 2, 3, 4, 5]
    assert len(find_segments(tmp_path)) == 3


def test_half_a_line_is_not_new_until_it_is_whole(tmp_path: Path, event: Events) -> None:
    """A line that is being written is neither a record nor a finding."""
    exporter = NdjsonLogRecordExporter(tmp_path, compression="none")
    exporter.export([event(1)])
    exporter.shutdown()
    (path,) = tmp_path.rglob("*.ndjson")
    data = path.read_bytes()
    at = data.index(b'{"kind":"event"')
    findings: list[Finding] = []
    follower = Follower(tmp_path, findings=findings)
    assert last(follower, 0) == []
    other = path.with_name(path.name.replace("-000001", "-000002"))
    seen = []
    for size in (10, at, at + 20, data.index(b"\n", at), len(data)):
        other.write_bytes(data[:size])
        seen.append(new(follower))

    assert seen == [[], [], [], [], [1]]
    assert findings == []


def test_what_is_cut_while_it_is_followed_is_told(tmp_path: Path, event: Events) -> None:
    """A log rotation that truncates: one finding, and what a new segment holds is read."""
    exporter = NdjsonLogRecordExporter(tmp_path, compression="none", sync_interval=3600)
    exporter.export([event(1)])
    findings: list[Finding] = []
    follower = Follower(tmp_path, findings=findings)
    assert last(follower, 1) == [1]
    (path,) = tmp_path.rglob("*.ndjson")
    path.write_bytes(b"")
    assert new(follower) == []
    exporter.shutdown()
    other = NdjsonLogRecordExporter(tmp_path, compression="none")
    other.export([event(2)])
    other.shutdown()

    assert new(follower) == [2]
    assert [finding.message for finding in findings] == [
        "was cut while it was followed; what is written is not read"
    ]


def test_old_segments_cost_a_look_nothing(tmp_path: Path, event: Events) -> None:
    """Of a thousand compressed segments none is opened, nor is their folder listed again."""
    exporter = NdjsonLogRecordExporter(tmp_path, compression="none")
    exporter.export([event(1)])
    exporter.shutdown()
    (path,) = tmp_path.rglob("*.ndjson")
    for number in range(2, 1002):
        name = path.name.replace("-000001", f"-{number:06d}")
        path.with_name(f"{name}.zst").write_bytes(b"")
    fs = Counting()
    follower = Follower(tmp_path, fs=fs, world_ns=lambda: 2**62)
    follower.last(0, every)
    list(follower.new())
    fs.opened = fs.listed = 0
    for _ in range(49):
        list(follower.new())

    assert fs.opened == 0
    assert fs.listed <= 49 * 3
