"""Asks the ledger on a thread of an event loop's executor, so that the loop waits for no writer.

What was begun ends, also where the task that waits for it is cancelled. Loaded when a reservation
is first used in asynchronous code: asyncio takes a while to import.
"""

import asyncio
import contextvars
from collections.abc import Callable
from typing import TypeVar

__all__ = ["made", "run"]

R = TypeVar("R")


async def run(work: Callable[[], R]) -> R:
    """Run `work`, and return what it returns."""
    return await asyncio.shield(_begun(work))


async def made(make: Callable[[], R], unmake: Callable[[R, BaseException], None]) -> R:
    """Run `make`; what it makes for a task that is cancelled meanwhile is given to `unmake`."""
    making = _begun(make)
    try:
        return await asyncio.shield(making)
    except asyncio.CancelledError as cancelled:
        error = cancelled

        def undo(done: "asyncio.Future[R]") -> None:
            if not done.cancelled() and done.exception() is None:
                _begun(lambda: unmake(done.result(), error))

        making.add_done_callback(undo)
        raise


def _begun(work: Callable[[], R]) -> "asyncio.Future[R]":
    context = contextvars.copy_context()
    return asyncio.get_running_loop().run_in_executor(None, context.run, work)
