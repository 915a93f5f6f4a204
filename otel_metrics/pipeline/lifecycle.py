"""Ends telemetry with the process, and begins it anew in a forked child.

Exit: `atexit`, and multiprocessing's finalizers, since its forked children skip atexit. Fork: one
set of hooks for the process, registered once (Python cannot take them back), which call whatever
is installed then.

Threads: exit hooks run on the main thread and wait, within their budget, for threads that exist
since start-up; none is started then. Fork hooks run on the thread that forks.
"""

import atexit
import logging
import multiprocessing.util
import os
from collections.abc import Callable
from dataclasses import dataclass

__all__ = ["Hooks", "install", "uninstall"]

_logger = logging.getLogger("otel_metrics.pipeline")


@dataclass(frozen=True, slots=True, kw_only=True)
class Hooks:
    """What is to happen; none may raise, and `exit` ends within its own budget."""

    exit: Callable[[], None]
    before_fork: Callable[[], None]
    after_fork_in_parent: Callable[[], None]
    after_fork_in_child: Callable[[], None]


_installed: Hooks | None = None
_registered = False


def install(hooks: Hooks) -> None:
    """Let `hooks` be called from now on, in place of any that were installed before."""
    global _installed, _registered
    _installed = hooks
    if _registered:
        return
    _registered = True
    atexit.register(_exit)
    # Run in the child after multiprocessing has cleared what finalizers the parent had.
    multiprocessing.util.register_after_fork(_exit, _finalize_child)
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(
            before=lambda: _run("before_fork"),
            after_in_parent=lambda: _run("after_fork_in_parent"),
            after_in_child=lambda: _run("after_fork_in_child"),
        )


def uninstall() -> None:
    """Call nothing any more."""
    global _installed
    _installed = None


def _exit() -> None:
    _run("exit")


def _finalize_child(_: object) -> None:
    multiprocessing.util.Finalize(None, _exit, exitpriority=0)


def _run(name: str) -> None:
    hooks = _installed
    if hooks is None:
        return
    try:
        getattr(hooks, name)()
    except Exception:
        _logger.exception("%s: telemetry may be incomplete", name)
