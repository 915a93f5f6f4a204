"""How a skill stands, for people and for machines: a row for each gate and each trigger."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final

from otel_metrics.cli import formats
from otel_metrics.cli.skills.sparkline import sparkline
from otel_metrics.skills import readings as read
from otel_metrics.skills.checks import Check, shown
from otel_metrics.skills.promotion import Standing
from otel_metrics.skills.readings import History

__all__ = ["rows_of", "told"]

_COLUMNS: Final = ("check", "about", "figure", "threshold", "is", "missing")


def rows_of(skill: str, found: Standing) -> list[Mapping[str, Any]]:
    """Return a row for each gate before the next state and each trigger of a rollback."""
    return [
        *(_row(skill, found, check, "gate") for check in found.gates),
        *(_row(skill, found, check, "trigger") for check in found.triggers),
    ]


def told(skill: str, found: Standing, history: History) -> str:
    """Return how a skill stands, for people."""
    lines = [f"{skill}: {found.state}{_since(found.since)}", *_fidelity(history)]
    if found.gates:
        lines += ["", f"gates to {found.to_state}", _table(found.gates, ("met", "no"))]
        if not found.unmet:
            lines.append(
                f"all are met; otel-metrics skills promote {_quoted(skill)} "
                "--approver NAME --ticket TICKET promotes it"
            )
    if found.triggers:
        lines += ["", "triggers of a rollback", _table(found.triggers, ("FIRES", "no"))]
    return "\n".join(lines)


def _row(skill: str, found: Standing, check: Check, kind: str) -> Mapping[str, Any]:
    return {
        "skill": skill,
        "state": found.state,
        "kind": kind,
        "to_state": found.to_state if kind == "gate" else "staged",
        "check": check.name,
        "about": check.about,
        "figure": check.figure,
        "threshold": check.threshold,
        "met": check.met,
        "missing": check.missing,
    }


def _table(checks: Sequence[Check], words: tuple[str, str]) -> str:
    rows = [
        {
            "check": check.name,
            "about": check.about,
            "figure": shown(check.figure, check.threshold) or "-",
            "threshold": check.threshold,
            "is": words[0] if check.met else words[1],
            "missing": check.missing,
        }
        for check in checks
    ]
    return formats.formatted(rows, "table", columns=_COLUMNS)


def _fidelity(history: History) -> list[str]:
    readings = read.fidelities(history).kept
    if not readings:
        return []
    points = [(reading.time, float(reading.value)) for reading in readings]
    low, high = min(value for _, value in points), max(value for _, value in points)
    first, last = _date(points[0][0]), _date(points[-1][0])
    return [f"fidelity {sparkline(points)} {low:.3g} to {high:.3g}, {first} to {last}"]


def _since(time: float | None) -> str:
    return "" if time is None else f" since {_date(time)}"


def _date(time: float) -> str:
    try:
        return f"{datetime.fromtimestamp(time, UTC):%Y-%m-%d %H:%M:%S}Z"
    except (ValueError, OverflowError, OSError):
        return f"{time:g} s"


def _quoted(skill: str) -> str:
    return skill if skill.isidentifier() or skill.replace("-", "").isalnum() else repr(skill)
