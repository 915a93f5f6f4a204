"""What an agent sees of a file: its tokens, by Python's own `tokenize`. No parser, no compiler."""

import io
import tokenize
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final, NamedTuple

from otel_metrics.demo.library import Source

__all__ = [
    "LAYOUT",
    "Function",
    "Lexeme",
    "Sight",
    "count_tokens",
    "functions",
    "is_def",
    "perceive",
    "quiet",
]

LAYOUT: Final = frozenset(
    {
        tokenize.COMMENT,
        tokenize.DEDENT,
        tokenize.ENCODING,
        tokenize.ENDMARKER,
        tokenize.INDENT,
        tokenize.NEWLINE,
        tokenize.NL,
    }
)
"""Kinds of tokens that arrange code and say nothing by themselves."""


class Lexeme(NamedTuple):
    """One token: its kind (a constant of `tokenize`), its text, its first and last line."""

    kind: int
    text: str
    line: int
    end_line: int


@dataclass(frozen=True, slots=True)
class Sight:
    """What was seen of one file.

    Attributes:
        source: the file.
        lexemes: its tokens.
        outline: a line for each function, as the perception reports them.
    """

    source: Source
    lexemes: Sequence[Lexeme]
    outline: str


@dataclass(frozen=True, slots=True)
class Function:
    """A function as its tokens show it: from `def` to the last token of its body."""

    name: str
    line: int
    end_line: int
    lexemes: Sequence[Lexeme]


def perceive(source: Source) -> Sight:
    """Return what there is to see of a file.

    Raises:
        SyntaxError: it names no encoding of text, holds a null byte, its indentation is broken, or
            (from Python 3.12 on) a token is none.
        UnicodeError: it is not in the encoding that it names, or cannot be tokenized as text.
        tokenize.TokenError: a bracket or a string never ends.
    """
    lexemes = _lexemes(_decode(source.raw))
    lines = (f"{function.name} {function.line}\n" for function in functions(lexemes))
    return Sight(source, lexemes, "".join(lines))


def functions(lexemes: Sequence[Lexeme]) -> Iterator[Function]:
    """Yield the functions, inner ones after their outer ones, by where each body's block ends."""
    for at, lexeme in enumerate(lexemes):
        if is_def(lexeme):
            body = lexemes[at : _end_of_statement(lexemes, at)]
            last = next((lx for lx in reversed(body) if lx.kind not in LAYOUT), lexeme)
            name = body[1].text if len(body) > 1 else ""
            yield Function(name, lexeme.line, last.end_line, body)


@contextmanager
def quiet() -> Iterator[None]:
    """Ignore warnings of Python about a source, such as invalid escapes: it is not ours.

    Its tokenizer warns too (from 3.12 on) as do its parser and compiler.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def is_def(lexeme: Lexeme) -> bool:
    """Tell whether a function begins here."""
    return lexeme.kind == tokenize.NAME and lexeme.text == "def"


def count_tokens(text: str) -> int:
    """Return how many tokens `tokenize` finds in a text, up to where it gives up."""
    found = 0
    try:
        with quiet():
            for _ in tokenize.generate_tokens(io.StringIO(text.partition("\0")[0]).readline):
                found += 1
    except (tokenize.TokenError, SyntaxError, UnicodeError):
        pass  # a report need not be Python to its last line
    return found


def _decode(raw: bytes) -> str:
    encoding, _ = tokenize.detect_encoding(io.BytesIO(raw).readline)
    try:
        return raw.decode(encoding)
    except LookupError as error:  # a codec, but not of text: rot13, hex
        raise SyntaxError(str(error)) from error


def _lexemes(text: str) -> tuple[Lexeme, ...]:
    if "\0" in text:  # Python's tokenizer fails in ways of its own (3.12, 3.13: SystemError)
        raise SyntaxError("source code cannot contain null bytes")
    with quiet():
        tokens = tokenize.generate_tokens(io.StringIO(text, newline=None).readline)
        return tuple(Lexeme(t.type, t.string, t.start[0], t.end[0]) for t in tokens)


def _end_of_statement(lexemes: Sequence[Lexeme], begin: int) -> int:
    """Return the place after the compound statement at `begin`: its line, and a block if any."""
    depth = 0
    header = True
    for at in range(begin, len(lexemes)):
        kind = lexemes[at].kind
        if kind == tokenize.INDENT:
            depth += 1
            header = False
        elif kind == tokenize.DEDENT:
            depth -= 1
            if depth <= 0:
                return at
        elif not header or kind in (tokenize.NL, tokenize.COMMENT):
            continue
        elif kind == tokenize.NEWLINE and not _block_follows(lexemes, at + 1):
            return at
    return len(lexemes)


def _block_follows(lexemes: Sequence[Lexeme], at: int) -> bool:
    while at < len(lexemes) and lexemes[at].kind in (tokenize.NL, tokenize.COMMENT):
        at += 1
    return at < len(lexemes) and lexemes[at].kind == tokenize.INDENT
