"""Rules with one thing wrong, each of which a unit test must notice."""

import re
from collections.abc import Iterator
from typing import Any

from otel_metrics.render.promql import PER_INSTANCE

Rule = dict[str, Any]

INVERTED = {
    "<": ">",
    ">": "<",
    "<=": ">",
    ">=": "<",
    "==": "!=",
    "=": "!=",
    "!=": "=",
    "!~": "=~",
    "+": "-",
    "or": "and",
    "and": "or",
    "unless": "and",
}
FACTORS = (0.8, 1.25)
OPERATOR = re.compile(r"(?<=\s)(<=|>=|==|<|>|\+|or|and|unless)(?=\s)")
MATCHER = re.compile(r'(?<=\w)(!=|!~|=)(?=")')
NUMBER = re.compile(r'(?<![\w.:\["])(?!0\b(?!\.))\d+(?:\.\d+)?(?![\w.:\]"])')
NOTHING = re.compile(r"\* 0\b(?!\.)")
"""What stands in for a numerator that is not there."""
LONGER = {"": "3m", "2m": "4m", "5m": "8m", "10m": "15m", "15m": "20m"}
SHORTER = {"2m": "1m", "5m": "4m", "10m": "9m", "15m": "14m"}
SEVERITIES = {"warning": "critical", "critical": "warning"}


def mutants(rule: Rule) -> Iterator[tuple[str, Rule]]:
    """Yield what is wrong in words, and the rule with it."""
    expr = rule["expr"]
    for what, wrong in _expressions(expr):
        yield what, {**rule, "expr": wrong}
    if "record" in rule:
        yield "1 % too much", {**rule, "expr": f"({expr}) * 1.01"}
        return
    waits = rule.get("for", "")
    yield f"for {LONGER[waits]}", {**rule, "for": LONGER[waits]}
    if waits:
        yield f"for {SHORTER[waits]}", {**rule, "for": SHORTER[waits]}
    severity = SEVERITIES[rule["labels"]["severity"]]
    yield severity, {**rule, "labels": {"severity": severity}}


def _expressions(expr: str) -> Iterator[tuple[str, str]]:
    for pattern in (OPERATOR, MATCHER):
        for found in pattern.finditer(expr):
            yield _replaced(expr, found, INVERTED[found[0]])
    for found in NUMBER.finditer(expr):
        for factor in FACTORS:
            yield _replaced(expr, found, f"{float(found[0]) * factor:g}")
    for found in NOTHING.finditer(expr):
        yield _replaced(expr, found, "* 0 + 1")
    instances = f"without ({', '.join(PER_INSTANCE)}"
    if instances in expr:
        yield "by instance", expr.replace(instances, instances.replace(PER_INSTANCE[0], "pod"))


def _replaced(expr: str, found: re.Match[str], by: str) -> tuple[str, str]:
    start, end = found.span()
    return f"{found[0]} → {by} at {start}", expr[:start] + by + expr[end:]
