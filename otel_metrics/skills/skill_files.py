"""Which skills a folder of skill files is about, and what its files say of each: reads only.

A name that an older writer left as it was and the safe one of the same skill are both read. Links
are not followed.
"""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from otel_metrics import line_files
from otel_metrics.line_files import BadLine
from otel_metrics.skills.file_names import Kind, file_name, parsed
from otel_metrics.skills.history import find
from otel_metrics.skills.readings import FIELDS, History

__all__ = ["Paths", "found", "history", "moves"]

Paths = Mapping[Kind, Sequence[str]]
"""The paths of a skill's files, by what they hold."""


@dataclass(frozen=True, slots=True)
class _Bad:
    path: str
    line: BadLine

    def __str__(self) -> str:
        remedy = "mend the line, or remove it"
        return f"{self.path}:{self.line.number}: skipped: {self.line.message}; {remedy}"


def found(folder: str) -> dict[str, Paths]:
    """Return the files of each skill of a folder, sorted by its name.

    Raises:
        OSError: the folder cannot be read.
    """
    skills: dict[str, dict[Kind, list[str]]] = {}
    for file in find(folder):
        skills.setdefault(file.skill, {}).setdefault(file.kind, []).append(file.path)
    for files in skills.values():
        for paths in files.values():
            paths.sort(key=_is_safe)  # an older name first: who wrote under it has been replaced
    return dict(sorted(skills.items()))


def history(files: Paths, *, bad: list[str] | None = None) -> History:
    """Return what a skill's files say, of each record only the fields that are looked at.

    Args:
        bad: a list to which a text is added for every line that was skipped.

    Raises:
        OSError: a file cannot be read.
    """
    return History(
        performance=_records(files.get("performance", ()), FIELDS["performance"], bad),
        outcomes=_records(files.get("outcome", ()), FIELDS["outcome"], bad),
        fidelity=_records(files.get("fidelity", ()), FIELDS["fidelity"], bad),
        moves=moves(files, bad=bad),
    )


def moves(files: Paths, *, bad: list[str] | None = None) -> Sequence[Mapping[str, Any]]:
    """Return a skill's promotions and rollbacks, in the order in which they were written.

    Raises:
        OSError: a file cannot be read.
    """
    return _records(files.get("promotion", ()), None, bad)


def _is_safe(path: str) -> bool:
    """Tell whether a file is named as files are named today."""
    name = os.path.basename(path)
    known = parsed(name)
    assert known is not None
    try:
        return file_name(*known) == name
    except ValueError:
        return False


def _records(
    paths: Sequence[str], fields: Sequence[str] | None, bad: list[str] | None
) -> list[Mapping[str, Any]]:
    records: list[Mapping[str, Any]] = []
    for path in paths:
        skipped: list[BadLine] = []
        for _, record in line_files.read_lines(path, bad=skipped):
            kept = (
                record
                if fields is None
                else {field: record[field] for field in fields if field in record}
            )
            records.append(kept)
        if bad is not None:
            bad += [str(_Bad(path, line)) for line in skipped]
    return records
