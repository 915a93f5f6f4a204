"""SIGTERM: a flush within the exit budget, and then the end that the signal means.

The handler only wakes a thread that exists since start-up, and returns: the frame that it
interrupts may hold any lock, so a flush or a wait in it could deadlock. The thread flushes and
sends the signal again; this time the handler restores the default action and re-raises.

Where the service has a handler, that one stays and has the say, and so does one that is installed
later: its exit brings the exit hooks. An ignored signal stays ignored.

Threads: the handler runs on the main thread, between two steps of whatever that does, and takes no
lock; `otel-metrics-sigterm` does the rest. `install` and `uninstall` run on the caller's thread.
"""

import logging
import os
import queue
import signal
import threading
import time
from collections.abc import Callable
from types import FrameType
from typing import Any, Final, Literal

__all__ = [
    "after_fork_in_child",
    "after_fork_in_parent",
    "await_end",
    "before_fork",
    "install",
    "release",
    "uninstall",
]

RAISE_WAIT_S: Final = 0.2
"""What the main thread is given to come round to the handler; then the process is ended."""
RAISE_PAUSE_S: Final = 0.02
"""Between two signals to the main thread within that time."""
END_WAIT_S: Final = 1.0
"""What an exit waits for the end by a signal that is under way. More than it can take."""
EXIT_STATUS: Final = 143
"""Of a process that the signal does not end: 128 and the signal's number, as a shell has it."""
INIT_PID: Final = 1
"""The kernel ends no process of this id by a signal that has its default action."""
RERAISING: Final = ("uvicorn.",)
"""Modules whose handlers end with the default action raised on the main thread, before any exit
hook can run. They load the service when their handlers are in place."""

_logger = logging.getLogger("otel_metrics.pipeline")

Handler = Callable[[int, FrameType | None], Any]


class _Watch:
    """The thread that a signal wakes, and what it is to do.

    `asked` is set by the handler, `flushed` by the thread before it sends the signal again.
    """

    def __init__(self, flush: Callable[[], None]) -> None:
        self.flush = flush
        self.asked = False
        self.flushed = False
        # Its `put` may interrupt itself, as a handler does.
        self._wakes: queue.SimpleQueue[Literal["signalled", "dismissed"]] = queue.SimpleQueue()
        name = "otel-metrics-sigterm"
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def wake(self) -> None:
        self.asked = True
        self._wakes.put("signalled")

    def dismiss(self) -> None:
        """End the thread, and wait for its end, unless a signal came first."""
        self._wakes.put("dismissed")
        if not self.asked:
            self._thread.join(RAISE_WAIT_S)

    def _run(self) -> None:
        if self._wakes.get() == "signalled":
            self.flush()
            self.flushed = True
            _end()
            self.asked = False  # it is the service's now


_watch: _Watch | None = None
_kept: tuple[Handler, Handler] | None = None  # one that re-raises, and ours around it
_forking = threading.local()  # the signal mask that a thread which forks had before
_said = False


def install(flush: Callable[[], None]) -> None:
    """Let SIGTERM run `flush`, which ends within its own budget, before it ends the process.

    Only where the signal has its default action, and only from the main thread: elsewhere one log
    line says so.
    """
    global _watch
    if not hasattr(signal, "pthread_kill"):  # Windows, where nobody sends it
        return
    found = signal.getsignal(signal.SIGTERM)
    if _reraises(found):
        assert callable(found)
        _keep(found)
    if found not in (signal.SIG_DFL, _on_sigterm):
        return
    if found is not _on_sigterm and not _set(_on_sigterm):
        return
    _watch = _Watch(flush)


def uninstall() -> None:
    """Put back what was there, where ours is still in place. Only the main thread can."""
    global _watch, _kept
    watch, _watch = _watch, None
    kept, _kept = _kept, None
    if watch is not None:
        watch.dismiss()
    if threading.current_thread() is not threading.main_thread():
        return
    current = signal.getsignal(signal.SIGTERM)
    if current is _on_sigterm:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
    elif kept is not None and current is kept[1]:
        signal.signal(signal.SIGTERM, kept[0])


def before_fork() -> None:
    """Hold the signal on this thread until the fork is complete: CPython throws away what comes
    to a child before it has run its own hooks."""
    if _watch is not None:
        _forking.mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})


def after_fork_in_parent() -> None:
    """Let the signal in again."""
    mask = _forking.__dict__.pop("mask", None)
    if mask is not None:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)


def after_fork_in_child() -> None:
    """Start a thread of the child's own, and let the signal in; without one, it ends the child."""
    global _watch
    watch, _watch = _watch, None
    try:
        if watch is not None:
            _watch = _Watch(watch.flush)
    except RuntimeError:  # no thread can be had
        uninstall()
    finally:
        after_fork_in_parent()


def await_end() -> None:
    """Wait for the end by a SIGTERM under way, so that an exit does not race it for the status."""
    watch = _watch
    until = time.monotonic() + END_WAIT_S
    while watch is not None and watch.asked and time.monotonic() < until:
        time.sleep(RAISE_PAUSE_S)  # the handler runs between two of these, at the latest


def release() -> None:
    """Let a SIGTERM that was raised again on the main thread, and is held there, do its work."""
    if _kept is not None:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})


def _on_sigterm(number: int, frame: FrameType | None) -> None:
    del frame
    watch = _watch
    if watch is None or watch.flushed:
        signal.signal(number, signal.SIG_DFL)
        signal.raise_signal(number)
    else:
        watch.wake()


def _end() -> None:
    """End the process by the signal, or, where that cannot be, with its exit status."""
    main = threading.main_thread().ident
    raise_until = time.monotonic() + RAISE_WAIT_S
    while main is not None and not (_is_ours() and os.getpid() == INIT_PID):
        # More than once: one that comes just before a system call does not interrupt it.
        signal.pthread_kill(main, signal.SIGTERM)
        time.sleep(RAISE_PAUSE_S)
        if not _is_ours():
            return  # it has run; or the service has installed its own meanwhile, and has the say
        if time.monotonic() >= raise_until:
            break
    os._exit(EXIT_STATUS)


def _is_ours() -> bool:
    return signal.getsignal(signal.SIGTERM) is _on_sigterm


def _reraises(handler: object) -> bool:
    return callable(handler) and str(getattr(handler, "__module__", "")).startswith(RERAISING)


def _keep(handler: Handler) -> None:
    """Call a handler that re-raises, and hold the signal that it raises until the exit hooks ran.

    What is raised goes to the main thread alone, so that is where it is blocked; one that comes
    from outside still reaches the handler through the other threads.
    """
    global _kept

    def kept(number: int, frame: FrameType | None) -> None:
        handler(number, frame)
        signal.pthread_sigmask(signal.SIG_BLOCK, {number})

    if _set(kept):
        _kept = (handler, kept)


def _set(handler: Handler) -> bool:
    global _said
    try:
        signal.signal(signal.SIGTERM, handler)
    except ValueError:
        if not _said:
            _said = True
            _logger.warning(
                "SIGTERM ends this process without a flush: configure() was not called on the "
                "main thread, which alone can install a handler; call it there"
            )
        return False
    return True
