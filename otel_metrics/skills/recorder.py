"""Says what a run of a skill came to: metrics for how many, events for the particulars.

Nothing here raises. A part that cannot be recorded is counted (`metric.rejected`) and left out;
the rest is recorded.
"""

import uuid
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Final, Literal

from otel_metrics import events, instruments, values
from otel_metrics.amounts import amount, count, flag, name, never_raises, timestamp_ns

__all__ = [
    "UNKNOWN",
    "VERDICTS",
    "Outcome",
    "Unknown",
    "Verdict",
    "about_skill",
    "count_cost",
    "count_outcome",
    "error_type",
    "evaluation",
    "judge",
    "new_execution_id",
    "record_fidelity",
    "record_outcome",
    "record_performance",
]

Verdict = Literal["correct", "incorrect", "unverified"]

BYTES_PER_MB: Final = 1024 * 1024
"""`memory_usage_mb` counts MiB, as the tools do from which services take it."""
ERROR_UNNAMED: Final = "_OTHER"
"""`error.type` of an error whose class was not given (semantic conventions 1.44)."""

_executions = instruments.metric("skill.executions")
_duration = instruments.metric("skill.execution.duration")
_memory = instruments.metric("skill.execution.memory")
_outcomes = instruments.metric("skill.outcomes")
_confidence = instruments.metric("skill.outcome.confidence")
_fidelity = instruments.metric("skill.fidelity")
_patterns = instruments.metric("skill.patterns")
_cost = instruments.metric("skill.cost")


class Unknown:
    """The type of `UNKNOWN`."""

    def __repr__(self) -> str:
        return "UNKNOWN"


UNKNOWN: Final = Unknown()
"""Nobody knows what would have been right. None will not do: it may be the right answer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What a run decided, and what that was worth."""

    decision: object
    expected: object
    verdict: Verdict
    confidence: float | None
    reasoning: object


@never_raises("skill.executions")
def record_performance(
    skill: str,
    *,
    execution_time_ms: float,
    execution_id: str | None = None,
    agent: str | None = None,
    exception_occurred: bool = False,
    exception_type: str | None = None,
    memory_usage_mb: float | None = None,
    version: str | None = None,
    timestamp: float | None = None,
) -> None:
    """Count a run of a skill, with its duration and, if it raised, its error.

    Args:
        skill: the skill's name, from a small set.
        execution_time_ms: milliseconds; the metric is in seconds.
        execution_id: of the run, to join its records; a new one if none is given.
        agent: the agent that ran it.
        exception_occurred: whether the run raised.
        exception_type: the class of what it raised, `ValueError` or `package.module.Error`.
        memory_usage_mb: MiB that the run took; the metric is in bytes.
        version: the skill's version, from a small set.
        timestamp: of the event, Unix seconds; default now.
    """
    about = about_skill("skill.executions", skill, agent, version)
    if about is None:
        return
    raised = flag("skill.executions", exception_occurred)
    failed = {"error.type": _given(exception_type) or ERROR_UNNAMED} if raised else {}
    duration_ms = amount("skill.execution.duration", execution_time_ms)
    memory_mb = (
        None if memory_usage_mb is None else amount("skill.execution.memory", memory_usage_mb)
    )

    _executions.add(1, about | failed)
    if duration_ms is not None:
        _duration.record(duration_ms / 1000, about | failed)
    if memory_mb is not None:
        _memory.record(memory_mb * BYTES_PER_MB, about)
    events.emit(
        "skill.performance",
        {
            **about,
            "execution_id": _given(execution_id) or new_execution_id(),
            "execution_time_ms": duration_ms,
            "exception_occurred": raised,
            "exception_type": failed.get("error.type"),
            "memory_usage_mb": memory_mb,
        },
        timestamp_ns=timestamp_ns("skill.performance", timestamp),
    )


@never_raises("skill.outcomes")
def record_outcome(
    skill: str,
    *,
    decision: object,
    expected_decision: object = UNKNOWN,
    correct: bool | None = None,
    execution_id: str | None = None,
    confidence: float | None = None,
    reasoning: str | None = None,
    agent: str | None = None,
    version: str | None = None,
    timestamp: float | None = None,
) -> None:
    """Count the outcome of a run: correct, incorrect, or unverified.

    Args:
        skill: the skill's name, from a small set.
        decision: what the run decided; any value, kept in the event.
        expected_decision: what would have been right. None means None, leave it out if unknown.
        correct: the verdict, where it is not `decision == expected_decision`.
        execution_id: of the run, to join its records; a new one if none is given.
        confidence: 0 to 1.
        reasoning: kept in the event.
        agent: the agent that ran it.
        version: the skill's version, from a small set.
        timestamp: of the event, Unix seconds; default now.
    """
    if correct is None:
        verdict = judge(decision, expected_decision)
    else:
        verdict = VERDICTS[flag("skill.outcomes", correct)]
    outcome = Outcome(
        decision=decision,
        expected=expected_decision,
        verdict=verdict,
        confidence=confidence,
        reasoning=reasoning,
    )
    count_outcome(skill, outcome, execution_id, agent=agent, version=version, timestamp=timestamp)


@never_raises("skill.fidelity")
def record_fidelity(
    skill: str,
    *,
    patterns_followed: int | Collection[object],
    patterns_missed: int | Collection[object],
    pattern_fidelity: float | None = None,
    patterns_detail: object = None,
    execution_id: str | None = None,
    agent: str | None = None,
    version: str | None = None,
    timestamp: float | None = None,
) -> None:
    """Record how far a run kept to the patterns that its skill prescribes.

    Args:
        skill: the skill's name, from a small set.
        patterns_followed: how many, or the patterns themselves.
        patterns_missed: how many, or the patterns themselves.
        pattern_fidelity: 0 to 1; by default followed ÷ (followed + missed), 0 where none are
            expected.
        patterns_detail: any data, kept in the event.
        execution_id: of the run, to join its records; a new one if none is given.
        agent: the agent that ran it.
        version: the skill's version, from a small set.
        timestamp: of the event, Unix seconds; default now.
    """
    about = about_skill("skill.fidelity", skill, agent, version)
    if about is None:
        return
    followed = _how_many(patterns_followed)
    missed = _how_many(patterns_missed)
    if pattern_fidelity is not None:
        fidelity = amount("skill.fidelity", pattern_fidelity, most=1)
    elif followed is not None and missed is not None:
        fidelity = followed / (followed + missed) if followed else 0.0
    else:
        fidelity = None

    if fidelity is not None:
        _fidelity.record(fidelity, about)
    for result, patterns in (("followed", followed), ("missed", missed)):
        if patterns is not None:
            _patterns.add(patterns, about | {"skill.pattern.result": result})
    events.emit(
        "skill.fidelity",
        {
            **about,
            "execution_id": _given(execution_id) or new_execution_id(),
            "pattern_fidelity": fidelity,
            "patterns_followed": patterns_followed,
            "patterns_missed": patterns_missed,
            "patterns_detail": patterns_detail,
        },
        timestamp_ns=timestamp_ns("skill.fidelity", timestamp),
    )


@never_raises("skill.outcomes")
def count_outcome(
    skill: str,
    outcome: Outcome,
    execution_id: str | None,
    *,
    agent: str | None = None,
    version: str | None = None,
    timestamp: float | None = None,
) -> None:
    """Count an outcome that was judged already."""
    about = about_skill("skill.outcomes", skill, agent, version)
    if about is None:
        return
    judged = about | {"skill.outcome": outcome.verdict}
    confidence = (
        None
        if outcome.confidence is None
        else amount("skill.outcome.confidence", outcome.confidence, most=1)
    )

    _outcomes.add(1, judged)
    if confidence is not None:
        _confidence.record(confidence, judged)
    events.emit(
        "skill.outcome",
        {
            **judged,
            "execution_id": _given(execution_id) or new_execution_id(),
            "decision": outcome.decision,
            "expected_decision": None if outcome.expected is UNKNOWN else outcome.expected,
            "correct": None if outcome.verdict == "unverified" else outcome.verdict == "correct",
            "confidence": confidence,
            "reasoning": outcome.reasoning,
            **evaluation(outcome.verdict, outcome.reasoning),
        },
        timestamp_ns=timestamp_ns("skill.outcome", timestamp),
    )


def evaluation(verdict: Verdict, reasoning: object) -> dict[str, object]:
    """Return what an outcome's event says in the words of the GenAI conventions."""
    return {
        "gen_ai.evaluation.name": "skill.outcome",
        "gen_ai.evaluation.score.value": _SCORES.get(verdict),
        "gen_ai.evaluation.score.label": verdict,
        "gen_ai.evaluation.explanation": reasoning,
    }


@never_raises("skill.cost")
def count_cost(
    skill: str, cost_usd: float, outcome: Verdict, *, agent: str | None, version: str | None
) -> None:
    """Count what a run cost, in USD, under what came of it."""
    about = about_skill("skill.cost", skill, agent, version)
    if about is not None:
        _cost.add(cost_usd, about | {"skill.outcome": outcome})


def judge(decision: object, expected: object) -> Verdict:
    """Say whether a decision was right. What cannot be compared is unverified."""
    if expected is UNKNOWN:
        return "unverified"
    try:
        return VERDICTS[bool(decision == expected)]
    except Exception:  # noqa: BLE001  # the comparison is the caller's code: arrays, frames
        instruments.reject("skill.outcomes", "incomparable", "values whose == is true or false")
        return "unverified"


def error_type(error: BaseException) -> str:
    """Return the class of an exception as `error.type` has it: qualified, builtins bare."""
    kind = type(error)
    if kind.__module__ == "builtins":
        return kind.__qualname__
    return f"{kind.__module__}.{kind.__qualname__}"


def new_execution_id() -> str:
    """Return an id for a run that came without one."""
    return uuid.uuid4().hex


_SCORES: Final = {"correct": 1.0, "incorrect": 0.0}
VERDICTS: Final[Mapping[bool | None, Verdict]] = {
    True: "correct",
    False: "incorrect",
    None: "unverified",
}


def about_skill(
    metric: str, skill: str, agent: str | None, version: str | None
) -> dict[str, object] | None:
    """Return the attributes that every record of a skill has; None, counted, without a name."""
    named = name(metric, skill, "a skill's name: text that is not empty")
    if named is None:
        return None
    about: dict[str, object] = {"gen_ai.skill.name": named}
    if agent is not None:
        about["gen_ai.agent.name"] = agent
    if version is not None:
        about["gen_ai.skill.version"] = version
    return about


def _given(identifier: object) -> str | None:
    """Return an id or the name of a class as plain text, so that its truth can be asked."""
    return None if identifier is None else str(values.label(identifier))


def _how_many(patterns: int | Collection[object]) -> int | None:
    try:
        if isinstance(patterns, list | tuple | set | frozenset | Mapping):
            patterns = len(patterns)
    except Exception:  # noqa: BLE001, S110  # the caller's own collection; counted on the next line
        pass
    return count("skill.patterns", patterns)
