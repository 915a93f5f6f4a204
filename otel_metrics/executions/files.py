"""`ExecutionFiles`: the executions of a project's agents, as services have long written them.

See `records` for the lines, `summary` for the figures, `folder` for the files. Each run is also
counted and emitted, once. It raises for what it was given, never for a disk.
"""

import logging
import os
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from otel_metrics import events
from otel_metrics.executions import announcement, folder, recorder, records
from otel_metrics.executions.folder import Folder, Kept
from otel_metrics.line_files import BadLine
from otel_metrics.outages import DiskState

__all__ = ["ExecutionFiles"]

_logger = logging.getLogger("otel_metrics.executions")


class ExecutionFiles:
    """Appends runs of agents to the files of one project, and reads them.

    Many threads and processes may share the project. `append` returns True once the run is in
    `<project>/.kaizen/metrics/<agent>/executions.jsonl`, where it survives a kill of the process;
    `summary.json` beside it follows. It returns False where the disk did not take it: the record is
    lost, counted (`delivery.rejected`) and, when that begins, logged.

    Args:
        project_dir: the project's folder.
        project: what published events call it; by default its folder's name.

    Raises:
        ValueError: by every method, for a name or an argument that the files cannot hold.

    Example:
        >>> import tempfile
        >>> files = ExecutionFiles(tempfile.mkdtemp())
        >>> files.append("reviewer", success=True, execution_time_s=12.5, quality_score=0.9)
        True
        >>> files.summary("reviewer")["success_rate"]
        1.0
    """

    def __init__(self, project_dir: str | os.PathLike[str], *, project: str | None = None) -> None:
        self._folder = Folder(project_dir)
        self._project = announcement.project_name(project, self._folder.path)
        self._disk = DiskState("execution files", self._folder.path, folder.LOST, _logger)

    @property
    def path(self) -> str:
        """The project's folder."""
        return self._folder.path

    @property
    def last_error(self) -> str | None:
        """Why the last run was not taken; None once one was."""
        return self._disk.last_error

    @property
    def folder(self) -> Folder:
        """The files themselves, for who publishes or removes what is in them."""
        return self._folder

    def append(
        self,
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
        announce: bool = False,
    ) -> bool:
        """Append a run, and count it as `executions.record` does.

        A run whose key the agent's file has is neither appended nor counted.

        Args:
            agent: any name; what no folder's name can hold is percent-encoded.
            success: whether the run did what it was to do.
            execution_time_s: seconds.
            quality_score: 0 to 1.
            primary_metric: `{"name", "value", "target"}`; the target may be missing.
            session_id: of the session that the run was part of.
            metadata: any data.
            idempotency_key: names the run, so that it is in the file once.
            timestamp: Unix seconds; default now.
            announce: let the event wait that tells consumers of the run, for `executions publish`.

        Returns:
            whether the run is on the disk.
        """
        given = {
            "agent": agent,
            "success": success,
            "execution_time_s": execution_time_s,
            "quality_score": quality_score,
            "primary_metric": primary_metric,
            "session_id": session_id,
            "metadata": metadata,
            "idempotency_key": idempotency_key,
            "timestamp": None if timestamp is None else records.time_text(timestamp),
        }
        try:
            self.keep(given, announce=announce)
        except OSError:  # counted and told
            return False
        return True

    def keep(self, given: Mapping[str, object], *, announce: bool = False) -> Kept:
        """Append a run given as the fields of its record, and say what became of it.

        Args:
            given: without a timestamp, or with None, it was now.

        Raises:
            OSError: the disk did not take it. It is counted as `executions.record` does all the
                same.
        """
        now = records.time_text(time.time())
        record = records.checked({**given, "timestamp": given.get("timestamp") or now})
        try:
            kept = self._folder.keep(record, self._event_of(record) if announce else None)
        except OSError as error:
            self._disk.failed(error)
            self._count(given)
            raise
        self._disk.worked()
        if not kept.is_duplicate:
            self._count(given)
        return kept

    def agents(self) -> list[str]:
        """Return the agents that have executions, by name.

        Raises:
            OSError: the files cannot be read.
        """
        return self._folder.agents()

    def records(self, agent: str, *, bad: list[BadLine] | None = None) -> Iterator[dict[str, Any]]:
        """Return an agent's records in the order in which they were appended.

        Args:
            bad: a list to which every line is added that is no record, and was skipped.

        Raises:
            OSError: the file cannot be read.
        """
        return self._folder.records(agent, bad=bad)

    def summary(self, agent: str) -> dict[str, Any]:
        """Return what an agent's executions come to, and put `summary.json` right where it is not.

        Raises:
            OSError: the file cannot be read.
        """
        return self._folder.tally(agent).summary()

    def close(self) -> None:
        """Close what is open; the next use opens it again."""
        self._folder.close()

    def _count(self, given: Mapping[str, Any]) -> None:
        """Count and emit a run as `executions.record` does; what became of it here is counted."""
        known = {key: value for key, value in given.items() if key not in ("agent", "timestamp")}
        timestamp = records.time_of(given) if given.get("timestamp") else None
        with events.filed(self.path):  # or a store on these files took it, or lost it, once more
            recorder.record(given["agent"], **known, timestamp=timestamp)

    def _event_of(self, record: Mapping[str, Any]) -> Callable[[Mapping[str, Any]], bytes]:
        def event(summary: Mapping[str, Any]) -> bytes:
            return announcement.line(
                record["agent"],
                self._project,
                summary,
                timestamp=records.time_text(time.time()),
                event_id=str(uuid.uuid4()),
            )

        return event
