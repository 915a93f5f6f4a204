"""What the audit says of requests, runs and approvals: their rows as entries. Pure."""

from collections.abc import Mapping

from otel_metrics.remediation.approval_rows import Approval
from otel_metrics.remediation.audit import INTENDED, canonical, entry_of
from otel_metrics.remediation.clock import Now
from otel_metrics.remediation.model import Decision, Request
from otel_metrics.remediation.runs import Run, StepRecord

__all__ = ["approval", "intent", "notified", "requested", "result", "switched", "verified"]

Fields = dict[str, str | int]


def requested(
    request: Request,
    now: Now,
    *,
    decision: Decision,
    outcome: str,
    detail: str,
    evidence: Mapping[str, object],
    run: Run | None = None,
) -> Fields:
    """Say what was decided on a request, and on which evidence it was made."""
    return _entry(
        request,
        now,
        outcome,
        run=run,
        more={"remediation.decision": decision, "remediation.detail": detail},
        payload={"evidence": dict(evidence)} if evidence else None,
    )


def intent(run: Run, now: Now) -> Fields:
    """Say that a run is about to begin."""
    return _entry(run.request, now, INTENDED, run=run, more={"remediation.detail": run.detail})


def result(run: Run, now: Now) -> Fields:
    """Say what became of a run."""
    last = run.steps[-1] if run.steps else None
    ended = run.result or "unknown"
    more = {
        "remediation.result": ended,
        "remediation.detail": run.detail,
        "remediation.exit_code": None if last is None else last.exit_code,
        "remediation.output": None if last is None else last.output,
        "remediation.output.sha256": None if last is None else last.output_sha256,
    }
    steps = {"steps": [_step(step) for step in run.steps]}
    return _entry(run.request, now, ended, run=run, more=more, payload=steps)


def verified(run: Run, now: Now, *, passed: bool, band: str | None, detail: str) -> Fields:
    """Say whether the metric came back."""
    more = {
        "remediation.verified": passed,
        "service.band": band,
        "remediation.detail": detail,
    }
    word = "verified" if passed else "not_verified"
    return _entry(run.request, now, word, run=run, more=more)


def approval(row: Approval, now: Now, *, actor: str) -> Fields:
    """Say that an approval is asked for, decided, or over."""
    names = {
        "remediation.approval.id": row.id,
        "remediation.plan.sha256": row.digest,
        "remediation.configuration.sha256": row.configuration_sha256,
    }
    more = {
        "remediation.approval.decision": row.state,
        "remediation.parameters": canonical(dict(row.parameters)),
        "remediation.plan": canonical([list(each) for each in row.plan]),
        "remediation.detail": row.detail,
    }
    payload = {"asked_by": row.request.actor, "decision_reason": row.decision_reason}
    return _entry(row.request, now, row.state, actor=actor, names=names, more=more, payload=payload)


def switched(*, on: bool, actor: str, reason: str, now: Now) -> Fields:
    """Say that somebody turned the kill switch."""
    return entry_of(
        actor=actor,
        action="stop_playbooks" if on else "resume_playbooks",
        target=None,
        metric=None,
        result="stopped" if on else "resumed",
        at_us=now.wall_us,
        payload={},
        names={},
        more={"reason": reason},
    )


def notified(request: Request) -> dict[str, object]:
    """Say that a playbook is recommended to which nothing is bound."""
    return {
        "playbook.id": request.playbook,
        "actor": request.actor,
        "resource": f"{request.target.scope}/{request.target.id}",
        "reason": request.reason,
        "metric_id": request.metric,
        "service.band": request.band,
        "remediation.key": request.key,
        "remediation.parameters": canonical(dict(request.parameters)),
    }


def _entry(
    request: Request,
    now: Now,
    word: str,
    *,
    run: Run | None = None,
    actor: str | None = None,
    names: Mapping[str, str | None] | None = None,
    more: Mapping[str, str | int | None],
    payload: Mapping[str, object] | None = None,
) -> Fields:
    of_run: dict[str, str | None] = {}
    said: dict[str, str | int | None] = {"service.band": request.band, "reason": request.reason}
    if run is not None:
        of_run = {
            "remediation.run.id": run.id,
            "remediation.approval.id": run.approval_id,
            "remediation.configuration.sha256": run.configuration_sha256,
        }
        said["remediation.parameters"] = canonical(dict(run.request.parameters))
        said["remediation.plan"] = canonical([list(each) for each in run.plan])
    return entry_of(
        actor=actor or request.actor,
        action=f"executed_playbook_{request.playbook}",
        target=request.target,
        metric=request.metric,
        result=word,
        at_us=now.wall_us,
        payload={
            "parameters": dict(request.parameters),
            "reason": request.reason,
            **(payload or {}),
        },
        names={
            "playbook.id": request.playbook,
            "remediation.key": request.key,
            **of_run,
            **(names or {}),
        },
        more={**said, **more},
    )


def _step(step: StepRecord) -> dict[str, object]:
    return {
        "phase": step.phase,
        "plan": list(step.plan),
        "verdict": step.verdict,
        "detail": step.detail,
        "exit_code": step.exit_code,
        "output_sha256": step.output_sha256,
    }
