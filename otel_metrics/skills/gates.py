"""The gates of a promotion: what a skill must show to enter the next state. Pure.

An approval is asked for beside them; it is not computed, and so no gate.
"""

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any, Final

from otel_metrics.plurals import counted
from otel_metrics.skills import readings as read
from otel_metrics.skills.checks import Check, at_least, exact, mean, unknown
from otel_metrics.skills.readings import History, Reading, Readings, Record
from otel_metrics.skills.stages import State
from otel_metrics.skills.thresholds import Production, Staged, Thresholds

__all__ = ["gates"]

DAY_S: Final = 86_400
MASKED: Final = "[redacted]"
"""What stands for a decision where `OTEL_PYTHON_METRICS_EVENT_CONTENT` is `redacted`."""


def gates(
    history: History, thresholds: Thresholds, *, to_state: State, now: float
) -> tuple[Check, ...]:
    """Return every gate before a state.

    Args:
        to_state: `staged` or `production`; nothing is in front of `prototype`.
        now: Unix seconds.
    """
    if to_state == "staged":
        return _to_staged(history, thresholds)
    if to_state == "production":
        return _to_production(history, thresholds.production, now)
    return ()


def _to_staged(history: History, thresholds: Thresholds) -> tuple[Check, ...]:
    asked: Staged = thresholds.staged
    verdicts = read.outcomes(history)
    return (
        _mean("fidelity", "mean fidelity", read.fidelities(history), asked.fidelity_min),
        _mean("correct", "mean correct", verdicts, asked.correct_min),
        _false_positives(verdicts, thresholds.positive_decisions, asked.false_positive_rate_below),
        _critical(verdicts, thresholds.critical_decisions, asked.critical_false_negatives_max),
    )


def _to_production(history: History, asked: Production, now: float) -> tuple[Check, ...]:
    days = f"last {asked.window_days:g} days"
    since = now - asked.window_days * DAY_S
    performance = read.exceptions(history)
    verdicts, fidelities = read.outcomes(history), read.fidelities(history)
    recent_fidelity = Readings(fidelities.within(since, now).kept, fidelities.left_out)
    recent_verdicts = Readings(verdicts.within(since, now).kept, verdicts.left_out)
    return (
        _count("performance_records", "executions", performance, asked.records_min),
        _count("outcome_records", "outcomes", verdicts, asked.records_min),
        _count("fidelity_records", "fidelities", fidelities, asked.records_min),
        _mean("fidelity", f"mean fidelity, {days}", recent_fidelity, asked.fidelity_min, days),
        _mean("correct", f"mean correct, {days}", recent_verdicts, asked.correct_min, days),
        _exceptions(performance.within(since, now), asked.exceptions_max, days),
    )


def _mean(
    name: str, about: str, readings: Readings, least: float, within: str = "records"
) -> Check:
    if not len(readings):
        return unknown(name, about, f">= {least}", f"none in the {within}{_beside(readings)}")
    return at_least(name, about, mean(readings), least)


def _count(name: str, about: str, readings: Readings, least: int) -> Check:
    found = len(readings)
    missing = f"{least - found} more{_beside(readings)}" if found < least else ""
    return Check(
        name=name,
        about=about,
        figure=found,
        threshold=f">= {least}",
        met=found >= least,
        missing=missing,
    )


def _false_positives(verdicts: Readings, positive: Sequence[Any] | None, below: float) -> Check:
    """The share of all judged outcomes that are incorrect with a positive decision."""
    name, about, threshold = "false_positive_rate", "false positives ÷ outcomes", f"< {below}"
    why = _why_unknown(verdicts, positive, "decision", "positive_decisions")
    if why or positive is None:
        return unknown(name, about, threshold, why)
    found = sum(_among(each.record["decision"], positive) for each in _incorrect(verdicts))
    met = Decimal(found) < exact(below) * len(verdicts)
    return Check(
        name=name,
        about=about,
        figure=found / len(verdicts),
        threshold=threshold,
        met=met,
        missing="" if met else f"{found} of {len(verdicts)} outcomes are false positives",
    )


def _critical(verdicts: Readings, critical: Sequence[Any] | None, most: int) -> Check:
    name, about, threshold = (
        "critical_false_negatives",
        "critical decisions missed",
        f"<= {most}",
    )
    why = _why_unknown(verdicts, critical, "expected_decision", "critical_decisions")
    if why or critical is None:
        return unknown(name, about, threshold, why)
    found = sum(_among(each.record["expected_decision"], critical) for each in _incorrect(verdicts))
    return Check(
        name=name,
        about=about,
        figure=found,
        threshold=threshold,
        met=found <= most,
        missing="" if found <= most else f"{found} were missed",
    )


def _exceptions(performance: Readings, most: int, days: str) -> Check:
    name, about, threshold = "exceptions", f"exceptions, {days}", f"<= {most}"
    if not len(performance):
        return unknown(name, about, threshold, f"no execution in the {days}")
    found = int(sum(reading.value for reading in performance.kept))
    return Check(
        name=name,
        about=about,
        figure=found,
        threshold=threshold,
        met=found <= most,
        missing="" if found <= most else f"{found} of {len(performance)} executions raised",
    )


def _why_unknown(
    verdicts: Readings, decisions: Sequence[Any] | None, field: str, setting: str
) -> str:
    """Say why outcomes cannot be told apart by a decision; empty where they can."""
    if decisions is None:
        return f"{setting} is not set; list them for this skill in the thresholds file"
    if not len(verdicts):
        return f"none in the records{_beside(verdicts)}"
    silent = sum(not _says(each.record, field) for each in _incorrect(verdicts))
    return f"{counted(silent, 'incorrect outcome')} without {field}" if silent else ""


def _incorrect(verdicts: Readings) -> list[Reading]:
    return [reading for reading in verdicts.kept if not reading.value]


def _says(record: Record, field: str) -> bool:
    return field in record and record[field] != MASKED


def _among(value: object, decisions: Sequence[Any]) -> bool:
    """Tell whether a decision is one of these, as JSON has them: true and 1 are two."""
    told = _as_json(value)
    return any(_as_json(decision) == told for decision in decisions)


def _as_json(value: object) -> object:
    if isinstance(value, bool):
        return ("bool", value)
    if isinstance(value, list | tuple):
        return [_as_json(item) for item in value]
    if isinstance(value, Mapping):
        return {key: _as_json(item) for key, item in value.items()}
    return value


def _beside(readings: Readings) -> str:
    if not readings.left_out:
        return ""
    return f" ({readings.left_out} without a usable value do not count)"
