"""What a control group grants, read from fabricated trees: v2, v1, both, and none."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from otel_metrics.host import cgroup

MIB = 1024 * 1024
TOTAL = 8192 * MIB


def _write(root: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def _v2(root: Path, path: str, mounted: str = "/") -> None:
    _write(
        root,
        {
            "proc/self/cgroup": f"0::{path}\n",
            "proc/self/mountinfo": (
                "22 1 0:20 / /proc rw - proc proc rw\n"
                f"30 23 0:26 {mounted} /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw\n"
            ),
        },
    )


def _v1(root: Path, path: str, mounted: str = "/") -> None:
    _write(
        root,
        {
            "proc/self/cgroup": f"4:memory:{path}\n3:cpu,cpuacct:{path}\n1:name=systemd:/\n",
            "proc/self/mountinfo": (
                f"31 30 0:27 {mounted} /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n"
                f"32 30 0:28 {mounted} /sys/fs/cgroup/cpu,cpuacct rw - "
                "cgroup cgroup rw,cpu,cpuacct\n"
            ),
        },
    )


def _memory(root: Path) -> cgroup.MemoryGrant | None:
    group = cgroup.find_group("memory", root)
    return None if group is None else cgroup.memory_grant(group, TOTAL)


def _cpu(root: Path) -> cgroup.CpuGrant | None:
    cpu = cgroup.find_group("cpu", root)
    accounting = cgroup.find_group("cpuacct", root)
    if cpu is None or accounting is None:
        return None
    return cgroup.cpu_grant(cpu, accounting)


def test_memory_of_a_v2_container(tmp_path: Path) -> None:
    """Its own group is at the top of what it sees."""
    _v2(tmp_path, "/")
    _write(
        tmp_path / "sys/fs/cgroup",
        {
            "memory.current": f"{300 * MIB}\n",
            "memory.max": f"{512 * MIB}\n",
            "memory.stat": f"anon 1\ninactive_file {60 * MIB}\nactive_file {40 * MIB}\n",
        },
    )

    assert _memory(tmp_path) == cgroup.MemoryGrant("cgroup_v2", 300 * MIB, 100 * MIB, 512 * MIB)


def test_cpu_of_a_v2_container(tmp_path: Path) -> None:
    """A quota of 150 ms in 100 ms is one CPU and a half."""
    _v2(tmp_path, "/")
    _write(
        tmp_path / "sys/fs/cgroup",
        {
            "cpu.stat": "usage_usec 3000000\nuser_usec 2000000\nsystem_usec 1000000\n",
            "cpu.max": "150000 100000\n",
        },
    )

    assert _cpu(tmp_path) == cgroup.CpuGrant("cgroup_v2", 2.0, 1.0, 1.5)


def test_the_tightest_limit_of_all_groups_above_holds(tmp_path: Path) -> None:
    """And memory is that of the group which has it: there the kernel kills."""
    _v2(tmp_path, "/team/service")
    top = tmp_path / "sys/fs/cgroup"
    _write(
        top,
        {
            "team/service/memory.current": f"{10 * MIB}\n",
            "team/service/memory.max": "max\n",
            "team/memory.current": f"{90 * MIB}\n",
            "team/memory.max": f"{100 * MIB}\n",
            "team/service/cpu.stat": "user_usec 1000000\nsystem_usec 0\n",
            "team/service/cpu.max": "400000 100000\n",
            "team/cpu.max": "200000 100000\n",
        },
    )

    memory, cpu = _memory(tmp_path), _cpu(tmp_path)
    assert memory == cgroup.MemoryGrant("cgroup_v2", 90 * MIB, 0, 100 * MIB)
    assert cpu == cgroup.CpuGrant("cgroup_v2", 1.0, 0.0, 2.0)


def test_a_group_without_a_limit_has_none(tmp_path: Path) -> None:
    """`max` is the kernel's word for it."""
    _v2(tmp_path, "/service")
    _write(
        tmp_path / "sys/fs/cgroup/service",
        {
            "memory.current": "4096\n",
            "memory.max": "max\n",
            "cpu.stat": "user_usec 0\nsystem_usec 0\n",
            "cpu.max": "max 100000\n",
        },
    )

    assert _memory(tmp_path) == cgroup.MemoryGrant("cgroup_v2", 4096, 0, None)
    assert _cpu(tmp_path) == cgroup.CpuGrant("cgroup_v2", 0.0, 0.0, None)


def test_a_limit_above_the_machine_is_none(tmp_path: Path) -> None:
    """It limits nothing."""
    _v2(tmp_path, "/")
    files = {"memory.current": "4096\n", "memory.max": f"{2 * TOTAL}\n"}
    _write(tmp_path / "sys/fs/cgroup", files)

    assert _memory(tmp_path) == cgroup.MemoryGrant("cgroup_v2", 4096, 0, None)


def test_a_v1_container_sees_its_group_under_the_hosts_path(tmp_path: Path) -> None:
    """The mount shows the group itself; its path is that of the host."""
    _v1(tmp_path, "/docker/abc", mounted="/docker/abc")
    _write(
        tmp_path / "sys/fs/cgroup",
        {
            "memory/memory.usage_in_bytes": f"{300 * MIB}\n",
            "memory/memory.limit_in_bytes": f"{512 * MIB}\n",
            "memory/memory.stat": f"inactive_file 1\ntotal_inactive_file {MIB}\n",
            "cpu,cpuacct/cpuacct.stat": "user 200\nsystem 100\n",
            "cpu,cpuacct/cpu.cfs_quota_us": "50000\n",
            "cpu,cpuacct/cpu.cfs_period_us": "100000\n",
        },
    )

    assert _memory(tmp_path) == cgroup.MemoryGrant("cgroup_v1", 300 * MIB, MIB, 512 * MIB)
    assert _cpu(tmp_path) == cgroup.CpuGrant("cgroup_v1", 2.0, 1.0, 0.5)


def test_v1_without_limits(tmp_path: Path) -> None:
    """Its words for none are a huge number and -1."""
    _v1(tmp_path, "/system.slice/x.service")
    group = "system.slice/x.service"
    _write(
        tmp_path / "sys/fs/cgroup",
        {
            f"memory/{group}/memory.usage_in_bytes": "4096\n",
            f"memory/{group}/memory.limit_in_bytes": "9223372036854771712\n",
            f"cpu,cpuacct/{group}/cpuacct.stat": "user 0\nsystem 0\n",
            f"cpu,cpuacct/{group}/cpu.cfs_quota_us": "-1\n",
            f"cpu,cpuacct/{group}/cpu.cfs_period_us": "100000\n",
        },
    )

    assert _memory(tmp_path) == cgroup.MemoryGrant("cgroup_v1", 4096, 0, None)
    assert _cpu(tmp_path) == cgroup.CpuGrant("cgroup_v1", 0.0, 0.0, None)


def test_an_empty_unified_hierarchy_leaves_v1(tmp_path: Path) -> None:
    """Machines with both have the controllers in one of them."""
    _v1(tmp_path, "/service")
    with (tmp_path / "proc/self/cgroup").open("a") as membership:
        membership.write("0::/\n")
    with (tmp_path / "proc/self/mountinfo").open("a") as mounts:
        mounts.write("41 31 0:38 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n")
    _write(
        tmp_path / "sys/fs/cgroup",
        {"unified/cpu.stat": "user_usec 1\n", "memory/service/memory.usage_in_bytes": "4096\n"},
    )

    assert _memory(tmp_path) == cgroup.MemoryGrant("cgroup_v1", 4096, 0, None)


def test_a_group_outside_of_the_namespace_is_the_mounts(tmp_path: Path) -> None:
    """`/../other` cannot be followed, and is not."""
    _v2(tmp_path, "/../../other")
    _write(tmp_path / "sys/fs/cgroup", {"memory.current": "4096\n"})
    _write(tmp_path / "other", {"memory.current": "666\n"})

    assert _memory(tmp_path) == cgroup.MemoryGrant("cgroup_v2", 4096, 0, None)


def test_the_machine_itself_is_no_group(tmp_path: Path) -> None:
    """The top of v2 has statistics, and no memory.current and no cpu.max."""
    _v2(tmp_path, "/")
    _write(tmp_path / "sys/fs/cgroup", {"cpu.stat": "user_usec 1\nsystem_usec 1\n"})

    assert cgroup.find_group("memory", tmp_path) is None
    assert cgroup.find_group("cpu", tmp_path) is None


def test_a_mount_point_with_a_space_is_found(tmp_path: Path) -> None:
    """mountinfo escapes it."""
    _write(
        tmp_path,
        {
            "proc/self/cgroup": "0::/\n",
            "proc/self/mountinfo": "30 23 0:26 / /my\\040groups rw - cgroup2 cgroup2 rw\n",
            "my groups/memory.current": "4096\n",
        },
    )

    assert _memory(tmp_path) == cgroup.MemoryGrant("cgroup_v2", 4096, 0, None)


def test_no_kernel_tables_no_group(tmp_path: Path) -> None:
    """As on macOS."""
    assert cgroup.find_group("memory", tmp_path) is None


@pytest.mark.parametrize("controller", ["memory", "cpu", "cpuacct"])
def test_this_machine_is_read(controller: str) -> None:
    """Whatever it is."""
    group = cgroup.find_group(controller)

    assert group is None or all(folder.is_dir() for folder in group.folders)


@given(membership=st.text(), mountinfo=st.text(), statistics=st.text())
def test_any_text_of_the_kernel_is_read(
    tmp_path_factory: pytest.TempPathFactory, membership: str, mountinfo: str, statistics: str
) -> None:
    """Nothing raises, whatever a kernel to come writes."""
    root = tmp_path_factory.mktemp("root")
    (root / "proc/self").mkdir(parents=True)
    (root / "proc/self/cgroup").write_text(membership + "\n0::/\n", "utf-8", "replace")
    mounted = mountinfo + "\n30 23 0:26 / /cgroup rw - cgroup2 cgroup2 rw\n"
    (root / "proc/self/mountinfo").write_text(mounted, "utf-8", "replace")
    for name in ("memory.current", "memory.max", "memory.stat", "cpu.max", "cpu.stat"):
        (root / "cgroup").mkdir(exist_ok=True)
        (root / "cgroup" / name).write_text(statistics, "utf-8", "replace")

    _memory(root)
    _cpu(root)
