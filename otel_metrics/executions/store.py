"""The execution files as a store: what `executions.record` says is appended to them too.

Threads: `take` runs on the thread that records; the line is in its file when it returns.
"""

import os
from collections.abc import Mapping
from typing import Any, Final

from otel_metrics import instruments
from otel_metrics.executions import records
from otel_metrics.executions.folder import Folder

__all__ = ["EXECUTION_FILES", "StoredExecutions"]

EXECUTION_FILES: Final = "execution_files"
"""What verdicts, health and metrics call the store."""


class StoredExecutions:
    """Appends the events of executions to the files of one project, as `ExecutionFiles` does.

    Args:
        path: the project's folder.
    """

    name = EXECUTION_FILES
    events = "agent.execution"

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self._folder = Folder(path)
        self.path = self._folder.path

    def take(self, name: str, attributes: Mapping[str, Any], time_ns: int) -> None:
        """Append one event to its agent's file, unless that has its key.

        Raises:
            OSError: the disk did not take it.
        """
        if name != self.events:
            return
        try:
            record = records.of_event(attributes, time_ns)
        except ValueError as error:
            instruments.reject(EXECUTION_FILES, "no_folder_name", str(error))
            return
        self._folder.keep(record)

    def after_fork(self) -> None:
        """Do nothing: each call opens its file anew, and the index knows a fork."""

    def close(self, deadline_s: float) -> None:
        """Close the index; nothing waits."""
        del deadline_s
        self._folder.close()
