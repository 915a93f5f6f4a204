"""Ledgers for tests: a clock that is set by hand, and a look into the file by SQL alone."""

import sqlite3
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

from otel_metrics.budgets.limits import window

__all__ = ["Clock", "disagreements", "entries"]


class Clock:
    """A clock that stands where it is set; `at` is an RFC 3339 time without a zone."""

    def __init__(self, at: str) -> None:
        self.set(at)

    def set(self, at: str) -> None:
        """Stand at another time, earlier ones included."""
        self._now = datetime.fromisoformat(at).replace(tzinfo=UTC)

    def __call__(self) -> int:
        return int(self._now.timestamp() * 1_000_000) * 1000


def entries(path: Path) -> list[tuple[str | None, int | None, int | None]]:
    """Return tenant, tokens and billionths of a dollar of each spend that a file holds."""
    with closing(sqlite3.connect(path)) as file:
        return file.execute(
            "SELECT tenant, tokens, nano_usd FROM entries ORDER BY at_us"
        ).fetchall()


def disagreements(path: Path) -> list[str]:
    """Return each budget of which what is used is not the sum of its entries, in any period."""
    with closing(sqlite3.connect(path)) as file:
        assert file.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        rows = file.execute(
            "SELECT name, scope, u.subject, unit, period, starts_us, used "
            "FROM usage u JOIN budgets b ON b.id = u.budget"
        ).fetchall()
        spent = file.execute(
            "SELECT at_us, tokens, nano_usd, tenant, skill, agent FROM entries"
        ).fetchall()
    found = []
    for name, scope, subject, unit, period, starts_us, used in rows:
        column = ("tenant", "skill", "agent").index(scope) + 3 if scope != "global" else None
        total = sum(
            entry[1 if unit == "tokens" else 2] or 0
            for entry in spent
            if window(period, entry[0])[0] == starts_us
            and (column is None or entry[column] == subject)
        )
        if total != used:
            found.append(f"{name}/{subject} of {starts_us}: {used} used, entries are {total}")
    return found
