"""CPU, memory and disks in one number each, for who samples them at an interval of his own.

The same figures as `system.*.utilization`. CPU is the share since the call before, so each user has
an object of his own.
"""

from collections.abc import Mapping
from typing import Final

from otel_metrics.host import devices
from otel_metrics.host.machine import Machine

__all__ = ["Figures"]

IDLE: Final = ("idle", "iowait")
"""Modes in which a CPU does nothing."""


class Figures:
    """Shares of what this process may use, from 0 to 1; of the control group where that limits.

    Used by one thread at a time.

    Args:
        machine: that is read; default this one.
    """

    def __init__(self, machine: Machine | None = None) -> None:
        self._machine = machine or Machine()

    def cpu(self) -> float | None:
        """Return the share of the CPUs that was busy since the call before; None at first, and
        sooner than `machine.WINDOW_MIN_S` after it the one before."""
        shares = {str(about["cpu.mode"]): share for share, about in self._machine.cpu_utilization()}
        if not shares:
            return None
        return min(1.0, sum(share for mode, share in shares.items() if mode not in IDLE))

    def memory(self) -> float | None:
        """Return the share of the memory that is used, without caches."""
        for share, about in self._machine.memory_utilization():
            if about["system.memory.state"] == "used":
                return share
        return None

    def disk(self) -> Mapping[str, float]:
        """Return the share of each local filesystem that is used, by mount point."""
        return {
            str(about["system.filesystem.mountpoint"]): share
            for share, about in devices.filesystem_utilization()
        }
