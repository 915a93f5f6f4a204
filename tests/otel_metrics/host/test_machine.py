"""CPU and memory of the machine, or of the group that limits this process."""

from pathlib import Path

import psutil
import pytest

from otel_metrics.host.machine import WINDOW_MIN_S, Machine
from otel_metrics.instruments import Measured

MIB = 1024 * 1024


class _Clock:
    """Monotonic seconds that pass when a test says so."""

    def __init__(self) -> None:
        self.now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


def _container(root: Path, *, user_s: float = 0.0, limited: bool = True) -> Path:
    """Fabricate a v2 container of 2 CPUs and 512 MiB, or without limits."""
    group = root / "sys/fs/cgroup"
    (root / "proc/self").mkdir(parents=True, exist_ok=True)
    group.mkdir(parents=True, exist_ok=True)
    (root / "proc/self/cgroup").write_text("0::/\n")
    mounted = "30 23 0:26 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n"
    (root / "proc/self/mountinfo").write_text(mounted)
    (group / "cpu.max").write_text("200000 100000\n" if limited else "max 100000\n")
    (group / "cpu.stat").write_text(f"user_usec {int(user_s * 1e6)}\nsystem_usec 500000\n")
    (group / "memory.max").write_text(f"{512 * MIB}\n" if limited else "max\n")
    (group / "memory.current").write_text(f"{200 * MIB}\n")
    (group / "memory.stat").write_text(f"inactive_file {50 * MIB}\nactive_file 0\n")
    return root


def _by(measured: Measured, key: str) -> dict[object, float]:
    return {attributes[key]: value for value, attributes in measured}


def _sources(measured: Measured) -> set[object]:
    return {attributes["source"] for _, attributes in measured}


def test_memory_of_a_limited_group_is_the_groups(tmp_path: Path) -> None:
    """The states add up to the limit; the page cache is not used memory."""
    machine = Machine(root=_container(tmp_path))

    states = _by(machine.memory_usage(), "system.memory.state")
    assert states == {"used": 150 * MIB, "cached": 50 * MIB, "free": 312 * MIB}
    assert list(machine.memory_limit()) == [(512 * MIB, {"source": "cgroup_v2"})]
    assert _by(machine.memory_utilization(), "system.memory.state")["used"] == 150 / 512


def test_memory_of_an_unlimited_group_is_the_machines(tmp_path: Path) -> None:
    """It may use all of it. The group's own use is reported beside it."""
    machine = Machine(root=_container(tmp_path, limited=False))

    total = psutil.virtual_memory().total
    assert list(machine.memory_limit()) == [(total, {"source": "host"})]
    assert sum(size for size, _ in machine.memory_usage()) == pytest.approx(total, rel=0.01)
    assert list(machine.container_memory_usage()) == [(200 * MIB, {"source": "cgroup_v2"})]
    assert list(machine.container_memory_limit()) == []


def test_cpu_of_a_limited_group_is_a_share_of_its_limit(tmp_path: Path) -> None:
    """1 s of CPU in 1 s, of 2 CPUs, is half."""
    clock = _Clock()
    machine = Machine(root=_container(tmp_path, user_s=10.0), clock=clock)
    clock.now_s += 1.0
    _container(tmp_path, user_s=11.0)

    assert _by(machine.cpu_utilization(), "cpu.mode") == {"user": 0.5, "system": 0.0, "idle": 0.5}
    assert _by(machine.cpu_time(), "cpu.mode") == {"user": 11.0, "system": 0.5}
    assert list(machine.container_cpu_usage()) == [(1.0, {"source": "cgroup_v2"})]


def test_who_asks_too_soon_gets_the_share_from_before(tmp_path: Path) -> None:
    """A share over a few milliseconds would be noise."""
    clock = _Clock()
    machine = Machine(root=_container(tmp_path, user_s=0.0), clock=clock)
    clock.now_s += 1.0
    _container(tmp_path, user_s=1.0)
    first = list(machine.cpu_utilization())
    clock.now_s += WINDOW_MIN_S / 2
    _container(tmp_path, user_s=2.0)

    assert list(machine.cpu_utilization()) == first


def test_there_is_no_share_at_first(tmp_path: Path) -> None:
    """Nothing is known of a window that has not passed."""
    machine = Machine(root=_container(tmp_path), clock=_Clock())

    assert list(machine.cpu_utilization()) == []
    assert list(machine.container_cpu_usage()) == []


def test_without_a_group_the_machine_is_read(tmp_path: Path) -> None:
    """And there is no container to report."""
    machine = Machine(root=tmp_path)

    assert _sources(machine.cpu_time()) == {"host"}
    assert _sources(machine.memory_usage()) == {"host"}
    assert list(machine.container_memory_usage()) == []
    assert list(machine.container_cpu_usage()) == []


def test_shares_of_the_machine_add_up_to_1(tmp_path: Path) -> None:
    """Idle included."""
    clock = _Clock()
    machine = Machine(root=tmp_path, clock=clock)
    clock.now_s += 60.0
    _spend_cpu()

    assert sum(share for share, _ in machine.cpu_utilization()) == pytest.approx(1.0)


def test_each_core_is_reported_only_where_it_is_asked_for(tmp_path: Path) -> None:
    """96 cores are 700 series."""
    together = Machine(root=tmp_path)
    apart = Machine(root=tmp_path, per_core=True)

    assert all("cpu.logical_number" not in attributes for _, attributes in together.cpu_time())
    cores = {attributes["cpu.logical_number"] for _, attributes in apart.cpu_time()}
    assert cores == set(range(psutil.cpu_count() or 0))


def test_a_group_that_vanishes_raises_nothing(tmp_path: Path) -> None:
    """A process may be moved to another group."""
    machine = Machine(root=_container(tmp_path))
    for path in (tmp_path / "sys/fs/cgroup").iterdir():
        path.unlink()

    assert _sources(machine.memory_usage()) == {"host"}
    assert _sources(machine.cpu_time()) == {"host"}
    assert list(machine.container_memory_usage()) == []


def _spend_cpu() -> None:
    """Use CPU until the kernel's counters, which move in hundredths of a second, have moved."""
    before = psutil.cpu_times()
    while psutil.cpu_times() == before:
        sum(range(10_000))
