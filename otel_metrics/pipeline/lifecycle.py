"""Ends telemetry with the process, and begins it anew in a forked child.

Exit: `atexit`; multiprocessing's finalizers, since its forked children skip atexit; a signal of
Celery's, since processes of its pool skip both; SIGTERM (`sigterm.py`). Fork: one set of hooks for
the process, registered once (Python cannot take them back), which call whatever is installed then.

Threads: `otel-metrics-exit` exists since start-up and runs the exit hook, once; whoever ends the
process waits for it, and no longer than the budget, even where the hook comes to hang on a lock of
the service. Fork hooks run on the thread that forks.
"""

import atexit
import logging
import multiprocessing
import multiprocessing.util
import os
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from otel_metrics.pipeline import sigterm

__all__ = ["Hooks", "install", "uninstall"]

GRACE_S: Final = 0.2
"""What the exit hook may take beyond its budget before it is left behind."""
SWITCH_INTERVAL_S: Final = 0.00005
"""How long a thread that computes without pause keeps the interpreter from ours at the end. With
Python's 5 ms, four such threads make one collection, with the files that it reads, take longer than
the budget of 2 s (measured: 12 of 12 exits export nothing; with this 0.2 s, and 12 of 12)."""

_logger = logging.getLogger("otel_metrics.pipeline")


@dataclass(frozen=True, slots=True, kw_only=True)
class Hooks:
    """What is to happen; none may raise, and `exit` ends within its budget of `exit_timeout_s`."""

    exit: Callable[[], None]
    exit_timeout_s: float
    before_fork: Callable[[], None]
    after_fork_in_parent: Callable[[], None]
    after_fork_in_child: Callable[[], None]


class _Ending:
    """The exit hook, which runs at most once, on a thread that waits for it since start-up."""

    def __init__(self, hooks: Hooks) -> None:
        self._hooks = hooks
        self._asked = threading.Event()
        self._done = threading.Event()
        self._dismissed = False
        self._thread = threading.Thread(target=self._run, name="otel-metrics-exit", daemon=True)
        self._thread.start()

    def run(self) -> None:
        """Have the hook run, and wait for its end. Any thread may, at any time."""
        self._asked.set()
        self._done.wait(self._hooks.exit_timeout_s + GRACE_S)

    def dismiss(self) -> None:
        """End the thread without a run, and wait for its end, unless it has begun one."""
        idle = not self._asked.is_set()
        self._dismissed = True
        self._asked.set()
        if idle:
            self._thread.join(GRACE_S)

    def _run(self) -> None:
        self._asked.wait()
        if not self._dismissed:
            sys.setswitchinterval(min(SWITCH_INTERVAL_S, sys.getswitchinterval()))
            _call(self._hooks.exit, "exit")
        self._done.set()


_installed: Hooks | None = None
_ending: _Ending | None = None
_forking = threading.local()  # what a fork under way on this thread began with
_registered = False


def install(hooks: Hooks) -> None:
    """Let `hooks` be called from now on, in place of any that were installed before."""
    global _installed, _ending, _registered
    uninstall()
    _installed = hooks
    _ending = _Ending(hooks)
    sigterm.install(_flush)
    if multiprocessing.parent_process() is not None:
        _finalize_child(None)
    _call(_watch_celery, "celery")
    if _registered:
        return
    _registered = True
    atexit.register(_exit)
    # Run in the child after multiprocessing has cleared what finalizers the parent had.
    multiprocessing.util.register_after_fork(_exit, _finalize_child)
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(
            before=_before_fork,
            after_in_parent=_after_fork_in_parent,
            after_in_child=_after_fork_in_child,
        )


def uninstall() -> None:
    """Call nothing any more, and put back the service's handling of SIGTERM."""
    global _installed, _ending
    _installed = None
    ending, _ending = _ending, None
    if ending is not None:
        ending.dismiss()
    sigterm.uninstall()


def _exit() -> None:
    """End telemetry with the interpreter, which goes on to end."""
    _flush()
    sigterm.await_end()
    sigterm.release()
    uninstall()


def _flush() -> None:
    ending = _ending
    if ending is not None:
        ending.run()


def _finalize_child(_: object) -> None:
    multiprocessing.util.Finalize(None, _exit, exitpriority=0)


def _watch_celery() -> None:
    """Have the exit hook run in the processes of Celery's pool, which end by `os._exit`.

    Looked up, not imported: where Celery is not loaded, nobody forks for it.
    """
    signals = sys.modules.get("celery.signals")
    if signals is not None:
        signals.worker_process_shutdown.connect(
            _on_pool_process_end, weak=False, dispatch_uid=__name__
        )


def _on_pool_process_end(**_: object) -> None:
    _flush()


def _before_fork() -> None:
    _forking.hooks = hooks = _installed
    if hooks is not None:
        _call(_watch_celery, "celery")
        _call(hooks.before_fork, "before_fork")
    sigterm.before_fork()


def _after_fork_in_parent() -> None:
    sigterm.after_fork_in_parent()
    hooks: Hooks | None = getattr(_forking, "hooks", None)
    if hooks is not None:
        _call(hooks.after_fork_in_parent, "after_fork_in_parent")


def _after_fork_in_child() -> None:
    global _ending
    hooks: Hooks | None = getattr(_forking, "hooks", None)
    _ending = None
    if hooks is not None:
        _call(hooks.after_fork_in_child, "after_fork_in_child")
        try:
            _ending = _Ending(hooks)
        except RuntimeError as error:  # a limit of processes
            _logger.warning("%s in a forked child: nothing that it records is exported", error)
    sigterm.after_fork_in_child()


def _call(hook: Callable[[], None], name: str) -> None:
    try:
        hook()
    except Exception:
        _logger.exception("%s: telemetry may be incomplete", name)
