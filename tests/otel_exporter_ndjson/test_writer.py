"""What the writer does when disks, folders and processes misbehave."""

import errno
import logging
import os
import resource
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from opentelemetry.sdk._logs import ReadableLogRecord
from opentelemetry.sdk._logs.export import LogRecordExportResult
from opentelemetry.sdk.metrics.export import MetricExportResult, MetricsData

from otel_exporter_ndjson import (
    NdjsonLogRecordExporter,
    NdjsonMetricExporter,
    find_segments,
    read,
)
from otel_exporter_ndjson.files import read_lines
from otel_exporter_ndjson.fs import RealFs, Space
from otel_exporter_ndjson.opening import Clocks
from otel_exporter_ndjson.scan import check

Batches = Callable[..., MetricsData]
Events = Callable[..., ReadableLogRecord]
SUCCESS = MetricExportResult.SUCCESS
FAILURE = MetricExportResult.FAILURE


class FaultyFs(RealFs):
    """The operating system's files, with faults on demand."""

    def __init__(self) -> None:
        self.write_faults: list[int] = []
        self.short: int | None = None
        self.sync_faults = 0
        self.syncs = 0
        self.free: int | None = None
        self.type = ""
        self.stalled = threading.Event()
        self.stalled.set()

    def write(self, descriptor: int, data: bytes | memoryview) -> int:
        if self.write_faults:
            number = self.write_faults.pop(0)
            if number:
                super().write(descriptor, data[: len(data) // 2])  # a torn line, then the error
                raise OSError(number, os.strerror(number))
        return super().write(descriptor, data if self.short is None else data[: self.short])

    def sync(self, descriptor: int) -> None:
        self.stalled.wait(10)
        self.syncs += 1
        if self.sync_faults:
            self.sync_faults -= 1
            raise OSError(errno.EIO, "Input/output error")
        super().sync(descriptor)

    def space(self, directory: int) -> Space:
        found = super().space(directory)
        return found if self.free is None else Space(10**12, self.free)

    def kind(self, directory: int) -> str:
        return self.type


@pytest.fixture
def fs() -> FaultyFs:
    return FaultyFs()


def values(folder: Path) -> list[int]:
    return [record.data["attributes"]["n"] for record in read(folder)]


def settle() -> None:
    """Wait until what happens behind the callers' backs at a start has happened."""
    for thread in threading.enumerate():
        if thread.name == "otel-exporter-ndjson-zstd":
            thread.join()


def heads(folder: Path) -> list[dict[str, object]]:
    found = []
    for segment in find_segments(folder):
        scan = check([line for _, _, line in read_lines(segment)])
        assert scan.head is not None
        found.append(scan.head)
    return found


def all_sound(folder: Path) -> bool:
    return not any(
        check([line for _, _, line in read_lines(segment)]).damages
        for segment in find_segments(folder)
    )


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EFBIG])
def test_a_torn_write_is_cut_off_and_nothing_is_glued(
    tmp_path: Path, batch: Batches, fs: FaultyFs, number: int
) -> None:
    """After a write that failed half-way the next export is acknowledged and readable."""
    exporter = NdjsonMetricExporter(tmp_path, fs=fs)
    exporter.export(batch(1))
    fs.write_faults = [number, number, number, number]
    refused = exporter.export(batch(2))
    fs.write_faults = []
    accepted = exporter.export(batch(3))
    exporter.shutdown()

    assert (refused, accepted) == (FAILURE, SUCCESS)
    assert values(tmp_path) == [1, 3]
    assert exporter.stats().dropped == {errno.errorcode[number]: 1}
    assert all_sound(tmp_path)


def test_a_one_shot_error_loses_nothing(tmp_path: Path, batch: Batches, fs: FaultyFs) -> None:
    """EIO once: the batch goes to a new segment, and the caller sees success."""
    exporter = NdjsonMetricExporter(tmp_path, fs=fs)
    exporter.export(batch(1))
    fs.write_faults = [errno.EIO]
    result = exporter.export(batch(2))
    exporter.shutdown()

    assert result is SUCCESS
    assert values(tmp_path) == [1, 2]
    assert [head["sequence"] for head in heads(tmp_path)] == [1, 2]


@pytest.mark.parametrize("write", range(4))
def test_a_first_write_that_fails_once_is_tried_again(
    tmp_path: Path, batch: Batches, fs: FaultyFs, write: int
) -> None:
    """EIO at any of the writes that begin an archive: nothing is refused."""
    exporter = NdjsonMetricExporter(tmp_path, fs=fs)
    fs.write_faults = [0] * write + [errno.EIO]
    results = [exporter.export(batch(number)) for number in range(3)]
    exporter.shutdown()

    assert results == [SUCCESS] * 3
    assert values(tmp_path) == [0, 1, 2]
    assert fs.write_faults == []


def test_short_writes_make_whole_lines(tmp_path: Path, batch: Batches, fs: FaultyFs) -> None:
    """A disk that takes seven bytes at a time still gets whole lines."""
    fs.short = 7
    exporter = NdjsonMetricExporter(tmp_path, fs=fs, compression="none")
    results = [exporter.export(batch(n)) for n in range(5)]
    exporter.shutdown()

    assert results == [SUCCESS] * 5
    assert values(tmp_path) == list(range(5))
    assert all_sound(tmp_path)


def test_one_log_line_a_change_of_state(
    tmp_path: Path, batch: Batches, fs: FaultyFs, caplog: pytest.LogCaptureFixture
) -> None:
    """A hundred failed exports log one line, and the first that works again one more."""
    exporter = NdjsonMetricExporter(tmp_path, fs=fs)
    exporter.export(batch(0))
    fs.write_faults = [errno.ENOSPC] * 100
    with caplog.at_level(logging.WARNING, "otel_exporter_ndjson"):
        for n in range(100):
            exporter.export(batch(n))
        exporter.export(batch(100))
    exporter.shutdown()

    assert [record.levelname for record in caplog.records] == ["ERROR", "WARNING"]
    assert "ENOSPC" in caplog.messages[0]
    assert "works again" in caplog.messages[1]


def test_metrics_stop_before_events_when_the_disk_fills(
    tmp_path: Path, batch: Batches, event: Events, fs: FaultyFs
) -> None:
    """Below FREE_BYTES_MIN metrics are refused, below half of it events too; both come back."""
    hands = Hands()
    metrics = NdjsonMetricExporter(tmp_path, fs=fs, free_bytes_min=1000, clocks=hands.clocks)
    events = NdjsonLogRecordExporter(tmp_path, fs=fs, free_bytes_min=1000, clocks=hands.clocks)
    taken = []
    for free in (2000, 900, 400, 2000):
        fs.free = free
        hands.steady += 1  # how full the disk is, is asked once a second
        taken.append((metrics.export(batch(1)).name, events.export([event(1)]).name))
    metrics.shutdown()
    events.shutdown()

    assert taken == [
        ("SUCCESS", "SUCCESS"),
        ("FAILURE", "SUCCESS"),
        ("FAILURE", "FAILURE"),
        ("SUCCESS", "SUCCESS"),
    ]


def test_a_failed_fsync_is_answered_by_a_new_segment(
    tmp_path: Path, batch: Batches, fs: FaultyFs
) -> None:
    """What the failed fsync may have lost is written again, synced, and read once."""
    exporter = NdjsonMetricExporter(tmp_path, fs=fs, sync_interval="1h", compression="none")
    exporter.export(batch(1))
    assert exporter.force_flush()
    exporter.export(batch(2))
    exporter.export(batch(3))
    settle()
    fs.sync_faults = 1
    first, second = exporter.force_flush(), exporter.force_flush()
    exporter.export(batch(4))
    exporter.shutdown()

    assert (first, second) == (False, True)
    assert values(tmp_path) == [1, 2, 3, 4]
    assert heads(tmp_path)[1]["continues"] == [{"sequence": 1, "line": 4}]
    assert exporter.stats().errors == {"sync.EIO": 1}


def test_fsyncs_that_fail_again_and_again_lose_nothing(
    tmp_path: Path, batch: Batches, fs: FaultyFs
) -> None:
    """Each failure begins another segment; when the disk works again every record is there once."""
    exporter = NdjsonMetricExporter(tmp_path, fs=fs, sync_interval="1h", compression="none")
    exporter.export(batch(1))
    settle()
    fs.sync_faults = 3
    flushed = []
    for n in (2, 3, 4, 5):
        flushed.append(exporter.force_flush())
        exporter.export(batch(n))
    exporter.shutdown()

    assert flushed == [False, False, False, True]
    assert values(tmp_path) == [1, 2, 3, 4, 5]


def test_no_caller_waits_for_a_stalled_disk(tmp_path: Path, event: Events, fs: FaultyFs) -> None:
    """While an fsync hangs, events are acknowledged, through a rotation too."""
    exporter = NdjsonLogRecordExporter(tmp_path, fs=fs, sync_interval="1ms", rotate_bytes=4096)
    done = [exporter.export([event(0)])]  # once in its life an archive waits, for its id
    fs.stalled.clear()
    began = time.monotonic()
    done += [exporter.export([event(n)]) for n in range(1, 100)]
    waited_s = time.monotonic() - began
    sequence = exporter.stats().head_sequence
    fs.stalled.set()
    exporter.shutdown()

    assert waited_s < 5  # an fsync hangs for ten seconds here
    assert done == [LogRecordExportResult.SUCCESS] * 100
    assert sequence > 3
    assert values(tmp_path) == list(range(100))


def test_never_means_no_fsync(tmp_path: Path, batch: Batches, fs: FaultyFs) -> None:
    """In mode `never` nothing is forced to the disk by us, shutdown included."""
    exporter = NdjsonMetricExporter(tmp_path, fs=fs, sync="never", compression="none")
    exporter.export(batch(1))
    flushed = exporter.force_flush()
    exporter.shutdown()

    assert (flushed, fs.syncs) == (True, 0)
    assert values(tmp_path) == [1]


def test_each_sync_is_told_with_its_duration(tmp_path: Path, batch: Batches) -> None:
    """`on_sync` hears the seconds of every fsync of a segment."""
    heard: list[float] = []
    exporter = NdjsonMetricExporter(tmp_path, sync_interval="1h", on_sync=heard.append)
    exporter.export(batch(1))
    exporter.force_flush()

    assert len(heard) == 1
    assert 0 < heard[0] < 60

    exporter.shutdown()


def test_the_last_error_says_what_is_wrong_now(tmp_path: Path, batch: Batches) -> None:
    """While exports fail `last_error` says why, in words; once one succeeds there is none."""
    path = tmp_path / "archive"
    path.write_text("")
    exporter = NdjsonMetricExporter(path)
    exporter.export(batch(1))
    while_it_fails = exporter.last_error
    path.unlink()
    exporter.export(batch(2))
    afterwards = exporter.last_error
    exporter.shutdown()

    assert "archive" in (while_it_fails or "")
    assert afterwards is None
    assert exporter.stats().errors == {"ENOTDIR": 1}


class Hands:
    """Clocks that are moved by hand."""

    def __init__(self) -> None:
        self.world = 1_700_000_000 * 10**9
        self.steady = 0.0

    @property
    def clocks(self) -> Clocks:
        return Clocks(world_ns=lambda: self.world, monotonic_s=lambda: self.steady)


def test_rotation_by_age_and_at_midnight(tmp_path: Path, batch: Batches) -> None:
    """An hour or a new UTC day begins a new segment, the latter in a folder of its own."""
    hands = Hands()
    exporter = NdjsonMetricExporter(tmp_path, sync="never", clocks=hands.clocks)
    exporter.export(batch(1))
    hands.steady += 3600
    exporter.export(batch(2))
    hands.world += 86_400 * 10**9
    exporter.export(batch(3))
    exporter.shutdown()

    assert [segment.date for segment in find_segments(tmp_path)] == [
        "2023-11-14",
        "2023-11-14",
        "2023-11-15",
    ]
    assert values(tmp_path) == [1, 2, 3]


def test_a_clock_that_goes_back_changes_no_order(tmp_path: Path, batch: Batches) -> None:
    """Order comes from the sequence: a clock set back a day, or to 1970, is read in order."""
    hands = Hands()
    exporter = NdjsonMetricExporter(tmp_path, sync="never", clocks=hands.clocks)
    for n, world in enumerate((hands.world, hands.world - 86_400 * 10**9, 5, 2**62)):
        hands.world = world
        exporter.export(batch(n))
    exporter.shutdown()

    assert values(tmp_path) == [0, 1, 2, 3]


def test_segments_are_chained(tmp_path: Path, batch: Batches) -> None:
    """Each names the one before with its hash; a new writer, the newest sealed of its service."""
    for _ in range(2):
        exporter = NdjsonMetricExporter(tmp_path, rotate_bytes=4096, compression="none")
        for n in range(60):
            exporter.export(batch(n))
        exporter.shutdown()
    chain = []
    for segment in find_segments(tmp_path):
        scan = check([line for _, _, line in read_lines(segment)])
        assert scan.head is not None
        chain.append((scan.head["previous"], {"segment": segment.name, "sha256": scan.sha256}))

    assert len(chain) > 4
    assert chain[0][0] is None
    assert [previous for previous, _ in chain[1:]] == [this for _, this in chain[:-1]]


@pytest.mark.parametrize("how", ["remove", "move", "truncate"])
def test_a_file_taken_from_under_us_is_noticed(
    tmp_path: Path, batch: Batches, how: str, fs: FaultyFs
) -> None:
    """Within an interval a new segment is begun where we were told to write."""
    root = tmp_path / "archive"
    hands = Hands()
    exporter = NdjsonMetricExporter(root, sync="never", clocks=hands.clocks, compression="none")
    exporter.export(batch(1))
    (segment,) = find_segments(root)
    if how == "remove":
        shutil.rmtree(root)
    elif how == "move":
        root.rename(tmp_path / "elsewhere")
    else:
        os.truncate(segment.path, 10)
    hands.steady += 1
    result = exporter.export(batch(2))
    exporter.shutdown()

    assert result is SUCCESS
    assert values(root) == [2]
    assert exporter.stats().errors == {"ESTALE": 1}
    assert exporter.stats().dropped == ({} if how == "move" else {"removed": 1})


def test_a_foreign_or_open_folder_is_refused(
    tmp_path: Path, batch: Batches, caplog: pytest.LogCaptureFixture
) -> None:
    """A service folder of another user, or that others may write in, is left alone; no raise."""
    if os.geteuid() != 0:
        pytest.skip("needs root, to give a folder to another user")
    made = tmp_path / "metrics" / "service=shop"
    for uid, mode in ((12345, 0o750), (0, 0o770)):
        shutil.rmtree(tmp_path / "metrics", ignore_errors=True)
        made.mkdir(parents=True, mode=0o750)
        os.chown(made, uid, uid)
        os.chmod(made, mode)
        exporter = NdjsonMetricExporter(tmp_path)
        assert exporter.export(batch(1)) is FAILURE
        assert exporter.export(batch(1)) is FAILURE
        assert exporter.stats().errors == {"unsafe": 2}
        assert list(made.iterdir()) == []

    assert [record.levelname for record in caplog.records] == ["ERROR"] * 2


@pytest.mark.parametrize("place", ["metrics", "metrics/service=shop"])
def test_a_link_in_place_of_our_folder_is_refused(
    tmp_path: Path, batch: Batches, place: str
) -> None:
    """No link below the root is followed."""
    target = tmp_path / "target"
    target.mkdir()
    link = tmp_path / "archive" / place
    link.parent.mkdir(parents=True)
    link.symlink_to(target)
    exporter = NdjsonMetricExporter(tmp_path / "archive")

    assert exporter.export(batch(1)) is FAILURE
    assert exporter.stats().errors == {"unsafe": 1}
    assert list(target.iterdir()) == []


@pytest.mark.parametrize("kind", ["nfs4", "cifs", "fuse.sshfs", "9p"])
def test_a_network_file_system_is_refused_by_name(
    tmp_path: Path, batch: Batches, fs: FaultyFs, kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Unless it is allowed; the message names the type."""
    fs.type = kind
    refused = NdjsonMetricExporter(tmp_path, fs=fs).export(batch(1))
    assert not (tmp_path / "metrics").exists()
    allowed = NdjsonMetricExporter(tmp_path, fs=fs, allow_network_fs=True)

    assert refused is FAILURE
    assert f"lies on {kind}" in caplog.text
    assert allowed.export(batch(1)) is SUCCESS
    allowed.shutdown()


@pytest.mark.parametrize("obstacle", ["file", "dangling"])
def test_an_unusable_path_fails_without_raising(
    tmp_path: Path, batch: Batches, obstacle: str
) -> None:
    """A file or a dangling link where the folder should be: FAILURE, and work once it is gone."""
    path = tmp_path / "archive"
    if obstacle == "file":
        path.write_text("")
    else:
        path.symlink_to(tmp_path / "nowhere")
    exporter = NdjsonMetricExporter(path)
    first = exporter.export(batch(1))
    path.unlink()
    second = exporter.export(batch(2))
    exporter.shutdown()

    assert (first, second) == (FAILURE, SUCCESS)


def test_a_forked_child_writes_segments_of_its_own(tmp_path: Path, batch: Batches) -> None:
    """Parent and child have instances of their own; neither loses or repeats a record."""
    exporter = NdjsonMetricExporter(tmp_path)
    exporter.export(batch(1))
    child = os.fork()
    if child == 0:
        status = 0 if exporter.stats().records == 0 else 2
        exporter.export(batch(2))
        exporter.shutdown()
        os._exit(status)
    _, status = os.waitpid(child, 0)
    exporter.export(batch(3))
    exporter.shutdown()
    found = find_segments(tmp_path)

    assert status == 0
    assert sorted(values(tmp_path)) == [1, 2, 3]
    assert [segment.sequence for segment in found] == [1, 1]
    assert len({segment.instance for segment in found}) == 2
    assert all_sound(tmp_path)


def test_a_child_that_records_nothing_leaves_no_trace(tmp_path: Path, batch: Batches) -> None:
    """It holds neither the parent's lock nor a file of its own."""
    exporter = NdjsonMetricExporter(tmp_path, compression="none")
    exporter.export(batch(1))
    (segment,) = find_segments(tmp_path)
    ours, theirs = os.pipe()
    child = os.fork()
    if child == 0:
        os.write(theirs, b"x")
        signal.pause()
        os._exit(0)
    os.read(ours, 1)  # the child has begun its own life
    exporter.shutdown()
    descriptor = os.open(segment.path, os.O_RDWR)
    free = RealFs().lock(descriptor)
    os.close(descriptor)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    os.close(ours)
    os.close(theirs)

    assert free
    assert len(find_segments(tmp_path)) == 1


@pytest.mark.slow
def test_forks_under_load_do_not_deadlock(tmp_path: Path, event: Events) -> None:
    """Children forked while threads record can record at once."""
    exporter = NdjsonLogRecordExporter(tmp_path, sync_interval="1ms", rotate_bytes=8192)
    stop = threading.Event()

    def record() -> None:
        while not stop.is_set():
            exporter.export([event(1)])
            stop.wait(0.0005)

    threads = [threading.Thread(target=record) for _ in range(4)]
    for thread in threads:
        thread.start()
    statuses = []
    for n in range(15):
        child = os.fork()
        if child == 0:
            signal.alarm(10)
            done = exporter.export([event(1000 + n)])
            exporter.shutdown()
            os._exit(0 if done is LogRecordExportResult.SUCCESS else 1)
        statuses.append(os.waitpid(child, 0)[1])
    stop.set()
    for thread in threads:
        thread.join()
    exporter.shutdown()

    assert statuses == [0] * 15
    found = values(tmp_path)
    assert sorted(n for n in found if n >= 1000) == [1000 + n for n in range(15)]
    assert found.count(1) == exporter.stats().records


def test_a_signal_handler_may_record(tmp_path: Path, event: Events) -> None:
    """A handler that interrupts a write of its own thread neither hangs nor tears a line."""

    class Interrupting(RealFs):
        def write(self, descriptor: int, data: bytes | memoryview) -> int:
            if b'"kind":"event"' in bytes(data) and not calls:
                calls.append(exporter.export([event(2)]))
            return super().write(descriptor, data)

    calls: list[object] = []
    exporter = NdjsonLogRecordExporter(tmp_path, fs=Interrupting(), sync="never")
    exporter.export([event(1)])
    exporter.shutdown()

    assert calls == [LogRecordExportResult.SUCCESS]
    assert values(tmp_path) == [1, 2]


def test_a_file_size_limit_is_survived(tmp_path: Path, event: Events) -> None:
    """RLIMIT_FSIZE gives short writes and EFBIG: what was acknowledged is there, in more files."""
    child = os.fork()
    if child == 0:
        resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, 10_000))
        exporter = NdjsonLogRecordExporter(tmp_path, compression="none")
        done = [exporter.export([event(n)]) for n in range(100)]
        exporter.shutdown()
        os._exit(0 if done == [LogRecordExportResult.SUCCESS] * 100 else 1)
    _, status = os.waitpid(child, 0)

    assert status == 0
    assert values(tmp_path) == list(range(100))


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 64 KiB."""
    folder = tmp_path / "small"
    folder.mkdir()
    mount = shutil.which("mount")
    if os.geteuid() != 0 or mount is None:
        pytest.skip("needs root, to mount a tmpfs")
    made = subprocess.run(
        [mount, "-t", "tmpfs", "-o", "size=64k", "tmpfs", folder], capture_output=True, check=False
    )
    if made.returncode:
        pytest.skip(f"mounting a tmpfs is not allowed here: {made.stderr.decode().strip()}")
    yield folder
    subprocess.run(["umount", "-l", folder], check=True)


def test_a_full_disk_loses_only_what_was_refused(small_disk: Path, event: Events) -> None:
    """On a real full disk every acknowledged event is read, and work resumes once there is room."""
    hands = Hands()
    exporter = NdjsonLogRecordExporter(
        small_disk, free_bytes_min=0, compression="none", clocks=hands.clocks
    )
    acked = [n for n in range(400) if exporter.export([event(n, "x" * 100)]).value == 0]
    hands.steady += 1
    (segment,) = find_segments(small_disk)
    before = values(small_disk)
    subprocess.run(["mount", "-o", "remount,size=256k", small_disk], check=True)
    resumed = exporter.export([event(1000)])
    exporter.shutdown()

    assert 0 < len(acked) < 400
    assert before == acked
    assert resumed is LogRecordExportResult.SUCCESS
    assert values(small_disk) == [*acked, 1000]
    assert segment.sequence == 1


def test_a_seal_fits_on_a_full_disk(small_disk: Path, event: Events) -> None:
    """Room for it was set aside: with not a byte left the segment is closed and is whole."""
    exporter = NdjsonLogRecordExporter(small_disk, free_bytes_min=0, compression="none")
    exporter.export([event(0)])
    filler = os.open(small_disk / "filler", os.O_CREAT | os.O_WRONLY)
    with suppress(OSError):
        while os.write(filler, b"x" * 4096):
            pass
    os.close(filler)

    exporter.shutdown()

    (segment,) = find_segments(small_disk)
    scan = check(line for _, _, line in read_lines(segment))
    assert (scan.sealed, scan.damages, values(small_disk)) == (True, [], [0])
    assert exporter.stats().errors == {}


def test_a_file_that_is_cut_under_us_is_counted(
    tmp_path: Path, batch: Batches, caplog: pytest.LogCaptureFixture
) -> None:
    """What logrotate's copytruncate takes away is counted as removed; the next export goes on."""
    hands = Hands()
    exporter = NdjsonMetricExporter(tmp_path, clocks=hands.clocks)
    exporter.export(batch(1, 2))
    (path,) = tmp_path.glob("metrics/*/*/*.ndjson")
    os.truncate(path, 0)
    hands.steady += 2

    assert exporter.export(batch(3)) is SUCCESS
    exporter.shutdown()
    assert exporter.stats().dropped == {"removed": 2}
    assert values(tmp_path) == [3]


def test_a_failed_fsync_takes_the_seal_back(tmp_path: Path, batch: Batches, fs: FaultyFs) -> None:
    """A segment that was sealed and then could not be forced to the disk is no sealed one."""
    exporter = NdjsonMetricExporter(tmp_path, rotate_bytes=4096, fs=fs, compression="none")
    exporter.export(batch(0, 1, 2, 3))
    fs.stalled.clear()
    for number in range(1, 12):
        exporter.export(batch(*range(number, number + 4)))
    fs.sync_faults = 1
    fs.stalled.set()
    exporter.force_flush()
    exporter.shutdown()

    assert sorted(values(tmp_path)) == sorted(n for m in range(12) for n in range(m, m + 4))
    assert exporter.stats().errors["sync.EIO"] == 1
