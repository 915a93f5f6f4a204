"""What is seen of a file through its tokens alone."""

import ast
import tokenize
from collections.abc import Iterator
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from otel_metrics.demo.library import Source
from otel_metrics.demo.sight import Lexeme, count_tokens, functions, perceive

SPANS = '''\
def one(): return 1
class C:
    @property
    def two(self, x=lambda: {"a": 1}):
        """Doc
        string."""

        def inner(): pass
        if x:
            return inner
    # a comment after it

    async def three(self): # and one beside it
        # and one inside
        pass
x = 1
def four(a,
         b): return (
    a)
'''

FRAGMENTS = st.sampled_from(
    [
        "def f():",
        "\n",
        "    ",
        "\t",
        "x",
        "=",
        "(",
        ")",
        '"',
        "'''",
        ":",
        "if",
        "#",
        "\\",
        "\0",
        "é",
    ]
)
SOURCES = st.one_of(st.binary(), st.text().map(str.encode), st.lists(FRAGMENTS).map("".join))


def seen(text: str) -> tuple[Lexeme, ...]:
    return tuple(perceive(Source("a.py", text.encode())).lexemes)


def spans_of_tree(tree: ast.AST) -> Iterator[tuple[str, int, int]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node.name, node.lineno, node.end_lineno or 0


def test_functions_begin_and_end_where_the_parser_says() -> None:
    """One-line bodies, decorators, inner functions, comments and long strings mislead nobody."""
    found = {(f.name, f.line, f.end_line) for f in functions(seen(SPANS))}

    assert found == set(spans_of_tree(ast.parse(SPANS)))


def test_the_outline_names_every_function_with_its_line() -> None:
    """It is what the perception reports, so its tokens are the call's output."""
    assert perceive(Source("a.py", b"def a(): pass\n\ndef b(): pass\n")).outline == "a 1\nb 3\n"


@pytest.mark.parametrize(
    ("raw", "error"),
    [
        (b"x = (\n", tokenize.TokenError),
        (b"if x:\n  a\n b\n", IndentationError),
        (b"# coding: nonsense\n", SyntaxError),
        (b"# coding: rot13\nx\n", SyntaxError),
        (b" e\r\0", SyntaxError),
        (b"x = '\xff'\n", SyntaxError),
        (b"# coding: ascii\nx = 1\ny = '\xff'\n", UnicodeDecodeError),
    ],
)
def test_what_is_no_text_or_has_no_end_raises(raw: bytes, error: type[Exception]) -> None:
    """The errors of the demo are Python's own."""
    with pytest.raises(error):
        perceive(Source("a.py", raw))


@given(SOURCES)
def test_any_bytes_are_seen_or_raise_what_is_documented(raw: bytes | str) -> None:
    """An agent knows every error that it has to go on after."""
    with suppress(SyntaxError, UnicodeError, tokenize.TokenError):
        perceive(Source("a.py", raw.encode() if isinstance(raw, str) else raw))


def test_the_librarys_own_warnings_stay_quiet() -> None:
    """Python's tokenizer warns of invalid escapes; here that would be an error."""
    text = "x = f'\\{y}'\n"

    assert perceive(Source("a.py", text.encode())).lexemes
    assert count_tokens(text) > 4


@pytest.mark.parametrize(("text", "tokens"), [("", 1), ("a b\n", 4), ("complex 12", 4)])
def test_tokens_are_pythons(text: str, tokens: int) -> None:
    """Names, numbers, the end of the line and of the text count, as `tokenize` yields them."""
    assert count_tokens(text) == tokens


@given(st.text())
def test_tokens_of_any_text_can_be_counted(text: str) -> None:
    """A report need not be Python."""
    assert count_tokens(text) >= 0
