"""Kills and power cuts at every moment of a history, and whether the archive then keeps its word.

A history is a log of operations with what callers were told. Behind each operation a process may be
killed, or the power may fail; whatever may then be left is recovered and read, and so is what is
left when that recovery is killed or loses its power.

From elsewhere: `run(histories, seed)` lives through many random histories and returns a `Report`.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice
from random import Random
from typing import Final

from tests.otel_exporter_ndjson.histories import Life, Past, live, steps_of
from tests.otel_exporter_ndjson.judging import Judged, Subject, judge, quarantined, segments
from tests.otel_exporter_ndjson.simdisk import Disk, Folder, Op, sampled, survivors
from tests.otel_exporter_ndjson.simfs import Short, SimFs

__all__ = ["Report", "States", "crashes", "run"]

FAULTS_MAX: Final = 20
DEEP: Final = 40
"""In one of so many states of a random history the recovery is killed and cut, too."""


@dataclass(slots=True)
class States:
    """How many states were looked at, and what was wrong with them.

    Attributes:
        kills, cuts: states behind a kill and behind a power cut; each that differs once.
        again: those of a recovery that was itself killed or lost its power.
        unchained: states in which a segment names one whose unsynced end was lost, or all of it.
        faults: broken promises in words, with the history that leads there.
    """

    kills: int = 0
    cuts: int = 0
    again: int = 0
    unchained: int = 0
    faults: list[str] = field(default_factory=list)

    @property
    def total(self) -> int:
        """How many states were looked at."""
        return self.kills + self.cuts + self.again


@dataclass(slots=True)
class Report(States):
    """The same for many random histories."""

    histories: int = 0
    records: int = 0

    def __str__(self) -> str:
        counts = (
            f"{self.histories} histories, {self.records} records, {self.kills} kills, "
            f"{self.cuts} power cuts, {self.again} of them in recovery, {len(self.faults)} faults"
        )
        return "\n".join([counts, *self.faults[:FAULTS_MAX]])


def crashes(
    life: Life,
    *,
    subject: Subject | None = None,
    random: Random | None = None,
    cuts_each: int | None = None,
    deep: int = 0,
    states: States | None = None,
    compress: bool = True,
) -> States:
    """Kill and cut behind each operation of a life, and judge what is left.

    Args:
        cuts_each: so many random power cuts behind an operation; all that there are by default.
        deep: in one of so many states recovery is killed and cut as well; 0 for none.
    """
    random, states = random or Random(0), states or States()
    seen: set[object] = set()
    at = 0

    def look(disk: Disk, promised: frozenset[int], kept: frozenset[int], history: str) -> None:
        judged = judge(disk, promised, life.past.lines, subject=subject, compress=compress)
        states.unchained += judged.unchained
        states.faults += [f"{history}: {fault}" for fault in judged.faults]
        if deep and at % deep == 0 and not judged.faults:
            _crash_again(disk, judged, (promised, kept), life, subject, random, states, history)

    for moment in _moments(life):
        disk, written, kept, history = moment
        if len(states.faults) >= FAULTS_MAX:
            break
        states.kills += 1
        at += 1
        look(disk, written, kept, f"killed behind {history}")
        left = (
            survivors(disk)
            if cuts_each is None
            else (sampled(disk, random) for _ in range(cuts_each))
        )
        for survivor in left:
            key = (frozenset(survivor.contents().items()), kept, tuple(survivor.firm.items()))
            if hash(key) in seen:
                continue
            seen.add(hash(key))
            states.cuts += 1
            at += 1
            look(survivor, kept, kept, f"power cut behind {history}")
    return states


def run(histories: int, seed: int) -> Report:
    """Live through random histories of up to three lives each, with crashes all along.

    Each history has a seed of its own, which a fault names: `run(1, that seed)` shows it again.
    """
    report = Report()
    for number in range(seed, seed + histories):
        before = len(report.faults)
        _one(Random(number), report)
        report.histories += 1
        report.faults[before:] = [f"seed {number}: {fault}" for fault in report.faults[before:]]
        if len(report.faults) >= FAULTS_MAX:
            break
    return report


def _one(random: Random, report: Report) -> None:
    past = Past()
    for _ in range(random.randint(1, 3)):
        sync = random.choice(("interval", "interval", "always"))
        life = live(
            past,
            steps_of(random, random.randint(3, 14)),
            close=random.random() < 0.4,
            faults=_faults(random),
            sync=sync,
            sync_interval_s=10.0**6 if sync == "interval" else 0.001,
            compression=random.choice(("zstd", "zstd", "none")),
            retention_bytes=random.choice((None, None, 4_000)),
        )
        crashes(life, random=random, cuts_each=1, deep=DEEP, states=report)
        past = life.after_kill()
        if random.random() < 0.5:  # the power fails, and the next life begins with what is left
            left = sampled(past.disk, random)
            past = Past(left, past.kept, past.kept, past.lines, past.clock)
    report.records += len(past.lines)


def _faults(random: Random) -> dict[tuple[str, int], int | Short]:
    """Return none most often, else an error or two of the disk."""
    kinds: list[tuple[str, int | Short]] = [
        ("sync", 5), ("sync", 5), ("sync_dir", 5), ("write", 5), ("write", 28), ("write", Short(7)),
        ("create", 28), ("link", 28), ("truncate", 5), ("unlink", 5), ("reserve", 28),
    ]  # fmt: skip
    picked = [random.choice(kinds) for _ in range(random.choice((0, 0, 1, 2)))]
    return {(call, random.randint(1, 9)): fault for call, fault in picked}


def _moments(life: Life) -> Iterator[tuple[Disk, frozenset[int], frozenset[int], str]]:
    """Return the disk behind each operation, and what was promised by then; and half-way through
    a write."""
    disk = life.past.disk.copy()
    written, kept = life.past.written, life.past.kept
    for number, op in enumerate(life.log):
        history = " ".join(map(str, life.log[max(0, number - 8) : number + 1]))
        if op.call == "written":
            written |= op.numbers
        elif op.call == "kept":
            kept |= op.numbers
        else:
            if op.call == "write" and len(op.data) > 1:
                torn = disk.copy()
                torn.apply(_half(op))
                yield torn, written, kept, f"half of {history}"
            disk.apply(op)
        yield disk, written, kept, history


def _half(op: Op) -> Op:
    return Op(op.call, op.node, offset=op.offset, data=op.data[: len(op.data) * 2 // 3])


def _crash_again(
    disk: Disk,
    judged: Judged,
    promised: tuple[frozenset[int], frozenset[int]],
    life: Life,
    subject: Subject | None,
    random: Random,
    states: States,
    history: str,
) -> None:
    """Kill recovery behind each of its operations, and cut its power; the end must be the same."""
    expected, aside = segments(judged.fs), quarantined(judged.fs)
    durable = not any(node.changes for node in disk.nodes.values())
    names = {each.name for each in judged.done if each.action in ("sealed", "compressed")}
    disk = disk.copy()
    log = list(judged.fs.log)
    folders = {number for number, node in disk.nodes.items() if isinstance(node, Folder)}
    for number, op in enumerate(log):
        disk.apply(op)
        done = " ".join(map(str, log[max(0, number - 8) : number + 1]))
        for left, how in ((disk, "killed"), (sampled(disk, random), "cut")):
            states.again += 1
            again = judge(left, promised[how == "cut"], life.past.lines, subject=subject)
            faults = again.faults
            if (how == "killed" or durable) and segments(again.fs) != expected:
                faults.append("recovery does not end as it would have undisturbed")
            if (how == "killed" or durable) and set(aside) - set(quarantined(again.fs)):
                faults.append("what recovery had to set aside is gone")
            states.faults += [
                f"{history}, recovery {how} behind {done}: {fault}" for fault in faults
            ]
    for number, node in disk.nodes.items():  # names of folders are synced by the next flush
        if isinstance(node, Folder) and any(each in node.names.values() for each in folders):
            disk.apply(Op("sync_dir", number))
    for left in islice(survivors(disk), 50):
        states.again += 1
        there = segments(SimFs(left))
        for name in names:
            if there.get(name) != expected[name]:
                states.faults.append(
                    f"{history}: what recovery had ended is gone with the power: {name}"
                )
