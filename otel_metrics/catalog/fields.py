"""The keys of one mapping of a catalog file, taken one by one with their types checked.

What is wrong is added to a report with its line, key and remedy; reading goes on, so that one run
names every problem.
"""

import difflib
import math
import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

from otel_metrics.yaml_source import Node, Problem

__all__ = ["Fields", "Report", "TooManyProblemsError", "finite", "near"]

PROBLEMS_MAX: Final = 100
"""Problems of one file after which reading stops."""
SHOWN_CHARS_MAX: Final = 500
"""Characters of the file's own text that a problem shows."""
WORD_CHARS_MAX: Final = 100
"""Longest word that a did-you-mean is looked for."""

_DURATION = re.compile(r"([0-9]+(?:\.[0-9]+)?)\s*(ms|s|m|h|d)")
_SECONDS: Final[Mapping[str, float]] = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86_400}


class TooManyProblemsError(Exception):
    """A file has more problems than anybody reads; those found so far are in its report."""


@dataclass(slots=True)
class Report:
    """The problems of one file, in the order in which they were found."""

    file: str
    problems: list[Problem] = field(default_factory=list)

    def add(self, line: int, key: str, message: str, remedy: str) -> None:
        """Add a problem at `line`, counted from 1; the key is the file's and is made printable."""
        shown = (key if key.isprintable() else ascii(key)[1:-1])[:SHOWN_CHARS_MAX]
        said = message[:SHOWN_CHARS_MAX]
        self.problems.append(
            Problem(file=self.file, line=line, key=shown, message=said, remedy=remedy)
        )
        if len(self.problems) >= PROBLEMS_MAX:
            raise TooManyProblemsError


def near(word: str, words: Iterable[str], *, otherwise: str) -> str:
    """Return a did-you-mean for `word`, or `otherwise` where nothing is like it."""
    if len(word) > WORD_CHARS_MAX:
        return otherwise
    found = difflib.get_close_matches(word, list(words), n=1, cutoff=0.7)
    return f"did you mean {found[0]!r}?" if found else otherwise


class Fields:
    """One mapping: `path` is what problems call it, `known` are the keys that it may have."""

    def __init__(self, node: Node, path: str, report: Report, *, known: Collection[str]) -> None:
        self._node = node
        self._path = path
        self._report = report
        self._entries: Mapping[str, Node] = {}
        if isinstance(node.value, Mapping):
            self._entries = node.value
        else:
            report.add(node.line, path, f"is {_kind(node)}", "make it a mapping of keys and values")
        for key in self._entries:
            if key not in known:
                listed = f"known keys: {', '.join(sorted(known))}"
                remedy = near(key, known, otherwise=listed)
                report.add(self.line(key), self.path(key), "is no known key", remedy)

    def has(self, key: str) -> bool:
        """Whether the key is there with a value."""
        return key in self._entries and self._entries[key].value is not None

    def node(self, key: str) -> Node | None:
        """Return the value's node, None where it is absent or null."""
        return self._entries[key] if self.has(key) else None

    def path(self, key: str) -> str:
        """Return what problems call the key."""
        return f"{self._path}.{key}" if self._path else key

    def line(self, key: str) -> int:
        """Return the key's line, or that of the mapping where the key is absent."""
        return self._node.lines.get(key, self._node.line)

    def refuse(self, key: str, message: str, remedy: str) -> None:
        """Report a problem with the value of `key`."""
        self._report.add(self.line(key), self.path(key), message, remedy)

    def text(self, key: str, *, required: str = "") -> str:
        """Return a text in one line, "" where there is none.

        Args:
            required: the remedy where the key is missing; empty where it may be.
        """
        return " ".join(self.lines(key, required=required).split())

    def lines(self, key: str, *, required: str = "") -> str:
        """Return a text with its line breaks, "" where there is none; else as `text`."""
        node = self.node(key)
        if node is None or node.value == "":
            if required:
                self.refuse(key, "is missing", required)
            return ""
        if not isinstance(node.value, str):
            self.refuse(key, f"is {_kind(node)}", "make it text, in quotes")
            return ""
        return node.value.strip()

    def choice(self, key: str, choices: Collection[str], *, required: bool = False) -> str | None:
        """Return one of `choices`, None where there is none or another."""
        listed = f"one of {', '.join(choices)}"
        value = self.text(key, required=f"add {key}: {listed}" if required else "")
        if not value:
            return None
        if value not in choices:
            self.refuse(
                key, f"{value!r} is not {listed}", near(value, choices, otherwise="choose one")
            )
            return None
        return value

    def flag(self, key: str, *, default: bool) -> bool:
        """Return true or false."""
        node = self.node(key)
        if node is None:
            return default
        if not isinstance(node.value, bool):
            self.refuse(key, f"is {_kind(node)}", "write true or false")
            return default
        return node.value

    def number(self, key: str) -> float | None:
        """Return a finite number."""
        node = self.node(key)
        if node is None:
            return None
        value = finite(node)
        if value is None:
            self.refuse(key, f"is {_kind(node)}", "make it a finite number")
        return value

    def seconds(self, key: str) -> float | None:
        """Return a time: a number of seconds, or a text with a unit; None for anything else, which
        the caller refuses in words of its own."""
        node = self.node(key)
        if node is None or not isinstance(node.value, str):
            return None if node is None else finite(node)
        match = _DURATION.fullmatch(node.value.strip())
        return float(match[1]) * _SECONDS[match[2]] if match else None

    def items(self, key: str) -> tuple[Node, ...]:
        """Return the items of a list, none where there is none."""
        node = self.node(key)
        if node is None:
            return ()
        if not isinstance(node.value, tuple):
            self.refuse(key, f"is {_kind(node)}", "make it a list")
            return ()
        return node.value


def finite(node: Node) -> float | None:
    """Return the node's value as a float, None where it is no finite number."""
    if isinstance(node.value, bool) or not isinstance(node.value, int | float):
        return None
    try:
        value = float(node.value)
    except OverflowError:
        return None
    return value if math.isfinite(value) else None


def _kind(node: Node) -> str:
    """Say what a value is, in the words of the file."""
    if isinstance(node.value, Mapping):
        return "a mapping"
    if isinstance(node.value, tuple):
        return "a list"
    if node.value is None:
        return "empty"
    text = str(node.value)
    return f"{text[:60]!r}, a text" if isinstance(node.value, str) else f"{text[:60].lower()}"
