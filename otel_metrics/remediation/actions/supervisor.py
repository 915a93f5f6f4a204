"""Runs one program and ends everything that it started: `python -I -S supervisor.py`.

A process of its own, with one thread and nothing but the standard library: what a program needs
before it begins (limits, a session, a clean signal mask) cannot be set safely in the fork of a
service that has threads. It is the subreaper of all that the program starts (prctl(2),
PR_SET_CHILD_SUBREAPER), so that no double fork leaves its sight, and it ends them when the service
asks by SIGTERM, when the time is over, and when the service dies.

Standard input has one JSON object, the order; standard output takes one, the report.
"""

import contextlib
import ctypes
import hashlib
import json
import os
import resource
import select
import signal
import sys
import time
from collections.abc import Callable, Mapping
from typing import Any, Final

__all__ = ["OUTPUT_BYTES_MAX", "STOP_GRACE_S", "TIMEOUT_GRACE_S"]

OUTPUT_BYTES_MAX: Final = 65_536
"""Output that is kept; the rest is read and hashed."""
PROCESSES_MAX: Final = 256
"""Processes of one program at a time; one that has more is ended. Counted here, because
RLIMIT_NPROC counts all that the user runs, the threads of the service too."""
TIMEOUT_GRACE_S: Final = 2.0
"""Between SIGTERM and SIGKILL when the time is over."""
STOP_GRACE_S: Final = 1.0
"""The same when the kill switch asks for an end within 2 s."""
KILL_S: Final = 5.0
"""After so long, what SIGKILL does not end (another user's process) is left, and said."""
TICK_S: Final = 0.1
COUNT_EVERY_S: Final = 0.25
COUNT_SHARE: Final = 20
"""Processes are counted every 0.25 s, and for at most a twentieth of the time."""
READ_BYTES: Final = 65_536
READS_MAX: Final = 16
"""Reads in a row before it looks at the clock again."""
ROUNDS_MAX: Final = 20
OPEN_FILES_MAX: Final = 1_024
FILE_BYTES_MAX: Final = 1024**3
MEMORY_BYTES_MAX: Final = 16 * 1024**3

# prctl(2), Linux 3.4
_PR_SET_PDEATHSIG: Final = 1
_PR_SET_CHILD_SUBREAPER: Final = 36
_ASK_TO_STOP: Final = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


class _Output:
    """What the program says: its beginning, and a hash of all of it."""

    def __init__(self, descriptor: int) -> None:
        os.set_blocking(descriptor, False)
        self.kept = b""
        self.total = 0
        self.is_open = True
        self.hash = hashlib.sha256()
        self._descriptor = descriptor

    def fileno(self) -> int:
        return self._descriptor

    def read(self) -> None:
        for _ in range(READS_MAX):
            try:
                data = os.read(self._descriptor, READ_BYTES)
            except BlockingIOError:
                return
            if not data:
                self.is_open = False
                return
            self.total += len(data)
            self.hash.update(data)
            self.kept += data[: OUTPUT_BYTES_MAX - len(self.kept)]


class _Supervisor:
    """One run of one program."""

    def __init__(self, order: Mapping[str, Any]) -> None:
        self._order = order
        self._status: int | None = None
        self._has_children = True
        self._stop = False
        self._woken, wake = os.pipe()
        for descriptor in (self._woken, wake):
            os.set_blocking(descriptor, False)
        signal.set_wakeup_fd(wake, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        for number in _ASK_TO_STOP:
            signal.signal(number, self._ask_to_stop)
        signal.pthread_sigmask(signal.SIG_SETMASK, [])

    def run(self) -> dict[str, object]:
        if self._stop or os.getppid() != self._order["parent"]:
            return {"verdict": "stopped", "detail": "ended by the kill switch"}
        read, write = os.pipe()
        self._output = _Output(read)
        self._pid, failure = _start(self._order, write)
        os.close(write)
        if failure:
            return {"verdict": "failed", "detail": failure}
        verdict, detail = self._wait()
        status = self._status  # its own end, not the one that is put to it below
        left = self._end(verdict)
        return {
            "verdict": verdict,
            "detail": "; ".join(filter(None, (detail, left))),
            "exit_code": status,
            "output": self._output.kept.decode("latin-1"),
            "output_bytes": self._output.total,
            "output_sha256": self._output.hash.hexdigest(),
        }

    def _wait(self) -> tuple[str, str]:
        """Wait for the program's end, or for a reason to end it."""
        over = time.monotonic() + self._order["timeout_s"]
        count_at = time.monotonic() + COUNT_EVERY_S
        while True:
            self._turn(TICK_S)
            if self._status is not None:
                return ("failed" if self._status else "succeeded"), _ended(self._status)
            if self._stop:
                return "stopped", "ended by the kill switch"
            if os.getppid() != self._order["parent"]:
                return "stopped", "ended because the service is gone"
            now = time.monotonic()
            if now >= over:
                return "timed_out", f"ended after {self._order['timeout_s']:g} s"
            if now >= count_at:
                if len(_descendants()) > PROCESSES_MAX:
                    return "failed", f"ended because it had more than {PROCESSES_MAX} processes"
                counted = time.monotonic()  # on a host of many processes it takes its time
                count_at = counted + max(COUNT_EVERY_S, COUNT_SHARE * (counted - now))

    def _end(self, verdict: str) -> str:
        """End what is left of the program; return what there is to say of it."""
        self._turn(0.0)
        if not self._has_children:
            return ""
        if verdict == "succeeded" and self._order["background"]:
            return ""
        said = "what it left running was ended" if verdict == "succeeded" else ""
        grace_s = STOP_GRACE_S if verdict == "stopped" else TIMEOUT_GRACE_S
        _signal(_descendants(), signal.SIGTERM)
        self._turn_until(lambda: not self._has_children, grace_s)
        over = time.monotonic() + KILL_S
        while self._has_children and time.monotonic() < over:
            _kill_descendants()
            self._turn(0.01)
        left = len(_descendants()) if self._has_children else 0
        return f"{left} of its processes could not be ended" if left else said

    def _turn_until(self, done: Callable[[], bool], seconds: float) -> None:
        over = time.monotonic() + seconds
        while not done() and time.monotonic() < over:
            self._turn(min(TICK_S, max(0.0, over - time.monotonic())))

    def _turn(self, seconds: float) -> None:
        """Wait for output, an end or a signal, and take what is there."""
        watched = [self._woken]
        if self._output.is_open:
            watched.append(self._output.fileno())
        select.select(watched, [], [], seconds)
        with contextlib.suppress(BlockingIOError):
            os.read(self._woken, 1_024)
        self._reap()
        if self._output.is_open:
            self._output.read()

    def _reap(self) -> None:
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:  # exact: what they left would be ours by now
                self._has_children = False
                return
            if pid == 0:
                return
            if pid == self._pid:
                self._status = os.waitstatus_to_exitcode(status)

    def _ask_to_stop(self, *_: object) -> None:
        self._stop = True


def _start(order: Mapping[str, Any], output: int) -> tuple[int, str]:
    """Start the program; return its id, and why it could not be started."""
    supervisor = os.getpid()
    read, write = os.pipe()  # closed by a successful exec
    pid = os.fork()
    if pid == 0:
        try:
            _become(order, output, supervisor)
        except BaseException as error:  # noqa: BLE001  # nothing may leave this fork but by exec
            reason = getattr(error, "strerror", None) or type(error).__name__
            os.write(write, str(reason).encode()[:1_024])
        finally:
            os._exit(127)
    os.close(write)
    with open(read, "rb") as file:
        reason = file.read().decode()
    return pid, f"cannot be started: {reason}" if reason else ""


def _become(order: Mapping[str, Any], output: int, supervisor: int) -> None:
    _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != supervisor:
        raise ProcessLookupError
    os.setsid()
    signal.set_wakeup_fd(-1)
    for number in signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}:
        with contextlib.suppress(OSError, ValueError):
            signal.signal(number, signal.SIG_DFL)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(output, 1)
    os.dup2(output, 2)
    os.umask(0o077)
    os.chdir("/")
    _limit(order)
    argv = [argument.encode() for argument in order["argv"]]
    os.execve(argv[0], argv, order["environment"])  # noqa: S606  # that there is no shell is the point


def _limit(order: Mapping[str, Any]) -> None:
    limits = {resource.RLIMIT_CORE: 0, resource.RLIMIT_NOFILE: OPEN_FILES_MAX}
    if not order["background"]:  # what lives on has its own time, memory and files
        cpu_s = order["timeout_s"] * (os.cpu_count() or 1)
        limits[resource.RLIMIT_CPU] = int(cpu_s) + 5
        limits[resource.RLIMIT_FSIZE] = FILE_BYTES_MAX
        limits[resource.RLIMIT_AS] = MEMORY_BYTES_MAX
    for kind, most in limits.items():
        _, hard = resource.getrlimit(kind)
        least = most if hard == resource.RLIM_INFINITY else min(most, hard)
        resource.setrlimit(kind, (least, least))


def _ended(status: int) -> str:
    return f"exit code {status}" if status >= 0 else f"ended by signal {-status}"


def _kill_descendants() -> None:
    """Kill every descendant. Each is stopped first, so that none forks away meanwhile."""
    stopped: set[int] = set()
    for _ in range(ROUNDS_MAX):
        found = _descendants() - stopped
        if not found:
            break
        _signal(found, signal.SIGSTOP)
        stopped |= found
    _signal(stopped, signal.SIGKILL)


def _signal(pids: set[int], number: signal.Signals) -> None:
    for pid in pids:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(pid, number)


def _descendants() -> set[int]:
    """Return the children of this process, theirs, and so on."""
    children: dict[int, list[int]] = {}
    for name in os.listdir("/proc"):
        if name.isdecimal():
            with contextlib.suppress(OSError, IndexError, ValueError):
                children.setdefault(_parent(name), []).append(int(name))
    found: set[int] = set()
    waiting = [os.getpid()]
    while waiting:
        new = set(children.get(waiting.pop(), ())) - found
        found |= new
        waiting += new
    return found


def _parent(name: str) -> int:
    with open(f"/proc/{name}/stat", "rb") as file:
        return int(file.read().rpartition(b")")[2].split()[1])  # the name before may hold anything


def _prctl(option: int, value: int) -> None:
    none = ctypes.c_ulong(0)
    call = ctypes.CDLL(None, use_errno=True).prctl
    if call(option, ctypes.c_ulong(value), none, none, none) != 0:
        raise OSError(ctypes.get_errno(), "prctl")


def main() -> None:
    """Do what the order says, and report."""
    order = json.load(sys.stdin.buffer)
    try:
        _prctl(_PR_SET_CHILD_SUBREAPER, 1)
        report = _Supervisor(order).run()
    except OSError as error:  # no descriptors, no processes, a kernel that forbids it
        report = {"verdict": "failed", "detail": f"cannot be started: {error.strerror}"}
    with open(1, "wb") as file:  # all of it, whatever signals come meanwhile
        file.write(json.dumps(report).encode())


if __name__ == "__main__":
    main()
