"""Says what a run of an agent came to: success, duration, quality. Nothing here raises."""

from collections.abc import Mapping

from otel_metrics import events, instruments, values
from otel_metrics.amounts import amount, flag, name, never_raises, timestamp_ns

__all__ = ["record"]

_executions = instruments.metric("agent.executions")
_duration = instruments.metric("agent.execution.duration")
_quality = instruments.metric("agent.execution.quality")


@never_raises("agent.executions")
def record(
    agent: str,
    *,
    success: bool,
    execution_time_s: float | None = None,
    quality_score: float | None = None,
    primary_metric: Mapping[str, object] | None = None,
    session_id: str | None = None,
    metadata: Mapping[str, object] | None = None,
    idempotency_key: str | None = None,
    timestamp: float | None = None,
) -> None:
    """Count a run of an agent, with its duration and quality where they are known.

    Args:
        agent: the agent's name, from a small set.
        success: whether the run did what it was to do.
        execution_time_s: seconds.
        quality_score: 0 to 1.
        primary_metric: `{"name", "value", "target"}`; kept in the event, as is all that follows.
        session_id: of the session that the run was part of.
        metadata: any data.
        idempotency_key: names the run, so that whoever keeps a file of runs keeps it once. The
            counters count every call. Of one that looks like a secret, as of such a session's id,
            the SHA-256 is kept.
        timestamp: when the run ended, Unix seconds; default now.

    Example:
        >>> from otel_metrics import executions
        >>> executions.record("reviewer", success=True, execution_time_s=12.5, quality_score=0.9)
    """
    named = name("agent.executions", agent, "an agent's name: text that is not empty")
    if named is None:
        return
    succeeded = flag("agent.executions", success)
    if succeeded is None:
        return
    about = {"gen_ai.agent.name": named, "agent.execution.success": succeeded}
    duration_s = (
        None if execution_time_s is None else amount("agent.execution.duration", execution_time_s)
    )
    quality = (
        None if quality_score is None else amount("agent.execution.quality", quality_score, most=1)
    )

    _executions.add(1, about)
    if duration_s is not None:
        _duration.record(duration_s, about)
    if quality is not None:
        _quality.record(quality, about)
    events.emit(
        "agent.execution",
        {
            **about,
            "execution_time_s": duration_s,
            "quality_score": quality,
            "primary_metric": primary_metric,
            "session.id": values.identifier(session_id),
            "metadata": metadata,
            "idempotency_key": values.identifier(idempotency_key),
        },
        timestamp_ns=timestamp_ns("agent.executions", timestamp),
    )
