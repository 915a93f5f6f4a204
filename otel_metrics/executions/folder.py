"""The executions of a project on a disk: `<project>/.kaizen/metrics/<agent>/`.

`executions.jsonl` is the truth; each line is appended under its lock, behind a newline. Under the
same lock, behind each append, `summary.json` is written anew, so that it never goes backwards, and
an event that is to be published is put into `outbox.jsonl`. What is derived and wrong, missing or
torn is put right by the next append. Nothing is forced to the disk but by `prune`: what was
appended survives a kill of the process, and a power cut may take the newest.

Threads: called from any thread of any process; each file is guarded by its lock, as `line_files`
says, and what is derived of an agent's runs by that of its `executions.jsonl`.
"""

import contextlib
import errno
import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final

from otel_metrics import arguments, line_files, safe_names
from otel_metrics.executions import records
from otel_metrics.executions.outbox import Outbox
from otel_metrics.executions.replacing import replacing
from otel_metrics.executions.summary import Tally
from otel_metrics.line_files import BadLine, Line
from otel_metrics.lock_waits import LockWaits
from otel_metrics.outages import Losses

if TYPE_CHECKING:
    from otel_metrics.executions.index import Index, Known

__all__ = ["EXECUTIONS", "LOST", "SUMMARY", "Folder", "Kept", "Pruned"]

EXECUTIONS: Final = "executions.jsonl"
SUMMARY: Final = "summary.json"
OUTBOX: Final = "outbox.jsonl"
INDEX: Final = ".index.sqlite"
PUBLISHING: Final = ".publishing"
"""Locked by who publishes for the project."""
LOST: Final = Losses()
"""Records that no file took, in any folder."""
_CHUNK_BYTES: Final = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Kept:
    """What became of a record that is on the disk.

    Attributes:
        is_duplicate: the file had its key already, and nothing was appended.
        summary: what the file comes to now; None where it could not be read.
        trouble: why the event that was to be published does not wait; None where it does.
    """

    is_duplicate: bool
    summary: Mapping[str, Any] | None
    trouble: str | None = None


@dataclass(frozen=True, slots=True)
class Pruned:
    """What was removed from a file, and what is left, in lines."""

    removed: int
    left: int


class Folder:
    """The executions of one project.

    Args:
        project: its folder; what is missing of the path is made when a record is kept.

    Attributes:
        path: of the project, without links.
        metrics: of the folder that holds one folder for each agent.
    """

    def __init__(self, project: str | os.PathLike[str]) -> None:
        self.path = arguments.folder("project_dir", project)
        self.metrics = os.path.join(self.path, ".kaizen", "metrics")
        self.publishing = os.path.join(self.metrics, PUBLISHING)
        self._waits = LockWaits()

    def keep(
        self,
        record: Mapping[str, Any],
        announce: Callable[[Mapping[str, Any]], bytes] | None = None,
    ) -> Kept:
        """Append one record, unless the file has its key.

        Args:
            announce: returns the event to be published, of the summary with this record in it.

        Raises:
            ValueError: the record is too long.
            OSError: it is not in the file.
        """
        agent = str(record["agent"])
        line = records.encode(record)
        try:
            return self._keep(agent, line, record.get("idempotency_key"), announce)
        except FileNotFoundError:  # the folder was not made yet, or was removed
            _make(os.path.dirname(self._at(agent, EXECUTIONS)), self.path)
            return self._keep(agent, line, record.get("idempotency_key"), announce)

    def agents(self) -> list[str]:
        """Return the agents that have executions, by name.

        Raises:
            OSError: the folder is there and cannot be read.
        """
        try:
            found = os.listdir(self.metrics)
        except FileNotFoundError:
            return []
        named = (safe_names.decoded(name) for name in found)
        return sorted(agent for agent in named if agent is not None and self.has(agent))

    def has(self, agent: str) -> bool:
        """Whether there is a file of an agent."""
        return os.path.isfile(self._at(agent, EXECUTIONS))

    def records(self, agent: str, *, bad: list[BadLine] | None = None) -> Iterator[dict[str, Any]]:
        """Return an agent's records, in the order of the file.

        Args:
            bad: a list to which every line is added that is no record, and was skipped.

        Raises:
            OSError: the file is there and cannot be read.
        """
        for line in line_files.scan(self._at(agent, EXECUTIONS)):
            if isinstance(line.record, str):
                message = line.record
            elif isinstance(line.record.get("success"), bool):
                yield line.record
                continue
            else:
                message = "no record of an execution: success is neither true nor false"
            if bad is not None:
                bad.append(BadLine(line.number, line.start, message))

    def tally(self, agent: str) -> Tally:
        """Return what an agent's file comes to, and put `summary.json` right.

        Raises:
            OSError: the file is there and cannot be read.
        """
        path = self._at(agent, EXECUTIONS)
        if not self.has(agent):
            return Tally()
        try:
            with line_files.locked(path):
                known = self._index.look(safe_names.encoded(agent, setting="agent"), path)
                self._put_right(agent, known.tally.summary())
        except OSError:  # not ours to write, or a lock that is held: reading is enough
            known = self._index.read_all(path)
        return known.tally

    def prune(self, agent: str, before: float, *, dry_run: bool = False) -> Pruned:
        """Remove the records that are older than a time; what has none stays.

        Args:
            before: Unix seconds.

        Raises:
            OSError: the file is as it was.
        """
        path = self._at(agent, EXECUTIONS)
        if not self.has(agent):
            return Pruned(0, 0)
        with line_files.locked(path):
            lines = [(line.start, _is_older(line, before)) for line in line_files.scan(path)]
            removed = sum(is_old for _, is_old in lines)
            if removed and not dry_run:
                _copy_others(path, lines)
        if removed and not dry_run:
            self.tally(agent)  # writes the summary
        return Pruned(removed, len(lines) - removed)

    def outbox(self, agent: str) -> Outbox:
        """Return the events of an agent that wait."""
        return Outbox(self._at(agent, OUTBOX))

    def close(self) -> None:
        """Close what is open; the next use opens it again."""
        self._index.close()

    @cached_property
    def _index(self) -> "Index":
        # Loads sqlite3: not before the call that needs it.
        from otel_metrics.executions.index import Index

        return Index(os.path.join(self.metrics, INDEX))

    def _at(self, agent: str, name: str) -> str:
        return os.path.join(self.metrics, safe_names.encoded(agent, setting="agent"), name)

    def _keep(
        self,
        agent: str,
        line: bytes,
        key: str | None,
        announce: Callable[[Mapping[str, Any]], bytes] | None,
    ) -> Kept:
        path = self._at(agent, EXECUTIONS)
        if os.path.islink(os.path.dirname(path)):
            raise OSError(
                errno.ELOOP, "is a symbolic link; make it a folder", os.path.dirname(path)
            )
        folder = safe_names.encoded(agent, setting="agent")
        with (
            self._waits.of(path) as wait_s,
            line_files.locked(path, wait_s=wait_s) as append,
        ):
            known = self._index.look(folder, path, key)
            if known.has_key:
                return Kept(is_duplicate=True, summary=known.tally.summary())
            append(line)
            return self._appended(agent, known, line, key, announce)

    def _appended(
        self,
        agent: str,
        before: "Known",
        line: bytes,
        key: str | None,
        announce: Callable[[Mapping[str, Any]], bytes] | None,
    ) -> Kept:
        """Bring up to date what is derived. The record is on the disk: nothing here may raise."""
        path, folder = self._at(agent, EXECUTIONS), safe_names.encoded(agent, setting="agent")
        try:
            known = self._index.added(folder, path, before, line, key)
        except OSError as error:
            return Kept(is_duplicate=False, summary=None, trouble=str(error))
        summary = known.tally.summary()
        self._put_right(agent, summary)
        trouble = None
        if announce is not None:
            outbox = self.outbox(agent)
            try:
                with self._waits.of(outbox.path) as wait_s:
                    outbox.put(announce(summary), wait_s=wait_s)
            except OSError as error:
                trouble = str(error)
        return Kept(is_duplicate=False, summary=summary, trouble=trouble)

    def _put_right(self, agent: str, summary: Mapping[str, Any]) -> None:
        """Write the summary, unless it is there; called with the lock held.

        A disk that does not take it costs nothing: the next append or look writes it.
        """
        path = self._at(agent, SUMMARY)
        data = json.dumps(summary, indent=2).encode() + b"\n"
        with contextlib.suppress(OSError):
            if _content(path, len(data)) == data:
                return
            with replacing(path, sync=False) as file:
                file.write(data)


def _content(path: str, length: int) -> bytes | None:
    """Return what is in a file, and one byte more where it is longer; None where it is no file."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOFOLLOW)
    except OSError:
        return None
    with open(descriptor, "rb") as file:
        return file.read(length + 1)


def _is_older(line: Line, before: float) -> bool:
    time_s = records.time_of(line.record) if isinstance(line.record, dict) else None
    return time_s is not None and time_s < before


def _copy_others(path: str, lines: Sequence[tuple[int, bool]]) -> None:
    """Replace a file by those of its lines that are not old, byte for byte."""
    ends = [start for start, _ in lines[1:]] + [os.path.getsize(path)]
    with open(path, "rb") as source, replacing(path, sync=True) as target:
        for (start, is_old), end in zip(lines, ends, strict=True):
            if not is_old:
                source.seek(start)
                while data := source.read(min(_CHUNK_BYTES, end - source.tell())):
                    target.write(data)


def _make(folder: str, top: str) -> None:
    """Make a folder, and those between it and `top`; what is made is ours alone to write in."""
    if not os.path.isdir(folder):
        if folder != top:
            _make(os.path.dirname(folder), top)
        else:
            os.makedirs(os.path.dirname(folder), exist_ok=True)
        line_files.make_folder(folder)
