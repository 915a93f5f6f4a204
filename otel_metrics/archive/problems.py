"""What the checks of an archive find, and under which verdict each finding falls."""

from dataclasses import dataclass
from typing import Literal

from otel_exporter_ndjson import Segment

__all__ = ["Kind", "Problem", "Verdict"]

Verdict = Literal["integrity", "completeness", "unfinished", "note"]
"""`unfinished` is what a repair or a later look settles; a `note` changes no verdict."""

Kind = Literal[
    "damage",
    "unreadable",
    "foreign",
    "two_forms",
    "unsigned",
    "unknown_key",
    "wrong_signature",
    "erased_unsaid",
    "open",
    "continues",
    "gap",
    "same_number",
    "chain",
    "entries",
    "since_checkpoint",
    "checkpoint",
    "repair",
    "audit_open",
    "rewritten",
    "announced",
    "stray",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """One finding.

    Attributes:
        path: the file or folder that it is about.
        segment: the segment that it is about, where it is about one.
        line: the line that does not hold; 0 for the file as a whole.
        start, end: between which bytes of the lines (inflated) it lies, where that can be told.
    """

    verdict: Verdict
    kind: Kind
    message: str
    path: str
    segment: Segment | None = None
    line: int = 0
    start: int | None = None
    end: int | None = None
