"""A report of sovereignty as rows, and as text in each format. Pure.

JSON and YAML hold all of it; the table and Markdown show the newest hours and sessions; CSV, which
is one table, holds the hours.
"""

import json
import math
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final

from otel_metrics.cli import formats
from otel_metrics.plurals import counted
from otel_metrics.sovereignty.graduation import Condition
from otel_metrics.sovereignty.kinds import LAYERS
from otel_metrics.sovereignty.report import Hour, Minute, Report, Session, Target

__all__ = ["laid_out"]

HOURS_SHOWN: Final = 48
SESSIONS_SHOWN: Final = 20
_NOT_IN_A_TABLE: Final = ("game", "skills_crystallized")
"""It would be wider than a terminal."""

Rows = Sequence[Mapping[str, Any]]


def laid_out(report: Report, graduation: Sequence[Condition], form: str) -> str:
    """Return the report as text in a format, one of `formats.FORMATS`."""
    hours = [_hour(hour) for hour in report.hours]
    sections: dict[str, Rows] = {
        "hours": hours,
        "targets": [_target(target) for target in report.targets],
        "sessions": [_session(session) for session in report.by_start],
        "graduation": [_condition(condition) for condition in graduation],
    }
    if form == "csv":
        return formats.formatted(hours, form, columns=())
    if form == "json":
        return json.dumps({**_whole(report), **sections}, ensure_ascii=False, indent=2)
    if form == "yaml":
        return _yaml(report, sections)
    return _for_people(report, sections, form)


def _yaml(report: Report, sections: Mapping[str, Rows]) -> str:
    lines = [f"{key}: {json.dumps(value)}" for key, value in _whole(report).items()]
    for key, rows in sections.items():
        lines.append(f"{key}:" if rows else f"{key}: []")
        text = formats.formatted(rows, "yaml", columns=()) if rows else ""
        lines += [f"  {line}" for line in text.splitlines()]
    return "\n".join(lines)


def _for_people(report: Report, sections: Mapping[str, Rows], form: str) -> str:
    whole = _whole(report)
    begin, end = whole["first"], whole["last"]
    head = (
        f"{counted(report.events, 'event')}, {begin} to {end}; "
        f"{whole['cost_usd']:.4f} USD, {whole['cost_per_hour']:.4f} USD an hour"
    )
    parts = [
        _title("Sovereignty", form, 1),
        head,
        *_section("Targets", sections["targets"], form),
        *_section("Hours", _rounded(sections["hours"]), form, HOURS_SHOWN),
        *_section("Sessions", _rounded(sections["sessions"]), form, SESSIONS_SHOWN),
        *_section("Graduation", _shown(sections["graduation"]), form),
    ]
    return "\n\n".join(parts)


def _section(title: str, rows: Rows, form: str, most: int | None = None) -> list[str]:
    if not rows:
        return []
    shown = rows if most is None else rows[-most:]
    columns = [key for key in shown[0] if key not in _NOT_IN_A_TABLE]
    parts = [_title(title, form, 2), formats.formatted(shown, form, columns=columns)]
    if len(shown) < len(rows):
        parts.append(f"not shown: {len(rows) - len(shown):,} before these; --format json is all")
    return parts


def _title(text: str, form: str, level: int) -> str:
    return f"{'#' * level} {text}" if form == "markdown" else text


def _whole(report: Report) -> dict[str, Any]:
    return {
        "first": _moment(report.first_s),
        "last": _moment(report.last_s),
        "events": report.events,
        "cost_usd": report.cost_usd,
        "cost_per_hour": report.cost_per_hour,
        "skills_crystallized": sum(each.skills_crystallized for each in report.minutes.values()),
    }


def _hour(hour: Hour) -> dict[str, Any]:
    return {
        "hour": hour.number,
        "start": _moment(hour.start_s),
        **_percents(hour.seen),
        "target": hour.target,
        "verdict": hour.verdict,
        "cost_usd": hour.seen.cost_usd,
        "skills_crystallized": hour.seen.skills_crystallized,
        "events": hour.seen.events,
    }


def _target(target: Target) -> dict[str, Any]:
    return {
        "target": f"perception {target.percent:g} % in hour {target.hour}",
        "verdict": target.verdict,
        "reason": target.reason,
    }


def _session(session: Session) -> dict[str, Any]:
    return {
        "session": session.session_id,
        "game": session.game,
        "start": _moment(session.started_s),
        "minutes": (session.ended_s - session.started_s) / 60,
        **_percents(session.seen),
        "cost_usd": session.seen.cost_usd,
        "vision_calls": session.vision_calls,
        "cloud_calls": max(session.api_calls, session.model_calls),
        "skills_crystallized": session.seen.skills_crystallized,
        "events": session.seen.events,
    }


def _condition(condition: Condition) -> dict[str, Any]:
    return {
        "condition": condition.about,
        "verdict": condition.verdict,
        "figure": condition.figure,
        "reason": condition.reason,
    }


def _percents(seen: Minute) -> dict[str, float | None]:
    return {f"{layer}_pct": seen.percent(at) for at, layer in enumerate(LAYERS)}


def _shown(rows: Rows) -> Rows:
    """Leave out what the reason says, too."""
    return [{key: value for key, value in row.items() if key != "figure"} for row in rows]


def _rounded(rows: Rows) -> Rows:
    return [{key: _round(key, value) for key, value in row.items()} for row in rows]


def _round(key: str, value: object) -> object:
    if not isinstance(value, float):
        return value
    if key in ("cost_usd",):
        return f"{value:.4f}"
    return f"{value:g}" if key == "target" else f"{value:.1f}"


def _moment(time_s: float) -> str | None:
    if not math.isfinite(time_s):
        return None
    return f"{datetime.fromtimestamp(time_s, UTC):%Y-%m-%dT%H:%M:%SZ}"
