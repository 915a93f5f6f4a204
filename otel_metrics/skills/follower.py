"""Lets a running service follow its folder of skill files: `skill.state`, and commands' decisions.

Of all processes of a service one follows, the one that holds the office. It sets the state of every
skill of the folder from the promotion logs, at start and when a log changes, whoever wrote to it;
and it counts what commands have decided (`mailboxes.py`). What the service decides itself is
counted by the process that does; the state is left to the one that follows.

Threads: `otel-metrics-skills` does all the work, twice a second or less. `at_work` is held while it
does; a fork takes it, and a shutdown, so that nothing is taken that is not exported.
"""

import contextlib
import logging
import os
import threading
import time
from collections.abc import Callable
from functools import partial
from typing import Final

from otel_metrics.skills import mailboxes, skill_files
from otel_metrics.skills import readings as read
from otel_metrics.skills.readings import History
from otel_metrics.skills.skill_files import Paths
from otel_metrics.skills.stages import count_move, forget_state, set_state, states_set

__all__ = ["FOLLOW_INTERVAL_S", "Follower"]

FOLLOW_INTERVAL_S: Final = 0.5
"""How often the folder is looked at."""
STOP_WAIT_S: Final = 0.5
"""A disk that hangs takes no more of an exit's time."""
SKILLS_MAX: Final = 2_000
"""Skills of one folder whose states are set; `skill.state` has room for fewer still."""

Signature = tuple[tuple[str, int, int, int], ...]
"""What of a skill's promotion logs changes when one is written to."""

_logger = logging.getLogger("otel_metrics.skills")


class Follower:
    """Follows a folder of skill files.

    Args:
        folder: it may be missing, and be made later.
        name, namespace: of the service.
        elected: whether this process, of all of its service, follows now.
    """

    def __init__(
        self, folder: str, *, name: str, namespace: str, elected: Callable[[], bool]
    ) -> None:
        self._folder = os.path.realpath(os.path.expanduser(folder))
        self._name = name
        self._namespace = namespace
        self._elected = elected
        self._begin_anew()

    def _begin_anew(self) -> None:
        self.at_work = threading.Lock()
        self._ending = threading.Event()
        self._works = True
        self._mailbox: str | None = None
        self._seen: dict[str, Signature] = {}

    def start(self) -> None:
        """Start the thread."""
        threading.Thread(target=self._run, name="otel-metrics-skills", daemon=True).start()

    def stop(self, deadline_s: float) -> None:
        """Take nothing more; wait a moment for what is being taken, if there is time until that
        reading of the monotonic clock."""
        self._ending.set()
        wait_s = min(STOP_WAIT_S, deadline_s - time.monotonic())
        if self.at_work.acquire(timeout=max(0.0, wait_s)):
            self.at_work.release()

    def after_fork(self) -> None:
        """Begin anew in a forked child."""
        self._begin_anew()
        self.start()

    def _run(self) -> None:
        ending, at_work = self._ending, self.at_work
        while not ending.is_set():
            with at_work:
                if not ending.is_set():
                    self._look()
            ending.wait(FOLLOW_INTERVAL_S)

    def _look(self) -> None:
        try:
            if self._elected():
                self._follow()
            else:
                self._seen.clear()  # all is said anew by who follows next
                self._leave_states()
        except Exception as error:  # noqa: BLE001  # the folder is others', and this thread goes on
            if self._works:
                _logger.warning("skill files: not followed until it works again: %s", error)
            self._works = False
        else:
            self._works = True

    def _follow(self) -> None:
        try:
            files = skill_files.found(self._folder)
        except FileNotFoundError:
            return  # nothing was recorded yet
        failure = _failure(self._take)
        for skill in list(files)[:SKILLS_MAX]:  # known all the same, whatever cannot be read
            failure = _failure(partial(self._follow_skill, skill, files[skill])) or failure
        if failure is not None:
            raise failure

    def _leave_states(self) -> None:
        """Leave the states of this folder's skills to the process that follows: what this one set
        when it moved a skill would be exported on, under its own instance, after the next move."""
        mine = states_set()
        if not mine:
            return
        with contextlib.suppress(FileNotFoundError):
            theirs = skill_files.found(self._folder)
            for skill in mine:
                if skill in theirs:
                    forget_state(skill)

    def _take(self) -> None:
        try:
            decisions = mailboxes.take(self._mailbox) if self._mailbox else []
        except FileNotFoundError:  # somebody tidied up
            self._mailbox, decisions = None, []
        if self._mailbox is None:
            self._mailbox = mailboxes.opened(self._folder, self._name, self._namespace)
            decisions = mailboxes.take(self._mailbox)
        for decision in decisions:
            count_move(decision)

    def _follow_skill(self, skill: str, files: Paths) -> None:
        signature = _signature(files)
        if self._seen.get(skill) == signature:
            return
        state = read.state(History(moves=skill_files.moves(files)))
        set_state(skill, state)
        self._seen[skill] = signature


def _failure(step: Callable[[], None]) -> OSError | None:
    """Take a step, and return why it failed."""
    try:
        step()
    except OSError as error:
        return error
    return None


def _signature(files: Paths) -> Signature:
    found = []
    for path in files.get("promotion", ()):
        status = os.stat(path)
        found.append((path, status.st_ino, status.st_size, status.st_mtime_ns))
    return tuple(found)
