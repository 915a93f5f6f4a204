"""Filesystems, disks and network interfaces of the machine.

Callbacks never wait: a network filesystem, which may hang, is not asked. What comes and goes or
stands for something else (loop devices, stacked devices, containers' interfaces) is left out, so
that the number of series is bounded and a sum counts each byte once.
"""

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final

import psutil

from otel_metrics.instruments import Measured

__all__ = ["disk_io", "filesystem_usage", "filesystem_utilization", "network_io"]

DEVICES_MAX: Final = 32
"""Filesystems, disks and interfaces that are reported at most, each."""

_READ_ONLY_IMAGES: Final = frozenset({"squashfs", "iso9660", "udf", "erofs", "cramfs"})
_MAY_HANG: Final = frozenset(
    {"nfs", "nfs4", "cifs", "smb3", "smbfs", "9p", "ceph", "glusterfs", "lustre", "afs", "davfs"}
)
_VIRTUAL_DISKS: Final = ("loop", "ram", "zram", "dm-", "md", "sr", "fd")
_PASSING_INTERFACES: Final = ("lo", "veth", "ifb", "tap", "cali", "cni", "lxc")


def filesystem_usage() -> Measured:
    """Bytes of each filesystem by state: used, free for everybody, reserved for root."""
    return [
        (
            blocks * size,
            {"system.filesystem.mountpoint": mountpoint, "system.filesystem.state": state},
        )
        for mountpoint, found in _filesystems()
        for size in (found.f_frsize,)
        for state, blocks in (
            ("used", found.f_blocks - found.f_bfree),
            ("free", found.f_bavail),
            ("reserved", found.f_bfree - found.f_bavail),
        )
    ]


def filesystem_utilization() -> Measured:
    """Used ÷ (used + free for everybody), as `df` has it: 1 is full for all but root."""
    return [
        (used / (used + found.f_bavail), {"system.filesystem.mountpoint": mountpoint})
        for mountpoint, found in _filesystems()
        for used in (found.f_blocks - found.f_bfree,)
        if used + found.f_bavail > 0
    ]


def disk_io() -> Measured:
    """Bytes read from and written to each disk since the machine started."""
    with suppress(OSError, RuntimeError, NotImplementedError):  # none here, or hidden from us
        counters = psutil.disk_io_counters(perdisk=True, nowrap=False) or {}
        names = sorted(name for name in counters if _is_disk(name))[:DEVICES_MAX]
        return [
            (size, {"disk.io.direction": direction, "system.device": name})
            for name in names
            for direction, size in (
                ("read", counters[name].read_bytes),
                ("write", counters[name].write_bytes),
            )
        ]
    return []


def network_io() -> Measured:
    """Bytes received and sent by each interface since the machine started."""
    with suppress(OSError, RuntimeError):  # hidden from us
        counters = psutil.net_io_counters(pernic=True, nowrap=False)
        names = sorted(name for name in counters if not name.startswith(_PASSING_INTERFACES))
        return [
            (size, {"network.io.direction": direction, "network.interface.name": name})
            for name in names[:DEVICES_MAX]
            for direction, size in (
                ("receive", counters[name].bytes_recv),
                ("transmit", counters[name].bytes_sent),
            )
        ]
    return []


def _filesystems() -> Iterator[tuple[str, os.statvfs_result]]:
    with suppress(OSError):  # no table of mounts
        for mountpoint in _mountpoints()[:DEVICES_MAX]:
            with suppress(OSError):  # not ours to look at, or gone
                yield mountpoint, os.statvfs(mountpoint)


def _mountpoints() -> list[str]:
    """Return one folder for each local filesystem, and the root, whatever that lies on."""
    everything = psutil.disk_partitions(all=True)
    root = [part for part in everything if part.mountpoint == "/"][-1:]
    local = {part.mountpoint for part in psutil.disk_partitions(all=False)}
    by_device: dict[str, str] = {}
    for part in [*root, *(part for part in everything if part.mountpoint in local)]:
        if part.fstype in _MAY_HANG or part.fstype in _READ_ONLY_IMAGES:
            continue
        shown = by_device.get(part.device)
        # A container sees single files of a device mounted (/etc/hosts); a folder says more.
        is_shorter = shown is None or len(part.mountpoint) < len(shown)
        if is_shorter and os.path.isdir(part.mountpoint):
            by_device[part.device] = part.mountpoint
    return sorted(by_device.values())


def _is_disk(name: str) -> bool:
    """Tell a whole disk from its partitions and from what lies on other disks."""
    blocks = Path("/sys/block")
    return not name.startswith(_VIRTUAL_DISKS) and (
        not blocks.is_dir() or (blocks / name.replace("/", "!")).exists()
    )
