"""The machine's figures as service telemetry samples them: one share each of CPU, memory, disks."""

from collections.abc import Mapping

from otel_metrics.host import devices
from otel_metrics.host.machine import Machine

__all__ = ["MachineFigures"]

_AT_REST = ("idle", "iowait")
"""Values of `cpu.mode` in which no CPU works."""


class MachineFigures:
    """Figures as of host metrics, of the control group where that limits them."""

    def __init__(self) -> None:
        self._machine = Machine()

    def cpu(self) -> float | None:
        """Share of the CPUs that was busy since the call before, from 0 to 1."""
        shares = list(self._machine.cpu_utilization())
        busy = [share for share, of in shares if of.get("cpu.mode") not in _AT_REST]
        return sum(busy) if shares else None

    def memory(self) -> float | None:
        """Share of the memory that is used, without caches, from 0 to 1."""
        used = [
            share
            for share, of in self._machine.memory_utilization()
            if of.get("system.memory.state") == "used"
        ]
        return used[0] if used else None

    def disk(self) -> Mapping[str, float]:
        """Share of each local filesystem that is used, from 0 to 1, by mount point."""
        return {
            str(of["system.filesystem.mountpoint"]): share
            for share, of in devices.filesystem_utilization()
        }
