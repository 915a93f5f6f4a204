"""The checks over crash states, damage and keys catch the bugs that they are there for.

Each bug is planted in a part that a real system replaces by the right one; the last tests of each
kind show that the right one passes the very same checks.
"""

import errno
import hashlib
import logging
import secrets
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from random import Random
from typing import Any

import pytest

from otel_exporter_ndjson.files import read_lines
from otel_exporter_ndjson.findings import Finding
from otel_exporter_ndjson.folders import opened
from otel_exporter_ndjson.fs import Fs
from otel_exporter_ndjson.listing import find_segments
from otel_exporter_ndjson.parsing import parsed
from otel_exporter_ndjson.reader import Record, read
from otel_exporter_ndjson.recovery import Recovered, recover_service
from otel_exporter_ndjson.scan import Scan, check
from otel_exporter_ndjson.sealkey import SealKey
from tests.otel_exporter_ndjson.crash_states import crashes
from tests.otel_exporter_ndjson.histories import ARCHIVE, Life, Past, Step, live, settled
from tests.otel_exporter_ndjson.judging import Subject, judge
from tests.otel_exporter_ndjson.simdisk import File
from tests.otel_exporter_ndjson.simfs import SimFs

EVENT: Step = ("event", 10)
FLUSH: Step = ("flush", 0)
PLAIN: dict[str, Any] = {"compression": "none"}
FORGERIES = 10_000


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    """Faults are injected; what a writer logs of them is told elsewhere."""
    logger = logging.getLogger("otel_exporter_ndjson")
    level = logger.level
    logger.setLevel(logging.CRITICAL)
    yield
    logger.setLevel(level)


class NoSync(SimFs):
    """Says that bytes are on the disk, and does nothing."""

    def sync(self, descriptor: int) -> None:
        """See `Fs`."""


class NoSyncDir(SimFs):
    """Says that names are on the disk, and does nothing."""

    def sync_dir(self, directory: int) -> None:
        """See `Fs`."""


class RetriedSync(SimFs):
    """Tries a failed fsync again and takes the second answer for true."""

    def sync(self, descriptor: int) -> None:
        """See `Fs`."""
        try:
            super().sync(descriptor)
        except OSError:
            super().sync(descriptor)


def begun() -> Past:
    """An archive with one segment, which is on the disk since long ago."""
    return settled(live(Past(), [EVENT, FLUSH], **PLAIN).after_kill())


def lost(faults: Iterable[str]) -> bool:
    return any(": lost: " in fault or fault.startswith("lost: ") for fault in faults)


def flushed(make_fs: type[SimFs], past: Past) -> list[str]:
    life = live(past, [EVENT, EVENT, FLUSH], close=False, make_fs=make_fs, **PLAIN)
    return crashes(life, random=Random(0), cuts_each=20).faults


def test_no_fsync_before_the_acknowledgement() -> None:
    """Flushed records are lost with the power."""
    assert lost(flushed(NoSync, begun()))
    assert flushed(SimFs, begun()) == []


def test_no_fsync_of_the_folder() -> None:
    """The file has its bytes and nobody finds it."""
    assert lost(flushed(NoSyncDir, begun()))
    assert lost(flushed(NoSyncDir, Past()))
    assert flushed(SimFs, Past()) == []


def test_an_fsync_tried_again() -> None:
    """The pages were marked clean by the first that failed: the second says nothing."""

    def faults(make_fs: type[SimFs]) -> list[str]:
        life = live(
            begun(),
            [EVENT, FLUSH, FLUSH],
            close=False,
            make_fs=make_fs,
            faults={("sync", 1): errno.EIO},
            **PLAIN,
        )
        return crashes(life, random=Random(0), cuts_each=20).faults

    assert lost(faults(RetriedSync))
    assert faults(SimFs) == []


@pytest.mark.parametrize("planted", [NoSync, NoSyncDir])
def test_recovery_without_its_last_fsync(planted: type[SimFs]) -> None:
    """What recovery had ended is gone after a power cut that comes later."""
    life = live(begun(), [EVENT, ("event", 700)], close=False, **PLAIN)

    def faults(make_fs: type[SimFs]) -> list[str]:
        subject = Subject(recovery_fs=make_fs)
        return crashes(life, subject=subject, random=Random(0), cuts_each=1, deep=1).faults

    assert [fault for fault in faults(planted) if "what recovery had ended" in fault] != []
    assert faults(SimFs) == []


def spoilt(life: Life, line: int) -> tuple[Past, int]:
    """Overwrite one line of the open segment, as a bad block does, and return whose it was."""
    past = life.after_kill()
    (number, file) = max(
        (number, node)
        for number, node in past.disk.nodes.items()
        if isinstance(node, File) and b'"kind":"event"' in node.data
    )
    lines = file.data.splitlines(keepends=True)
    gone = next(n for n, text in past.lines.items() if text == lines[line])
    start = sum(map(len, lines[:line]))
    file.data = file.data[:start] + bytes(len(lines[line])) + file.data[start + len(lines[line]) :]
    folders = [node for node in past.disk.nodes.values() if not isinstance(node, File)]
    for folder in folders:
        past.disk.firm.update(
            {name: start for name, node in folder.names.items() if node == number}
        )
    return past, gone


def damaged_middle(subject: Subject) -> list[str]:
    """Kill a writer after five events, spoil the third, recover and read."""
    life = live(begun(), [EVENT] * 5, close=False, **PLAIN)
    past, gone = spoilt(life, 5)
    return judge(past.disk, life.told("written") - {gone}, past.lines, subject=subject).faults


def cut_at_the_first_bad_line(fs: Fs, service: int, **options: Any) -> list[Recovered]:
    """Recover as if everything behind a bad line were a torn tail."""
    for date in fs.names(service):
        with opened(fs, fs.open_dir(service, date)) as directory:
            for name in fs.names(directory):
                with opened(fs, fs.open(directory, name, write=True)) as file:
                    good = 0
                    for line in fs.read(file, 2**20, 0).splitlines(keepends=True):
                        if isinstance(parsed(line), str):
                            fs.truncate(file, good)
                            break
                        good += len(line)
    return recover_service(fs, service, **options)


def test_cut_at_the_first_bad_line_in_the_middle() -> None:
    """Records behind a bad block are lost, though their bytes are good."""
    assert lost(damaged_middle(Subject(recover=cut_at_the_first_bad_line)))
    assert damaged_middle(Subject()) == []


def stops_at_a_gap(path: str, *, findings: list[Finding], **options: Any) -> Iterator[Record]:
    """Read until something is amiss, and nothing after it."""
    before = len(findings)
    for record in read(path, findings=findings, **options):
        if len(findings) > before:
            return
        yield record


def test_stop_at_the_first_gap() -> None:
    """Neither a bad line nor a missing segment may hide what comes after it."""
    assert lost(damaged_middle(Subject(read=stops_at_a_gap)))
    assert lost(without_a_segment(stops_at_a_gap)[0])
    assert without_a_segment(read) == ([], ["gap"])


def without_a_segment(reader: Callable[..., Iterator[Record]]) -> tuple[list[str], list[str]]:
    """Remove the second of three segments; return whose records are lost, and the findings."""
    life = live(Past(), [EVENT, ("day", 1), EVENT, ("day", 1), EVENT, FLUSH], **PLAIN)
    fs = SimFs(life.left)
    second = find_segments(ARCHIVE, fs=fs)[1]
    fs.unlink(fs.open_root(second.folder), second.name)
    findings: list[Finding] = []
    found = reader(ARCHIVE, signal="events", findings=findings, fs=fs)
    numbers = {record.data["attributes"]["n"] for record in found}
    return [f"lost: {n}" for n in sorted({1, 3} - numbers)], [each.kind for each in findings]


def blind_to_the_ends(lines: Iterable[bytes]) -> Scan:
    """Check lines as if no hash covered their last two bytes."""
    return check([line[:-2] + b"}\n" for line in lines])


def missed_flips(checker: Callable[[Iterable[bytes]], Scan]) -> int:
    """Flip each bit of a sealed segment, and count the flips that nobody notices."""
    life = live(Past(), [EVENT, ("metrics", 1), FLUSH], **PLAIN)
    fs = SimFs(life.left)
    missed = 0
    for segment in find_segments(ARCHIVE, fs=fs):
        lines = [line for _, _, line in read_lines(segment, fs=fs)]
        assert not checker(lines).damages
        for number, line in enumerate(lines):
            for at in {0, len(line) // 2, len(line) - 2, len(line) - 1}:
                for bit in range(8):
                    changed = line[:at] + bytes([line[at] ^ 1 << bit]) + line[at + 1 :]
                    missed += _is_sound(checker([*lines[:number], changed, *lines[number + 1 :]]))
    return missed


def _is_sound(scan: Scan) -> bool:
    return scan.sealed and not scan.damages


def test_a_hash_without_the_last_two_bytes_of_a_line() -> None:
    """Flips in just those bytes go unnoticed."""
    assert missed_flips(blind_to_the_ends) > 0
    assert missed_flips(check) == 0


@dataclass(frozen=True, slots=True)
class LooseKey(SealKey):
    """Compares the first byte of a signature."""

    def holds(self, text: bytes, signature: str) -> bool:
        """See `SealKey`."""
        return self.sign(text)[:2] == signature[:2]


def accepted(key_type: type[SealKey]) -> int:
    """Return how many seals of random wrong keys one key takes for its own."""
    key = key_type(hashlib.sha256(b"ours").digest())
    text = b'{"kind":"seal","records":1'
    forged = [SealKey(hashlib.sha256(b"%d" % n).digest()).sign(text) for n in range(FORGERIES)]
    assert key.holds(text, key.sign(text))
    return sum(key.holds(text, signature) for signature in forged)


def test_a_wrong_key_that_is_accepted_now_and_then() -> None:
    """One in 256 would do; none of ten thousand may."""
    assert accepted(LooseKey) > 0
    assert accepted(SealKey) == 0


def two_lives_at_one_time() -> list[str]:
    """Record in two processes, the second of which begins at the same second by its clock."""
    first = live(Past(), [EVENT, FLUSH], **PLAIN).after_kill()
    first.clock.now_ns = first.clock.now_ns // 10**9 * 10**9 - 10**9 + 999 * 10**6
    second = live(first, [EVENT, FLUSH], **PLAIN).after_kill()
    second.clock.now_ns = second.clock.now_ns // 10**9 * 10**9 + 500 * 10**6
    third = live(second, [EVENT, FLUSH], **PLAIN)
    return judge(third.left, third.told("kept"), third.past.lines).faults


def test_the_time_as_an_id(monkeypatch: pytest.MonkeyPatch) -> None:
    """Processes that begin in one second, or behind a clock set back, are taken for one."""
    assert two_lives_at_one_time() == []

    monkeypatch.setattr(secrets, "token_hex", lambda size: f"{1_700_000_000:0{2 * size}x}")

    assert "two records have one identity" in two_lives_at_one_time()
