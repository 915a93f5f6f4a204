"""Approvals in the ledger: a row for each that was asked for.

Every function is given a connection inside a transaction.
"""

import json
import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal, cast

from otel_metrics.remediation.audit import canonical
from otel_metrics.remediation.clock import SECOND_US, Now
from otel_metrics.remediation.considering import Considered
from otel_metrics.remediation.model import Request, Value
from otel_metrics.remediation.rows import named, request_of

__all__ = [
    "Approval",
    "State",
    "by_id",
    "claim",
    "decide",
    "expire",
    "insert",
    "listed",
    "of_key",
    "overdue",
    "pending",
    "ready",
    "same",
    "stats",
    "void",
]

State = Literal["pending", "approved", "rejected", "expired"]

LISTED_MAX: Final = 1_000
"""Approvals that are returned at once."""
_SELECT: Final = (
    "SELECT number, id, key, digest, playbook, scope, target, metric, band, actor, reason, given, "
    "parameters, configuration, plan, tier, state, detail, asked_at, expires_us, expires_at, "
    "decided_by, decided_at, decision_reason, run FROM approvals"
)

_OVERDUE: Final = "(state = 'pending' OR (state = 'approved' AND run IS NULL)) AND expires_us <= ?"


@dataclass(frozen=True, slots=True, kw_only=True)
class Approval:
    """One row: what somebody is asked to agree to.

    Attributes:
        number: in the order of asking.
        request: as it was made; its actor is who asked.
        parameters: all that the steps would be given.
        plan: exactly what each step would do.
        digest: SHA-256 of that; what is run must have the same.
        state: an approved one is used once it has a `run_id`.
        detail: why it is over, where nobody decided.
        asked_at, expires_at, decided_at: Unix time in seconds. An approved one that was not run
            by `expires_at` is over.
    """

    number: int
    id: str
    request: Request
    parameters: Mapping[str, Value]
    plan: Sequence[Sequence[str]]
    configuration_sha256: str
    digest: str
    tier: int
    state: State
    detail: str
    asked_at: float
    expires_at: float
    expires_us: int
    decided_by: str | None
    decided_at: float | None
    decision_reason: str | None
    run_id: str | None


def insert(
    connection: sqlite3.Connection, now: Now, approval_id: str, considered: Considered
) -> None:
    """Ask for an approval of what was considered."""
    request = considered.request
    expires_s = considered.configuration.limits.approval_expires_s
    row = {
        "id": approval_id,
        "key": request.key,
        "digest": considered.digest,
        "playbook": request.playbook,
        "scope": request.target.scope,
        "target": request.target.id,
        "metric": request.metric,
        "band": request.band,
        "actor": request.actor,
        "reason": request.reason,
        "given": canonical(dict(request.parameters)),
        "parameters": canonical(dict(considered.parameters)),
        "configuration": considered.configuration.sha256,
        "plan": canonical([list(each) for each in considered.plan]),
        "tier": considered.tier,
        "state": "pending",
        "expires_s": expires_s,
        "asked_us": now.us,
        "asked_at": now.wall_us,
        "expires_us": now.us + int(expires_s * SECOND_US),
        "expires_at": now.wall_us + int(expires_s * SECOND_US),
    }
    names, places = ", ".join(row), ", ".join("?" * len(row))
    connection.execute(f"INSERT INTO approvals ({names}) VALUES ({places})", tuple(row.values()))  # noqa: S608  # names of columns


def by_id(connection: sqlite3.Connection, approval_id: str) -> Approval | None:
    """Return an approval."""
    return _first(connection.execute(f"{_SELECT} WHERE id = ?", (approval_id,)))


def of_key(connection: sqlite3.Connection, key: str) -> Approval | None:
    """Return the approval that was asked for with a key."""
    return _first(connection.execute(f"{_SELECT} WHERE key = ?", (key,)))


def same(connection: sqlite3.Connection, digest: str, actor: str) -> Approval | None:
    """Return the approval of the same that the same actor waits for already."""
    asked = f"{_SELECT} WHERE state = 'pending' AND digest = ? AND actor = ?"
    return _first(connection.execute(asked, (digest, actor)))


def listed(connection: sqlite3.Connection, state: State | None, limit: int) -> list[Approval]:
    """Return approvals, the newest first."""
    asked = f"{_SELECT} WHERE ?1 IS NULL OR state = ?1 ORDER BY number DESC LIMIT ?2"
    return _approvals(connection.execute(asked, (state, max(0, min(limit, LISTED_MAX)))))


def ready(connection: sqlite3.Connection, now: Now) -> list[Approval]:
    """Return what is approved and not yet run, the oldest first."""
    asked = f"{_SELECT} WHERE state = 'approved' AND run IS NULL AND expires_us > ? ORDER BY number"
    return _approvals(connection.execute(asked, (now.us,)))


def pending(connection: sqlite3.Connection) -> int:
    """Return how many wait for a person."""
    asked = "SELECT count(*) FROM approvals WHERE state = 'pending'"
    return int(connection.execute(asked).fetchone()[0])


def stats(connection: sqlite3.Connection) -> dict[str, int]:
    """Return how many there are in each state, and how many of the approved were run."""
    counts = dict.fromkeys(("pending", "approved", "rejected", "expired"), 0)
    counts.update(connection.execute("SELECT state, count(*) FROM approvals GROUP BY state"))
    (used,) = connection.execute("SELECT count(run) FROM approvals").fetchone()
    return {**counts, "run": used}


def decide(
    connection: sqlite3.Connection,
    now: Now,
    approval_id: str,
    *,
    state: State,
    actor: str,
    reason: str,
) -> bool:
    """Decide; False where nothing waits for it. What is approved has as long again to be run."""
    asked = (
        "UPDATE approvals SET state = ?1, decided_by = ?2, decided_at = ?3, decision_reason = ?4, "
        "expires_us = ?5 + CAST(expires_s * ?6 AS INTEGER), "
        "expires_at = ?3 + CAST(expires_s * ?6 AS INTEGER) "
        "WHERE id = ?7 AND state = 'pending' AND expires_us > ?5"
    )
    row = (state, actor, now.wall_us, reason, now.us, SECOND_US, approval_id)
    return connection.execute(asked, row).rowcount == 1


def claim(connection: sqlite3.Connection, now: Now, approval_id: str, run_id: str) -> bool:
    """Use an approval for a run; False where it is used, over, or was never given."""
    asked = (
        "UPDATE approvals SET run = ? WHERE id = ? AND state = 'approved' AND run IS NULL "
        "AND expires_us > ?"
    )
    return connection.execute(asked, (run_id, approval_id, now.us)).rowcount == 1


def overdue(connection: sqlite3.Connection, now: Now) -> int:
    """Return how many would be ended by `expire`."""
    asked = f"SELECT count(*) FROM approvals WHERE {_OVERDUE}"  # noqa: S608  # constant
    return int(connection.execute(asked, (now.us,)).fetchone()[0])


def expire(connection: sqlite3.Connection, now: Now) -> list[Approval]:
    """End what nobody decided, or ran, in time; return it as it is now."""
    asked = (
        "UPDATE approvals SET state = 'expired', detail = CASE state WHEN 'pending' "  # noqa: S608  # constants
        "THEN 'nobody decided in time' ELSE 'approved, and not run in time' END "
        f"WHERE {_OVERDUE} RETURNING id"
    )
    ended = [row[0] for row in connection.execute(asked, (now.us,)).fetchall()]
    return [row for each in ended if (row := by_id(connection, each)) is not None]


def void(connection: sqlite3.Connection, approval_id: str, detail: str) -> Approval | None:
    """End an approval of what would no longer be done; None where it is used or over."""
    asked = (
        "UPDATE approvals SET state = 'expired', detail = ? WHERE id = ? AND state = 'approved' "
        "AND run IS NULL"
    )
    changed = connection.execute(asked, (detail, approval_id)).rowcount
    return by_id(connection, approval_id) if changed else None


def _first(rows: sqlite3.Cursor) -> Approval | None:
    found = _approvals(rows)
    return found[0] if found else None


def _approvals(rows: sqlite3.Cursor) -> list[Approval]:
    return [_approval(row) for row in named(rows)]


def _approval(row: Mapping[str, object]) -> Approval:
    texts, numbers = cast("Mapping[str, str]", row), cast("Mapping[str, int]", row)
    return Approval(
        number=numbers["number"],
        id=texts["id"],
        request=request_of(row, parameters="given"),
        parameters=json.loads(texts["parameters"]),
        plan=json.loads(texts["plan"]),
        configuration_sha256=texts["configuration"],
        digest=texts["digest"],
        tier=numbers["tier"],
        state=cast("State", row["state"]),
        detail=texts["detail"],
        asked_at=numbers["asked_at"] / SECOND_US,
        expires_at=numbers["expires_at"] / SECOND_US,
        expires_us=numbers["expires_us"],
        decided_by=texts["decided_by"],
        decided_at=None if row["decided_at"] is None else numbers["decided_at"] / SECOND_US,
        decision_reason=texts["decision_reason"],
        run_id=texts["run"],
    )
