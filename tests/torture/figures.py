"""What the rows of the harness measured, and the table that shows it."""

import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from tests.torture.verdict import Verdict

__all__ = ["Figures", "NotRunError", "table"]


class NotRunError(Exception):
    """This kernel, user or machine does not allow a fault; the reason is the message."""


@dataclass(slots=True)
class Figures:
    """One row: a fault, how often it was made to happen, and what came of it.

    Attributes:
        lost: records that were acknowledged within the promise and cannot be read.
        violations: every broken promise in words.
        not_run: why the row could not be run here.
        remark: what else is worth a look.
    """

    fault: str
    cycles: int = 0
    acknowledged: int = 0
    lost: int = 0
    phantoms: int = 0
    human: int = 0
    torn: int = 0
    seconds: float = 0.0
    violations: list[str] = field(default_factory=list)
    not_run: str | None = None
    remark: str = ""

    def add(self, verdict: Verdict, where: str = "") -> None:
        """Take in what was found in one archive."""
        self.acknowledged += verdict.acknowledged
        self.lost += len(verdict.lost)
        self.phantoms += len(verdict.phantoms)
        self.human += bool(verdict.human)
        self.torn += verdict.torn
        self.violations += [f"{where}{fault}" for fault in verdict.faults]

    def expect(self, holds: bool, otherwise: str) -> None:
        """Note a violation unless something holds."""
        if not holds:
            self.violations.append(otherwise)

    @contextmanager
    def timed(self) -> Iterator["Figures"]:
        """Count the seconds of a block; what this machine does not allow is no violation."""
        began_s = time.monotonic()
        try:
            yield self
        except NotRunError as reason:
            self.not_run = str(reason)
        finally:
            self.seconds += time.monotonic() - began_s


_HEADS = (
    "fault",
    "cycles",
    "acknowledged",
    "lost",
    "phantoms",
    "archives needing a human",
    "torn tails seen",
    "seconds",
    "",
)


def table(rows: Iterable[Figures]) -> str:
    """Return the rows as a table of plain text."""
    cells = [_HEADS, *[_cells(row) for row in rows]]
    widths = [max(len(row[column]) for row in cells) for column in range(len(_HEADS))]
    lines = [
        "  ".join(
            cell.ljust(width) if column in (0, len(_HEADS) - 1) else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in cells
    ]
    return "\n".join(lines)


def _cells(row: Figures) -> tuple[str, ...]:
    if row.not_run is not None:
        return (row.fault, *[""] * 7, f"not run: {row.not_run}")
    numbers = (row.cycles, row.acknowledged, row.lost, row.phantoms, row.human, row.torn)
    end = f"{len(row.violations)} VIOLATIONS" if row.violations else "held"
    return (
        row.fault,
        *[f"{number:,}" for number in numbers],
        f"{row.seconds:.1f}",
        f"{end}; {row.remark}" if row.remark else end,
    )
