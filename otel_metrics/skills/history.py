"""What skill files hold, as the events that it would have been: for taking it into an archive.

Tolerant of what older writers wrote: a field that is missing is left out, one that this contract
does not know is kept in `metadata`.
"""

import hashlib
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from otel_metrics import line_files
from otel_metrics.amounts import nanoseconds
from otel_metrics.arguments import TIMESTAMP_MAX
from otel_metrics.skills import file_records, recorder
from otel_metrics.skills.file_names import Kind, parsed

__all__ = ["RECORD_ID", "PastEvent", "SkillFile", "Unusable", "find", "past_events"]

RECORD_ID: Final = "skill.record.id"
"""The attribute by which an imported record is known again."""
ID_DIGITS: Final = 32
"""Hexadecimal digits of SHA-256 that are kept of an id."""

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_WORDS: Final[Mapping[object, str]] = {
    "performance": "skill.performance",
    "outcome": "skill.outcome",
    "fidelity": "skill.fidelity",
    "promotion": "skill.promotion",
    "rollback": "skill.rollback",
}


@dataclass(frozen=True, slots=True)
class SkillFile:
    """A file of skill records, by its name."""

    path: str
    name: str
    skill: str
    kind: Kind
    size: int


@dataclass(frozen=True, slots=True)
class PastEvent:
    """A record as the event that it stands for.

    Attributes:
        end: offset of its line's end in the file.
    """

    name: str
    attributes: Mapping[str, object]
    time_ns: int
    record_id: str
    end: int


@dataclass(frozen=True, slots=True)
class Unusable:
    """A line that cannot be taken, and why."""

    line: int
    message: str


def find(folder: str | os.PathLike[str]) -> list[SkillFile]:
    """Return the skill files of a folder, by name; links and folders in it are none.

    Raises:
        OSError: there is no such folder, or it cannot be read.
    """
    found: list[SkillFile] = []
    with os.scandir(folder) as entries:
        for entry in entries:
            named = parsed(entry.name)
            if named is not None and entry.is_file(follow_symlinks=False):
                size = entry.stat(follow_symlinks=False).st_size
                found.append(SkillFile(entry.path, entry.name, *named, size))
    return sorted(found, key=lambda file: file.name)


def past_events(
    file: SkillFile, count_line: Callable[[bytes], int]
) -> Iterator[PastEvent | Unusable]:
    """Return the records of a file in its order, and what is wrong with the other lines.

    A record's id is made of the file's name, its line, and how many equal lines came before: it
    stays the same when other lines come or go.

    Args:
        count_line: told a line's digest, returns how often it was told it before.

    Raises:
        OSError: the file cannot be read.
    """
    for line in line_files.scan(file.path):
        if isinstance(line.record, str):
            yield Unusable(line.number, line.record)
            continue
        digest = hashlib.sha256(b"%s\0%s" % (os.fsencode(file.name), line.text)).digest()
        number = count_line(digest)
        record_id = hashlib.sha256(digest + b"%d" % number).hexdigest()[:ID_DIGITS]
        try:
            name, attributes, time_ns = _event(line.record, file)
        except ValueError as error:
            yield Unusable(line.number, str(error))
        else:
            attributes[RECORD_ID] = record_id
            yield PastEvent(name, attributes, time_ns, record_id, line.start + len(line.text))


def _event(record: Mapping[str, Any], file: SkillFile) -> tuple[str, dict[str, object], int]:
    name = _name(record, file.kind)
    skill = record.get("skill_name")
    attributes = file_records.attributes_of(name, record)
    attributes["gen_ai.skill.name"] = skill if isinstance(skill, str) and skill else file.skill
    if name == "skill.outcome":
        correct = record.get("correct")
        verdict = recorder.VERDICTS[correct if isinstance(correct, bool) else None]
        attributes |= {"skill.outcome": verdict}
        attributes |= recorder.evaluation(verdict, record.get("reasoning"))
    return name, attributes, _time_ns(record)


def _name(record: Mapping[str, Any], kind: Kind) -> str:
    word = record.get("event_type") if kind == "promotion" else record.get("metric_type")
    if isinstance(word, str) and word in _WORDS:
        return _WORDS[word]
    if kind == "promotion" and "trigger_reason" in record:
        return "skill.rollback"
    return _WORDS[kind]


def _time_ns(record: Mapping[str, Any]) -> int:
    seconds = record.get("timestamp")
    if (
        isinstance(seconds, int | float)
        and not isinstance(seconds, bool)
        and 0 <= seconds <= TIMESTAMP_MAX
    ):
        return nanoseconds(seconds)
    text = record.get("timestamp_iso")
    try:
        moment = datetime.fromisoformat(text) if isinstance(text, str) else None
    except ValueError:
        moment = None
    if moment is None:
        raise ValueError("has no time: neither timestamp nor timestamp_iso says one")
    moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return (moment - _EPOCH) // timedelta(microseconds=1) * 1000
