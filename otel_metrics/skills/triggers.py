"""What returns a skill from production to staged, computed from its last records. Pure.

A check is met where its trigger fires. Too few records fire nothing.
"""

from collections.abc import Iterable, Sequence
from decimal import Decimal
from typing import Final

from otel_metrics.plurals import counted
from otel_metrics.skills import readings as read
from otel_metrics.skills.checks import Check, exact, mean, median, ratio, unknown
from otel_metrics.skills.readings import History, Readings, Record
from otel_metrics.skills.thresholds import DEFAULTS, Rollback, Thresholds

__all__ = ["TRIGGERS", "rollback_reasons", "triggers"]

TRIGGERS: Final = (
    "pattern_fidelity_drop",
    "high_exception_rate",
    "outcome_quality_drop",
    "high_execution_time",
)
"""Their names, as they stand in `trigger_reason`."""


def triggers(history: History, asked: Rollback) -> tuple[Check, ...]:
    """Return every trigger, those that fire and those that do not."""
    fidelity, exception, quality, time = TRIGGERS
    return (
        _below(
            fidelity,
            "mean fidelity",
            read.fidelities(history),
            (asked.fidelity_records, asked.fidelity_min),
        ),
        _above(
            exception,
            "exception rate",
            read.exceptions(history),
            (asked.exception_records, asked.exception_rate_max),
        ),
        _below(
            quality,
            "mean correct",
            read.outcomes(history),
            (asked.correct_records, asked.correct_min),
        ),
        _slow(time, history, asked),
    )


def rollback_reasons(
    *,
    performance: Iterable[Record] = (),
    outcomes: Iterable[Record] = (),
    fidelity: Iterable[Record] = (),
    promotions: Iterable[Record] = (),
    thresholds: Thresholds = DEFAULTS,
) -> Sequence[Check]:
    """Return why a skill in production is to be rolled back: the triggers that fire, if any.

    Nothing is read, written or recorded.

    Args:
        performance, outcomes, fidelity: the skill's records, as `MetricsAppender.read_metrics`
            returns them.
        promotions: those of its promotion log; without them there is no baseline of durations.
        thresholds: the skill's.

    Example:
        >>> from otel_metrics import skills
        >>> records = [{"timestamp": second, "pattern_fidelity": 0.8} for second in range(10)]
        >>> [reason.name for reason in skills.rollback_reasons(fidelity=records)]
        ['pattern_fidelity_drop']
    """
    history = History(
        performance=tuple(performance),
        outcomes=tuple(outcomes),
        fidelity=tuple(fidelity),
        moves=tuple(promotions),
    )
    return [check for check in triggers(history, thresholds.rollback) if check.met]


def _below(name: str, noun: str, readings: Readings, asked: tuple[int, float]) -> Check:
    count, limit = asked
    about, threshold = f"{noun}, last {count}", f"< {limit}"
    if len(readings) < count:
        return unknown(name, about, threshold, _too_few(readings, count))
    figure = mean(readings.last(count))
    return _check(name, about, figure, threshold, fires=figure < exact(limit))


def _above(name: str, noun: str, readings: Readings, asked: tuple[int, float]) -> Check:
    count, limit = asked
    about, threshold = f"{noun}, last {count}", f"> {limit}"
    if len(readings) < count:
        return unknown(name, about, threshold, _too_few(readings, count))
    figure = mean(readings.last(count))
    return _check(name, about, figure, threshold, fires=figure > exact(limit))


def _slow(name: str, history: History, asked: Rollback) -> Check:
    """The duration since the last promotion, as a multiple of what it was before."""
    about, threshold = "duration ÷ baseline", f"> {asked.duration_factor_max}"
    promoted = read.last_promotion(history)
    if promoted is None:
        return unknown(name, about, threshold, "no promotion, and so no baseline before it")
    durations = read.durations(history)
    before, after = durations.before(promoted), durations.since(promoted)
    if len(before) < asked.baseline_records:
        lacking = counted(asked.baseline_records - len(before), "duration")
        why = f"no baseline: {lacking} too few before the last promotion"
        return unknown(name, about, threshold, why)
    if len(after) < asked.duration_records:
        return unknown(
            name, about, threshold, f"{_too_few(after, asked.duration_records)} since the promotion"
        )
    baseline = median(before.last(asked.baseline_records))
    duration = median(after.last(asked.duration_records))
    fires = duration > exact(asked.duration_factor_max) * baseline
    said = f"{float(duration):g} ms against {float(baseline):g} ms"
    return Check(
        name=name,
        about=about,
        figure=ratio(duration, baseline),
        threshold=threshold,
        met=fires,
        missing=said if fires else "",
    )


def _check(name: str, about: str, figure: Decimal, threshold: str, *, fires: bool) -> Check:
    return Check(name=name, about=about, figure=float(figure), threshold=threshold, met=fires)


def _too_few(readings: Readings, count: int) -> str:
    return f"{counted(count - len(readings), 'record')} too few"
