"""The policy of the operator's file: which rule decides what, checked against the playbooks.

A rule that could let a playbook of high or critical risk run without approval is refused, whatever
stands before it in the file: order is too easy to change.
"""

from collections.abc import Collection, Iterator, Mapping
from typing import Final, cast, get_args

from otel_metrics.catalog.fields import near
from otel_metrics.catalog.model import Risk
from otel_metrics.remediation.file_fields import FileFields
from otel_metrics.remediation.model import Decision, Rule

__all__ = ["RULES_MAX", "TIERS", "matches", "read"]

RULES_MAX: Final = 200
"""Rules of one file."""
TIERS: Final[tuple[Risk, ...]] = get_args(Risk)
"""Risks in the order of their tiers, the first of which is 1."""

_APPROVED_FROM: Final = 3
"""The first tier of which each run needs an approval."""
_KNOWN: Final = ("tier", "risk", "metric", "playbook", "actor", "decision")


def read(
    fields: FileFields, risks: Mapping[str, Risk], metrics: Collection[str] | None
) -> tuple[Rule, ...]:
    """Return the rules under `policy`.

    Args:
        risks: of every playbook, as the file has it.
        metrics: every metric that there is; None where that is not known.
    """
    items = fields.items("policy")
    if len(items) > RULES_MAX:
        fields.refuse("policy", f"has {len(items):,} rules", f"keep at most {RULES_MAX}")
        return ()
    rules = []
    for index, item in enumerate(items):
        given = FileFields(item, f"policy[{index}]", fields.report, known=_KNOWN)
        rule = _rule(given)
        if rule is not None:
            _check(given, rule, risks, metrics)
            rules.append(rule)
    return tuple(rules)


def matches(pattern: str | None, word: str | None) -> bool:
    """Tell whether a rule's text matches a word: all of it, or its beginning where it ends in `*`.

    >>> matches("infra.*", "infra.disk_usage"), matches("infra", "infra.disk_usage")
    (True, False)
    """
    if pattern is None:
        return True
    if word is None:
        return False
    return word.startswith(pattern[:-1]) if pattern.endswith("*") else word == pattern


def _rule(given: FileFields) -> Rule | None:
    decision = given.choice("decision", get_args(Decision), required=True)
    tier = given.whole("tier", 0, least=1, most=len(TIERS))
    risk = given.choice("risk", TIERS)
    texts = {key: given.text(key) or None for key in ("metric", "playbook", "actor")}
    for key, text in texts.items():
        if text is not None and "*" in text[:-1]:
            given.refuse(key, f"{text!r} has a * within", "write it at the end, or not at all")
            return None
    if decision is None:
        return None
    return Rule(
        decision=cast(Decision, decision),
        tier=tier or None,
        risk=cast(Risk | None, risk),
        **texts,
    )


def _check(
    given: FileFields,
    rule: Rule,
    risks: Mapping[str, Risk],
    metrics: Collection[str] | None,
) -> None:
    if rule.playbook and not any(matches(rule.playbook, name) for name in risks):
        remedy = near(rule.playbook, risks, otherwise="see `otel-metrics playbooks list`")
        given.refuse("playbook", f"there is no playbook {rule.playbook!r}", remedy)
        return
    if (
        rule.metric
        and metrics is not None
        and not any(matches(rule.metric, name) for name in metrics)
    ):
        remedy = near(rule.metric, metrics, otherwise="see `otel-metrics catalog list`")
        given.refuse("metric", f"there is no metric {rule.metric!r}", remedy)
    found = list(_matched(rule, risks))
    if not found:
        given.refuse("decision", "is of no playbook", "let tier, risk and playbook agree")
    dangerous = [name for name in found if TIERS.index(risks[name]) + 1 >= _APPROVED_FROM]
    if rule.decision == "run" and dangerous:
        message = f"would run {dangerous[0]} ({risks[dangerous[0]]} risk) without approval"
        remedy = "write ask, or add tier: 1 or tier: 2 to the rule"
        given.refuse("decision", message, remedy)


def _matched(rule: Rule, risks: Mapping[str, Risk]) -> Iterator[str]:
    for name, risk in risks.items():
        tier = TIERS.index(risk) + 1
        is_of_risk = rule.tier in (None, tier) and rule.risk in (None, risk)
        if is_of_risk and matches(rule.playbook, name):
            yield name
