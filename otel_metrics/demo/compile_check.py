"""Does the file compile? Judged by the forms of its statements; the compiler has the last word.

The rule knows how statements begin. It knows nothing of what only the compiler knows, such as
where `from __future__` may stand, and is then wrong.
"""

import ast
import keyword
import tokenize
from collections.abc import Iterator, Sequence

from otel_metrics.demo.library import Source
from otel_metrics.demo.sight import LAYOUT, Lexeme, Sight, quiet
from otel_metrics.demo.skill import REFUSALS, Answer, Finding

__all__ = ["CompileCheck"]

COMPILES = "compiles"
FAILS = "does not compile"

_ATOMS = (tokenize.NAME, tokenize.NUMBER, tokenize.STRING)
_BINDING_WORDS = frozenset(keyword.kwlist)


class CompileCheck:
    """Decides whether a file compiles."""

    name = "compile_check"

    def rule(self, sight: Sight) -> Finding | None:
        """Decide for files in which every statement begins in a form that is known."""
        statements = list(_statements(sight.lexemes))
        if not all(map(_has_known_form, statements)):
            return None
        return Finding(
            decision=COMPILES,
            reasoning=f"all {len(statements)} statements begin in a known form",
        )

    def analyse(self, sight: Sight) -> Finding:
        """Decide by parsing. The error of a file that does not parse leaves the skill."""
        with quiet():
            tree = ast.parse(sight.source.raw, sight.source.path)
        kinds = [type(statement).__name__ for statement in tree.body]
        return Finding(
            decision=COMPILES,
            reasoning=f"it parses into {len(kinds)} statements at top level",
            report="\n".join(kinds),
        )

    def check(self, source: Source, tree: ast.Module | None) -> Answer:
        """Ask the compiler, which finds more than the parser."""
        del tree
        try:
            with quiet():
                compile(source.raw, source.path, "exec", dont_inherit=True)
        except REFUSALS:
            return Answer(expected=FAILS, patterns=frozenset())
        return Answer(expected=COMPILES, patterns=frozenset())


def _statements(lexemes: Sequence[Lexeme]) -> Iterator[tuple[Lexeme, ...]]:
    """Yield the first two tokens of each logical line."""
    first: tuple[Lexeme, ...] = ()
    for lexeme in lexemes:
        if lexeme.kind == tokenize.NEWLINE:
            if first:
                yield first
            first = ()
        elif lexeme.kind not in LAYOUT and len(first) < 2:
            first += (lexeme,)


def _has_known_form(statement: tuple[Lexeme, ...]) -> bool:
    if any(lexeme.kind == tokenize.ERRORTOKEN for lexeme in statement):
        return False
    first, second = statement[0], statement[-1]
    if len(statement) == 1 or first.text in _BINDING_WORDS or second.text in _BINDING_WORDS:
        return True
    # Two values in a row are no statement: print "x", exec code; or one that this rule does not
    # know: match x, type X.
    in_a_row = first.kind in _ATOMS and second.kind in _ATOMS
    return not in_a_row or (first.kind, second.kind) == (tokenize.STRING, tokenize.STRING)
