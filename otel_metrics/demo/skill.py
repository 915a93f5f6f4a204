"""What every skill of the demo is: a cheap rule, a full analysis, and a check by another road."""

import ast
from dataclasses import dataclass
from typing import Final, Protocol

from otel_metrics.demo.library import Source
from otel_metrics.demo.sight import Sight, quiet

__all__ = ["REFUSALS", "Answer", "Finding", "Skill", "parse"]

REFUSALS: Final = (SyntaxError, ValueError, RecursionError, MemoryError)
"""What Python's parser and compiler raise at text that is not a program, or is nested too deep."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """What a skill decided about a file.

    Attributes:
        decision: one of a few words.
        reasoning: why, in a sentence.
        told: what a reader should hear of it; empty where all is as it should be.
        report: what a full analysis wrote down; a rule writes nothing.
        patterns: what was found, each under a key that the check uses too; None where a rule
            decided without looking for any.
    """

    decision: str
    reasoning: str
    told: str = ""
    report: str = ""
    patterns: frozenset[str] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What the check by another road came to.

    Attributes:
        expected: the decision that would have been right.
        patterns: what there was to find.
    """

    expected: str
    patterns: frozenset[str]


class Skill(Protocol):
    """One skill. Its methods are functions of what they are given, and of what it saw before."""

    @property
    def name(self) -> str:
        """The skill's name, as its metrics have it."""

    def rule(self, sight: Sight) -> Finding | None:
        """Decide by a cheap rule, or leave it to the full analysis."""

    def analyse(self, sight: Sight) -> Finding:
        """Decide by looking at everything. May raise one of `REFUSALS`."""

    def check(self, source: Source, tree: ast.Module | None) -> Answer | None:
        """Find the answer without tokens, from bytes or syntax tree; None where there is none.

        May raise RecursionError at a tree that is too deep.
        """


def parse(source: Source) -> ast.Module | None:
    """Return the syntax tree of a file, or None where it has none."""
    try:
        with quiet():
            return ast.parse(source.raw, source.path)
    except REFUSALS:
        return None
