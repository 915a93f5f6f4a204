"""Databases that can be asked and not changed: an engine by URL.

A PostgreSQL is asked in one read-only transaction with a time limit. A SQLite file is opened to be
read, and a query that runs too long is interrupted. Of other databases we cannot promise that, so
their URL must say `?otel_trusted=true`: the account that it names should be one that only reads.

Threads: a question's own. Each opens a connection and closes it: nothing is pooled, so no question
waits for another, and a forked child shares none.
"""

import math
import sqlite3
import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Final
from urllib.parse import quote

import sqlalchemy
from sqlalchemy.engine import URL, Connection, Engine, make_url
from sqlalchemy.exc import ArgumentError, NoSuchModuleError
from sqlalchemy.pool import NullPool

from otel_metrics.service.readings import SourceError

__all__ = ["TRUSTED", "open_engine", "read_only", "shown"]

TRUSTED: Final = "otel_trusted"
"""Parameter of a URL by which an operator vouches for what we cannot hold to reading."""
CONNECT_MIN_S: Final = 2
"""libpq waits no shorter for a connection."""
LENGTH_BYTES_MAX: Final = 64 * 2**20
"""Longest text or row of SQLite's: what makes one is a single instruction, which nothing ends."""
STEPS: Final = 10_000
"""Instructions of SQLite's between two looks at the time: some tenths of a millisecond."""
IDLE_S: Final = 10
"""A server that has vanished from the network is noticed about three times as late."""


def open_engine(variable: str, text: str, timeout_s: float) -> Engine:
    """Return an engine for a URL. Nothing is connected yet.

    Args:
        variable: where the URL was set, for messages.
        timeout_s: what a question may take.

    Raises:
        SourceError: there is no such database here, or it cannot be held to reading.
    """
    try:
        url = make_url(text)
        is_trusted = str(url.query.get(TRUSTED, "")).lower() == "true"
        url = url.difference_update_query([TRUSTED])
        return _engine(variable, url, timeout_s, is_trusted=is_trusted)
    except NoSuchModuleError as error:
        raise SourceError(
            "configuration", f"{variable}={shown(url)}: {error}; install the driver's package"
        ) from None
    except ImportError as error:
        raise SourceError(
            "configuration", f"{variable}={shown(url)}: {error}; install that module"
        ) from None
    except ArgumentError:  # its message may hold the URL, with the password
        raise SourceError(
            "configuration",
            f"{variable}: not a database's URL; such as postgresql://reader@db.example/shop, "
            "or sqlite:////var/lib/shop/tasks.db",
        ) from None


def shown(url: URL) -> str:
    """Return a URL without its password and parameters."""
    return url.set(query={}).render_as_string(hide_password=True)


def read_only(engine: Engine, timeout_s: float) -> Connection:
    """Connect for one question; whoever closes the connection rolls back."""
    connection = engine.connect()
    if engine.dialect.name == "postgresql":
        try:
            connection = connection.execution_options(postgresql_readonly=True)
            connection.execute(_LIMITS, {"limit_ms": str(max(1, int(timeout_s * 1000)))})
            # By a cursor on the server: it takes nothing but a query (COPY would write files), and
            # gives no more rows than are asked for.
            connection = connection.execution_options(stream_results=True)
        except BaseException:
            connection.close()
            raise
    return connection


_LIMITS: Final = sqlalchemy.text(
    "SELECT set_config('statement_timeout', :limit_ms, true), set_config('TimeZone', 'UTC', true)"
)
"""For this transaction alone; times without a zone are UTC."""


def _engine(variable: str, url: URL, timeout_s: float, *, is_trusted: bool) -> Engine:
    backend = url.get_backend_name()
    if backend in ("postgresql", "postgres"):
        return _postgresql(url.set(drivername="postgresql+psycopg"), timeout_s)
    if backend == "sqlite":
        return _sqlite(variable, url, timeout_s)
    if is_trusted:
        return sqlalchemy.create_engine(url, poolclass=NullPool)
    raise SourceError(
        "configuration",
        f"{variable}={shown(url)}: only PostgreSQL and SQLite can be held to reading; "
        f"add ?{TRUSTED}=true if the account may read and nothing else",
    )


def _postgresql(url: URL, timeout_s: float) -> Engine:
    wanted: Mapping[str, Any] = {
        "application_name": "otel-metrics",
        "connect_timeout": max(CONNECT_MIN_S, math.ceil(timeout_s)),
        "tcp_user_timeout": max(CONNECT_MIN_S, math.ceil(timeout_s)) * 1000,
        "keepalives_idle": IDLE_S,
        "keepalives_interval": IDLE_S // 2,
        "keepalives_count": 3,
    }
    given = {name: value for name, value in wanted.items() if name not in url.query}
    # Prepared from the first time on: the server then takes one command and never two, so that no
    # query can end the read-only transaction and go on.
    return sqlalchemy.create_engine(
        url,
        poolclass=NullPool,
        use_native_hstore=False,
        connect_args={**given, "prepare_threshold": 0},
    )


def _sqlite(variable: str, url: URL, timeout_s: float) -> Engine:
    if not url.database or url.database == ":memory:":
        raise SourceError(
            "configuration",
            f"{variable}={shown(url)}: a database in memory is nobody else's; name a file",
        )
    opened = partial(_open_to_read, url.database, timeout_s)
    return sqlalchemy.create_engine("sqlite://", creator=opened, poolclass=NullPool)


def _open_to_read(path: str, timeout_s: float) -> sqlite3.Connection:
    connection = sqlite3.connect(
        f"file:{quote(path)}?mode=ro",
        uri=True,
        timeout=timeout_s,
        isolation_level=None,
        check_same_thread=False,
    )
    connection.setlimit(sqlite3.SQLITE_LIMIT_ATTACHED, 0)
    connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, LENGTH_BYTES_MAX)
    connection.execute("PRAGMA query_only=ON")
    connection.execute("PRAGMA trusted_schema=OFF")
    connection.set_progress_handler(_is_over(timeout_s), STEPS)
    return connection


def _is_over(timeout_s: float) -> Callable[[], bool]:
    deadline_s = time.monotonic() + timeout_s
    return lambda: time.monotonic() > deadline_s
