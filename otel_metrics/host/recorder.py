"""Registers the figures of machine, container and process; `configure` starts it."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final, Literal

from otel_metrics import instruments
from otel_metrics.instruments import Measured

__all__ = ["Mode", "start"]

Mode = Literal["auto", "off", "per_core"]
"""`auto`: all, the CPUs together; `per_core`: CPU figures for each core; `off`: none."""

OWN: Final = ("process.", "cpython.")
"""How the names of metrics begin that are about this process and not about the machine."""


def start(
    mode: Mode = "auto", *, root: Path = Path("/"), elected: Callable[[], bool] = lambda: True
) -> None:
    """Let every collection read the machine, the container if there is one, and this process.

    Figures follow the semantic conventions 1.44. Where a control group limits CPU or memory, they
    are those of the group, and say so in `source`. Called again, it starts over.

    Args:
        mode: `auto`, `off` or `per_core`.
        root: of the file system; another one in tests.
        elected: whether this process, of all of its service, reports the machine and the container
            now. Each reports itself.
    """
    if mode == "off":
        return
    for name, read in _readers(per_core=mode == "per_core", root=root).items():
        instruments.observe(name, read if name.startswith(OWN) else _if(elected, read))


def _if(elected: Callable[[], bool], read: Callable[[], Measured]) -> Callable[[], Measured]:
    return lambda: read() if elected() else []


def _readers(*, per_core: bool, root: Path) -> Mapping[str, Callable[[], Measured]]:
    # Deferred: psutil takes 15 ms to load, and a service may have host metrics off.
    from otel_metrics.host import devices, process
    from otel_metrics.host.machine import Machine

    machine = Machine(per_core=per_core, root=root)
    return {
        "system.cpu.time": machine.cpu_time,
        "system.cpu.utilization": machine.cpu_utilization,
        "system.memory.usage": machine.memory_usage,
        "system.memory.utilization": machine.memory_utilization,
        "system.memory.limit": machine.memory_limit,
        "system.filesystem.usage": devices.filesystem_usage,
        "system.filesystem.utilization": devices.filesystem_utilization,
        "system.network.io": devices.network_io,
        "system.disk.io": devices.disk_io,
        "system.uptime": machine.uptime,
        "process.cpu.time": process.cpu_time,
        "process.memory.usage": process.memory_usage,
        "process.thread.count": process.thread_count,
        "process.unix.file_descriptor.count": process.file_descriptor_count,
        "process.uptime": process.uptime,
        "cpython.gc.collections": process.gc_collections,
        "container.cpu.usage": machine.container_cpu_usage,
        "container.memory.usage": machine.container_memory_usage,
        "container.memory.limit": machine.container_memory_limit,
    }
