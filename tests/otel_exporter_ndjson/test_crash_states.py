"""Wherever a process is killed or the power fails, the archive keeps its word.

Short histories are gone through in full: every state that a power cut may leave behind every
operation. Longer ones are sampled; the seed is in the message.
"""

import logging
from collections.abc import Iterator
from errno import EIO
from random import Random
from typing import Any

import pytest

from tests.otel_exporter_ndjson.crash_states import crashes, run
from tests.otel_exporter_ndjson.histories import Life, Past, Step, live, settled
from tests.otel_exporter_ndjson.judging import judge

EVENT: Step = ("event", 10)
FLUSH: Step = ("flush", 0)
TORN = 300
PLAIN: dict[str, Any] = {"compression": "none"}


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    """Faults are injected by the thousand; what a writer logs of them is told elsewhere."""
    logger = logging.getLogger("otel_exporter_ndjson")
    level = logger.level
    logger.setLevel(logging.CRITICAL)
    yield
    logger.setLevel(level)


def begun() -> Past:
    """An archive with one segment, which is on the disk since long ago."""
    return settled(live(Past(), [EVENT, FLUSH], **PLAIN).after_kill())


def test_the_first_record_of_an_archive() -> None:
    """From nothing to a flushed record: every folder's name is on the disk before that is told."""
    states = crashes(live(Past(), [EVENT, FLUSH], close=False), deep=1)

    assert states.faults == []
    assert states.total > 100


@pytest.mark.parametrize("sync", ["interval", "always"])
@pytest.mark.parametrize(
    "steps", [[EVENT, EVENT, FLUSH, EVENT], [("metrics", 2), FLUSH, ("metrics", 1)]]
)
def test_records_of_an_archive_that_is_there(steps: list[Step], sync: str) -> None:
    """What a flush, or `always`, has told is there after every power cut, what was written after
    every kill."""
    states = crashes(live(begun(), steps, close=False, sync=sync, **PLAIN), deep=20)

    assert states.faults == []
    assert states.total > 50


@pytest.mark.parametrize("sync", ["interval", "always"])
@pytest.mark.parametrize("nth", [1, 2])
def test_an_fsync_that_fails(sync: str, nth: int) -> None:
    """What it may have lost is in another segment before anybody is told that it is on the disk,
    and a kill in between loses nothing that was written."""
    life = live(
        begun(),
        [EVENT, FLUSH, EVENT, FLUSH, FLUSH],
        close=False,
        faults={("sync", nth): EIO},
        sync=sync,
        sync_interval_s=10.0**6 if sync == "interval" else 0.001,
        **PLAIN,
    )
    states = crashes(life, random=Random(nth), cuts_each=12, deep=100)

    assert "sync_failed" in [op.call for op in life.log]
    assert states.faults == []


def test_rotation_and_compression() -> None:
    """Sealed, replaced by its compressed form, and begun anew: nothing is lost on the way."""
    life = live(begun(), [EVENT, ("day", 1), EVENT, FLUSH], close=False)
    states = crashes(life, random=Random(1), cuts_each=12, deep=100)

    assert {"link", "unlink"} <= {op.call for op in life.log}
    assert states.faults == []


def dead() -> tuple[Past, frozenset[int]]:
    """An archive whose writer was killed within its third record, the first of which is kept."""
    life = live(begun(), [EVENT, FLUSH, EVENT, ("event", 700)], close=False, **PLAIN)
    last = max(number for number, op in enumerate(life.log) if op.call == "write")
    disk = life.past.disk.copy()
    for op in life.log[:last]:
        disk.apply(op)
    torn = Life(life.past, life.log[:last], disk)
    half = life.log[last]
    node = disk.file(half.node)
    node.data = node.kept = node.data + half.data[:TORN]
    node.changes.clear()
    return torn.after_kill(), torn.told("written")


@pytest.mark.parametrize("compress", [False, True])
def test_recovery_at_every_moment(compress: bool) -> None:
    """Killed, or without power, behind each of its operations: the next one ends it, loses nothing
    and keeps the torn tail."""
    past, written = dead()
    judged = judge(past.disk, written, past.lines, compress=compress)
    recovery = Life(past, judged.fs.log, judged.fs.disk)
    states = crashes(recovery, deep=3, compress=compress)

    assert judged.faults == []
    assert [each.torn_bytes for each in judged.done if each.action == "sealed"] == [TORN]
    assert states.faults == []
    assert states.total > 100


@pytest.mark.parametrize(
    ("steps", "faults"),
    [([EVENT, ("day", 1), EVENT], {}), ([("event", 3_000), FLUSH], {("sync", 1): EIO})],
    ids=["sealed, never synced", "a failed fsync took its pages for clean"],
)
def test_compression_of_what_the_disk_may_not_have(
    steps: list[Step], faults: dict[tuple[str, int], int]
) -> None:
    """A recovery compresses what a killed writer left; should the power fail before the plain form
    is gone, nobody has to decide between the two."""
    past = live(begun(), steps, close=False, faults=faults, **PLAIN).after_kill()
    judged = judge(past.disk, past.written, past.lines)
    recovery = Life(past, judged.fs.log, judged.fs.disk)
    states = crashes(recovery, random=Random(0), cuts_each=25)

    assert "compressed" in [each.action for each in judged.done]
    assert states.faults == []


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(1, 5))
def test_random_histories(seed: int) -> None:
    """Rotation, retention, faults of the disk, several lives and threads, in any order."""
    report = run(1, seed)

    assert report.faults == [], str(report)
