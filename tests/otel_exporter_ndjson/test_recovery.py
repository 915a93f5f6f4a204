"""What a dead writer leaves is cut, sealed, compressed and never lost."""

import logging
import os
import random
import select
import shutil
import signal
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from opentelemetry.sdk._logs import ReadableLogRecord

from otel_exporter_ndjson import (
    Finding,
    NdjsonLogRecordExporter,
    Segment,
    find_segments,
    read,
)
from otel_exporter_ndjson.files import read_lines
from otel_exporter_ndjson.frames import compress
from otel_exporter_ndjson.fs import RealFs
from otel_exporter_ndjson.recovery import Recovered, recover_service
from otel_exporter_ndjson.scan import check

Events = Callable[..., ReadableLogRecord]
KILLS = 50


def numbers(folder: Path) -> list[int]:
    return [record.data["attributes"]["n"] for record in read(folder)]


def recover(folder: Path, *, compress: bool = False) -> list[Recovered]:
    fs = RealFs()
    done = []
    for service in sorted((folder / "events").iterdir()):
        descriptor = os.open(service, os.O_RDONLY)
        done += recover_service(fs, descriptor, compress=compress)
        os.close(descriptor)
    return done


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def scan_ends_sealed(segment: Segment) -> bool:
    scan = check([line for _, _, line in read_lines(segment)])
    return scan.sealed and not scan.damages


@pytest.fixture
def dead(tmp_path: Path, event: Events) -> Path:
    """An archive whose writer was killed after three events."""
    folder = tmp_path / "archive"
    child = os.fork()
    if child == 0:
        exporter = NdjsonLogRecordExporter(folder, sync="never")
        for n in range(3):
            exporter.export([event(n)])
        os.kill(os.getpid(), signal.SIGKILL)
    os.waitpid(child, 0)
    return folder


def segment_path(folder: Path) -> Path:
    (segment,) = find_segments(folder)
    return Path(segment.path)


def test_a_dead_segment_is_sealed_once(dead: Path) -> None:
    """Recovery seals as recovered; a second run has nothing to do and changes no byte."""
    first = recover(dead)
    before = contents(dead)
    second = recover(dead)
    (segment,) = find_segments(dead)

    assert [each.action for each in first] == ["sealed"]
    assert second == []
    assert contents(dead) == before
    assert scan_ends_sealed(segment)
    assert b'"recovered":true' in segment_path(dead).read_bytes().splitlines()[-1]
    assert numbers(dead) == [0, 1, 2]


def test_a_torn_tail_is_kept_beside(dead: Path) -> None:
    """Half a line is cut off and kept in `.torn`; every whole line before it stays."""
    path = segment_path(dead)
    torn = path.read_bytes()[-100:-1]
    with path.open("ab") as file:
        file.write(torn)
    findings: list[Finding] = []
    list(read(dead, findings=findings))
    (done,) = recover(dead)

    assert [finding.kind for finding in findings] == ["torn_tail"]
    assert done.torn_bytes == len(torn)
    assert Path(f"{path}.torn").read_bytes() == torn
    assert numbers(dead) == [0, 1, 2]


def test_a_tail_of_zeros_is_a_torn_tail(dead: Path) -> None:
    """A power cut may leave a file longer than its data, with zeros behind."""
    path = segment_path(dead)
    with path.open("ab") as file:
        file.write(bytes(5000))
    (done,) = recover(dead)

    assert (done.action, done.torn_bytes) == ("sealed", 5000)
    assert numbers(dead) == [0, 1, 2]


def test_damage_in_the_middle_stays_where_it_is(dead: Path) -> None:
    """A bad line with good ones behind it is no tail: nothing is cut, nothing after it is lost."""
    path = segment_path(dead)
    lines = path.read_bytes().splitlines(keepends=True)
    lines[3] = b"\x00" * len(lines[3])
    path.write_bytes(b"".join(lines))
    (done,) = recover(dead)
    findings: list[Finding] = []
    found = [record.data["attributes"]["n"] for record in read(dead, findings=findings)]

    assert (done.action, done.torn_bytes) == ("sealed", 0)
    assert path.read_bytes().startswith(b"".join(lines))
    assert 2 in found
    assert [finding.kind for finding in findings] == ["damage"]


@pytest.mark.parametrize("content", [b"", bytes(4096), b"garbage"])
def test_a_segment_without_a_line_is_set_aside(dead: Path, content: bytes) -> None:
    """An empty or all-zero file is moved out of the way, never deleted."""
    path = segment_path(dead)
    path.write_bytes(content)
    (done,) = recover(dead)

    assert done.action == "set_aside"
    assert find_segments(dead) == []
    assert Path(f"{path}.torn").read_bytes() == content


def test_a_live_segment_is_left_alone(tmp_path: Path, event: Events) -> None:
    """While its writer holds the lock, recovery does nothing to it."""
    exporter = NdjsonLogRecordExporter(tmp_path, sync="never")
    exporter.export([event(1)])
    before = contents(tmp_path)
    done = recover(tmp_path, compress=True)
    after = contents(tmp_path)
    exporter.shutdown()

    assert done == []
    assert after == before


def test_many_recoveries_at_once_do_it_once(dead: Path) -> None:
    """Eight at once: one seals, one compresses, and the result is that of one alone."""
    results: list[Recovered] = []
    threads = [
        threading.Thread(target=lambda: results.extend(recover(dead, compress=True)))
        for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    (segment,) = find_segments(dead)

    assert sorted(each.action for each in results) == ["compressed", "sealed"]
    assert segment.compressed
    assert scan_ends_sealed(segment)
    assert numbers(dead) == [0, 1, 2]


def test_the_next_start_recovers(dead: Path, event: Events) -> None:
    """A new writer of the service seals the dead one's segment before it begins its own."""
    exporter = NdjsonLogRecordExporter(dead, sync="never", compression="none")
    exporter.export([event(3)])
    exporter.shutdown()
    found = find_segments(dead)

    assert numbers(dead) == [0, 1, 2, 3]
    assert all(scan_ends_sealed(segment) for segment in found)
    scan = check([line for _, _, line in read_lines(found[1])])
    assert scan.head is not None
    assert scan.head["previous"]["segment"] == found[0].name


def test_recovery_that_is_killed_ends_alike(dead: Path, tmp_path: Path) -> None:
    """Whatever half of its work a killed recovery did, the next one ends with the same bytes."""
    path = segment_path(dead)
    whole = path.read_bytes()
    torn = whole[-100:-1]
    path.write_bytes(whole + torn)
    undisturbed = tmp_path / "undisturbed"
    shutil.copytree(dead, undisturbed)
    recover(undisturbed)
    expected = contents(undisturbed)
    sealed = expected[path.name]
    for cut in range(0, len(sealed) - len(whole), 7):
        for kept in (torn[:50], torn):
            path.write_bytes(sealed[: len(whole) + cut])
            Path(f"{path}.torn").write_bytes(kept)
            if cut == 0:
                path.write_bytes(whole + torn)
            elif kept != torn:
                continue  # the tail is cut only once it is kept
            recover(dead)
            assert contents(dead) == expected


def test_as_root_owner_and_mode_are_kept(dead: Path) -> None:
    """A repair by root leaves files that their owner can still read."""
    if os.geteuid() != 0:
        pytest.skip("needs root, to recover what belongs to another user")
    path = segment_path(dead)
    with path.open("ab") as file:
        file.write(b'{"kind":"ev')
    os.chown(path, 12345, 12346)
    recover(dead, compress=True)
    owners = {(made.stat().st_uid, made.stat().st_gid) for made in path.parent.iterdir()}

    assert owners == {(12345, 12346)}
    assert len(list(path.parent.iterdir())) == 2


def test_leftovers_of_a_killed_compression_are_removed(dead: Path) -> None:
    """A half-made compressed file is no segment, and goes with the next recovery."""
    path = segment_path(dead)
    leftover = path.parent / f".{path.name}-0000.tmp"
    leftover.write_bytes(b"half")
    recover(dead, compress=True)

    assert [made.name for made in path.parent.iterdir()] == [f"{path.name}.zst"]
    assert numbers(dead) == [0, 1, 2]


def test_both_forms_are_read_once(dead: Path) -> None:
    """A kill between link and unlink leaves both; they are one segment, and then one file."""
    path = segment_path(dead)
    recover(dead)
    plain = path.read_bytes()
    recover(dead, compress=True)
    path.write_bytes(plain)
    both = numbers(dead)
    recover(dead, compress=True)

    assert both == [0, 1, 2]
    assert not path.exists()
    assert numbers(dead) == [0, 1, 2]


def edited(path: Path) -> bytes:
    """Change one number in a sealed segment, as somebody with an editor would."""
    before = path.read_bytes()
    after = before.replace(b'"n":1', b'"n":7')
    assert after != before
    path.write_bytes(after)
    return after


def test_a_sealed_segment_that_was_edited_is_left_alone(dead: Path) -> None:
    """Compressing would make the edit look sound: the segment stays, and recovery says why."""
    recover(dead)
    path = segment_path(dead)
    after = edited(path)
    done = recover(dead, compress=True)

    assert [(each.name, each.action) for each in done] == [(path.name, "damaged")]
    assert "does not match its seal" in (done[0].reason or "")
    assert contents(dead)[path.name] == after
    assert segment_path(dead) == path


@pytest.mark.parametrize(
    "change",
    [
        lambda data: data.replace(b'"sha256":"', b'"sha256":"0', 1)[:-1] + b"\n",
        lambda data: data.replace(b'"n":1', b'"n":8'),
        lambda data: data.rpartition(b'"sha256":"')[0] + b'"sha256":7}\n',
    ],
    ids=["commit", "event", "seal"],
)
@pytest.mark.parametrize("packed", [False, True])
def test_a_reader_says_what_does_not_match_its_seal(
    dead: Path, change: Callable[[bytes], bytes], packed: bool
) -> None:
    """Every record is still read, and one finding names the segment; packed anew makes no good."""
    recover(dead)
    path = segment_path(dead)
    data = change(path.read_bytes())
    path.write_bytes(data)
    if packed:
        path.unlink()
        Path(f"{path}.zst").write_bytes(b"".join(compress([data], len(data))))
    findings: list[Finding] = []
    found = list(read(dead, findings=findings))

    assert len(found) == 3
    assert [(each.kind, each.line) for each in findings] == [("damage", 0)]
    assert "does not match its seal" in findings[0].message


def test_a_reader_says_what_stands_behind_a_seal(dead: Path) -> None:
    """A seal is the last line: what was appended to a sealed segment is no record of its writer."""
    recover(dead)
    path = segment_path(dead)
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join([*lines, lines[2], lines[2]]))
    findings: list[Finding] = []
    list(read(dead, findings=findings))

    assert [(each.kind, each.line) for each in findings] == [("damage", len(lines) + 1)]
    assert "behind the seal" in findings[0].message


def test_the_next_start_counts_and_says_what_was_edited(
    dead: Path, event: Events, caplog: pytest.LogCaptureFixture
) -> None:
    """One line for the service's folder, one count a segment, and what is sound is compressed."""
    recover(dead)
    path = segment_path(dead)
    edited(path)
    with caplog.at_level(logging.WARNING, "otel_exporter_ndjson"):
        exporter = NdjsonLogRecordExporter(dead, service="shop")
        settle()
        errors = exporter.stats().errors
        exporter.shutdown()

    assert errors == {"seal": 1}
    (line,) = caplog.messages
    assert path.name in line
    assert "does not match its seal" in line


def settle() -> None:
    """Wait until what happens behind the callers' backs at a start has happened."""
    for thread in threading.enumerate():
        if thread.name == "otel-exporter-ndjson-zstd":
            thread.join()


def test_a_segment_that_is_edited_before_it_is_compressed_stays(
    tmp_path: Path, event: Events, caplog: pytest.LogCaptureFixture
) -> None:
    """The writer that sealed it checks too, since it compresses some time later."""
    exporter = NdjsonLogRecordExporter(tmp_path, rotate_bytes="4KiB", sync="never")
    exporter.export([event(1)])
    path = segment_path(tmp_path)
    after = edited(path)
    with caplog.at_level(logging.WARNING, "otel_exporter_ndjson"):
        exporter.export([event(2, "x" * 4096)])
        settle()
    errors = exporter.stats().errors
    exporter.shutdown()

    assert errors == {"seal": 1}
    assert len(caplog.messages) == 1
    assert path.read_bytes().startswith(after)


@pytest.mark.slow
def test_kills_lose_nothing_that_was_acknowledged(tmp_path: Path, event: Events) -> None:
    """Killed at random moments, every acknowledged event is read once, and no other than sent."""
    seed = random.randrange(2**32)
    dice = random.Random(seed)
    acked: list[int] = []
    for round_ in range(KILLS):
        acked += one_life(tmp_path, event, round_ * 100_000, dice.uniform(0, 0.012))
    exporter = NdjsonLogRecordExporter(tmp_path, compression="none")
    exporter.export([event(-1)])
    exporter.shutdown()
    findings: list[Finding] = []
    found = [record.data["attributes"]["n"] for record in read(tmp_path, findings=findings)]

    assert len(found) == len(set(found)), f"seed {seed}"
    assert set(acked) <= set(found), f"seed {seed}"
    assert not findings, f"seed {seed}"
    assert all(scan_ends_sealed(segment) for segment in find_segments(tmp_path)), f"seed {seed}"


def one_life(folder: Path, event: Events, first: int, seconds: float) -> list[int]:
    """Record in a child until it is killed; return what it had acknowledged by then."""
    ours, theirs = os.pipe()
    child = os.fork()
    if child == 0:
        exporter = NdjsonLogRecordExporter(folder, rotate_bytes="64KiB", sync_interval="1ms")
        for n in range(first, first + 100_000):
            text = "x" * (n * 7919 % 2000)
            if exporter.export([event(n, text)]).value == 0:
                os.write(theirs, n.to_bytes(4, "big"))
    os.close(theirs)
    select.select([ours], [], [], 5)  # it has begun
    select.select([], [], [], seconds)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    with os.fdopen(ours, "rb") as pipe:
        data = pipe.read()
    return [int.from_bytes(data[at : at + 4], "big") for at in range(0, len(data) - 3, 4)]


@pytest.mark.parametrize("kind", ["file", "link", "pipe"])
def test_a_stray_entry_among_the_days_closes_no_archive(
    tmp_path: Path, event: Callable[..., ReadableLogRecord], kind: str
) -> None:
    """Somebody's backup beside the folders of days is passed over by the next start."""
    first = NdjsonLogRecordExporter(tmp_path, compression="none")
    first.export([event(1)])
    first.shutdown()
    (day,) = tmp_path.glob("events/service=shop/*")
    stray = day.with_name(f"{day.name}.tar.gz")
    if kind == "file":
        stray.write_bytes(b"a backup")
    elif kind == "link":
        stray.symlink_to(tmp_path)
    else:
        os.mkfifo(stray)

    second = NdjsonLogRecordExporter(tmp_path, compression="none")
    assert second.export([event(2)]).value == 0
    second.shutdown()
    assert [record.data["attributes"]["n"] for record in read(tmp_path)] == [1, 2]
