"""What a check of a whole archive found."""

from collections.abc import Sequence
from dataclasses import dataclass

from otel_metrics.archive.inspection import Inspected
from otel_metrics.archive.problems import Problem

__all__ = ["Report"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What `verify` found.

    Attributes:
        archive: the archive's id, None where it has none.
        segments: each one that is there.
        problems: every finding; `integrity`, `completeness` and `unfinished` say which verdict
            it speaks against, a `note` none.
        keys, checkpoint: whether any were given.
        torn: how many files hold what a recovery cut off or set aside.
    """

    archive: str | None
    segments: Sequence[Inspected]
    problems: Sequence[Problem]
    keys: bool = False
    checkpoint: bool = False
    torn: int = 0

    def of(self, verdict: str) -> list[Problem]:
        """Return the findings under one verdict."""
        return [problem for problem in self.problems if problem.verdict == verdict]

    @property
    def intact(self) -> bool:
        """Whether everything that is there is what was written."""
        return not self.of("integrity")

    @property
    def complete(self) -> bool:
        """Whether nothing is missing, as far as what was given can show; while anything is
        unfinished that cannot be told."""
        return not self.of("completeness") and not self.unfinished

    @property
    def signed(self) -> int:
        """How many segments one of the keys signed."""
        return sum(each.signed for each in self.segments)

    @property
    def vouched(self) -> int:
        """How many segments no key signed, and only a signed checkpoint vouches for."""
        return sum(each.vouched for each in self.segments)

    @property
    def recovered(self) -> int:
        """How many segments a recovery sealed."""
        return sum(each.recovered for each in self.segments)

    @property
    def unfinished(self) -> bool:
        """Whether a repair is needed, or a later look."""
        return bool(self.of("unfinished"))
