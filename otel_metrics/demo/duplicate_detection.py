"""Was a function of this file seen before? Tokens of bodies are compared; the syntax tree checks.

Tokens tell `'a'` from `"a"` and `(a)` from `a`, which mean the same: such twins are missed.
"""

import ast
import hashlib
import tokenize
from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from otel_metrics.demo.library import Source
from otel_metrics.demo.sight import LAYOUT, Function, Lexeme, Sight, functions, is_def
from otel_metrics.demo.skill import Answer, Finding

__all__ = ["DuplicateDetection"]

LINES_MIN: Final = 5
"""Shorter functions are alike by chance."""
BODIES_MAX: Final = 100_000
"""Bodies remembered by each of the two ways; beyond, the oldest are forgotten."""

UNIQUE = "unique"
DUPLICATE = "duplicate"

_DROPPED: Final = LAYOUT - {tokenize.INDENT, tokenize.DEDENT}
_BLOCK: Final = {tokenize.INDENT: "\1", tokenize.DEDENT: "\2"}

Body = tuple[str, bytes]
"""A function's name and line, and a digest of its body."""


class DuplicateDetection:
    """Decides whether a file has a function that was seen before, in it or in another file."""

    name = "duplicate_detection"

    def __init__(self) -> None:
        self._contents: dict[bytes, str] = {}
        self._by_tokens: dict[bytes, str] = {}
        self._by_tree: dict[bytes, str] = {}

    def rule(self, sight: Sight) -> Finding | None:
        """Decide for files without functions, and for contents that were seen before."""
        if not any(map(is_def, sight.lexemes)):
            return Finding(decision=UNIQUE, reasoning="it has no functions")
        twin = self._contents.get(sight.source.digest)
        if twin is None:
            return None
        told = f"the same contents as {twin}"
        return Finding(decision=DUPLICATE, reasoning=told, told=told)

    def analyse(self, sight: Sight) -> Finding:
        """Decide by the tokens of each function's body."""
        path = sight.source.path
        bodies = [
            (f"{function.name} {function.line}", _digest(_words(function)))
            for function in functions(sight.lexemes)
            if function.end_line - function.line + 1 >= LINES_MIN
        ]
        twins = _seen(bodies, self._by_tokens, path)
        if bodies:
            _remember(self._contents, sight.source.digest, path)
        return Finding(
            decision=DUPLICATE if twins else UNIQUE,
            reasoning=f"{len(twins)} of {len(bodies)} functions were seen before",
            told=f"{len(twins)} functions were seen before" if twins else "",
            report="\n".join(f"{name} = {twin}" for name, twin in twins.items()),
            patterns=frozenset(twins),
        )

    def check(self, source: Source, tree: ast.Module | None) -> Answer | None:
        """Compare bodies as the syntax tree has them."""
        if tree is None:
            return None
        bodies = [
            (f"{node.name} {node.lineno}", _digest(map(ast.dump, _without_docstring(node.body))))
            for node in ast.walk(tree)
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
            and (node.end_lineno or node.lineno) - node.lineno + 1 >= LINES_MIN
        ]
        twins = _seen(bodies, self._by_tree, source.path)
        return Answer(expected=DUPLICATE if twins else UNIQUE, patterns=frozenset(twins))


def _seen(bodies: Sequence[Body], known: dict[bytes, str], path: str) -> dict[str, str]:
    """Return the functions that are known, each with the file it is known from; know them all."""
    twins: dict[str, str] = {}
    for name, digest in bodies:
        if digest in known:
            twins[name] = known[digest]
        else:
            _remember(known, digest, path)
    return twins


def _remember(known: dict[bytes, str], digest: bytes, path: str) -> None:
    if len(known) >= BODIES_MAX:
        del known[next(iter(known))]
    known[digest] = path


def _words(function: Function) -> Iterator[str]:
    """Yield the texts of a body, without layout, comments and docstring."""
    body = function.lexemes[_after_header(function.lexemes) :]
    significant = [lexeme for lexeme in body if lexeme.kind not in _DROPPED]
    first = next((i for i, lx in enumerate(significant) if lx.kind != tokenize.INDENT), 0)
    if significant and significant[first].kind == tokenize.STRING:
        del significant[first]
    for lexeme in significant:
        yield _BLOCK.get(lexeme.kind, lexeme.text)


def _after_header(lexemes: Sequence[Lexeme]) -> int:
    """Return the place after the colon that ends a function's header."""
    depth = 0
    for at, lexeme in enumerate(lexemes):
        if lexeme.kind == tokenize.OP:
            depth += (lexeme.text in "([{") - (lexeme.text in ")]}")
            if lexeme.text == ":" and depth == 0:
                return at + 1
    return len(lexemes)


def _without_docstring(body: list[ast.stmt]) -> list[ast.stmt]:
    first = body[0]
    documented = isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant)
    return body[1:] if documented else body


def _digest(words: Iterable[str]) -> bytes:
    return hashlib.sha256("\0".join(words).encode("utf-8", "surrogatepass")).digest()
