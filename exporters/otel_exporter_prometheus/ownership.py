"""Which process of a service has the port: the one that holds `owner.lock`, in which it says so.

The others wait for that lock on a thread, without polling; the kernel gives it to one of them as
soon as the owner has ended, by whatever end. The owner opens the port, and tries again each
`RETRY_S` where it cannot, as when a dying owner still has it. It also folds what is dead.

Threads: `start` runs on the caller's; `otel-prometheus-owner` waits for the lock, opens the port
and ends. It is a daemon, and waits on where a service stops its page while another process of it
has the port: then it gives the lock back when it gets it. `_condition` guards the state.
"""

import contextlib
import errno
import json
import logging
import os
import threading
from collections.abc import Callable
from typing import Final

from otel_exporter_prometheus.errors import ListenError
from otel_exporter_prometheus.state import give, open_folder, open_lock, state_folder, take

__all__ = ["RETRY_S", "Ownership", "holder"]

RETRY_S: Final = 1.0
"""Between two attempts to open a port that is taken."""
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
        open_port: opens the port and returns it; called when this process becomes the owner, and
            again until it does not raise `ListenError`.
    """

    def __init__(self, folder: str, service: str, open_port: Callable[[], int | None]) -> None:
        self._folder = folder
        self._service = service
        self._open_port = open_port
        self._begin()

    def _begin(self) -> None:
        self._condition = threading.Condition()
        self._opening = threading.Lock()
        self._descriptor: int | None = None  # of the lock that is held or waited for
        self._owned = False
        self._stopping = False

    @property
    def owned(self) -> bool:
        """Whether this process is the owner."""
        return self._owned

    @property
    def waiting(self) -> bool:
        """Whether another process is the owner, and this one its successor."""
        return self._descriptor is not None and not self._owned

    @property
    def at_work(self) -> threading.Lock:
        """Held while the port is opened. A fork takes it, so that no socket is copied unseen."""
        return self._opening

    def start(self) -> None:
        """Become the owner now where nobody is, else as soon as nobody is.

        Raises:
            ListenError: this process is the owner and cannot open the port. Where it is only taken,
                it is tried again.
            StateError, OSError: the folder cannot be used.
        """
        path = self._path()
        self._descriptor = open_lock(path)
        with contextlib.suppress(BlockingIOError):
            self._owned = take(self._descriptor, path, wait=False)
        if not self._owned:
            self._start_thread(self._wait)
            return
        try:
            self._take_port()
        except ListenError as error:
            if _is_taken(error):
                self._start_thread(self._open_late)
            raise

    def stop(self) -> None:
        """Give up the port's lock, or the wait for it. Closing the port is the caller's, before."""
        with self._condition:
            self._stopping = True
            self._condition.notify_all()
            owned, self._owned = self._owned, False
        if self._opening.acquire(timeout=OPENING_S):  # a port that is being opened is open then
            self._opening.release()
        if owned:
            self._close()

    def after_fork(self) -> None:
        """Let go, in a forked child, of the parent's lock and of its wait for it: the child's copy
        would keep it from others when the parent has ended."""
        self._close(unlock=False)
        self._begin()

    def _close(self, *, unlock: bool = True) -> None:
        """Close the lock's file; give the lock back by itself, since a child that was forked in
        the meantime may have a copy of the descriptor."""
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            if unlock:
                give(descriptor)
            os.close(descriptor)

    def _take_port(self) -> None:
        with self._opening:
            if not self._stopping:
                self._tell(self._open_port())

    def _tell(self, port: int | None) -> None:
        """Write into the lock's file who has which port."""
        if self._descriptor is not None and port is not None:
            with contextlib.suppress(OSError):  # a full disk: then the port has no name
                told = json.dumps({"port": port, "service": self._service, "process": os.getpid()})
                os.ftruncate(self._descriptor, 0)
                os.pwrite(self._descriptor, told.encode(), 0)

    def _path(self) -> str:
        return os.path.join(open_folder(self._folder), "owner.lock")

    def _start_thread(self, work: Callable[[threading.Condition], None]) -> None:
        with contextlib.suppress(RuntimeError):  # the interpreter is ending
            threading.Thread(
                target=work, args=(self._condition,), name="otel-prometheus-owner", daemon=True
            ).start()

    def _wait(self, condition: threading.Condition) -> None:
        try:
            path = self._path()
            assert self._descriptor is not None
            while not take(self._descriptor, path, wait=True):
                self._close()  # somebody removed the file
                self._descriptor = open_lock(path)
        except OSError as error:
            _logger.warning("this process cannot take the metrics page over: %s", error)
            return
        with condition:
            self._owned = not self._stopping
        if self._owned:
            self._open(condition, said=False)
        else:
            self._close()

    def _open_late(self, condition: threading.Condition) -> None:
        self._open(condition, said=True)

    def _open(self, condition: threading.Condition, *, said: bool) -> None:
        """Open the port as soon as that goes; `said` is that it cannot be just now."""
        attempts = 0
        while not self._stopping:
            try:
                self._take_port()
            except (OSError, RuntimeError) as error:  # RuntimeError: no thread can be had
                attempts += 1
                if not said and (attempts == SOON or not _is_taken(error)):
                    said = True
                    _logger.error("%s", error)
            else:
                if said and not self._stopping:
                    _logger.warning("the metrics page is open now")
                return
            with condition:
                pause_s = RETRY_SOON_S if attempts < SOON else RETRY_S
                condition.wait_for(lambda: self._stopping, timeout=pause_s)


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
            if take(file.fileno(), path, wait=False):
                return {}
    except BlockingIOError:  # it is held, so what it says is true
        return told if isinstance(told, dict) else {}
    except (OSError, ValueError):
        pass
    return {}


def _is_taken(error: Exception) -> bool:
    return isinstance(error.__cause__, OSError) and error.__cause__.errno == errno.EADDRINUSE
