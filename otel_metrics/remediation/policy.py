"""Which requests are run, asked for or refused: the first rule that matches decides. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from otel_metrics.catalog.model import Playbook
from otel_metrics.remediation.model import Binding, Decision, Request, Rule
from otel_metrics.remediation.rules import TIERS, matches

__all__ = ["APPROVAL_TIER", "Ruling", "rule_on", "tier_of"]

APPROVAL_TIER: Final = 3
"""From this tier on a person must agree each time, whatever the policy says."""


@dataclass(frozen=True, slots=True)
class Ruling:
    """A decision, and in words what it follows from."""

    decision: Decision
    reason: str


def tier_of(playbook: Playbook, binding: Binding) -> int:
    """Return the tier of what was bound to a playbook: 1 to 4, never less than the playbook's."""
    return max(playbook.tier, TIERS.index(binding.risk) + 1)


def rule_on(rules: Sequence[Rule], request: Request, tier: int) -> Ruling:
    """Decide on a request. Without a rule that matches somebody is asked."""
    ruling = next(
        (
            Ruling(rule.decision, f"rule {number} of the policy")
            for number, rule in enumerate(rules, 1)
            if _matches(rule, request, tier)
        ),
        Ruling("ask", "no rule of the policy matches"),
    )
    if ruling.decision == "run" and tier >= APPROVAL_TIER:
        return Ruling("ask", f"tier {tier} needs an approval")
    return ruling


def _matches(rule: Rule, request: Request, tier: int) -> bool:
    return (
        rule.tier in (None, tier)
        and rule.risk in (None, TIERS[tier - 1])
        and matches(rule.metric, request.metric)
        and matches(rule.playbook, request.playbook)
        and matches(rule.actor, request.actor)
    )
