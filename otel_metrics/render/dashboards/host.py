"""The machine, the process and the container that a service runs in."""

from otel_metrics.render.dashboards.asking import Asking
from otel_metrics.render.panels import Panel, Row, banded, timeseries

__all__ = ["rows"]

INSTANCE = "{{instance}}"


def rows(ask: Asking) -> tuple[Row, ...]:
    """Return the rows of the dashboard of host and pipeline that are about the host."""
    return (
        Row("Machine", _machine(ask)),
        Row("Process", _process(ask)),
        Row("Container", _container(ask)),
    )


def _machine(ask: Asking) -> tuple[Panel, ...]:
    disk, memory, cpu = (
        ask.metric(f"system.{part}.utilization") for part in ("filesystem", "memory", "cpu")
    )
    return (
        timeseries(
            "CPU",
            {INSTANCE: ask.cpu_used()},
            "percentunit",
            "Share of the CPUs in use; dashed, the bands.",
            steps=banded(cpu),
        ),
        timeseries(
            "CPU, by mode",
            {"{{cpu_mode}}": ask.each_rate("system.cpu.time", by="cpu_mode")},
            "short",
            "CPUs in each mode.",
            stacked=True,
        ),
        timeseries(
            "Memory",
            {"{{instance}} {{system_memory_state}}": ask.each("system.memory.utilization")},
            "percentunit",
            "Share of the memory in each state; dashed, the bands of what is used.",
            steps=banded(memory),
        ),
        timeseries(
            "Memory, by state",
            {
                "{{system_memory_state}}": "sum by (system_memory_state) "
                f"({ask.each('system.memory.usage')})",
                "limit": f"sum({ask.each('system.memory.limit')})",
            },
            "bytes",
            "Memory in each state, and what can be used.",
        ),
        timeseries(
            "Disks",
            {
                "{{instance}} {{system_filesystem_mountpoint}}": ask.each(
                    "system.filesystem.utilization"
                )
            },
            "percentunit",
            "Share of each filesystem in use; dashed, the bands.",
            steps=banded(disk),
        ),
        timeseries(
            "Space, by state",
            {
                "{{system_filesystem_mountpoint}} {{system_filesystem_state}}": "sum by "
                "(system_filesystem_mountpoint, system_filesystem_state) "
                f"({ask.each('system.filesystem.usage')})"
            },
            "bytes",
            "Space of each filesystem.",
        ),
        timeseries(
            "Network",
            {
                "{{network_io_direction}}": ask.each_rate(
                    "system.network.io", by="network_io_direction"
                )
            },
            "Bps",
            "Bytes a second over all interfaces.",
        ),
        timeseries(
            "Disk traffic",
            {"{{disk_io_direction}}": ask.each_rate("system.disk.io", by="disk_io_direction")},
            "Bps",
            "Bytes a second from and to all disks.",
        ),
    )


def _process(ask: Asking) -> tuple[Panel, ...]:
    return (
        timeseries(
            "CPU",
            {INSTANCE: ask.each_rate("process.cpu.time", by="instance")},
            "short",
            "CPUs that the service's processes use.",
        ),
        timeseries(
            "Memory",
            {INSTANCE: ask.each("process.memory.usage")},
            "bytes",
            "Physical memory of the service's processes.",
        ),
        timeseries(
            "Threads and files",
            {
                "{{instance}} threads": ask.each("process.thread.count"),
                "{{instance}} files": ask.each("process.unix.file_descriptor.count"),
            },
            "short",
            "Threads, and file descriptors that are open.",
        ),
        timeseries(
            "Garbage collection",
            {
                "generation {{cpython_gc_generation}}": ask.each_rate(
                    "cpython.gc.collections", by="cpython_gc_generation"
                )
            },
            "ops",
            "Runs of Python's garbage collector a second.",
        ),
        timeseries(
            "Uptime",
            {
                "{{instance}} process": ask.each("process.uptime"),
                "{{instance}} host": ask.each("system.uptime"),
            },
            "s",
            "Since the process and the host started; a fall to zero is a restart.",
        ),
    )


def _container(ask: Asking) -> tuple[Panel, ...]:
    return (
        timeseries(
            "CPU",
            {INSTANCE: ask.each("container.cpu.usage")},
            "short",
            "CPUs that the container uses; empty outside of one.",
        ),
        timeseries(
            "Memory",
            {
                INSTANCE: ask.each("container.memory.usage"),
                "{{instance}} limit": ask.each("container.memory.limit"),
            },
            "bytes",
            "Memory that the container uses, and may use; empty outside of one.",
        ),
    )
