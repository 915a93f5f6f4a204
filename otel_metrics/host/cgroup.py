"""What the kernel grants this process: its control group's usage and limits, v2 then v1.

Everything is read below a `root` that a test can fabricate. Nothing is kept but where to look,
and nothing raises: what cannot be read is None.
"""

from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Final, Literal

__all__ = ["CpuGrant", "Group", "MemoryGrant", "Source", "cpu_grant", "find_group", "memory_grant"]

Source = Literal["cgroup_v2", "cgroup_v1", "host"]

USER_HZ: Final = 100
"""Ticks a second in `cpuacct.stat`; fixed by the kernel's interface."""
NO_LIMIT_V1: Final = 1 << 60
"""From here on a v1 memory limit is the kernel's word for none."""


@dataclass(frozen=True, slots=True)
class Group:
    """Where a controller keeps this process's group.

    Attributes:
        source: which hierarchy it is of.
        folders: the group's own first, then those above it, whose limits hold as well.
        is_own: whether it is a group at all, and not the whole machine.
    """

    source: Source
    folders: tuple[Path, ...]
    is_own: bool


@dataclass(frozen=True, slots=True)
class MemoryGrant:
    """Memory of a group, in bytes. `limit` is None where there is none."""

    source: Source
    usage: int
    cached: int
    limit: int | None


@dataclass(frozen=True, slots=True)
class CpuGrant:
    """CPU time that a group has used, in seconds, and the CPUs it may use at once.

    `limit` is None where there is none.
    """

    source: Source
    user_s: float
    system_s: float
    limit: float | None


@dataclass(frozen=True, slots=True)
class _Mount:
    is_v2: bool
    controllers: frozenset[str]
    inside: str
    point: str


def find_group(controller: str, root: Path = Path("/")) -> Group | None:
    """Return the group of this process under `controller`: `memory`, `cpu` or `cpuacct`.

    The unified hierarchy is taken where it has the controller, the older one else.
    """
    paths = _parse_membership(_read(root / "proc/self/cgroup"))
    mounts = list(_parse_mounts(_read(root / "proc/self/mountinfo")))
    for mount in mounts:
        if mount.is_v2 and "" in paths:
            group = _unified(controller, _folders(root, mount, paths[""]))
            if group is not None:
                return group
    for mount in mounts:
        if controller in mount.controllers and controller in paths:
            folders = _folders(root, mount, paths[controller])
            is_own = paths[controller] != "/"
            return Group("cgroup_v1", folders, is_own=is_own) if folders else None
    return None


def memory_grant(group: Group, total: int) -> MemoryGrant | None:
    """Return the memory of the group whose limit is the tightest, else of the group itself.

    Args:
        group: as `find_group` found it for `memory`.
        total: of the machine, in bytes: what is above it limits nothing.
    """
    names = _V2_MEMORY if group.source == "cgroup_v2" else _V1_MEMORY
    limited = [
        (limit, folder)
        for folder in group.folders
        if (limit := _limit(folder / names.limit)) is not None and limit < total
    ]
    limit, folder = min(limited, key=lambda pair: pair[0]) if limited else (None, group.folders[0])
    usage = _integer(_read(folder / names.usage))
    if usage is None:
        return None
    statistics = _parse_statistics(_read(folder / "memory.stat"))
    cached = sum(statistics.get(key, 0) for key in names.cached)
    return MemoryGrant(group.source, usage, min(cached, usage), limit)


def cpu_grant(cpu: Group, accounting: Group) -> CpuGrant | None:
    """Return the CPU time of a group, and the tightest limit of it and those above.

    Args:
        cpu: the group that limits, as found for `cpu`.
        accounting: the group that counts: of v1 as found for `cpuacct`, of v2 the same.
    """
    if accounting.source == "cgroup_v2":
        statistics = _parse_statistics(_read(accounting.folders[0] / "cpu.stat"))
        divisor, keys = 1e6, ("user_usec", "system_usec")
    else:
        statistics = _parse_statistics(_read(accounting.folders[0] / "cpuacct.stat"))
        divisor, keys = USER_HZ, ("user", "system")
    if not all(key in statistics for key in keys):
        return None
    user_s, system_s = (statistics[key] / divisor for key in keys)
    limits = [limit for folder in cpu.folders if (limit := _quota(folder)) is not None]
    return CpuGrant(accounting.source, user_s, system_s, min(limits, default=None))


@dataclass(frozen=True, slots=True)
class _MemoryFiles:
    limit: str
    usage: str
    cached: tuple[str, ...]


_V2_MEMORY: Final = _MemoryFiles(
    limit="memory.max", usage="memory.current", cached=("inactive_file", "active_file")
)
_V1_MEMORY: Final = _MemoryFiles(
    limit="memory.limit_in_bytes",
    usage="memory.usage_in_bytes",
    cached=("total_inactive_file", "total_active_file"),
)


def _unified(controller: str, folders: tuple[Path, ...]) -> Group | None:
    """Return the group of the unified hierarchy, or None where that lacks the controller."""
    # The machine's own group at the top has neither of these files (kernel, cgroup-v2.rst).
    file = "memory.current" if controller == "memory" else "cpu.max"
    held = tuple(folder for folder in folders if (folder / file).exists())
    return Group("cgroup_v2", held, is_own=True) if held else None


def _folders(root: Path, mount: _Mount, path: str) -> tuple[Path, ...]:
    """Return the folders of a group and of those above it, as far as the mount shows them."""
    top = root / mount.point.lstrip("/")
    # In a container the mount may show only the container's group, under the host's path, and a
    # group outside of the namespace begins with `/..`.
    below = PurePosixPath("/" + path.removeprefix(mount.inside.rstrip("/")).lstrip("/"))
    if not path.startswith(mount.inside.rstrip("/")) or ".." in below.parts:
        below = PurePosixPath("/")
    chain = [top / str(step).lstrip("/") for step in (below, *below.parents)]
    return tuple(folder for folder in chain if folder.is_dir())


def _parse_membership(text: str) -> Mapping[str, str]:
    """Return the path of each controller in /proc/self/cgroup; of v2 under the empty name."""
    paths: dict[str, str] = {}
    for line in text.splitlines():
        _, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        paths |= dict.fromkeys(controllers.split(","), path)
    return paths


def _parse_mounts(text: str) -> Iterator[_Mount]:
    """Return the control groups' mounts in /proc/self/mountinfo (proc_pid_mountinfo(5))."""
    for line in text.splitlines():
        fields, _, after = line.partition(" - ")
        before, kind = fields.split(" "), after.split(" ")
        if len(before) > 4 and kind[0] in ("cgroup", "cgroup2"):
            yield _Mount(
                is_v2=kind[0] == "cgroup2",
                controllers=frozenset(kind[-1].split(",")) if kind[0] == "cgroup" else frozenset(),
                inside=_unescaped(before[3]),
                point=_unescaped(before[4]),
            )


def _parse_statistics(text: str) -> Mapping[str, int]:
    pairs = (line.split() for line in text.splitlines())
    return {pair[0]: int(pair[1]) for pair in pairs if len(pair) == 2 and pair[1].isdecimal()}


def _limit(path: Path) -> int | None:
    limit = _integer(_read(path))
    return limit if limit is not None and limit < NO_LIMIT_V1 else None


def _quota(folder: Path) -> float | None:
    """Return how many CPUs a group may use at once: quota ÷ period."""
    quota, _, period = _read(folder / "cpu.max").strip().partition(" ")
    if not period:
        quota = _read(folder / "cpu.cfs_quota_us").strip()
        period = _read(folder / "cpu.cfs_period_us").strip()
    if quota.isdecimal() and period.isdecimal() and int(period) > 0 and int(quota) > 0:
        return int(quota) / int(period)
    return None


def _integer(text: str) -> int | None:
    return int(text) if text.strip().isdecimal() else None


def _read(path: Path) -> str:
    with suppress(OSError):
        return path.read_text("utf-8", "replace")
    return ""


def _unescaped(field: str) -> str:
    return field.replace("\\040", " ").replace("\\011", "\t").replace("\\134", "\\")
