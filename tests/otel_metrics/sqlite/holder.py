"""Another process that holds a database, for tests of what waits for it."""

import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

__all__ = ["held_by_another"]

_HOLD = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
connection.execute("BEGIN IMMEDIATE")
print("held", flush=True)
sys.stdin.read()
connection.execute("COMMIT")
"""


@contextmanager
def held_by_another(path: str | Path) -> Iterator[Callable[[], None]]:
    """Let another process be inside a write transaction, until what is returned is called."""
    command = [sys.executable, "-c", _HOLD, str(path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stdout.readline() == b"held\n"
        stdin = process.stdin

        def release() -> None:
            if not stdin.closed:
                stdin.close()
                process.wait(30)

        try:
            yield release
        finally:
            release()
