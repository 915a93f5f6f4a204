"""The transactions that decide: whether a run begins, somebody is asked, or a request is noted.

Each is one `BEGIN IMMEDIATE`: the key, the limits and the one-at-a-time rule are looked at, and the
row and the audit's entries written, beside nobody else. Every function is given a connection inside
it, and returns an outcome where there is nothing more to do.
"""

import secrets
import sqlite3
from collections.abc import Mapping, Sequence
from typing import Final

from otel_metrics.remediation import approval_rows, entries, limits, runs
from otel_metrics.remediation.approval_rows import Approval
from otel_metrics.remediation.audit import APPROVAL, INTENT, REQUESTED, RESULT, Entry
from otel_metrics.remediation.clock import Now
from otel_metrics.remediation.considering import Considered
from otel_metrics.remediation.errors import LedgerError
from otel_metrics.remediation.limits import HOUR_US, Asked
from otel_metrics.remediation.model import Decision, Outcome, Request, Result
from otel_metrics.remediation.runs import Kind, NewRun, Run, StepRecord
from otel_metrics.remediation.trail import OUTBOX_MAX, put, waiting

__all__ = [
    "admit",
    "ask",
    "dry_run",
    "end",
    "held",
    "is_noted",
    "new_id",
    "notice",
    "outlook",
    "refuse",
]

APPROVALS_PENDING_MAX: Final = 100
"""Approvals that wait at once; with more nobody is asked."""
REFUSALS_PER_HOUR: Final = 100
"""Refused requests that the audit and the ledger take note of; the others are counted only."""
_ID_BYTES: Final = 8


def new_id() -> str:
    """Return an id for a run or an approval."""
    return secrets.token_hex(_ID_BYTES)


def admit(
    connection: sqlite3.Connection,
    now: Now,
    considered: Considered,
    *,
    run_id: str,
    owner: str,
    approval: Approval | None = None,
    rerun_of: str | None = None,
) -> Outcome | None:
    """Let a run begin, if nothing is against it: then None, and its intent is to be said."""
    _must_take(connection)
    before = held(connection, now, considered, "run", approval=approval, rerun_of=rerun_of)
    if before is not None:
        return before
    if approval is not None and not approval_rows.claim(connection, now, approval.id, run_id):
        return Outcome(result="repeated", detail=f"approval {approval.id} is used or over")
    row = _add(
        connection,
        now,
        considered,
        run_id=run_id,
        kind="run",
        owner=owner,
        approval_id=None if approval is None else approval.id,
        rerun_of=rerun_of,
    )
    if approval is None:
        again = f"run {rerun_of} again, whose end is unknown; " if rerun_of else ""
        detail = f"{again}{row.detail}"
        evidence = considered.request.evidence
        _request(connection, now, row, considered.ruling.decision, "admitted", detail, evidence)
    put(connection, INTENT, entries.intent(row, now))
    return None


def dry_run(
    connection: sqlite3.Connection, now: Now, considered: Considered, *, why: str, said: bool
) -> tuple[Outcome, Entry | None]:
    """Note what would run, if nothing were against it; also returns what to say of it.

    Args:
        why: it is no more than a dry run.
        said: whether the audit takes it.
    """
    before = held(connection, now, considered, "dry_run")
    if before is not None:
        return before, None
    if said:
        _must_take(connection)
    run_id = new_id()
    detail = _dry(considered, why)
    row = _add(
        connection,
        now,
        considered,
        run_id=run_id,
        kind="dry_run",
        result="dry_run",
        detail=detail,
    )
    entry = entries.requested(
        row.request,
        now,
        decision=considered.ruling.decision,
        outcome="dry_run",
        detail=detail,
        evidence=considered.request.evidence,
        run=row,
    )
    if said:
        put(connection, REQUESTED, entry)
    return Outcome(result="dry_run", detail=detail, run_id=run_id), entry


def ask(
    connection: sqlite3.Connection, now: Now, considered: Considered, *, approval_id: str
) -> Outcome:
    """Ask for an approval, unless the same is waiting already."""
    _must_take(connection)
    request = considered.request
    before = _acted_on(connection, "run", request.key, None)
    if before is not None:
        return before
    waits = approval_rows.same(connection, considered.digest, request.actor)
    if waits is not None and waits.expires_us > now.us:
        return Outcome(
            result="repeated", detail="the same is waiting already", approval_id=waits.id
        )
    if approval_rows.pending(connection) >= APPROVALS_PENDING_MAX:
        return Outcome(result="limited", detail=f"{APPROVALS_PENDING_MAX} approvals are waiting")
    approval_rows.insert(connection, now, approval_id, considered)
    row = approval_rows.by_id(connection, approval_id)
    assert row is not None
    detail = considered.ruling.reason
    _request(connection, now, request, "ask", "waiting", detail, request.evidence)
    put(connection, APPROVAL, entries.approval(row, now, actor=request.actor))
    return Outcome(result="waiting", detail=detail, approval_id=approval_id)


def held(
    connection: sqlite3.Connection,
    now: Now,
    considered: Considered,
    kind: Kind,
    *,
    approval: Approval | None = None,
    rerun_of: str | None = None,
) -> Outcome | None:
    """Return what holds a run back: its key was acted on, or a limit; None where nothing does."""
    before = _acted_on(connection, kind, considered.request.key, approval)
    if before is not None:
        return before
    asked = Asked(
        request=considered.request,
        kind=kind,
        binding=considered.binding,
        limits=considered.configuration.limits,
        is_rerun=rerun_of is not None,
    )
    limited = limits.why_limited(connection, now, asked)
    return None if limited is None else Outcome(result="limited", detail=limited)


def outlook(
    connection: sqlite3.Connection, now: Now, considered: Considered, *, why_dry: str
) -> Outcome | None:
    """Return what would become of it now; None where it would run. Nothing is noted.

    Args:
        why_dry: it is no more than a dry run; empty where it is more.
    """
    if considered.ruling.decision == "ask" and not why_dry:
        before = _acted_on(connection, "run", considered.request.key, None)
        return before or Outcome(result="waiting", detail=considered.ruling.reason)
    before = held(connection, now, considered, "dry_run" if why_dry else "run")
    if before is None and why_dry:
        return Outcome(result="dry_run", detail=_dry(considered, why_dry))
    return before


def refuse(
    connection: sqlite3.Connection, now: Now, request: Request, detail: str, *, said: bool
) -> None:
    """Note that a request was refused, unless there were too many or it was noted before."""
    if is_noted(connection, now, request.key):
        return
    _note(connection, now, request, "refusal", "refused", detail)
    if said and waiting(connection) < OUTBOX_MAX:
        _request(connection, now, request, "refuse", "refused", detail, request.evidence)


def is_noted(connection: sqlite3.Connection, now: Now, key: str) -> bool:
    """Tell whether no more is noted of a request that is refused."""
    return not _is_new(connection, now, "refusal", key, REFUSALS_PER_HOUR)


def notice(
    connection: sqlite3.Connection, now: Now, request: Request, detail: str, most: int
) -> Outcome:
    """Note that somebody is to be notified, at most so many times an hour."""
    if runs.acted_on(connection, "notice", request.key) is not None:
        return Outcome(result="repeated", detail="it was notified before")
    if not _is_new(connection, now, "notice", request.key, most):
        return Outcome(result="limited", detail=f"{most} notices in the last hour, of {most}")
    _note(connection, now, request, "notice", "notified", detail)
    return Outcome(result="notified", detail=detail)


def end(
    connection: sqlite3.Connection,
    now: Now,
    run_id: str,
    result: Result,
    detail: str,
    steps: Sequence[StepRecord] = (),
) -> bool:
    """Say what became of a run, here and in the audit; False where that was said before."""
    if not runs.end(connection, now, run_id, result, detail, steps):
        return False
    row = runs.by_id(connection, run_id)
    assert row is not None
    put(connection, RESULT, entries.result(row, now))
    return True


def _dry(considered: Considered, why: str) -> str:
    """Return what a dry run says: what the policy would have done, and why it was not."""
    would = "run" if considered.ruling.decision == "run" else "asked for"
    return f"would be {would}, by {considered.ruling.reason}; dry, as {why}"


def _acted_on(
    connection: sqlite3.Connection, kind: Kind, key: str, approval: Approval | None
) -> Outcome | None:
    run_id = runs.acted_on(connection, kind, key)
    if run_id is not None:
        return Outcome(result="repeated", detail=f"run {run_id} was for it", run_id=run_id)
    asked = approval_rows.of_key(connection, key) if kind == "run" else None
    if asked is None or (approval is not None and asked.id == approval.id):
        return None
    return Outcome(result="repeated", detail=f"approval {asked.id} is for it", approval_id=asked.id)


def _add(
    connection: sqlite3.Connection,
    now: Now,
    considered: Considered,
    *,
    run_id: str,
    kind: Kind,
    owner: str = "",
    approval_id: str | None = None,
    rerun_of: str | None = None,
    result: Result | None = None,
    detail: str | None = None,
) -> Run:
    new = NewRun(
        id=run_id,
        kind=kind,
        request=considered.request,
        parameters=considered.parameters,
        configuration_sha256=considered.configuration.sha256,
        plan=considered.plan,
        approval_id=approval_id,
        rerun_of=rerun_of,
        idempotent=considered.binding.idempotent,
        owner=owner,
        verification=considered.verification if kind == "run" else None,
        result=result,
        detail=considered.ruling.reason if detail is None else detail,
    )
    runs.add(connection, now, new)
    row = runs.by_id(connection, run_id)
    assert row is not None
    return row


def _request(
    connection: sqlite3.Connection,
    now: Now,
    of: Run | Request,
    decision: Decision,
    outcome: str,
    detail: str,
    evidence: Mapping[str, object],
) -> None:
    run = of if isinstance(of, Run) else None
    request = of.request if isinstance(of, Run) else of
    entry = entries.requested(
        request,
        now,
        decision=decision,
        outcome=outcome,
        detail=detail,
        evidence=evidence,
        run=run,
    )
    put(connection, REQUESTED, entry)


def _note(
    connection: sqlite3.Connection,
    now: Now,
    request: Request,
    kind: Kind,
    result: Result,
    detail: str,
) -> None:
    new = NewRun(
        id=new_id(),
        kind=kind,
        request=request,
        parameters=request.parameters,
        result=result,
        detail=detail,
    )
    runs.add(connection, now, new)


def _is_new(connection: sqlite3.Connection, now: Now, kind: Kind, key: str, most: int) -> bool:
    if runs.acted_on(connection, kind, key) is not None:
        return False
    asked = "SELECT count(*) FROM runs WHERE kind = ? AND began_us > ?"
    (count,) = connection.execute(asked, (kind, now.us - HOUR_US)).fetchone()
    return int(count) < most


def _must_take(connection: sqlite3.Connection) -> None:
    """Decide nothing that the audit could not be told, nor before what it says is known."""
    (adopted,) = connection.execute("SELECT adopted FROM head").fetchone()
    if not adopted:
        raise LedgerError(
            "the ledger is new, and the audit, which may say what was done before, is not read yet"
        )
    if waiting(connection) >= OUTBOX_MAX:
        raise LedgerError(f"{OUTBOX_MAX:,} entries wait for the audit, which cannot be written")
