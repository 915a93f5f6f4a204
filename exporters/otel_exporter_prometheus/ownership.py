"""Which process of a service has the port: the one that holds `owner.lock`, in which it says so.

Each process has a thread that looks at it. Where nobody holds the lock the first that looks has it,
opens the port, and sees to it that both stay: a service may close every descriptor that it finds,
and what cleans `/tmp` may take the file. Looking is a few system calls; waiting in `flock` would
take nothing, but it ends only with the owner, and a child that is forked meanwhile would share what
is waited for.

Threads: `start` runs on the caller's; from then on `otel-prometheus-owner` does all. `_condition`
guards `_stopping`; `_opening` is held while lock or port are taken, and taken by a fork.
"""

import contextlib
import json
import logging
import os
import threading
from collections.abc import Callable
from typing import Final

from otel_exporter_prometheus.errors import ListenError
from otel_exporter_prometheus.state import Lock, lock, open_folder, state_folder

__all__ = ["Ownership", "holder"]

TAKE_OVER_S: Final = 0.2
"""How often a process looks whether the owner has ended."""
KEEP_S: Final = 1.0
"""How often the owner looks after its port, and tries again to open one that is taken."""
RETRY_SOON_S: Final = 0.05
"""Between the first attempts, while the port may be that of an owner that has just ended."""
SOON: Final = 20
"""So many attempts are made at that pace; then it is said that the port is taken."""
OPENING_S: Final = 0.5
"""Who stops waits this long for a port that is being opened just now."""
TOLD_BYTES_MAX: Final = 4096
"""More than an owner says in its file."""

_logger = logging.getLogger("otel_exporter_prometheus")


class Ownership:
    """The right of one process of a service to have the port.

    Args:
        folder: the name of the service's folder.
        service: the service's name, for others that want the port.
        open_port: opens the port where it is not open, and returns it; called again and again by
            the owner.
        close_port: closes the port, where this process is the owner no longer.
    """

    def __init__(
        self,
        folder: str,
        service: str,
        open_port: Callable[[], int | None],
        close_port: Callable[[], None],
    ) -> None:
        self._folder = folder
        self._service = service
        self._open_port = open_port
        self._close_port = close_port
        self._begin()

    def _begin(self) -> None:
        self._condition = threading.Condition()
        self._opening = threading.Lock()
        self._held: Lock | None = None
        self._told: int | None = None  # the port that is written in the file
        self._stopping = False
        self._attempts = 0  # to open the port, since it was open
        self._said = False  # that it cannot be opened

    @property
    def waiting(self) -> bool:
        """Whether another process is the owner, and this one its successor."""
        return self._held is None

    @property
    def at_work(self) -> threading.Lock:
        """Held while the port is opened. A fork takes it, so that no socket is copied unseen."""
        return self._opening

    def start(self) -> None:
        """Become the owner now where nobody is, else as soon as nobody is.

        Raises:
            ListenError: this process is the owner and cannot open the port; it is tried again.
            StateError, OSError: the folder cannot be used.
        """
        try:
            self._look()
        except ListenError:
            self._said = True
            raise
        finally:
            with contextlib.suppress(RuntimeError):  # the interpreter is ending
                threading.Thread(
                    target=self._run,
                    args=(self._condition,),
                    name="otel-prometheus-owner",
                    daemon=True,
                ).start()

    def stop(self) -> None:
        """Open no port any more, and let another process have the lock. Closing a port that is open
        is the caller's, after this."""
        with self._condition:
            self._stopping = True
            self._condition.notify_all()
        if self._opening.acquire(timeout=OPENING_S):  # a port that is being opened is open then
            self._opening.release()
        held, self._held = self._held, None
        if held is not None:
            held.release()

    def after_fork(self) -> None:
        """Let go, in a forked child, of the parent's lock: the child's copy would keep it from
        others when the parent has ended."""
        held = self._held
        self._begin()
        if held is not None:
            held.close_copy()

    def _run(self, condition: threading.Condition) -> None:
        while True:
            with condition:
                condition.wait_for(lambda: self._stopping, timeout=self._pause_s())
                if self._stopping:
                    return
            try:
                self._look()
            except (OSError, RuntimeError) as error:  # RuntimeError: no thread can be had
                self._attempts += 1
                passing = isinstance(error, ListenError) and error.is_taken
                if not self._said and (self._attempts >= SOON or not passing):
                    self._said = True
                    _logger.error("%s", error)
                continue
            if self._said and self._told is not None:
                _logger.warning("the metrics page is open now")
            self._said, self._attempts = False, 0

    def _pause_s(self) -> float:
        if self._attempts:
            return RETRY_SOON_S if self._attempts < SOON else KEEP_S
        return TAKE_OVER_S if self._held is None else KEEP_S

    def _look(self) -> None:
        """Take the lock where nobody has it, and see to it that the port is open where it is ours.

        Raises:
            ListenError: the port cannot be opened.
            StateError, OSError: the folder cannot be used.
        """
        with self._opening:
            if self._stopping:
                return
            lost = self._held is not None and not self._held.is_held()
            if self._held is None or lost:
                self._held, before = self._lock(), self._held
                if before is not None:
                    before.release()
            if self._held is not None:
                self._tell(self._open_port())
            elif lost:
                self._told = None
                self._close_port()

    def _lock(self) -> Lock | None:
        return lock(os.path.join(open_folder(self._folder), "owner.lock"))

    def _tell(self, port: int | None) -> None:
        """Write into the lock's file who has which port."""
        if self._held is not None and port is not None and port != self._told:
            told = json.dumps({"port": port, "service": self._service, "process": os.getpid()})
            with contextlib.suppress(OSError):  # a full disk: then the port has no name
                self._held.write(told.encode())
            self._told = port


def holder(port: int) -> str | None:
    """Return which service of this user has a port, in words; None where none is known to."""
    with contextlib.suppress(OSError):
        root = state_folder()
        for folder in sorted(os.listdir(root)):
            told = _told(os.path.join(root, folder, "owner.lock"))
            if told.get("port") == port:
                return f"service {str(told.get('service'))!r}, process {told.get('process')}"
    return None


def _told(path: str) -> dict[str, object]:
    """Return what an owner says in the file that it holds; nothing where nobody holds it."""
    try:
        with open(path, "rb") as file:
            told = json.loads(file.read(TOLD_BYTES_MAX))
        held = lock(path)
    except (OSError, ValueError):
        return {}
    if held is not None:
        held.release()
        return {}
    return told if isinstance(told, dict) else {}
