"""Every row of the harness, in groups that can be run by themselves."""

from collections.abc import Callable, Iterator
from math import ceil
from typing import Final

from tests.torture import archives, collectors, crowds, damage, disks
from tests.torture.figures import Figures
from tests.torture.forks import forks_under_load
from tests.torture.fsyncs import failed_fsync
from tests.torture.kills import SIGNALS, SYNCS, killed_in_large_writes, small_kills
from tests.torture.mounts import Kind
from tests.torture.plan import Plan
from tests.torture.playbooks import cut_playbooks, killed_playbooks
from tests.torture.power import power_cuts
from tests.torture.removals import REMOVALS, removed_under_a_writer
from tests.torture.simulated import simulated
from tests.torture.skill_files import large_lines, shared_skill
from tests.torture.store_disks import cut_databases, failing_ledger, failing_store
from tests.torture.stores import killed_stores, mixed_operations
from tests.torture.syscalls import SCENARIOS, killed_at_calls, killed_recoveries
from tests.torture.windows import killed_windows

__all__ = ["GROUPS"]

LARGE_PART: Final = 0.1
"""The part of the kills that hits large writes."""
PLAYBOOK_PART: Final = 0.1
"""The number of kills and power cuts of playbooks, as a part of those of archives."""
STORE_PART: Final = 0.05
"""The number of kills and power cuts of databases, as a part of those of archives."""
WINDOWS_PART: Final = 0.03
"""The number of kills of windows of service telemetry, likewise."""
KINDS: Final[tuple[Kind, ...]] = ("ext4", "xfs")
"""The file systems whose power is cut."""
CUT_PARTS: Final = {"always": 0.6, "interval": 0.3, "never": 0.1}
"""The part of the power cuts that each mode gets; the last is the control."""
_FSYNC: Final = (
    "a real fsync error needs a disk that refuses blocks which a file system has promised, and "
    "ext4 has answered that with a BUG in its allocator: a test must not stop a machine"
)


def _kills(plan: Plan) -> Iterator[Figures]:
    kinds = [(signal, sync) for signal in SIGNALS for sync in SYNCS]
    large = int(plan.cycles * LARGE_PART)
    for signal, sync in kinds:
        yield small_kills(plan, signal, sync, ceil((plan.cycles - large) / len(kinds)))
        yield killed_in_large_writes(plan, signal, sync, ceil(large / len(kinds)))


def _calls(plan: Plan) -> Iterator[Figures]:
    for scenario in SCENARIOS:
        yield killed_at_calls(plan, scenario)
    yield killed_recoveries(plan)


def _power(plan: Plan) -> Iterator[Figures]:
    for kind in KINDS:
        for sync, part in CUT_PARTS.items():
            yield power_cuts(plan, kind, sync, max(1, int(plan.cuts * part)))


def _crowds(plan: Plan) -> Iterator[Figures]:
    for signal in SIGNALS:
        yield crowds.crowd(plan, signal)
    yield crowds.services_together(plan)
    yield crowds.recoveries_at_once(plan)
    yield crowds.stopped_writer(plan)
    for removal in REMOVALS:
        yield removed_under_a_writer(plan, removal)


def _stores(plan: Plan) -> Iterator[Figures]:
    yield killed_stores(plan, ceil(plan.cycles * STORE_PART))
    yield killed_windows(plan, ceil(plan.cycles * WINDOWS_PART))
    yield mixed_operations(plan)
    yield failing_store(plan)
    yield failing_ledger(plan)
    for kind in KINDS:
        yield cut_databases(plan, kind, max(1, int(plan.cuts * STORE_PART)))


def _playbooks(plan: Plan) -> Iterator[Figures]:
    yield killed_playbooks(plan, ceil(plan.cycles * PLAYBOOK_PART))
    for kind in KINDS:
        yield cut_playbooks(plan, kind, max(1, int(plan.cuts * PLAYBOOK_PART)))


def _damage(plan: Plan) -> Iterator[Figures]:
    yield damage.truncations(plan)
    yield damage.flips(plan)
    yield damage.edits(plan)
    yield damage.tails(plan)
    yield damage.bad_blocks(plan)
    yield archives.exchanged(plan)
    yield archives.rolled_back(plan)
    yield archives.small_archives(plan)


def _disks(plan: Plan) -> Iterator[Figures]:
    for sync in ("always", "interval"):
        yield failed_fsync(plan, sync)
    yield Figures("B3 fsync fails on a real disk", not_run=_FSYNC)
    yield disks.failing_write(plan)
    yield disks.full(plan, "interval")
    yield disks.full(plan, "always")
    yield disks.out_of_inodes(plan)
    yield disks.floor(plan)
    yield disks.limits(plan)
    yield disks.written_to_read_only(plan)
    yield disks.stalled_fsync(plan)


def _collector(plan: Plan) -> Iterator[Figures]:
    yield collectors.dead_agent(plan)
    yield collectors.dead_gateway(plan)


GROUPS: Final[dict[str, Callable[[Plan], Iterator[Figures]]]] = {
    "kills": _kills,
    "calls": _calls,
    "power": _power,
    "disks": _disks,
    "crowds": _crowds,
    "damage": _damage,
    "files": lambda plan: iter([shared_skill(plan), large_lines(plan)]),
    "forks": lambda plan: iter([forks_under_load(plan)]),
    "playbooks": _playbooks,
    "stores": _stores,
    "collector": _collector,
    "simulated": lambda plan: iter([simulated(plan)]),
}
"""The rows of each group, run one after the other as they are asked for."""
