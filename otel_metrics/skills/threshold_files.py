"""Thresholds from a YAML file: `defaults`, and under `skills` what one skill has otherwise.

    defaults:
      staged: {fidelity_min: 0.90, correct_min: 0.85, false_positive_rate_below: 0.05}
      production: {records_min: 100, window_days: 7}
      positive_decisions: [approve]
      critical_decisions: []              # none is critical
    skills:
      invoice-triage:
        staged: {fidelity_min: 0.95}
        critical_decisions: [block]

What is not said is as in `thresholds.py`. Errors name file, line, key and remedy, all at once.
"""

import dataclasses
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeVar

from otel_metrics.catalog.fields import Fields, Report, TooManyProblemsError
from otel_metrics.skills.thresholds import DEFAULTS, Production, Rollback, Staged, Thresholds
from otel_metrics.yaml_source import Node, YamlSourceError, read

__all__ = ["FILE_NAME", "ThresholdFile", "load"]

FILE_NAME: Final = "thresholds.yaml"
"""What the file is called in a folder of skill files."""

Part = TypeVar("Part", Staged, Production, Rollback)

_SHARE: Final = "write a number from 0 to 1"
_WHOLE: Final = "write a whole number from 1"
_COUNT: Final = "write a whole number from 0"
_POSITIVE: Final = "write a number above 0"
_ACCEPTED: Final[Mapping[str, tuple[Callable[[Any], bool], str]]] = {
    "_records": (lambda number: number >= 1 and number == int(number), _WHOLE),
    "records_min": (lambda number: number >= 1 and number == int(number), _WHOLE),
    "negatives_max": (lambda number: number >= 0 and number == int(number), _COUNT),
    "exceptions_max": (lambda number: number >= 0 and number == int(number), _COUNT),
    "window_days": (lambda number: number > 0, _POSITIVE),
    "factor_max": (lambda number: number > 0, _POSITIVE),
    "": (lambda number: 0 <= number <= 1, _SHARE),
}
"""What a threshold may be, by how its key ends."""


@dataclass(frozen=True, slots=True)
class ThresholdFile:
    """The thresholds of every skill; `skills` holds those that have some of their own."""

    defaults: Thresholds = DEFAULTS
    skills: Mapping[str, Thresholds] = dataclasses.field(default_factory=dict)

    def of(self, skill: str) -> Thresholds:
        """Return the thresholds of a skill."""
        return self.skills.get(skill, self.defaults)


def load(path: str | os.PathLike[str]) -> ThresholdFile:
    """Read a file.

    Raises:
        YamlSourceError: with each problem's file, line, key and remedy.
    """
    root = read(path)
    report = Report(os.fspath(path))
    try:
        found = _file(root, report)
    except TooManyProblemsError:
        found = ThresholdFile()
    if report.problems:
        raise YamlSourceError(tuple(sorted(report.problems, key=lambda problem: problem.line)))
    return found


def _file(root: Node, report: Report) -> ThresholdFile:
    if root.value is None:
        return ThresholdFile()  # an empty file says nothing
    fields = Fields(root, "", report, known=("defaults", "skills"))
    given = fields.node("defaults")
    defaults = DEFAULTS if given is None else _thresholds(given, "defaults", DEFAULTS, report)
    named = fields.node("skills")
    if named is None:
        return ThresholdFile(defaults)
    names = tuple(named.value) if isinstance(named.value, Mapping) else ()
    skills = Fields(named, "skills", report, known=names)
    each = {name: skills.node(name) for name in names}
    return ThresholdFile(
        defaults,
        {
            name: _thresholds(node, f"skills.{name}", defaults, report)
            for name, node in each.items()
            if node is not None
        },
    )


def _thresholds(node: Node, path: str, into: Thresholds, report: Report) -> Thresholds:
    known = tuple(field.name for field in dataclasses.fields(Thresholds))
    fields = Fields(node, path, report, known=known)
    return Thresholds(
        staged=_part(fields, "staged", into.staged, report),
        production=_part(fields, "production", into.production, report),
        rollback=_part(fields, "rollback", into.rollback, report),
        positive_decisions=_decisions(fields, "positive_decisions", into.positive_decisions),
        critical_decisions=_decisions(fields, "critical_decisions", into.critical_decisions),
    )


def _part(fields: Fields, key: str, into: Part, report: Report) -> Part:
    node = fields.node(key)
    if node is None:
        return into
    names = [field.name for field in dataclasses.fields(into)]
    part = Fields(node, fields.path(key), report, known=names)
    numbers: dict[str, Any] = {name: _number(part, name, getattr(into, name)) for name in names}
    return dataclasses.replace(into, **numbers)


def _number(fields: Fields, key: str, default: float) -> float:
    number = fields.number(key)
    if number is None:
        return default
    accepts, remedy = next(each for end, each in _ACCEPTED.items() if key.endswith(end))
    if not accepts(number):
        fields.refuse(key, f"is {number:g}", remedy)
        return default
    return int(number) if isinstance(default, int) and number == int(number) else number


def _decisions(fields: Fields, key: str, default: tuple[Any, ...] | None) -> tuple[Any, ...] | None:
    if not fields.has(key):
        return default
    return tuple(item.plain() for item in fields.items(key))
