"""The functions that a service registers as sources of its metrics.

Threads: `register` is called from any thread; `_lock` guards the table, and a forked child has one
of its own. A function runs on a thread of its own, at most once at a time.
"""

import os
import threading
from collections.abc import Callable, Mapping
from typing import SupportsFloat

__all__ = ["Function", "clear", "functions", "listen", "register", "unregister"]

Function = Callable[[], SupportsFloat | Mapping[str, SupportsFloat | None] | None]
"""Returns a number, or a number by resource id, in the metric's unit; None where there is nothing
to tell now."""

_lock = threading.RLock()
_functions: dict[str, Function] = {}
_listener: Callable[[], None] | None = None


def register(metric: str, function: Function) -> None:
    """Let `function` be the source of a service metric: it is asked once in the metric's interval.

    A metric that has another source takes its values from the function from then on, and a second
    call replaces the first; the value that was holds until the new function returns one, which is
    asked within a second. The function may wait, at most as long as the metric's `timeout`. What
    it raises is counted as `service.source.errors`, and the metric has no value until it returns
    one again.

    Args:
        metric: a name of the catalog whose entry has a `source`. Another one is said in the log
            when sampling begins, and not asked.
        function: returns a number, a mapping of resource id to number, or None.

    Example:
        >>> from otel_metrics import service
        >>> service.register("infra.pod_ready_ratio", lambda: {"checkout": 100.0, "mail": 66.7})
    """
    with _lock:
        _functions[metric] = function
        listener = _listener
    if listener is not None:
        listener()


def unregister(metric: str) -> None:
    """Ask a metric's function no more; its values vanish."""
    with _lock:
        _functions.pop(metric, None)


def functions() -> Mapping[str, Function]:
    """Return what is registered, by metric."""
    with _lock:
        return dict(_functions)


def listen(listener: Callable[[], None] | None) -> None:
    """Call `listener` at each registration from now on, on the thread that registers: the first one
    starts service telemetry. None calls nobody."""
    global _listener
    with _lock:
        _listener = listener


def clear() -> None:
    """Go back to the state after import."""
    global _listener
    with _lock:
        _functions.clear()
        _listener = None


def _renew_lock() -> None:
    global _lock
    _lock = threading.RLock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_renew_lock)
