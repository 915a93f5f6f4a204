"""Runs in the ledger: a row for each that was admitted, was a dry run, was notified or refused.

Every function is given a connection inside a transaction.
"""

import json
import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Literal, cast

from otel_metrics.remediation.audit import canonical
from otel_metrics.remediation.clock import SECOND_US, Now
from otel_metrics.remediation.model import Request, Result, Value, Verification
from otel_metrics.remediation.rows import named, request_of
from otel_metrics.service.samples import BandName

__all__ = [
    "Kind",
    "NewRun",
    "Run",
    "StepRecord",
    "acted_on",
    "add",
    "begin",
    "by_id",
    "due",
    "end",
    "history",
    "open_runs",
    "settle",
    "unknown",
]

Kind = Literal["run", "dry_run", "notice", "refusal"]
Checked = Literal["due", "passed", "failed"]

OUTPUT_CHARS_MAX: Final = 4_096
"""What the ledger keeps of what a step said; its hash is of all."""
HISTORY_MAX: Final = 1_000
"""Runs that are returned at once."""
_COLUMNS: Final = (
    "number, id, kind, key, playbook, scope, target, metric, band, actor, reason, parameters, "
    "configuration, plan, approval, rerun_of, idempotent, owner, state, result, detail, steps, "
    "began_us, began_at, ended_us, ended_at, verification, verify_metric, verify_band, verify_s, "
    "verify_until_us, verified_at"
)
_SELECT: Final = f"SELECT {_COLUMNS} FROM runs"  # noqa: S608  # constant


@dataclass(frozen=True, slots=True, kw_only=True)
class StepRecord:
    """What one step of a run did.

    Attributes:
        phase: `step` or `rollback`.
        plan: exactly what was done.
    """

    phase: Literal["step", "rollback"]
    plan: Sequence[str]
    verdict: str
    detail: str
    exit_code: int | None = None
    output: str = ""
    output_sha256: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class NewRun:
    """What is known of a run when it is admitted; attributes as of `Run`."""

    id: str
    kind: Kind
    request: Request
    parameters: Mapping[str, Value] = field(default_factory=dict)
    configuration_sha256: str = ""
    plan: Sequence[Sequence[str]] = ()
    approval_id: str | None = None
    rerun_of: str | None = None
    idempotent: bool = False
    owner: str = ""
    verification: Verification | None = None
    result: Result | None = None
    detail: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One row of the ledger.

    Attributes:
        number: in the order of admission.
        kind: `run`, or what else became of a request: `dry_run`, `notice`, `refusal`.
        request: as it was made, with all parameters that it was run with.
        plan: what each step was to do.
        owner: the process that runs it.
        state: `admitted` until its intent is on the disk, `begun`, `ended`.
        result: of an ended one.
        began_at, ended_at, verified_at: Unix time in seconds.
        verification: whether the metric is back in its band: `due`, `passed` or `failed`; None
            where nothing is to be verified.
        rerun_of: the idempotent run, whose end is unknown, that this one is again.
    """

    number: int
    id: str
    kind: Kind
    request: Request
    configuration_sha256: str
    plan: Sequence[Sequence[str]]
    approval_id: str | None
    rerun_of: str | None
    idempotent: bool
    owner: str
    state: Literal["admitted", "begun", "ended"]
    result: Result | None
    detail: str
    steps: Sequence[StepRecord]
    began_us: int
    began_at: float
    ended_at: float | None
    verification: Checked | None
    verify_metric: str | None
    verify_band: BandName | None
    verify_until_us: int | None
    verified_at: float | None


def add(connection: sqlite3.Connection, now: Now, new: NewRun) -> None:
    """Add a run; one with a result has ended."""
    request, wanted = new.request, new.verification
    is_over = new.result is not None
    row = {
        "id": new.id,
        "kind": new.kind,
        "key": request.key,
        "playbook": request.playbook,
        "scope": request.target.scope,
        "target": request.target.id,
        "metric": request.metric,
        "band": request.band,
        "actor": request.actor,
        "reason": request.reason,
        "parameters": canonical(dict(new.parameters)),
        "configuration": new.configuration_sha256,
        "plan": canonical([list(each) for each in new.plan]),
        "approval": new.approval_id,
        "rerun_of": new.rerun_of,
        "idempotent": int(new.idempotent),
        "owner": new.owner,
        "state": "ended" if is_over else "admitted",
        "result": new.result,
        "detail": new.detail,
        "began_us": now.us,
        "began_at": now.wall_us,
        "ended_us": now.us if is_over else None,
        "ended_at": now.wall_us if is_over else None,
        "verify_metric": None if wanted is None else wanted.metric or request.metric,
        "verify_band": None if wanted is None else wanted.band,
        "verify_s": None if wanted is None else wanted.within_s,
    }
    names, places = ", ".join(row), ", ".join("?" * len(row))
    connection.execute(f"INSERT INTO runs ({names}) VALUES ({places})", tuple(row.values()))  # noqa: S608  # names of columns


def acted_on(connection: sqlite3.Connection, kind: Kind, key: str) -> str | None:
    """Return the id of the run of a key, if there is one."""
    found = connection.execute("SELECT id FROM runs WHERE kind = ? AND key = ?", (kind, key))
    row = found.fetchone()
    return None if row is None else str(row[0])


def begin(connection: sqlite3.Connection, run_id: str, owner: str) -> bool:
    """Say that the first step is about to run; False where others have given the run up."""
    asked = "UPDATE runs SET state = 'begun' WHERE id = ? AND owner = ? AND state = 'admitted'"
    return connection.execute(asked, (run_id, owner)).rowcount == 1


def end(
    connection: sqlite3.Connection,
    now: Now,
    run_id: str,
    result: Result,
    detail: str,
    steps: Sequence[StepRecord] = (),
) -> bool:
    """Say what became of a run; False where that was said before.

    Who ran it knows better than who gave it up: a result takes the place of `unknown`.
    """
    asked = (
        "UPDATE runs SET state = 'ended', result = ?1, detail = ?2, steps = ?3, ended_us = ?4, "
        "ended_at = ?5, verification = CASE WHEN ?1 = 'succeeded' AND verify_metric IS NOT NULL "
        "THEN 'due' END, verify_until_us = ?4 + CAST(verify_s * ?6 AS INTEGER) "
        "WHERE id = ?7 AND (state != 'ended' OR (result = 'unknown' AND ?1 != 'unknown'))"
    )
    kept = canonical([_as_json(step) for step in steps])
    row = (result, detail, kept, now.us, now.wall_us, SECOND_US, run_id)
    return connection.execute(asked, row).rowcount == 1


def settle(connection: sqlite3.Connection, now: Now, run_id: str, *, passed: bool) -> bool:
    """Say whether the metric came back; False where that was said before."""
    asked = (
        "UPDATE runs SET verification = ?, verified_us = ?, verified_at = ? "
        "WHERE id = ? AND verification = 'due'"
    )
    row = ("passed" if passed else "failed", now.us, now.wall_us, run_id)
    return connection.execute(asked, row).rowcount == 1


def open_runs(connection: sqlite3.Connection) -> list[Run]:
    """Return the runs that have not ended."""
    return _runs(connection.execute(f"{_SELECT} WHERE state != 'ended' ORDER BY number"))


def due(connection: sqlite3.Connection) -> list[Run]:
    """Return the runs that are to be verified."""
    return _runs(connection.execute(f"{_SELECT} WHERE verification = 'due' ORDER BY number"))


def unknown(connection: sqlite3.Connection, *, since_us: int, without: str) -> list[Run]:
    """Return the idempotent runs whose end is unknown since then, and that are no other's again.

    Args:
        without: what ends the key of a run that is another again; those that have one are left out.
    """
    asked = (
        f"{_SELECT} WHERE kind = 'run' AND result = 'unknown' AND ended_us > ?1 AND idempotent "  # noqa: S608  # constant
        "AND rerun_of IS NULL AND NOT EXISTS "
        "(SELECT 1 FROM runs AS again WHERE again.kind = 'run' AND again.key = runs.key || ?2) "
        "ORDER BY number"
    )
    return _runs(connection.execute(asked, (since_us, without)))


def by_id(connection: sqlite3.Connection, run_id: str) -> Run | None:
    """Return a run."""
    found = _runs(connection.execute(f"{_SELECT} WHERE id = ?", (run_id,)))
    return found[0] if found else None


def history(
    connection: sqlite3.Connection, *, playbook: str | None, before: int | None, limit: int
) -> list[Run]:
    """Return the newest runs first."""
    asked = (
        f"{_SELECT} WHERE (?1 IS NULL OR playbook = ?1) AND (?2 IS NULL OR number < ?2) "
        "ORDER BY number DESC LIMIT ?3"
    )
    return _runs(connection.execute(asked, (playbook, before, max(0, min(limit, HISTORY_MAX)))))


def _runs(rows: sqlite3.Cursor) -> list[Run]:
    return [_run(row) for row in named(rows)]


def _run(row: Mapping[str, object]) -> Run:
    texts = cast("Mapping[str, str]", row)
    return Run(
        number=cast("int", row["number"]),
        id=texts["id"],
        kind=cast("Kind", row["kind"]),
        request=request_of(row, parameters="parameters"),
        configuration_sha256=texts["configuration"],
        plan=json.loads(texts["plan"]),
        approval_id=texts["approval"],
        rerun_of=texts["rerun_of"],
        idempotent=bool(row["idempotent"]),
        owner=texts["owner"],
        state=cast("Literal['admitted', 'begun', 'ended']", row["state"]),
        result=cast("Result | None", row["result"]),
        detail=texts["detail"],
        steps=[StepRecord(**step) for step in json.loads(texts["steps"])],
        began_us=cast("int", row["began_us"]),
        began_at=_seconds(row["began_at"]) or 0.0,
        ended_at=_seconds(row["ended_at"]),
        verification=cast("Checked | None", row["verification"]),
        verify_metric=texts["verify_metric"],
        verify_band=cast("BandName | None", row["verify_band"]),
        verify_until_us=cast("int | None", row["verify_until_us"]),
        verified_at=_seconds(row["verified_at"]),
    )


def _seconds(at_us: object) -> float | None:
    return at_us / SECOND_US if isinstance(at_us, int) else None


def _as_json(step: StepRecord) -> dict[str, object]:
    return {
        "phase": step.phase,
        "plan": list(step.plan),
        "verdict": step.verdict,
        "detail": step.detail,
        "exit_code": step.exit_code,
        "output": step.output[:OUTPUT_CHARS_MAX],
        "output_sha256": step.output_sha256,
    }
