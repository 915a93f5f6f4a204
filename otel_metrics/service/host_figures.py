"""The figures of the host as a source.

The figures themselves are `otel_metrics.host`'s, which a domain does not import: autoconfig hands
them in. They are read for this sampler alone and not taken from a collection, because host metrics
may be off, or be reported by another process of the service, and because a CPU share should be that
of the sampler's interval.
"""

from collections.abc import Mapping
from typing import Protocol

from otel_metrics.catalog.model import Statistic
from otel_metrics.service.readings import Readings, SourceError
from otel_metrics.service.units import share_in

__all__ = ["HostFigures", "read_host"]


class HostFigures(Protocol):
    """Shares of what this process may use, from 0 to 1; of the control group where that limits."""

    def cpu(self) -> float | None:
        """Share of the CPUs that was busy since the call before; None at first."""

    def memory(self) -> float | None:
        """Share of the memory that is used, without caches."""

    def disk(self) -> Mapping[str, float]:
        """Share of each local filesystem that is used, by mount point."""


def read_host(figures: HostFigures, statistic: Statistic | None, unit: str) -> Readings:
    """Return one figure of the host in the metric's unit; of disks one for each volume."""
    if statistic == "disk":
        return {volume: share_in(unit, share) for volume, share in figures.disk().items()}
    if statistic not in ("cpu", "memory"):
        raise SourceError("configuration", f"a host has no {statistic}; cpu, memory or disk")
    share = figures.cpu() if statistic == "cpu" else figures.memory()
    return {} if share is None else {None: share_in(unit, share)}
