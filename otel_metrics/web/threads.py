"""Work that waits, out of the event loop's way: `in_thread`.

Threads are daemons, so that a collection that hangs never holds up the end of the service; at most
`THREADS_MAX` of them are at work, counted under `_lock`. An event loop's own pool would wait for
them, and belongs to the service.
"""

import asyncio
import contextlib
import os
import threading
from collections.abc import Callable
from typing import Final, TypeVar

__all__ = ["THREADS_MAX", "BusyError", "in_flight", "in_thread"]

THREADS_MAX: Final = 64
"""So many requests are answered at once."""

T = TypeVar("T")

_lock = threading.Lock()
_in_flight = 0


class BusyError(Exception):
    """All threads are at work."""


def in_flight() -> int:
    """Return how many threads are at work."""
    return _in_flight


async def in_thread(work: Callable[[], T]) -> T:
    """Return what `work` returns, from a thread.

    Raises:
        BusyError: all threads are at work, or none can be had.
    """
    loop = asyncio.get_running_loop()
    future: asyncio.Future[T] = loop.create_future()

    def tell(result: T | None, error: BaseException | None) -> None:
        if future.cancelled():
            return
        if error is not None:
            future.set_exception(error)
        else:
            future.set_result(result)  # type: ignore[arg-type] # None only where T is None

    def run() -> None:
        result, error = None, None
        try:
            result = work()
        except Exception as raised:  # noqa: BLE001  # raised where it is awaited
            error = raised
        finally:
            _count(-1)
        with contextlib.suppress(RuntimeError):  # the loop is closed, and nobody waits
            loop.call_soon_threadsafe(tell, result, error)

    _count(1)
    try:
        threading.Thread(target=run, name="otel-metrics-web", daemon=True).start()
    except RuntimeError as error:
        _count(-1)
        raise BusyError from error
    return await future


def _count(change: int) -> None:
    global _in_flight
    with _lock:
        if change > 0 and _in_flight >= THREADS_MAX:
            raise BusyError
        _in_flight += change


def _begin_anew() -> None:
    """Let a forked child count for itself: the threads that are at work are its parent's."""
    global _lock, _in_flight
    _lock, _in_flight = threading.Lock(), 0


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_begin_anew)
