"""One pain: two small programs that do the same, one with the plain SDK, one with otel-metrics."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

from tests.compare.lab import Lab

__all__ = ["Figure", "Pain"]

Measured = TypeVar("Measured")


@dataclass(frozen=True, slots=True)
class Figure:
    """What one side was measured to do, in words for the table, and whether that hurts."""

    shown: str
    hurts: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Pain(Generic[Measured]):
    """What users suffer from, and how it is measured on either side.

    Attributes:
        title: the row's name.
        reported: where users report it (`owner/repo#number`).
        plain: a program that uses upstream's packages only.
        ours: the same program with otel-metrics.
        measure: runs a program in the lab, and returns what came of it.
        hurts: says whether that is the pain.
        shown: what the table says of it.
    """

    title: str
    reported: tuple[str, ...]
    plain: str
    ours: str
    measure: Callable[[Lab, str], Measured]
    hurts: Callable[[Measured], bool]
    shown: Callable[[Measured], str]

    def suffered(self, program: str) -> Figure:
        """Run one of the two programs in a lab of its own, and judge what came of it."""
        with Lab() as lab:
            measured = self.measure(lab, program)
        return Figure(self.shown(measured), self.hurts(measured))
