"""What a Prometheus rule is, and how a file of them is written. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import yaml

__all__ = ["Alert", "Group", "Recording", "Severity", "rule_file"]

Severity = Literal["warning", "critical"]
"""Critical: data is lost or money refused now. Warning: somebody should look today."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Recording:
    """A series that Prometheus computes at each evaluation.

    Attributes:
        record: its name, `level:metric:operations`.
        about: what it is, and when it is absent.
    """

    record: str
    expr: str
    about: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Alert:
    """A condition that somebody is told of.

    Attributes:
        wait: how long it must hold.
        summary, description: what is wrong, and with which figures; templates of Prometheus.
        action: what to do, in a sentence.
    """

    alert: str
    expr: str
    wait: str
    severity: Severity
    summary: str
    description: str
    action: str


@dataclass(frozen=True, slots=True)
class Group:
    """Rules that are evaluated one after the other, so that a later one sees an earlier one's."""

    name: str
    rules: Sequence[Recording | Alert]


def rule_file(head: str, groups: Sequence[Group], *, runbook: str) -> str:
    """Return a rule file.

    Args:
        head: the comment at its top, without `#`.
        runbook: URL or path of the page that has a heading for each alert.
    """
    lines = [f"# {line}".rstrip() for line in head.splitlines()]
    lines += ["groups:"]
    for group in groups:
        lines += [f"- name: {group.name}", "  rules:"]
        for rule in group.rules:
            lines += _recording(rule) if isinstance(rule, Recording) else _alert(rule, runbook)
    return "\n".join(lines) + "\n"


def _recording(rule: Recording) -> list[str]:
    comment = [f"  # {line}" for line in rule.about.splitlines()]
    return [*comment, *_item({"record": rule.record, "expr": rule.expr})]


def _alert(rule: Alert, runbook: str) -> list[str]:
    annotations = {
        "summary": rule.summary,
        "description": rule.description,
        "action": rule.action,
        "runbook_url": f"{runbook}#{rule.alert.lower()}",
    }
    waits = {"for": rule.wait} if rule.wait else {}
    return _item(
        {
            "alert": rule.alert,
            "expr": rule.expr,
            **waits,
            "labels": {"severity": rule.severity},
            "annotations": annotations,
        }
    )


def _item(rule: dict[str, Any]) -> list[str]:
    dumped = yaml.dump([rule], Dumper=_Dumper, sort_keys=False, width=1_000, allow_unicode=True)
    return [f"  {line}" for line in dumped.splitlines()]


class _Dumper(yaml.SafeDumper):
    """Writes text of several lines as a block."""


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    style = "|" if "\n" in text else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_Dumper.add_representer(str, _text)
