"""Has the file a function with too many branches? Keywords are counted; the syntax tree checks.

A count of keywords does not see `case`, nor what a string hides in braces before Python 3.12, nor
what decorates a function.
"""

import ast
import tokenize
from collections.abc import Sequence

from otel_metrics.demo.library import Source
from otel_metrics.demo.sight import Lexeme, Sight, functions, is_def
from otel_metrics.demo.skill import Answer, Finding

__all__ = ["BRANCHES_MAX", "ComplexityScan"]

BRANCHES_MAX = 10
"""A function with more branches is complex (McCabe's limit)."""
CROWDED = 6.0
"""Branches for each function of a file, on average, from which on one of them is surely complex."""
SPARSE = 0.6
"""The same, up to which surely none is."""

SIMPLE = "simple"
COMPLEX = "complex"

_KEYWORDS = frozenset({"if", "elif", "for", "while", "except", "and", "or"})
_BRANCHES = (ast.If, ast.IfExp, ast.For, ast.AsyncFor, ast.While, ast.ExceptHandler)


class ComplexityScan:
    """Decides whether a file has a function with more than `BRANCHES_MAX` branches."""

    name = "complexity_scan"

    def rule(self, sight: Sight) -> Finding | None:
        """Decide by branches for each function, where that is very few or very many."""
        branches = _count(sight.lexemes)
        defined = sum(map(is_def, sight.lexemes))
        mean = branches / defined if defined else 0.0
        reasoning = f"{branches} branches in {defined} functions"
        if branches <= BRANCHES_MAX or mean <= SPARSE:
            return Finding(decision=SIMPLE, reasoning=reasoning)
        if mean >= CROWDED:
            return Finding(decision=COMPLEX, reasoning=reasoning, told=reasoning)
        return None

    def analyse(self, sight: Sight) -> Finding:
        """Decide by the branches of each function."""
        counted = [(_count(f.lexemes), f.name, f.line) for f in functions(sight.lexemes)]
        most, name, line = max(counted, default=(0, "", 0))
        too_many = most > BRANCHES_MAX
        return Finding(
            decision=COMPLEX if too_many else SIMPLE,
            reasoning=f"the most are {most}",
            told=f"{name} in line {line} has {most} branches" if too_many else "",
            report="\n".join(f"{name} {branches}" for branches, name, _ in counted),
            patterns=frozenset(f"{line} {branches}" for branches, _, line in counted),
        )

    def check(self, source: Source, tree: ast.Module | None) -> Answer | None:
        """Count branches in the syntax tree."""
        del source
        if tree is None:
            return None
        counted = [
            (sum(map(_weight, ast.walk(node))), node.lineno)
            for node in ast.walk(tree)
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        ]
        too_many = any(branches > BRANCHES_MAX for branches, _ in counted)
        return Answer(
            expected=COMPLEX if too_many else SIMPLE,
            patterns=frozenset(f"{line} {branches}" for branches, line in counted),
        )


def _count(lexemes: Sequence[Lexeme]) -> int:
    return sum(lx.kind == tokenize.NAME and lx.text in _KEYWORDS for lx in lexemes)


def _weight(node: ast.AST) -> int:
    if isinstance(node, _BRANCHES):
        return 1
    if isinstance(node, ast.BoolOp):
        return len(node.values) - 1
    if isinstance(node, ast.comprehension):
        return 1 + len(node.ifs)
    if isinstance(node, ast.match_case):
        return 1 if node.guard is None else 2
    return 0
