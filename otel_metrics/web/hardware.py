"""What the machine of a service is, beside its figures: name, kind, and what is granted of it."""

import functools
import os
import platform
import socket
from collections.abc import Mapping

from otel_metrics.host import cgroup
from otel_metrics.service.snapshots import moment

__all__ = ["host_facts"]


def host_facts() -> Mapping[str, object]:
    """Return facts about this machine, and the limits of a control group where there are any."""
    # Deferred: psutil is not for services that show no machine.
    import psutil

    total = psutil.virtual_memory().total
    return {
        "name": socket.gethostname(),
        "system": platform.system(),
        "release": platform.release(),
        "architecture": platform.machine(),
        "started_at": moment(psutil.boot_time()),
        "cpus": os.cpu_count(),
        "cpu_limit": _cpu_limit(),
        "memory_bytes": total,
        "memory_limit_bytes": _memory_limit(total),
    }


def _cpu_limit() -> float | None:
    cpu, accounting = _group("cpu"), _group("cpuacct") or _group("cpu")
    granted = None if cpu is None or accounting is None else cgroup.cpu_grant(cpu, accounting)
    return None if granted is None else granted.limit


def _memory_limit(total: int) -> int | None:
    memory = _group("memory")
    granted = None if memory is None else cgroup.memory_grant(memory, total)
    return None if granted is None else granted.limit


@functools.cache
def _group(controller: str) -> cgroup.Group | None:
    return cgroup.find_group(controller)
