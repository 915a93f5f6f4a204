"""Faults in system calls of a running process: `strace` makes the n-th call of a kind fail.

It is attached to a process that waits, so that the start of Python is not traced and the calls are
counted from the first of the tested work on, thread by thread.
"""

import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from tests.torture.figures import NotRunError
from tests.torture.ledger import Ledger
from tests.torture.mounts import needed
from tests.torture.workers import Worker, start

__all__ = ["injected", "waiting"]

END_WAIT_S: Final = 10.0
_LOOK_S: Final = 0.0005


def waiting(body: Callable[[Ledger], None], ledger: Ledger) -> Worker:
    """Fork a process that runs `body` once its ledger says go."""

    def patient(ledger: Ledger) -> None:
        while not ledger.going:
            time.sleep(_LOOK_S)
        body(ledger)

    return start(patient, ledger)


@contextmanager
def injected(
    worker: Worker, *faults: str, log: Path | None = None, also: Sequence[str] = ()
) -> Iterator[None]:
    """Inject faults into a process for the time of a block.

    Args:
        faults: each as strace's `inject=` takes it, such as `fsync:error=EIO:when=2`.
        log: where to write every call of these kinds, with the files that it is about.
        also: kinds of calls that are only written there.

    Raises:
        NotRunError: this machine does not allow it.
    """
    names = ",".join([*[fault.partition(":")[0] for fault in faults], *also])
    command = [needed("strace", "strace"), "-f", "-e", f"trace={names}"]
    command += ["-o", "/dev/null"] if log is None else ["-y", "-o", str(log)]
    for fault in faults:
        command += ["-e", f"inject={fault}"]
    strace = subprocess.Popen([*command, "-p", str(worker.pid)], stderr=subprocess.PIPE)
    try:
        assert strace.stderr is not None
        said = strace.stderr.readline().decode(errors="replace").strip()
        if "attached" not in said:
            raise NotRunError(said)
        yield
    finally:
        strace.terminate()
        strace.communicate(timeout=END_WAIT_S)
