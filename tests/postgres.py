"""A real PostgreSQL of a test's own: its data, its socket and its processes are gone with it."""

import contextlib
import itertools
import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import psycopg
from psycopg import sql

from tests.e2e.services import PATIENCE_S, until

__all__ = ["PASSWORD", "Postgres", "running_postgres"]

PASSWORD = "s3cret-of-the-test"
ACCOUNTS = ("postgres", "nobody")
"""Who runs the server when the tests run as root, which it refuses: the first that there is."""


@dataclass
class Postgres:
    """A server that listens on a socket in a folder of its own.

    Attributes:
        folder: where the socket is.
        process: the server's first.
    """

    folder: Path
    process: subprocess.Popen[bytes]
    _names: Iterator[int] = field(default_factory=itertools.count)

    def url(self, database: str = "postgres", *, password: str = PASSWORD) -> str:
        """Return the URL of one of its databases."""
        return f"postgresql://tester:{password}@/{database}?host={self.folder}"

    def connect(self, database: str = "postgres") -> psycopg.Connection:
        """Connect as a test does that changes something; each statement holds at once."""
        return psycopg.connect(self.url(database), autocommit=True)

    def database(self, schema: str = "") -> str:
        """Make a database with these tables and return its name."""
        name = f"test_{os.getpid()}_{next(self._names)}"
        with self.connect() as connection:
            connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
        if schema:
            with self.connect(name) as connection:
                connection.execute(schema.encode())
        return name

    @contextlib.contextmanager
    def stopped(self) -> Iterator[None]:
        """Let the server accept and answer nothing meanwhile."""
        self.process.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self.process.send_signal(signal.SIGCONT)


@contextlib.contextmanager
def running_postgres(program: str) -> Iterator[Postgres]:
    """Run a server until the block ends.

    Args:
        program: the path of `postgres`, beside which `initdb` is.
    """
    folder = Path(tempfile.mkdtemp(prefix="otel-pg-", dir="/tmp"))  # a socket's path is short
    account = _account()
    password = folder / "password"
    password.write_text(PASSWORD)
    if account is not None:
        for path in (folder, password):
            shutil.chown(path, account)
    try:
        _initialise(Path(program).resolve().with_name("initdb"), folder, account)
        with _serving(program, folder, account) as process:
            yield Postgres(folder, process)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _account() -> str | None:
    if os.geteuid() != 0:
        return None
    known = Path("/etc/passwd").read_text()
    return next(name for name in ACCOUNTS if f"\n{name}:" in f"\n{known}")


def _initialise(initdb: Path, folder: Path, account: str | None) -> None:
    command = [
        str(initdb),
        "--no-sync",
        "--username=tester",
        "--auth=scram-sha-256",
        "--encoding=UTF8",
    ]
    places = [f"--pgdata={folder / 'data'}", f"--pwfile={folder / 'password'}"]
    done = subprocess.run(
        [*command, *places], user=account, cwd="/", capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


@contextlib.contextmanager
def _serving(program: str, folder: Path, account: str | None) -> Iterator[subprocess.Popen[bytes]]:
    settings = {
        "listen_addresses": "",
        "unix_socket_directories": str(folder),
        "fsync": "off",
        "max_connections": "50",
        "timezone": "America/New_York",  # a zone that is not UTC must change nothing
    }
    chosen = [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            [program, "-D", str(folder / "data"), *chosen],
            user=account,
            cwd="/",
            stdout=log,
            stderr=subprocess.STDOUT,
        )
    try:
        until(lambda: _answers(folder, process), what="the server does not answer")
        yield process
    finally:
        process.send_signal(signal.SIGINT)  # it ends its connections, and then itself
        process.wait(PATIENCE_S)


def _answers(folder: Path, process: subprocess.Popen[bytes]) -> bool:
    assert process.poll() is None, (folder / "log").read_text()
    with contextlib.suppress(psycopg.OperationalError):
        Postgres(folder, process).connect().close()
        return True
    return False
