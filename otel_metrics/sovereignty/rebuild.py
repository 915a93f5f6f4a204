"""Builds a store anew from an archive, beside the old one, and puts it in its place.

Services may write meanwhile: at the end they wait for a moment, what they have recorded by then is
taken from the archive, and they go on with the new file. Rows that no archive has, because another
program inserted them, are taken over. The old file is moved aside, never deleted.
"""

import contextlib
import os
import re
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

from otel_metrics.sovereignty.catch_up import Archive, CatchUp
from otel_metrics.sovereignty.tables import SCHEMA, adopt
from otel_metrics.sqlite import SUFFIXES, Database

__all__ = ["Rebuilt", "rebuild"]

REPLACED: Final = "replaced"
"""What a file that was not damaged is called once it is aside."""
TURN_WAIT_S: Final = 60.0
"""How long to wait for a turn between services that write without a pause."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rebuilt:
    """What became of it.

    Attributes:
        path: the database.
        events, sessions: rows that it has now.
        events_before: rows that the old one had; None where there was none, or it was damaged.
        aside: where the old one is now.
    """

    path: str
    events: int
    sessions: int
    events_before: int | None
    aside: str | None


def rebuild(
    path: str | os.PathLike[str],
    archive: Archive,
    *,
    progress: Callable[[int], None] = lambda _records: None,
) -> Rebuilt:
    """Build the store at `path` anew.

    Args:
        archive: what it is to hold.
        progress: told now and then how many records were read.

    Raises:
        UnreadableArchiveError: there is no archive, or it cannot be read to its end; the old store
            stays in its place.
        DatabaseError: the file is another program's, or the disk refuses.
    """
    old = Database(path, SCHEMA, busy_wait_s=TURN_WAIT_S)
    counted: dict[str, int | None] = {"events_before": None}
    with _beside(old.path) as unfinished:
        new = Database(unfinished, SCHEMA)
        catch_up = CatchUp(new, archive)
        catch_up.run(progress)

        def last(connection: sqlite3.Connection) -> None:
            catch_up.run()
            with new.write() as target:
                if not old.is_new:
                    with contextlib.suppress(sqlite3.DatabaseError):  # damage not seen until here
                        counted["events_before"] = _count(connection, "events")
                        adopt(connection, target)
                counted["events"] = _count(target, "events")
                counted["sessions"] = _count(target, "sessions")
            new.close()

        aside = old.replace_by(unfinished, word=REPLACED, last=last)
    return Rebuilt(
        path=old.path,
        events=counted["events"] or 0,
        sessions=counted["sessions"] or 0,
        events_before=counted["events_before"],
        aside=aside,
    )


@contextmanager
def _beside(path: str) -> Iterator[str]:
    """Return a path for the unfinished file; remove it in the end, and what killed runs left."""
    folder, name = os.path.split(path)
    left = re.compile(re.escape(name) + r"\.rebuilding-(\d+)(?:-wal|-shm|-journal)?")
    for file in os.listdir(folder) if os.path.isdir(folder) else ():
        match = left.fullmatch(file)
        if match is not None and not _is_alive(int(match[1])):
            os.unlink(os.path.join(folder, file))
    unfinished = f"{path}.rebuilding-{os.getpid()}"
    try:
        yield unfinished
    finally:
        for suffix in SUFFIXES:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(unfinished + suffix)


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return pid != os.getpid()


def _count(connection: sqlite3.Connection, table: str) -> int:
    counts = {
        "events": "SELECT count(*) FROM events",
        "sessions": "SELECT count(*) FROM sessions",
    }
    return int(connection.execute(counts[table]).fetchone()[0])
