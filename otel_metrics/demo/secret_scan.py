"""Does the file hold something like a secret? Names and shapes decide; entropy checks.

The rule looks for words that announce a secret. The check knows no words: it takes every string
of the syntax tree that is as random as a key. Each finds what the other does not.
"""

import ast
import math
import re
import tokenize
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Final

from otel_metrics.demo.library import Source
from otel_metrics.demo.sight import LAYOUT, Lexeme, Sight
from otel_metrics.demo.skill import Answer, Finding

__all__ = ["SecretScan"]

KEY_CHARS_MIN: Final = 24
"""Shorter strings are as random as words."""
KEY_BITS_MIN: Final = 4.0
"""Bits of entropy for each character, from which on a string is as random as a key."""

CLEAN = "clean"
SUSPECT = "suspect"

_ANNOUNCED: Final = re.compile(r"passw|passphrase|secret|credential|api_?key|token|cookie", re.I)
_SHAPED: Final = re.compile(
    r"AKIA[0-9A-Z]{16}|-----BEGIN [A-Z ]*PRIVATE KEY-----|[A-Za-z0-9+/_=-]{32,}"
)
_RANDOM: Final = re.compile(r"[A-Za-z0-9+/_=-]+")


class SecretScan:
    """Decides whether a file holds a string that may be a secret."""

    name = "secret_scan"

    def rule(self, sight: Sight) -> Finding | None:
        """Decide for files in which nothing announces a secret and nothing has its shape."""
        texts = [lexeme.text for lexeme in sight.lexemes if lexeme.kind not in LAYOUT]
        if any(_ANNOUNCED.search(text) or _SHAPED.search(text) for text in texts):
            return None
        return Finding(decision=CLEAN, reasoning="nothing announces a secret")

    def analyse(self, sight: Sight) -> Finding:
        """Decide by each string: what it is bound to, and what it looks like."""
        significant = [lexeme for lexeme in sight.lexemes if lexeme.kind not in LAYOUT]
        found = sorted(set(_suspects(significant)))
        told = f"line {found[0]} may hold a secret" if found else ""
        return Finding(
            decision=SUSPECT if found else CLEAN,
            reasoning=f"{len(found)} strings are bound to a telling name or have a key's shape",
            told=told,
            report="\n".join(f"line {line}" for line in found),
            patterns=frozenset(map(str, found)),
        )

    def check(self, source: Source, tree: ast.Module | None) -> Answer | None:
        """Measure the entropy of every string of the syntax tree."""
        del source
        if tree is None:
            return None
        found = {
            str(node.lineno)
            for node in ast.walk(tree)
            if isinstance(node, ast.Constant)
            and isinstance(node.value, str | bytes)
            and _is_random(node.value)
        }
        return Answer(expected=SUSPECT if found else CLEAN, patterns=frozenset(found))


def _suspects(lexemes: Sequence[Lexeme]) -> Iterator[int]:
    """Yield the lines of strings that are bound to a telling name or have a key's shape."""
    for at, lexeme in enumerate(lexemes):
        if lexeme.kind != tokenize.STRING:
            continue
        bound = at >= 2 and lexemes[at - 1].text in ("=", ":")
        told = bound and _ANNOUNCED.search(lexemes[at - 2].text)
        if (told and len(lexeme.text) > 8) or _SHAPED.search(lexeme.text):
            yield lexeme.line


def _is_random(value: str | bytes) -> bool:
    text = value.decode("latin-1") if isinstance(value, bytes) else value
    if len(text) < KEY_CHARS_MIN or not _RANDOM.fullmatch(text):
        return False
    return entropy_bits(text) >= KEY_BITS_MIN


def entropy_bits(text: str) -> float:
    """Return the Shannon entropy of a text's characters, in bits for each character."""
    counts = Counter(text).values()
    return -sum(n / len(text) * math.log2(n / len(text)) for n in counts) if text else 0.0
