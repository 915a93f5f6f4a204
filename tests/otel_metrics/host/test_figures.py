"""CPU, memory and disks in one number each."""

import os
import time
from pathlib import Path

from otel_metrics.host.figures import Figures
from otel_metrics.host.machine import Machine

MIB = 1024 * 1024


class _Clock:
    """Monotonic seconds that pass when a test says so."""

    def __init__(self) -> None:
        self.now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


def _container(root: Path, *, busy_s: float) -> Path:
    """Fabricate a v2 container of 2 CPUs and 512 MiB."""
    group = root / "sys/fs/cgroup"
    (root / "proc/self").mkdir(parents=True, exist_ok=True)
    group.mkdir(parents=True, exist_ok=True)
    (root / "proc/self/cgroup").write_text("0::/\n")
    mounted = "30 23 0:26 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n"
    (root / "proc/self/mountinfo").write_text(mounted)
    (group / "cpu.max").write_text("200000 100000\n")
    (group / "cpu.stat").write_text(f"user_usec {int(busy_s * 1e6)}\nsystem_usec 500000\n")
    (group / "memory.max").write_text(f"{512 * MIB}\n")
    (group / "memory.current").write_text(f"{200 * MIB}\n")
    (group / "memory.stat").write_text(f"inactive_file {50 * MIB}\nactive_file 0\n")
    return root


def test_cpu_of_a_limited_group_is_the_share_of_its_limit(tmp_path: Path) -> None:
    """Since the call before; there is none at first. More than the limit is all of it."""
    clock = _Clock()
    figures = Figures(Machine(root=_container(tmp_path, busy_s=0), clock=clock))

    assert figures.cpu() is None
    clock.now_s += 10
    _container(tmp_path, busy_s=15)
    assert figures.cpu() == 0.75
    clock.now_s += 10
    _container(tmp_path, busy_s=45)
    assert figures.cpu() == 1.0


def test_memory_of_a_limited_group_is_the_share_of_its_limit(tmp_path: Path) -> None:
    """Without the page cache."""
    figures = Figures(Machine(root=_container(tmp_path, busy_s=0)))

    assert figures.memory() == 150 / 512


def test_a_real_machine_has_all_three() -> None:
    """A CPU that computes is busy, memory is used, and the root's filesystem is among the disks."""
    clock = _Clock()
    figures = Figures(Machine(clock=clock))
    until_s = time.process_time() + 0.1
    while time.process_time() < until_s:
        pass
    clock.now_s += 1

    cpu, memory, disk = figures.cpu(), figures.memory(), figures.disk()
    assert cpu is not None and 0 < cpu <= 1
    assert memory is not None and 0 < memory < 1
    assert os.path.ismount("/") == ("/" in disk)
    assert all(0 <= share <= 1 for share in disk.values())
