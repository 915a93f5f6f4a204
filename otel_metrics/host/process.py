"""Figures of this process. A forked child reads its own."""

import gc
import time

import psutil

from otel_metrics.instruments import Measured

__all__ = [
    "cpu_time",
    "file_descriptor_count",
    "gc_collections",
    "memory_usage",
    "thread_count",
    "uptime",
]


def cpu_time() -> Measured:
    """Seconds of CPU by mode, since the process started."""
    times = psutil.Process().cpu_times()
    return [(times.user, {"cpu.mode": "user"}), (times.system, {"cpu.mode": "system"})]


def memory_usage() -> Measured:
    """Bytes of physical memory."""
    return [(psutil.Process().memory_info().rss, {})]


def thread_count() -> Measured:
    """Threads, those of the interpreter and of libraries alike."""
    return [(psutil.Process().num_threads(), {})]


def file_descriptor_count() -> Measured:
    """Open file descriptors; none where the platform has no such thing."""
    process = psutil.Process()
    return [(process.num_fds(), {})] if hasattr(process, "num_fds") else []


def uptime() -> Measured:
    """Seconds since the process started."""
    return [(max(0.0, time.time() - psutil.Process().create_time()), {})]


def gc_collections() -> Measured:
    """Runs of the garbage collector by generation, since the process started."""
    return [
        (statistics["collections"], {"cpython.gc.generation": generation})
        for generation, statistics in enumerate(gc.get_stats())
    ]
