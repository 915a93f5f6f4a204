"""`MetricsAppender`: the skill files as services have long written and read them.

Each call writes one line to one file of a folder, counts and emits what it says, and raises only
for what it was given, never for a disk. See `file_records` for the lines, `file_names` for the
files.
"""

import logging
import os
import time
from collections.abc import Collection, Mapping
from typing import Any

from otel_metrics import arguments, events, line_files, values
from otel_metrics.arguments import TIMESTAMP_MAX, shown
from otel_metrics.line_files import BadLine
from otel_metrics.outages import DiskState
from otel_metrics.skills import file_records, folder, recorder, stages
from otel_metrics.skills.file_names import file_name
from otel_metrics.skills.folder import Folder

__all__ = ["MetricsAppender"]

_logger = logging.getLogger("otel_metrics.skills")


class MetricsAppender:
    """Appends records to the skill files of one folder, and reads them.

    Many threads and processes may share the folder. Every `append_*` returns True once its line is
    in the file, whole, where it survives a kill of the process. It returns False where the disk did
    not take it: the line is lost, counted (`delivery.rejected`, exporter `skill_files`) and, when
    that begins, logged. In both cases what it says is counted and emitted as by `record_*` of this
    package.

    Args:
        metrics_dir: the folder; it is made where it is missing.

    Raises:
        ValueError: by every method, for a name or an argument that the files cannot hold.

    Example:
        >>> import tempfile
        >>> appender = MetricsAppender(tempfile.mkdtemp())
        >>> appender.append_outcome_metric(
        ...     "triage", "exec-1", "urgent", "urgent", True, 0.93, "a fever", "support"
        ... )
        True
        >>> appender.read_metrics("triage_outcomes.json")[0]["decision"]
        'urgent'
    """

    def __init__(self, metrics_dir: str | os.PathLike[str]) -> None:
        self._folder = Folder(metrics_dir)
        self._disk = DiskState("skill files", self._folder.path, folder.LOST, _logger)

    @property
    def metrics_dir(self) -> str:
        """The folder."""
        return self._folder.path

    @property
    def last_error(self) -> str | None:
        """Why the last line was not taken; None once one was."""
        return self._disk.last_error

    def append_performance_metric(
        self,
        skill_name: str,
        execution_id: str,
        execution_time_ms: float,
        agent: str | None,
        exception_occurred: bool = False,  # noqa: FBT001, FBT002  # an order that callers rely on
        exception_type: str | None = None,
        memory_usage_mb: float | None = None,
        timestamp: float | None = None,
    ) -> bool:
        """Append a run to `{skill}_performance.json`, and count it.

        Args:
            execution_time_ms: milliseconds.
            exception_occurred: whether the run raised.
            exception_type: the class of what it raised.
            memory_usage_mb: MiB.
            timestamp: when it ended, Unix seconds; default now.
        """
        name = file_name(skill_name, "performance")
        occurred = _timestamp(timestamp)
        given = {
            "execution_id": _identifier("execution_id", execution_id),
            "timestamp": occurred,
            "skill_name": skill_name,
            "agent": agent,
            "execution_time_ms": arguments.number("execution_time_ms", execution_time_ms),
            "exception_occurred": _flag("exception_occurred", exception_occurred),
            "exception_type": exception_type,
            "memory_usage_mb": arguments.optional_number("memory_usage_mb", memory_usage_mb),
        }
        done = self._append(name, "skill.performance", given)
        with events.filed(self._folder.path):
            recorder.record_performance(
                skill_name,
                execution_time_ms=execution_time_ms,
                execution_id=execution_id,
                agent=agent,
                exception_occurred=exception_occurred,
                exception_type=exception_type,
                memory_usage_mb=memory_usage_mb,
                timestamp=occurred,
            )
        return done

    def append_outcome_metric(
        self,
        skill_name: str,
        execution_id: str,
        decision: object,
        expected_decision: object,
        correct: bool | None,  # noqa: FBT001  # an order that callers rely on
        confidence: float | None,
        reasoning: str | None,
        agent: str | None,
        timestamp: float | None = None,
    ) -> bool:
        """Append what a run decided to `{skill}_outcomes.json`, and count it.

        Args:
            decision: any data.
            expected_decision: what would have been right.
            correct: the verdict; None where there is none.
            confidence: 0 to 1.
            timestamp: Unix seconds; default now.
        """
        name = file_name(skill_name, "outcome")
        occurred = _timestamp(timestamp)
        judged = None if correct is None else _flag("correct", correct)
        given = {
            "execution_id": _identifier("execution_id", execution_id),
            "timestamp": occurred,
            "skill_name": skill_name,
            "agent": agent,
            "decision": decision,
            "expected_decision": expected_decision,
            "correct": judged,
            "confidence": arguments.optional_number("confidence", confidence, most=1),
            "reasoning": reasoning,
        }
        done = self._append(name, "skill.outcome", given)
        outcome = recorder.Outcome(
            decision=decision,
            expected=expected_decision,
            verdict=recorder.VERDICTS[judged],
            confidence=confidence,
            reasoning=reasoning,
        )
        with events.filed(self._folder.path):
            recorder.count_outcome(
                skill_name, outcome, execution_id, agent=agent, timestamp=occurred
            )
        return done

    def append_fidelity_metric(
        self,
        skill_name: str,
        execution_id: str,
        pattern_fidelity: float,
        patterns_followed: int | Collection[object],
        patterns_missed: int | Collection[object],
        patterns_detail: object,
        agent: str | None,
        timestamp: float | None = None,
    ) -> bool:
        """Append how far a run kept to its patterns to `{skill}_fidelity.json`, and count it.

        Args:
            pattern_fidelity: 0 to 1: patterns followed ÷ patterns expected.
            patterns_followed: how many, or the patterns themselves.
            patterns_missed: how many, or the patterns themselves.
            patterns_detail: any data.
            timestamp: Unix seconds; default now.
        """
        name = file_name(skill_name, "fidelity")
        occurred = _timestamp(timestamp)
        given = {
            "execution_id": _identifier("execution_id", execution_id),
            "timestamp": occurred,
            "skill_name": skill_name,
            "agent": agent,
            "pattern_fidelity": arguments.number("pattern_fidelity", pattern_fidelity, most=1),
            "patterns_followed": _patterns("patterns_followed", patterns_followed),
            "patterns_missed": _patterns("patterns_missed", patterns_missed),
            "patterns_detail": patterns_detail,
        }
        done = self._append(name, "skill.fidelity", given)
        with events.filed(self._folder.path):
            recorder.record_fidelity(
                skill_name,
                patterns_followed=patterns_followed,
                patterns_missed=patterns_missed,
                pattern_fidelity=pattern_fidelity,
                patterns_detail=patterns_detail,
                execution_id=execution_id,
                agent=agent,
                timestamp=occurred,
            )
        return done

    def append_promotion_event(
        self,
        skill_name: str,
        from_state: stages.State,
        to_state: stages.State,
        approver: str | None,
        approval_ticket: str | None,
        reason: str | None,
        automated_checks: object,
        timestamp: float | None = None,
    ) -> bool:
        """Append a promotion to `{skill}_promotion_log.json`, and count it.

        Args:
            from_state, to_state: prototype to staged, or staged to production.
            automated_checks: any data.
            timestamp: Unix seconds; default now.
        """
        name = file_name(skill_name, "promotion")
        occurred = _timestamp(timestamp)
        _edge((from_state, to_state), stages.PROMOTIONS)
        given = {
            "timestamp": occurred,
            "skill_name": skill_name,
            "from_state": from_state,
            "to_state": to_state,
            "approver": approver,
            "approval_ticket": approval_ticket,
            "reason": reason,
            "automated_checks": automated_checks,
        }
        event_id, done = self._append_move(name, "skill.promotion", given)
        with events.filed(self._folder.path):
            stages.record_promotion(
                skill_name,
                from_state=from_state,
                to_state=to_state,
                approver=approver,
                approval_ticket=approval_ticket,
                reason=reason,
                automated_checks=automated_checks,
                timestamp=occurred,
                event_id=event_id,
            )
        return done

    def append_rollback_event(
        self,
        skill_name: str,
        from_state: stages.State,
        to_state: stages.State,
        trigger_reason: str | None,
        trigger_metric: object,
        automated: bool = True,  # noqa: FBT001, FBT002  # an order that callers rely on
        timestamp: float | None = None,
    ) -> bool:
        """Append a rollback or a demotion to `{skill}_promotion_log.json`, and count it.

        Args:
            from_state, to_state: production to staged, or (a demotion) staged to prototype.
            trigger_metric: any data.
            automated: False where a person decided.
            timestamp: Unix seconds; default now.
        """
        name = file_name(skill_name, "promotion")
        occurred = _timestamp(timestamp)
        _edge((from_state, to_state), stages.ROLLBACKS)
        given = {
            "timestamp": occurred,
            "skill_name": skill_name,
            "from_state": from_state,
            "to_state": to_state,
            "trigger_reason": trigger_reason,
            "trigger_metric": trigger_metric,
            "automated": _flag("automated", automated),
        }
        event_id, done = self._append_move(name, "skill.rollback", given)
        with events.filed(self._folder.path):
            stages.record_rollback(
                skill_name,
                from_state=from_state,
                to_state=to_state,
                trigger_reason=trigger_reason,
                trigger_metric=trigger_metric,
                automated=automated,
                timestamp=occurred,
                event_id=event_id,
            )
        return done

    def read_metrics(
        self, filename: str, limit: int | None = None, *, bad: list[BadLine] | None = None
    ) -> list[dict[str, Any]]:
        """Return the last records of a file of the folder; a file that is not there has none.

        A line that is no record is skipped; the log says so once a minute. A file that cannot be
        read has no records either, which `last_error` and the log tell.

        Args:
            filename: such as `triage_outcomes.json`.
            limit: how many records at most; None for all, 0 for none.
            bad: a list to which every line is added that was met and skipped.
        """
        _check_file_name(filename)
        if limit is not None and (type(limit) is not int or limit < 0):
            raise ValueError(f"limit={limit!r}: is no count; give a whole number from 0, or None")
        skipped: list[BadLine] = [] if bad is None else bad
        try:
            records = self._folder.read(filename, limit, skipped)
        except OSError as error:
            self._disk.failed(error, lost=False)
            return []
        return records

    def _append(self, name: str, event: str, given: Mapping[str, object]) -> bool:
        line = line_files.encode(file_records.record(event, given))
        try:
            self._folder.append(name, line)
        except OSError as error:
            self._disk.failed(error)
            return False
        self._disk.worked()
        return True

    def _append_move(
        self, name: str, event: str, given: Mapping[str, object]
    ) -> tuple[str | None, bool]:
        record = file_records.record(event, {**given, "event_id": ""})
        event_id = file_records.event_id(record)
        try:
            event_id = self._folder.append_move(
                name, event_id, lambda free: line_files.encode({**record, "event_id": free})
            )
        except OSError as error:
            self._disk.failed(error)
            return None, False
        self._disk.worked()
        return event_id, True


def _timestamp(given: float | None) -> float:
    if given is None:
        return time.time()
    taken = arguments.number("timestamp", given)
    if taken > TIMESTAMP_MAX:
        raise ValueError(f"timestamp={given!r}: is after the year 9999; give Unix seconds")
    return taken


def _flag(name: str, given: object) -> bool:
    try:
        if given in (True, False):
            return bool(given)
    except Exception:  # noqa: BLE001, S110  # == is the caller's code
        pass
    raise ValueError(f"{name}={shown(given)}: is neither; give True or False")


def _identifier(name: str, given: object) -> object:
    taken = values.label(given)
    if taken is None or taken == "":
        raise ValueError(f"{name}={given!r}: is empty; give the id of the execution")
    return taken


def _patterns(name: str, given: object) -> object:
    if isinstance(given, list | tuple | set | frozenset | Mapping):
        return given
    try:
        return int(values.number(given, integer=True, negative=False))
    except values.RejectedValueError as error:
        message = f"{error.reason}; give how many there are, or a collection of them"
        raise ValueError(f"{name}={shown(given)}: {message}") from None


def _edge(
    given: tuple[object, object], edges: Collection[tuple[stages.State, stages.State]]
) -> None:
    if given in edges:
        return
    accepted = ", ".join(f"{origin} to {target}" for origin, target in edges)
    step = " to ".join(shown(state) for state in given)
    raise ValueError(f"from_state, to_state={step}: no such step; give {accepted}")


def _check_file_name(given: object) -> None:
    if not isinstance(given, str) or not given or given in (".", ".."):
        raise ValueError(f"filename={shown(given)}: is no file's name; give one of the folder's")
    if "/" in given or "\0" in given or os.sep in given:
        raise ValueError(f"filename={shown(given)}: is a path; give a name of the folder's alone")
