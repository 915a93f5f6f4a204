"""The quick form of the harness: every kind of fault for some seconds, and bugs it must see."""

import random
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from otel_exporter_ndjson.exporter import Arguments
from otel_exporter_ndjson.fs import RealFs, Status
from tests.torture import archives, collectors, crowds, damage, disks
from tests.torture.figures import Figures
from tests.torture.forks import forks_under_load
from tests.torture.fsyncs import failed_fsync
from tests.torture.kills import SIGNALS, SYNCS, killed_in_large_writes, killed_lives, small_kills
from tests.torture.plan import Plan
from tests.torture.playbooks import cut_playbooks, killed_playbooks
from tests.torture.power import power_cuts
from tests.torture.removals import REMOVALS, removed_under_a_writer
from tests.torture.skill_files import large_lines, shared_skill
from tests.torture.store_disks import cut_databases, failing_ledger, failing_store
from tests.torture.stores import killed_stores, mixed_operations
from tests.torture.syscalls import SCENARIOS, killed_at_calls, killed_recoveries
from tests.torture.windows import killed_windows
from tests.torture.workers import Load

pytestmark = pytest.mark.slow


@pytest.fixture
def plan(tmp_path: Path) -> Plan:
    """A little of everything; the seed stands in every message."""
    return Plan(tmp_path, random.randrange(2**32), cycles=0, cuts=0, thorough=False)


def held(figures: Figures) -> None:
    """Assert that every promise was kept; skip what this machine does not allow."""
    if figures.not_run is not None:
        pytest.skip(f"not run: {figures.not_run}")
    assert figures.violations == []
    assert figures.cycles > 0
    assert figures.acknowledged > 0


@pytest.mark.parametrize("sync", SYNCS)
@pytest.mark.parametrize("signal", SIGNALS)
def test_kills_lose_nothing(plan: Plan, signal: str, sync: str) -> None:
    """A1: killed at any moment, what was acknowledged is read once and in order."""
    held(small_kills(plan, signal, sync, 40))  # type: ignore[arg-type] # one of the two


@pytest.mark.parametrize("signal", SIGNALS)
def test_kills_inside_large_writes_lose_nothing(plan: Plan, signal: str) -> None:
    """A2: half a line is cut off and kept beside, and there are such lines."""
    held(killed_in_large_writes(plan, signal, "interval", 20))  # type: ignore[arg-type] # one of the two


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_a_kill_at_a_call_loses_nothing(
    plan: Plan, component: Callable[[str], str], scenario: str
) -> None:
    """A3: killed before a system call, whichever, the archive is whole after the next start."""
    component("strace")
    held(killed_at_calls(plan, scenario))


def test_a_killed_recovery_ends_alike(plan: Plan, component: Callable[[str], str]) -> None:
    """A4: the next recovery leaves the bytes that an undisturbed one leaves."""
    component("strace")
    held(killed_recoveries(plan))


@pytest.mark.parametrize(("sync", "cuts"), [("always", 20), ("interval", 3)])
@pytest.mark.parametrize("kind", ["ext4", "xfs"])
def test_power_cuts_lose_nothing(plan: Plan, kind: str, sync: str, cuts: int) -> None:
    """B1: `always` loses nothing, `interval` only what is younger than the interval."""
    held(power_cuts(plan, kind, sync, cuts))  # type: ignore[arg-type] # one of the two


def test_power_cuts_lose_what_was_not_forced_to_the_disk(plan: Plan) -> None:
    """B1, the control: without fsync records are missing, or the row would prove nothing."""
    held(power_cuts(plan, "ext4", "never", 5))


@pytest.mark.parametrize(
    "row",
    [disks.out_of_inodes, disks.floor, disks.limits, disks.written_to_read_only],
    ids=["inodes", "floor", "limits", "read-only"],
)
def test_disks_that_refuse_lose_nothing(plan: Plan, row: Callable[[Plan], Figures]) -> None:
    """B6 to B8: what is refused is told, and work goes on when the fault is gone."""
    held(row(plan))


@pytest.mark.parametrize("sync", ["interval", "always"])
def test_full_disks_lose_nothing(plan: Plan, sync: str) -> None:
    """B5: full at any page, a file system holds what was acknowledged, and no half line."""
    held(disks.full(plan, sync))


@pytest.mark.parametrize("row", [disks.failing_write, disks.stalled_fsync], ids=["EIO", "stall"])
def test_failing_and_slow_disks_lose_nothing(
    plan: Plan, component: Callable[[str], str], row: Callable[[Plan], Figures]
) -> None:
    """B4 and B11: an error is outlived, and nobody waits for a disk that stalls."""
    component("strace")
    held(row(plan))


@pytest.mark.parametrize("sync", ["interval", "always"])
def test_a_failed_fsync_loses_nothing(
    plan: Plan, component: Callable[[str], str], sync: str
) -> None:
    """B3: what a segment may have lost is in another one before it counts as kept."""
    component("strace")
    held(failed_fsync(plan, sync))


@pytest.mark.parametrize("signal", SIGNALS)
def test_threads_and_processes_share_an_archive(plan: Plan, signal: str) -> None:
    """D1: no two of them write to one file, and every record is there once."""
    held(crowds.crowd(plan, signal))  # type: ignore[arg-type] # one of the two


@pytest.mark.parametrize(
    "row",
    [crowds.services_together, crowds.recoveries_at_once, crowds.stopped_writer],
    ids=["services", "recoveries", "stopped"],
)
def test_many_at_once_lose_nothing(plan: Plan, row: Callable[[Plan], Figures]) -> None:
    """D4, D5 and A8: locks are respected, also of who is stopped, and work is done once."""
    held(row(plan))


@pytest.mark.timeout(300)
def test_forks_under_load_start_from_zero(plan: Plan) -> None:
    """D2: no child hangs on what a thread of its parent held, or counts what that counted."""
    held(forks_under_load(plan))


def test_killed_stores_are_made_whole(plan: Plan) -> None:
    """I-4: after the next start a store has the events of the archive, each once."""
    held(killed_stores(plan, 30))


def test_killed_windows_are_kept_once(plan: Plan) -> None:
    """I-4: each window that is over has one snapshot with every sample, and its event."""
    held(killed_windows(plan, 30))


def test_killed_playbooks_do_nothing_twice(plan: Plan) -> None:
    """M3: killed between intent and result, a run is unknown, and its action is not done again."""
    held(killed_playbooks(plan, 50))


@pytest.mark.parametrize("kind", ["ext4", "xfs"])
def test_power_cuts_let_nothing_be_done_twice(plan: Plan, kind: str) -> None:
    """M3: what ran when the power went is known to the ledger or to the audit."""
    held(cut_playbooks(plan, kind, 4))  # type: ignore[arg-type] # one of the two


def test_who_reads_and_then_writes_is_never_refused(plan: Plan) -> None:
    """I-2: no process is told that a database is busy, and what it read was the last."""
    held(mixed_operations(plan))


@pytest.mark.parametrize("row", [failing_store, failing_ledger], ids=["store", "ledger"])
def test_databases_outlive_errors_of_the_disk(
    plan: Plan, component: Callable[[str], str], row: Callable[[Plan], Figures]
) -> None:
    """I-6: nothing is taken for damaged, and what waited or was refused is written afterwards."""
    component("strace")
    held(row(plan))


@pytest.mark.parametrize("kind", ["ext4", "xfs"])
def test_power_cuts_leave_databases_whole(plan: Plan, kind: str) -> None:
    """I-4: a store has what its archive has, and a ledger's figures are the sum of its entries."""
    held(cut_databases(plan, kind, 4))  # type: ignore[arg-type] # one of the two


@pytest.mark.parametrize("removal", REMOVALS)
def test_a_removal_under_a_writer_is_seen(plan: Plan, removal: str) -> None:
    """B9 and D9: it begins anew within an interval, and counts what is gone."""
    held(removed_under_a_writer(plan, removal))


@pytest.mark.parametrize(
    "row",
    [damage.truncations, damage.flips, damage.edits, damage.tails, damage.bad_blocks],
    ids=["truncations", "flips", "edits", "tails", "blocks"],
)
def test_damaged_bytes_are_told(plan: Plan, row: Callable[[Plan], Figures]) -> None:
    """C1 to C5: `verify` finds each change, and what is whole is read."""
    held(row(plan))


@pytest.mark.parametrize(
    "row",
    [archives.exchanged, archives.rolled_back, archives.small_archives],
    ids=["exchanged", "rolled-back", "small"],
)
def test_missing_and_exchanged_segments_are_told(
    plan: Plan, row: Callable[[Plan], Figures]
) -> None:
    """C6, C7 and C9: a checkpoint shows even what nothing inside an archive can."""
    held(row(plan))


@pytest.mark.component("otelcol")
@pytest.mark.component("prometheus3")
@pytest.mark.parametrize(
    "row", [collectors.dead_agent, collectors.dead_gateway], ids=["agent", "gateway"]
)
def test_a_dead_collector_costs_nothing(
    plan: Plan, component: Callable[[str], str], row: Callable[[Plan], Figures]
) -> None:
    """F11: what was recorded meanwhile is in Prometheus afterwards, exactly."""
    component("otelcol")
    component("prometheus3")
    held(row(plan))


@pytest.mark.parametrize("row", [shared_skill, large_lines], ids=["records", "large"])
def test_files_that_processes_share_lose_nothing(
    plan: Plan, row: Callable[[Plan], Figures]
) -> None:
    """D7: whoever is killed, the lines of the others are whole, and so is what it was told."""
    held(row(plan))


class Deferring(RealFs):
    """Planted: says that a line is written, and writes it with the next one."""

    def __init__(self) -> None:
        self._held = b""

    def write(self, descriptor: int, data: bytes | memoryview) -> int:
        before, self._held = self._held, bytes(data)
        if before:
            super().write(descriptor, before)
        return len(data)


class Unsynced(RealFs):
    """Planted: acknowledges without forcing anything to the disk."""

    def sync(self, descriptor: int) -> None:
        pass

    def sync_dir(self, directory: int) -> None:
        pass


class Retrying(RealFs):
    """Planted: takes a second fsync that works for one that did the first one's work."""

    def sync(self, descriptor: int) -> None:
        try:
            super().sync(descriptor)
        except OSError:
            super().sync(descriptor)


class Sharing(RealFs):
    """Planted: every process writes to the first segment that there is."""

    def create(self, directory: int, name: str, mode: int) -> int:
        first = self._first(directory, name)
        if first == name:
            return super().create(directory, name, mode)
        return self.open(directory, first, write=True)

    def status_at(self, directory: int, name: str) -> Status | None:
        return super().status_at(directory, self._first(directory, name))

    def lock(self, descriptor: int) -> bool:
        return True

    def _first(self, directory: int, name: str) -> str:
        """Return the name of the segment that is there instead of one that is not."""
        there = [each for each in self.names(directory) if each.endswith(".ndjson")]
        return name if name in there or not name.endswith(".ndjson") else (there or [name])[0]


def test_a_planted_late_write_is_seen(plan: Plan) -> None:
    """An acknowledgement before the write is a violation that kills show."""
    load = Load(arguments=Arguments(fs=Deferring(), compression="none"))
    figures = killed_lives(plan, "planted", replace(load, pause_s=0.001), 10, 0.01, 1)

    assert figures.lost > 0


def test_a_planted_lack_of_fsync_is_seen(plan: Plan) -> None:
    """An acknowledgement before the fsync is a violation that power cuts show."""
    figures = power_cuts(plan, "ext4", "always", 5, Unsynced())
    if figures.not_run is not None:
        pytest.skip(f"not run: {figures.not_run}")

    assert figures.lost > 0
    assert figures.violations


def test_a_planted_retry_of_an_fsync_is_seen(plan: Plan, component: Callable[[str], str]) -> None:
    """An acknowledgement by an fsync that worked the second time is a violation."""
    component("strace")
    figures = failed_fsync(plan, "always", Retrying())
    if figures.not_run is not None:
        pytest.skip(f"not run: {figures.not_run}")

    assert figures.lost > 0


def test_a_planted_file_for_all_is_seen(plan: Plan) -> None:
    """Processes that share a file break its hashes, or lose lines of each other."""
    figures = crowds.crowd(plan, "events", Sharing())

    assert figures.violations


def test_a_planted_action_that_is_done_again_is_seen(plan: Plan) -> None:
    """What runs once more after a kill is told from what runs once."""
    violations = killed_playbooks(plan, 8, planted=True).violations

    assert any("done 2 times" in each for each in violations)


def test_a_planted_lack_of_a_guard_is_seen(plan: Plan) -> None:
    """Without lock and look at the last byte, a torn line takes another's with it."""

    def unguarded(path: Path, line: bytes) -> None:
        with path.open("ab", buffering=0) as file:
            half = len(line) // 2
            file.write(line[:half])
            file.write(line[half:] + b"\n")

    assert large_lines(plan, unguarded).violations
