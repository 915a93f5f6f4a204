"""Removes from the ledger what nobody asks for any more, some of it at a time.

Refusals, dry runs and notices go after a while; what ran stays, since its key may not run again,
and so do approvals. So do the files that dead processes left.
"""

import sqlite3
from typing import Final

from otel_metrics.remediation.clock import SECOND_US, Now
from otel_metrics.remediation.ledger import Ledger

__all__ = ["KEPT_S", "tidy"]

KEPT_S: Final = 90 * 86_400.0
"""How long what was refused, notified or a dry run is kept."""
ROWS_MAX: Final = 200
"""Rows that are removed at once, so that nobody waits long for the ledger."""

_OLD: Final = "kind = ? AND began_us < ?"
_PASSING: Final = ("refusal", "dry_run", "notice")


def tidy(ledger: Ledger) -> bool:
    """Remove some of what is old, and tell whether there may be more.

    Raises:
        LedgerError: the ledger cannot be read or written.
    """
    more_files = ledger.presence.tidy()
    kind = ledger.read(_old_kind)
    if kind is None:
        return more_files
    return ledger.write(lambda connection, now: _remove(connection, now, kind)) or more_files


def _old_kind(connection: sqlite3.Connection, now: Now) -> str | None:
    """Return a kind of which there is an old row; a look that no other process waits for."""
    for kind in _PASSING:
        asked = f"SELECT 1 FROM runs WHERE {_OLD} LIMIT 1"  # noqa: S608  # constant
        if connection.execute(asked, (kind, _before_us(now))).fetchone() is not None:
            return kind
    return None


def _remove(connection: sqlite3.Connection, now: Now, kind: str) -> bool:
    asked = f"DELETE FROM runs WHERE number IN (SELECT number FROM runs WHERE {_OLD} LIMIT ?)"  # noqa: S608  # constant
    connection.execute(asked, (kind, _before_us(now), ROWS_MAX))
    return True


def _before_us(now: Now) -> int:
    return now.us - int(KEPT_S * SECOND_US)
