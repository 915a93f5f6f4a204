"""Whether a service has graduated: five conditions, each met, not met, or without an answer. Pure.

The first three are asked of the newest session, the last two of the whole report. What cannot be
computed is not met and says what is missing; a cost that nobody said is not a cost of zero.
"""

from dataclasses import dataclass
from typing import Final

from otel_metrics.plurals import counted
from otel_metrics.sovereignty.report import HOUR_S, MINUTE_S, Report, Session, Verdict

__all__ = ["Condition", "conditions"]

VISION_MINUTES: Final = 15
"""Vision models may be called so long after the start of a session."""
CLOUD_CALLS_MAX: Final = 4
UNATTENDED_HOURS: Final = 24
PAUSE_MINUTES_MAX: Final = 60
"""A longer pause between events ends a stretch: what is switched off needs no human."""


@dataclass(frozen=True, slots=True)
class Condition:
    """One condition, and what is known of it; `figure` is None where there is no answer."""

    name: str
    about: str
    verdict: Verdict
    figure: float | None
    reason: str


def conditions(report: Report) -> list[Condition]:
    """Return the five conditions in their order."""
    newest = next(reversed(report.by_start), None)
    return [
        _vision(newest),
        _cloud_calls(newest),
        _narration(newest),
        _economy(report),
        _unattended(report),
    ]


def _vision(session: Session | None) -> Condition:
    name, about = "vision", f"no vision call after minute {VISION_MINUTES} of a session"
    if session is None:
        return _no_session(name, about)
    lasted_min = (session.ended_s - session.started_s) / MINUTE_S
    last_s = session.last_vision_s
    after_min = None if last_s is None else (last_s - session.started_s) / MINUTE_S
    of = f"session {session.session_id}"
    if after_min is not None and after_min > VISION_MINUTES:
        return Condition(
            name, about, "not met", after_min, f"{of}: the last one in minute {after_min:.1f}"
        )
    if lasted_min <= VISION_MINUTES:
        reason = f"{of} lasted {lasted_min:.1f} minutes; it takes more than {VISION_MINUTES}"
        return Condition(name, about, "cannot be computed", None, reason)
    reason = f"{of}: " + ("none" if after_min is None else f"the last in minute {after_min:.1f}")
    return Condition(name, about, "met", after_min or 0.0, reason)


def _cloud_calls(session: Session | None) -> Condition:
    name, about = "cloud calls", f"fewer than {CLOUD_CALLS_MAX + 1} cloud calls in a session"
    if session is None:
        return _no_session(name, about)
    calls = max(session.api_calls, session.model_calls)
    reason = (
        f"session {session.session_id}: {calls} ({session.api_calls} api_call, "
        f"{counted(session.model_calls, 'call of a model', 'calls of models')} not marked local)"
    )
    return Condition(name, about, "met" if calls <= CLOUD_CALLS_MAX else "not met", calls, reason)


def _narration(session: Session | None) -> Condition:
    name, about = "narration", "no cloud narration in a session"
    if session is None:
        return _no_session(name, about)
    if not any(session.seen.layers[2]):
        reason = f"session {session.session_id} has no event of narration"
        return Condition(name, about, "cannot be computed", None, reason)
    calls = session.cloud_narrations
    reason = f"session {session.session_id}: {calls} narration_llm not marked local"
    return Condition(name, about, "not met" if calls else "met", calls, reason)


def _economy(report: Report) -> Condition:
    name, about = "economy", "earned more than spent"
    missing = []
    if report.earned_usd is None:
        missing.append("no event says earned_usd in its metadata")
    if report.cloud_calls and not report.priced:
        missing.append(f"{counted(report.cloud_calls, 'cloud call')} and no event says cost_usd")
    if report.earned_usd is None or missing:
        spent = f"; spent {report.cost_usd:.4f} USD" if report.priced else ""
        return Condition(name, about, "cannot be computed", None, f"{' and '.join(missing)}{spent}")
    balance = report.earned_usd - report.cost_usd
    reason = f"earned {report.earned_usd:.4f} USD, spent {report.cost_usd:.4f} USD"
    return Condition(name, about, "met" if balance > 0 else "not met", balance, reason)


def _unattended(report: Report) -> Condition:
    name, about = "unattended", f"{UNATTENDED_HOURS} hours without a human"
    if report.interventions is None:
        reason = "no event says in its metadata whether a human took part (human: true or false)"
        return Condition(name, about, "cannot be computed", None, reason)
    hours = _longest_minutes(report) * MINUTE_S / HOUR_S
    minutes = counted(len(report.interventions), "minute")
    reason = f"{hours:.1f} hours at most; {minutes} with a human"
    verdict: Verdict = "met" if hours >= UNATTENDED_HOURS else "not met"
    return Condition(name, about, verdict, hours, reason)


def _longest_minutes(report: Report) -> int:
    """Return the longest stretch without a human and without a long pause."""
    humans = report.interventions or set()
    longest, began, before = 0, None, None
    for minute in sorted(report.minutes):
        paused = before is not None and minute - before > PAUSE_MINUTES_MAX
        if began is None or paused:
            began = minute
        if minute in humans:
            longest = max(longest, minute - began)
            began = minute + 1
        else:
            longest = max(longest, minute - began)
        before = minute
    return longest


def _no_session(name: str, about: str) -> Condition:
    reason = "no event belongs to a session (session_id)"
    return Condition(name, about, "cannot be computed", None, reason)
