"""YAML with a line number for every key and value: catalogs, thresholds, playbooks, policy.

Strict where YAML is lax: no duplicate keys, anchors, aliases, tags or several documents; keys are
text; plain words mean what YAML 1.2 says (`no` and `2024-01-01` are text). The only file that
imports PyYAML.
"""

import math
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from otel_metrics.errors import OtelMetricsError
from otel_metrics.yaml_faults import fault

__all__ = ["BYTES_MAX", "DEPTH_MAX", "Node", "Problem", "YamlSourceError", "parse", "read"]

BYTES_MAX: Final = 1_048_576
"""Size of a file that is read; a larger one is refused unread."""
DEPTH_MAX: Final = 32
"""Levels of nesting that are read."""
PROBLEMS_MAX: Final = 100
"""Problems after which reading stops."""

Scalar = str | int | float | bool | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """One thing that is wrong in a file, where it is, and what to do about it.

    Attributes:
        line: counted from 1; 0 means the whole file.
        key: path of the key, such as `metrics[0].unit`; empty for the whole file.
    """

    file: str
    line: int
    key: str
    message: str
    remedy: str

    def __str__(self) -> str:
        where = f"{self.file}:{self.line}" if self.line else self.file
        key = f"{self.key}: " if self.key else ""
        return f"{where}: {key}{self.message}; {self.remedy}"


class YamlSourceError(OtelMetricsError, ValueError):
    """A file that cannot be read as strict YAML; `problems` has every reason."""

    def __init__(self, problems: tuple[Problem, ...]) -> None:
        super().__init__("\n".join(map(str, problems)))
        self.problems = problems


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """A value of a YAML file and its line.

    Attributes:
        value: a scalar, a tuple of nodes, or a mapping from keys to nodes.
        lines: of a mapping, the line of each key.
    """

    value: "Scalar | tuple[Node, ...] | Mapping[str, Node]"
    line: int
    lines: Mapping[str, int] = field(default_factory=dict)

    def plain(self) -> Any:  # as json.loads: the shape is the file's
        """Return the value as plain data: dict, list, str, int, float, bool or None."""
        if isinstance(self.value, Mapping):
            return {key: node.plain() for key, node in self.value.items()}
        if isinstance(self.value, tuple):
            return [node.plain() for node in self.value]
        return self.value


def read(path: str | os.PathLike[str]) -> Node:
    """Read a file.

    Raises:
        YamlSourceError: it cannot be opened, is too large, or is no strict YAML.
    """
    name = os.fspath(path)
    try:
        with open(name, "rb") as file:
            data = file.read(BYTES_MAX + 1)
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise _whole(name, f"cannot be read: {reason}", "give a readable file") from error
    return parse(data, name=name)


def parse(data: bytes, *, name: str) -> Node:
    """Parse the bytes of one file; `name` is what problems call it.

    Raises:
        YamlSourceError: too large, no UTF-8, or no strict YAML.
    """
    if len(data) > BYTES_MAX:
        raise _whole(name, f"is larger than {BYTES_MAX} bytes", "split it")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        problem = Problem(
            file=name, line=line, key="", message="is not UTF-8", remedy="save it as UTF-8"
        )
        raise YamlSourceError((problem,)) from error
    return _Builder(name).build(text)


def _whole(name: str, message: str, remedy: str) -> YamlSourceError:
    return YamlSourceError((Problem(file=name, line=0, key="", message=message, remedy=remedy),))


@dataclass(slots=True)
class _Open:
    """A mapping or a sequence whose end has not come yet."""

    line: int
    path: str
    entries: dict[str, Node] | None
    items: list[Node] = field(default_factory=list)
    lines: dict[str, int] = field(default_factory=dict)
    key: str | None = None

    def path_of_next(self) -> str:
        if self.entries is None:
            return f"{self.path}[{len(self.items)}]"
        if self.key is None:
            return self.path
        return f"{self.path}.{self.key}" if self.path else self.key

    def close(self) -> Node:
        if self.entries is None:
            return Node(value=tuple(self.items), line=self.line)
        return Node(value=self.entries, line=self.line, lines=self.lines)


class _Builder:
    """Builds the tree from the parser's events, without recursion; collects what is refused."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._problems: list[Problem] = []
        self._open: list[_Open] = []
        self._root: Node | None = None

    def build(self, text: str) -> Node:
        # Only when a user's file is read: PyYAML is not needed for anything else.
        import yaml

        loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
        documents = 0
        try:
            for event in yaml.parse(text, Loader=loader):
                documents += isinstance(event, yaml.DocumentStartEvent)
                if documents > 1:
                    self._refuse(_line(event), "", "a second document", "keep one document a file")
                    break
                self._take(yaml, event)
        except yaml.MarkedYAMLError as error:
            at, message, remedy = _fault(text, error)
            self._refuse(text.count("\n", 0, at) + 1, self._path(), message, remedy)
        except yaml.reader.ReaderError as error:
            line = text.count("\n", 0, error.position) + 1
            character = ascii(text[error.position : error.position + 1])
            self._refuse(line, "", f"the control character {character}", "remove it")
        if self._problems:
            raise YamlSourceError(tuple(self._problems))
        return self._root or Node(value=None, line=1)

    def _take(self, yaml: Any, event: Any) -> None:  # PyYAML's events are untyped
        if isinstance(event, yaml.AliasEvent):
            message = f"the alias *{event.anchor}"
            self._refuse(_line(event), self._path(), message, "write the value out")
            self._place(Node(value=None, line=_line(event)))
        elif isinstance(event, yaml.ScalarEvent):
            self._check_marks(event)
            value = _scalar(event.value) if event.implicit[0] else event.value
            self._place(Node(value=value, line=_line(event)))
        elif isinstance(event, yaml.MappingStartEvent | yaml.SequenceStartEvent):
            self._check_marks(event)
            self._begin(event, mapping=isinstance(event, yaml.MappingStartEvent))
        elif isinstance(event, yaml.MappingEndEvent | yaml.SequenceEndEvent):
            self._place(self._open.pop().close())

    def _begin(self, event: Any, *, mapping: bool) -> None:  # as in _take
        if len(self._open) >= DEPTH_MAX:
            self._refuse(_line(event), "", f"more than {DEPTH_MAX} levels", "nest less")
            raise YamlSourceError(tuple(self._problems))
        line, path = _line(event), self._path()
        self._open.append(_Open(line=line, path=path, entries={} if mapping else None))

    def _check_marks(self, event: Any) -> None:  # as in _take
        if event.anchor is not None:
            message = f"the anchor &{event.anchor}"
            self._refuse(
                _line(event), self._path(), message, "write the value out where it is used"
            )
        if event.tag is not None:
            self._refuse(_line(event), self._path(), f"the tag {event.tag}", "remove it")

    def _place(self, node: Node) -> None:
        if not self._open:
            self._root = node
            return
        parent = self._open[-1]
        if parent.entries is None:
            parent.items.append(node)
        elif parent.key is None:
            parent.key = self._key(parent, node)
        else:
            parent.entries.setdefault(parent.key, node)
            parent.key = None

    def _key(self, parent: _Open, node: Node) -> str:
        key = node.value
        if not isinstance(key, str):
            message = f"the key {_shown(key)} is no text"
            self._refuse(node.line, parent.path, message, "quote it")
            return f"{_shown(key)}"
        first = parent.lines.get(key)
        if first is None:
            parent.lines[key] = node.line
        else:
            message = f"the key {key!r} is there twice (first on line {first})"
            self._refuse(node.line, parent.path, message, "keep one of both")
        return key

    def _path(self) -> str:
        return self._open[-1].path_of_next() if self._open else ""

    def _refuse(self, line: int, key: str, message: str, remedy: str) -> None:
        self._problems.append(
            Problem(file=self._name, line=line, key=key, message=message, remedy=remedy)
        )
        if len(self._problems) >= PROBLEMS_MAX:
            raise YamlSourceError(tuple(self._problems))


def _line(event: Any) -> int:  # PyYAML's events are untyped
    return int(event.start_mark.line) + 1


def _fault(text: str, error: Any) -> tuple[int, str, str]:  # PyYAML's errors are untyped
    at = error.problem_mark or error.context_mark
    begin = error.context_mark or at
    return fault(text, error.context or "", error.problem or "", at.index, begin.index)


def _shown(value: object) -> str:
    return repr(value) if not isinstance(value, tuple | Mapping) else "of several values"


# YAML 1.2.2, 10.3.2 (core schema): what a plain scalar means.
_CORE: Final[tuple[tuple[re.Pattern[str], Callable[[str], Scalar]], ...]] = (
    (re.compile(r"(?:null|Null|NULL|~|)"), lambda _: None),
    (re.compile(r"true|True|TRUE"), lambda _: True),
    (re.compile(r"false|False|FALSE"), lambda _: False),
    (re.compile(r"[-+]?[0-9]{1,400}"), int),
    (re.compile(r"0o[0-7]{1,400}"), lambda text: int(text[2:], 8)),
    (re.compile(r"0x[0-9a-fA-F]{1,400}"), lambda text: int(text[2:], 16)),
    (re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?"), float),
    (re.compile(r"\+?\.(?:inf|Inf|INF)"), lambda _: math.inf),
    (re.compile(r"-\.(?:inf|Inf|INF)"), lambda _: -math.inf),
    (re.compile(r"\.(?:nan|NaN|NAN)"), lambda _: math.nan),
)


def _scalar(text: str) -> Scalar:
    for pattern, convert in _CORE:
        if pattern.fullmatch(text):
            return convert(text)
    return text
