"""Whether a run may begin now: one at a time, cooldown, runs an hour, targets, circuit breaker.

All that is asked is what the ledger holds, inside the transaction that admits the run: of two
processes that ask at once, the second sees the first's run. Times are the ledger's (`clock.py`).

Dry runs are held by the same limits, and counted apart: they say what would run, and how often.
"""

import sqlite3
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

from otel_metrics.remediation.clock import SECOND_US, Now
from otel_metrics.remediation.model import Binding, Limits, Request
from otel_metrics.remediation.runs import Kind

__all__ = ["HOUR_US", "Asked", "why_limited"]

HOUR_US: Final = 3600 * SECOND_US
_FAILED: Final = "(result IN ('failed', 'timed_out', 'unknown') OR verification = 'failed')"
_DECIDED: Final = (
    "state = 'ended' AND verification IS NOT 'due' "
    "AND result IN ('succeeded', 'failed', 'timed_out', 'unknown')"
)
_UNDECIDED: Final = "(state != 'ended' OR verification = 'due')"


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What is asked of the limits.

    Attributes:
        is_rerun: whether the run of which it is another, at once, is no reason against it.
    """

    request: Request
    kind: Kind
    binding: Binding
    limits: Limits
    is_rerun: bool = False


def why_limited(connection: sqlite3.Connection, now: Now, asked: Asked) -> str | None:
    """Return in words what holds a run back; None where nothing does."""
    checks: list[Callable[[sqlite3.Connection, Now, Asked], str | None]] = [
        _at_work,
        _own_action,
        _circuit,
        _cooldown,
        _runs,
        _targets,
    ]
    reasons: Iterator[str | None] = (check(connection, now, asked) for check in checks)
    return next((reason for reason in reasons if reason is not None), None)


def _at_work(connection: sqlite3.Connection, now: Now, asked: Asked) -> str | None:
    del now
    found = connection.execute(
        "SELECT id FROM runs WHERE kind = 'run' AND state != 'ended' AND playbook = ? "
        "AND scope = ? AND target = ?",
        (asked.request.playbook, *_target(asked)),
    ).fetchone()
    return None if found is None else f"run {found[0]} of it is under way"


def _own_action(connection: sqlite3.Connection, now: Now, asked: Asked) -> str | None:
    """What is done about a metric changes it: nothing more is begun for it until it is verified."""
    del now
    metric = asked.request.metric
    if metric is None:
        return None
    found = connection.execute(
        "SELECT id, playbook FROM runs WHERE kind = 'run' AND metric = ? AND scope = ? "  # noqa: S608  # constants
        f"AND target = ? AND {_UNDECIDED}",
        (metric, *_target(asked)),
    ).fetchone()
    if found is None:
        return None
    return f"run {found[0]} of {found[1]} for {metric} is under way or not yet verified"


def _circuit(connection: sqlite3.Connection, now: Now, asked: Asked) -> str | None:
    """After failures in a row nothing runs for a while, and then one run at a time is a trial."""
    most = asked.limits.failures_in_a_row
    decided = connection.execute(
        f"SELECT {_FAILED}, max(ended_us, coalesce(verified_us, 0)) FROM runs "  # noqa: S608  # constants
        f"WHERE kind = 'run' AND playbook = ? AND {_DECIDED} ORDER BY number DESC LIMIT ?",
        (asked.request.playbook, most),
    ).fetchall()
    if len(decided) < most or not all(failed for failed, _ in decided):
        return None
    said = f"its last {most} runs failed"
    left_us = max(known_us for _, known_us in decided) + _us(asked.limits.circuit_pause_s) - now.us
    if left_us > 0:
        return f"{said}; it is tried again in {_seconds(left_us)} s"
    trial = connection.execute(
        f"SELECT id FROM runs WHERE kind = 'run' AND playbook = ? AND {_UNDECIDED}",  # noqa: S608  # constants
        (asked.request.playbook,),
    ).fetchone()
    return None if trial is None else f"{said}, and run {trial[0]}, which tries it, is not over"


def _cooldown(connection: sqlite3.Connection, now: Now, asked: Asked) -> str | None:
    if asked.is_rerun:
        return None
    (last_us,) = connection.execute(
        "SELECT max(max(began_us, coalesce(ended_us, 0))) FROM runs WHERE kind = ? "
        "AND playbook = ? AND scope = ? AND target = ?",
        (asked.kind, asked.request.playbook, *_target(asked)),
    ).fetchone()
    if last_us is None:
        return None
    left_us = last_us + _us(asked.binding.cooldown_s) - now.us
    return f"cooldown: {_seconds(left_us)} s are left" if left_us > 0 else None


def _runs(connection: sqlite3.Connection, now: Now, asked: Asked) -> str | None:
    for most, what, where, values in (
        (asked.binding.runs_per_hour, "of it", "playbook = ?", (asked.request.playbook,)),
        (
            asked.limits.target_runs_per_hour,
            "on this target",
            "scope = ? AND target = ?",
            _target(asked),
        ),
        (asked.limits.runs_per_hour, "of all playbooks", "1", ()),
    ):
        (count,) = connection.execute(
            f"SELECT count(*) FROM runs WHERE kind = ? AND began_us > ? AND {where}",  # noqa: S608  # constants
            (asked.kind, now.us - HOUR_US, *values),
        ).fetchone()
        if count >= most:
            return f"{count} runs {what} in the last hour, of {most}"
    return None


def _targets(connection: sqlite3.Connection, now: Now, asked: Asked) -> str | None:
    found = connection.execute(
        "SELECT DISTINCT scope, target FROM runs WHERE kind = ? AND began_us > ?",
        (asked.kind, now.us - HOUR_US),
    ).fetchall()
    most = asked.limits.targets_per_hour
    if _target(asked) in found or len(found) < most:
        return None
    return f"{len(found)} other targets in the last hour, of {most}"


def _target(asked: Asked) -> tuple[str, str]:
    return asked.request.target.scope, asked.request.target.id


def _us(seconds: float) -> int:
    return int(seconds * SECOND_US)


def _seconds(left_us: int) -> int:
    return -(-left_us // SECOND_US)
