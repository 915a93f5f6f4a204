"""Which records are known, for millions of them: kept in a nameless file, not in memory.

Threads: one at a time.
"""

import sqlite3

__all__ = ["RecordIds"]


class RecordIds:
    """The ids of records, and how often each line was met. Gone when it is closed."""

    def __init__(self) -> None:
        self._database = sqlite3.connect("", isolation_level=None)
        self._database.execute("PRAGMA journal_mode = OFF")
        self._database.execute("PRAGMA synchronous = OFF")
        for table in ("ids (id TEXT PRIMARY KEY)", "lines (line BLOB PRIMARY KEY, met INTEGER)"):
            self._database.execute(f"CREATE TABLE {table} WITHOUT ROWID")
        self._database.execute("BEGIN")

    def add(self, record_id: str) -> bool:
        """Take an id; False where it is known already."""
        insert = "INSERT OR IGNORE INTO ids VALUES (?)"
        return self._database.execute(insert, (record_id,)).rowcount == 1

    def count_line(self, digest: bytes) -> int:
        """Return how often a line was met before, and count it."""
        upsert = "INSERT INTO lines VALUES (?, 0) ON CONFLICT DO UPDATE SET met = met + 1"
        (met,) = self._database.execute(f"{upsert} RETURNING met", (digest,)).fetchone()
        return int(met)

    def close(self) -> None:
        """Forget everything."""
        self._database.close()
