"""What is wrong with a text that is no YAML, in words for who wrote it. Pure.

A parser says what it was doing; who wrote the file wants to know where to look and what to type.
What is told is the same with libyaml and without it.
"""

from typing import Final

__all__ = ["fault"]

_CLOSED_BY: Final = {"[": "]", "{": "}"}
_ALIGNED: Final = "align it with the keys above, or put the value before it in quotation marks"


def fault(text: str, context: str, problem: str, at: int, begin: int) -> tuple[int, str, str]:
    """Return where to look, what is wrong there, and what to do.

    Args:
        context: what the parser was doing.
        problem: what it says of it.
        at: the character where it stopped.
        begin: where what it was reading begins.
    """
    character = text[at : at + 1]
    if "tab" in problem.split() or (character == "\t" and "token" in problem):
        return at, "a tab where YAML takes spaces", "indent with spaces"
    if "cannot start any token" in problem:
        return at, f"a value that begins with {character}", "put it in quotation marks"
    if "mapping values are not allowed" in problem:
        remedy = "align the key with those above, or put a value with ':' in quotation marks"
        return at, "a ':' where no key can be", remedy
    if "could not find expected ':'" in problem:
        return begin, "a key without ':'", "write KEY: VALUE"
    if "quoted" in context and "end of stream" in problem:
        return begin, "a quotation mark that is not closed", "close it"
    if "escape" in problem:
        return at, "a backslash that begins no escape", "write two, or use single quotation marks"
    if "flow" in context:
        opened = text[begin : begin + 1]
        close = _CLOSED_BY.get(opened, "it")
        return begin, f"a {opened} that is not closed, or lacks a comma", f"close it with {close}"
    if "block mapping" in context:
        return at, "what is here belongs to no key", _ALIGNED
    if "block collection" in context:
        return at, "a line without '-' in a list", "begin it with '-', or indent it"
    if "node" in problem:
        return at, f"a {character} where a value is due", "put it in quotation marks"
    return at, f"is no YAML: {' '.join(problem.split())}", "correct it"
