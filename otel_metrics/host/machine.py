"""CPU and memory of the machine, or of the part of it that the kernel grants this process.

Where a control group limits one of them, the group's figures are the ones that count, and the
attribute `source` says so. Callbacks read tables of the kernel and never wait.
"""

import time
from collections.abc import Callable, Hashable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import psutil

from otel_metrics.host import cgroup
from otel_metrics.instruments import Measured

__all__ = ["WINDOW_MIN_S", "Machine"]

WINDOW_MIN_S: Final = 0.5
"""A utilization is over at least this time; who asks sooner gets the one before."""

_MODES: Final[Mapping[str, tuple[str, ...]]] = {
    "user": ("user",),
    "system": ("system",),
    "nice": ("nice",),
    "idle": ("idle",),
    "iowait": ("iowait",),
    "interrupt": ("irq", "softirq"),
    "steal": ("steal",),
}
"""`cpu.mode` of the conventions, and the fields of psutil that it is made of."""

_Attributes = Mapping[str, str | int]


class Machine:
    """Reads CPU and memory at each collection.

    Args:
        per_core: give the CPU figures for each core, and then always the machine's.
        root: of the file system; another one in tests.
        clock: monotonic seconds.
    """

    def __init__(
        self,
        *,
        per_core: bool = False,
        root: Path = Path("/"),
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._per_core = per_core
        self._cpu = cgroup.find_group("cpu", root)
        self._accounting = cgroup.find_group("cpuacct", root) or self._cpu
        self._memory = cgroup.find_group("memory", root)
        self._shares = _Differences(clock)
        self._container = _Differences(clock)
        self.cpu_utilization()
        self.container_cpu_usage()

    def cpu_time(self) -> Measured:
        """Seconds since the start of the machine, or of the group that is limited."""
        return [(seconds, attributes) for _, attributes, seconds in self._cpu_times()]

    def cpu_utilization(self) -> Measured:
        """Shares of the CPUs, or of the limit, by mode; they add up to 1."""
        times = list(self._cpu_times())
        grant = self._limited_cpu()
        elapsed_s, spent = self._shares.since_before(
            {tuple(attributes.items()): seconds for _, attributes, seconds in times}
        )
        if grant is not None and grant.limit is not None:
            return _of_limit(spent, elapsed_s * grant.limit, grant.source)
        totals: dict[int, float] = {}
        for core, attributes, _ in times:
            totals[core] = totals.get(core, 0.0) + spent.get(tuple(attributes.items()), 0.0)
        return [
            (spent.get(tuple(attributes.items()), 0.0) / totals[core], attributes)
            for core, attributes, _ in times
            if totals[core] > 0
        ]

    def container_cpu_usage(self) -> Measured:
        """CPUs that the group uses at once; none where there is no group."""
        grant = self._cpu_grant()
        if grant is None or not self._is_contained(self._accounting, grant.limit):
            return []
        elapsed_s, spent = self._container.since_before({"all": grant.user_s + grant.system_s})
        return [(spent["all"] / elapsed_s, {"source": grant.source})] if spent else []

    def memory_usage(self) -> Measured:
        """Bytes by state; they add up to the limit."""
        states, _, source = self._memory_states()
        return [(size, _state(state, source)) for state, size in states.items()]

    def memory_utilization(self) -> Measured:
        """Shares of the limit by state."""
        states, limit, source = self._memory_states()
        return [(size / limit, _state(state, source)) for state, size in states.items() if limit]

    def memory_limit(self) -> Measured:
        """Bytes that can be used."""
        _, limit, source = self._memory_states()
        return [(limit, {"source": source})]

    def container_memory_usage(self) -> Measured:
        """Bytes that the group uses; none where there is no group."""
        grant = self._contained_memory()
        return [] if grant is None else [(grant.usage, {"source": grant.source})]

    def container_memory_limit(self) -> Measured:
        """Bytes that the group may use; none where it has no limit."""
        grant = self._contained_memory()
        if grant is None or grant.limit is None:
            return []
        return [(grant.limit, {"source": grant.source})]

    @staticmethod
    def uptime() -> Measured:
        """Seconds since the machine started, sleep included."""
        if hasattr(time, "CLOCK_BOOTTIME"):
            return [(time.clock_gettime(time.CLOCK_BOOTTIME), {})]
        return [(max(0.0, time.time() - psutil.boot_time()), {})]

    def _cpu_times(self) -> Iterator[tuple[int, _Attributes, float]]:
        """Give core, attributes and seconds of every mode; core is -1 for all together."""
        grant = self._limited_cpu()
        if grant is not None:
            yield -1, {"cpu.mode": "user", "source": grant.source}, grant.user_s
            yield -1, {"cpu.mode": "system", "source": grant.source}, grant.system_s
            return
        cores = psutil.cpu_times(percpu=True) if self._per_core else [psutil.cpu_times()]
        for core, times in enumerate(cores):
            for mode, fields in _MODES.items():
                present = [getattr(times, name) for name in fields if hasattr(times, name)]
                about: dict[str, str | int] = {"cpu.mode": mode, "source": "host"}
                if self._per_core:
                    about["cpu.logical_number"] = core
                if present:
                    yield core if self._per_core else -1, about, sum(present)

    def _cpu_grant(self) -> cgroup.CpuGrant | None:
        if self._cpu is None or self._accounting is None:
            return None
        return cgroup.cpu_grant(self._cpu, self._accounting)

    def _limited_cpu(self) -> cgroup.CpuGrant | None:
        if self._per_core:
            return None
        grant = self._cpu_grant()
        return grant if grant is not None and grant.limit is not None else None

    def _memory_grant(self) -> cgroup.MemoryGrant | None:
        if self._memory is None:
            return None
        return cgroup.memory_grant(self._memory, psutil.virtual_memory().total)

    def _contained_memory(self) -> cgroup.MemoryGrant | None:
        grant = self._memory_grant()
        if grant is None or not self._is_contained(self._memory, grant.limit):
            return None
        return grant

    def _memory_states(self) -> tuple[dict[str, int], int, cgroup.Source]:
        """Return bytes by state, their sum, and where they were read."""
        grant = self._memory_grant()
        if grant is not None and grant.limit is not None:
            states = {
                "used": grant.usage - grant.cached,
                "cached": grant.cached,
                "free": max(0, grant.limit - grant.usage),
            }
            return states, grant.limit, grant.source
        memory = psutil.virtual_memory()
        states = {
            "free": memory.free,
            "buffers": getattr(memory, "buffers", 0),
            "cached": getattr(memory, "cached", 0),
        }
        states["used"] = max(0, memory.total - sum(states.values()))
        return states, memory.total, "host"

    @staticmethod
    def _is_contained(group: cgroup.Group | None, limit: float | None) -> bool:
        return group is not None and (group.is_own or limit is not None)


@dataclass(frozen=True, slots=True)
class _Window:
    """What counters stood at when a window began, and what they grew by in the one before it."""

    began_s: float
    totals: Mapping[Hashable, float]
    elapsed_s: float = 0.0
    grown: Mapping[Hashable, float] = field(default_factory=dict)


class _Differences:
    """How much counters have grown since the time before, over a window that means something.

    Page and hub may ask at once: then both see the same window, and either leaves the next.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._window: _Window | None = None

    def since_before(
        self, totals: Mapping[Hashable, float]
    ) -> tuple[float, Mapping[Hashable, float]]:
        """Return the seconds of the window, and what each counter grew by; nothing at first."""
        now_s, window = self._clock(), self._window
        if window is None:
            window = _Window(now_s, totals)
        elif now_s - window.began_s >= WINDOW_MIN_S:
            old = window.totals
            grown = {key: max(0.0, total - old[key]) for key, total in totals.items() if key in old}
            window = _Window(now_s, totals, now_s - window.began_s, grown)
        self._window = window
        return window.elapsed_s, window.grown


def _of_limit(
    spent: Mapping[Hashable, float], available_s: float, source: cgroup.Source
) -> Measured:
    if not spent:
        return []
    shares = {
        mode: spent.get((("cpu.mode", mode), ("source", source)), 0.0) / available_s
        for mode in ("user", "system")
    }
    shares["idle"] = max(0.0, 1.0 - sum(shares.values()))
    return [(share, {"cpu.mode": mode, "source": source}) for mode, share in shares.items()]


def _state(state: str, source: cgroup.Source) -> _Attributes:
    return {"system.memory.state": state, "source": source}
