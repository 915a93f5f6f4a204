"""The skill files as a store: what `skills.record_*` and `execution` say is appended to them too.

Threads: `take` runs on the thread that records; the line is in its file when it returns.
"""

import os
from collections.abc import Mapping
from typing import Any, Final

from otel_metrics import instruments, line_files
from otel_metrics.skills import file_records
from otel_metrics.skills.file_names import NAME_BYTES_MAX, file_name
from otel_metrics.skills.folder import Folder

__all__ = ["SKILL_FILES", "SkillFiles"]

SKILL_FILES: Final = "skill_files"
"""What verdicts, health and metrics call the store."""


class SkillFiles:
    """Appends the events of skills to the files of one folder, as `MetricsAppender` does.

    Args:
        path: the folder; it is made where it is missing.
    """

    name = SKILL_FILES
    events = "skill."

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self._folder = Folder(path)
        self.path = self._folder.path

    def take(self, name: str, attributes: Mapping[str, Any], time_ns: int) -> None:
        """Append one event to its file; one that is in no file's contract is left out.

        Raises:
            OSError: the disk did not take it.
        """
        kind = file_records.KINDS.get(name)
        if kind is None:
            return
        given = file_records.of_event(name, attributes, time_ns)
        try:
            file = file_name(given["skill_name"], kind)
        except ValueError:
            accepted = f"a skill's name that takes at most {NAME_BYTES_MAX} bytes as a file name"
            instruments.reject(SKILL_FILES, "no_file_name", accepted)
            return
        if kind != "promotion":
            self._folder.append(file, line_files.encode(file_records.record(name, given)))
            return
        made = file_records.record(name, {**given, "event_id": None})
        wanted = given["event_id"] or file_records.event_id(made)
        self._folder.append_move(
            file, wanted, lambda free: line_files.encode({**made, "event_id": free})
        )

    def after_fork(self) -> None:
        """Do nothing: each call opens its file anew."""

    def close(self, deadline_s: float) -> None:
        """Do nothing: nothing waits."""
        del deadline_s
