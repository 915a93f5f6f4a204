"""What is not as it should be in an archive, and how many such things are told of one segment."""

from dataclasses import dataclass
from typing import Final, Literal

from otel_exporter_ndjson.listing import Segment

__all__ = ["FINDINGS_MAX", "Finding", "Findings", "Kind", "Told"]

FINDINGS_MAX: Final = 1_000
"""Findings of one segment that are told one by one; a file of line ends alone has millions."""

Kind = Literal["damage", "torn_tail", "unreadable", "gap"]


@dataclass(frozen=True, slots=True)
class Finding:
    """Something in an archive that is not as it should be.

    `line` is 0 for a file as a whole. A `torn_tail` is what a writer that lives is just writing, or
    what a dead one could not finish; it holds no acknowledged record. A `gap` stands at the first
    segment behind numbers of its writer that are missing, so that nobody takes a hole for silence.
    """

    kind: Kind
    segment: Segment
    line: int
    offset: int
    message: str


Findings = list[Finding] | None


class Told:
    """Adds the findings of one segment to somebody's list, and beyond a bound only counts them."""

    __slots__ = ("_findings", "_left_out", "_segment", "_told")

    def __init__(self, findings: Findings, segment: Segment) -> None:
        self._findings = findings
        self._segment = segment
        self._told = self._left_out = 0

    @property
    def wanted(self) -> bool:
        """Whether anybody asked for findings."""
        return self._findings is not None

    @property
    def damaged(self) -> bool:
        """Whether any damage of the segment is in the list, whoever told it."""
        return any(
            each.kind == "damage" and each.segment == self._segment
            for each in reversed(self._findings or ())
        )

    def tell(self, kind: Kind, line: int, offset: int, message: str) -> None:
        """Add one."""
        if self._findings is None:
            return
        if self._told == FINDINGS_MAX:
            self._left_out += 1
            return
        self._told += 1
        self._findings.append(Finding(kind, self._segment, line, offset, message))

    def close(self) -> None:
        """Say how many were left out."""
        left_out, self._left_out = self._left_out, 0
        if left_out and self._findings is not None:
            message = f"{left_out} more findings of this segment are not told one by one"
            self._findings.append(Finding("damage", self._segment, 0, 0, message))
