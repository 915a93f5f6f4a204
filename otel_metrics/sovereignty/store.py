"""Keeps sovereignty events and sessions in an SQLite file, and answers questions about them.

Several processes may write one file. What is recorded goes to the archive first, where there is
one; a row that a kill, a full queue or a damaged file cost is taken from there again.

Threads: any may call, and none waits for a lock of the database; see `keeper.py`. Questions have a
connection of their own.
"""

import contextlib
import os
import time
from collections import Counter
from collections.abc import Callable, Mapping
from datetime import timedelta
from types import TracebackType
from typing import Any, Final, Self, TypeVar

from otel_metrics import events, values
from otel_metrics.sovereignty import queries
from otel_metrics.sovereignty.arguments import game_of, one_of, session_of
from otel_metrics.sovereignty.catch_up import Archive
from otel_metrics.sovereignty.keeper import Keeper
from otel_metrics.sovereignty.kinds import EVENT_TYPES, LAYERS
from otel_metrics.sovereignty.queries import HOUR_S, Snapshot
from otel_metrics.sovereignty.recorder import record_event, record_mark
from otel_metrics.sovereignty.rows import ENDED, EVENTS, STARTED, stored_text
from otel_metrics.sqlite import DamagedError, ForeignDatabaseError

__all__ = ["DEFAULT_PATH", "SovereigntyStore"]

DEFAULT_PATH: Final = "data/sovereignty_metrics.db"
OWN_ROWS_WAIT_S: Final = 0.25
"""How long a question waits for what this process has recorded to be written."""
CLOSE_WAIT_S: Final = 2.0
"""How long `close` waits for the queue, where nothing is said."""
FLUSH_WAIT_S: Final = 10.0
"""How long `flush` waits, where nothing is said."""
Answer = TypeVar("Answer")


class SovereigntyStore:
    """Events and sessions in an SQLite file.

    What is recorded here also counts in the catalog's instruments and is emitted as an event, as
    `sovereignty.record` does. Recording raises for arguments, never for disks.

    Args:
        path: the file; its folder is made where it is missing.

    Attributes:
        path: the file, absolute.
        lost: rows that this object was given and could not keep, by reason; also records of the
            archive that it follows which cannot be kept as rows.

    Raises:
        ValueError: the file is no database of this kind.

    Example:
        >>> from otel_metrics.sovereignty import SovereigntyStore
        >>> store = SovereigntyStore("data/sovereignty_metrics.db")
        >>> store.record("decision_rule_hit", {"rule": "refund-under-20"}, session_id="s-1")
        >>> store.get_sovereignty_pct("decision", 3600)
        100.0
    """

    name: str = "sovereignty_db"
    events: str = EVENTS

    def __init__(self, path: str | os.PathLike[str] = DEFAULT_PATH) -> None:
        try:
            self._keeper = Keeper(path, self.name)
        except ForeignDatabaseError as error:
            raise ValueError(str(error)) from error
        self.path: str = self._keeper.path
        self.lost: Counter[str] = self._keeper.lost

    def record(
        self,
        event_type: str,
        metadata: Mapping[str, object] | None = None,
        *,
        session_id: str | None = None,
    ) -> None:
        """Keep one event; arguments as for `sovereignty.record`.

        Raises:
            ValueError: `event_type` is none of the nine.
        """
        kind = one_of("event_type", event_type, EVENT_TYPES)
        self._keeper.keep(record_event(kind, metadata, session_id, filed_at=self.path))

    def start_session(self, session_id: str, game: str) -> None:
        """Say that a session begins. One that has begun stays as it is; one that ended runs again.

        Raises:
            ValueError: `session_id` is no text, or empty; `game` is no text.
        """
        self._keeper.keep(
            record_mark(STARTED, session_of(session_id), game_of(game), filed_at=self.path)
        )

    def end_session(self, session_id: str) -> None:
        """Say that a session ends. Of several ends the first holds. One of a session that nobody
        has begun is kept: the beginning may still come, from another process.

        Raises:
            ValueError: `session_id` is no text, or empty.
        """
        self._keeper.keep(record_mark(ENDED, session_of(session_id), None, filed_at=self.path))

    def get_sovereignty_pct(self, layer: str, time_window: timedelta | float) -> float:
        """Return the share of a layer's work that was done without a model, 0 to 100.

        Args:
            layer: perception, decision or narration.
            time_window: how far back from now; a timedelta or seconds.

        Returns:
            0.0 where there was no work; `snapshot` tells the two apart.

        Raises:
            ValueError: an argument is none of these.
            DatabaseError: the file cannot be read.
        """
        named = one_of("layer", layer, LAYERS)
        return self._totals(time_window).share(named)["sovereignty_pct"]

    def get_cost_per_hour(self, time_window: timedelta | float) -> float:
        """Return what the window cost, in USD per hour; argument and errors as above."""
        return self._totals(time_window).cost_usd * HOUR_S / queries.seconds(time_window)

    def get_skills_crystallized(self, session_id: str | None = None) -> int:
        """Return how many skills crystallised, in a session or in all.

        A session whose id looks like a secret is found by it, though only its hash is kept.

        Raises:
            DatabaseError: the file cannot be read.
        """
        kept = events.prepared(
            {"session.id": values.identifier(session_id)}
        )  # as the recorder keeps it
        named = stored_text(kept.get("session.id"))
        return self._ask(lambda connection: queries.count_crystallized(connection, named))

    def snapshot(self, time_window: timedelta | float = HOUR_S) -> Snapshot:
        """Return shares, cost and crystallised skills as plain data; errors as above."""
        window_s = queries.seconds(time_window)
        now = time.time()
        return self._ask(
            lambda connection: queries.snapshot(connection, now=now, window_s=window_s)
        )

    def flush(self, timeout: float = FLUSH_WAIT_S) -> bool:
        """Write what waits, and tell whether that was done within `timeout` seconds."""
        return self._keeper.flush(time.monotonic() + timeout)

    def close(self, deadline_s: float | None = None) -> None:
        """Write what waits, until this reading of the monotonic clock (default: 2 s from now), and
        close the file. A later call opens it again."""
        deadline = time.monotonic() + CLOSE_WAIT_S if deadline_s is None else deadline_s
        self._keeper.close(deadline)

    def __enter__(self) -> Self:
        """Return the store."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Close it."""
        self.close()

    def take(self, name: str, attributes: Mapping[str, Any], time_ns: int) -> None:
        """Keep an event that was emitted, as `sovereignty.record` does.

        Raises:
            QueueFullError: too many wait to be written.
            UnusableEventError: it lacks what a row needs.
        """
        self._keeper.take(name, attributes, time_ns)

    def follow(self, archive: Archive) -> None:
        """Take from this archive, from now on, what the file lacks."""
        self._keeper.follow(archive)

    @property
    def trouble(self) -> str | None:
        """Why rows cannot be written at the moment; None where they can."""
        return self._keeper.trouble

    def wait(self, deadline: float) -> str | None:
        """Write what waits; return what is left at `deadline` (monotonic clock), in words."""
        if self._keeper.flush(deadline):
            return None
        why = f": {self._keeper.trouble}" if self._keeper.trouble else ""
        return f"{self._keeper.waiting} rows wait{why}"

    def after_fork(self) -> None:
        """Begin anew in a forked child, once: what waits is the parent's."""
        self._keeper.after_fork()

    def _totals(self, time_window: timedelta | float) -> queries.Totals:
        now, window_s = time.time(), queries.seconds(time_window)
        return self._ask(
            lambda connection: queries.totals(connection, since=now - window_s, until=now)
        )

    def _ask(self, question: Callable[[Any], Answer]) -> Answer:
        """Return an answer that counts what this process has recorded, unless it cannot be
        written."""
        if self._keeper.trouble is None:
            self._keeper.flush(time.monotonic() + OWN_ROWS_WAIT_S)
        reader = self._keeper.reader
        moved = len(reader.moved_aside)
        try:
            with contextlib.suppress(DamagedError), reader.read() as connection:
                return question(connection)
            with reader.read() as connection:  # of a new file, in place of the damaged one
                return question(connection)
        finally:
            if len(reader.moved_aside) > moved:
                self._keeper.look_again()
