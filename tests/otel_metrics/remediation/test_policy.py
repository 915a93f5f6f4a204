"""The first rule that matches decides, and a person on what is dangerous."""

import pytest

from otel_metrics.remediation.model import Rule
from otel_metrics.remediation.policy import Ruling, rule_on, tier_of
from tests.otel_metrics.remediation.desks import PLAYBOOKS, binding, request


@pytest.mark.parametrize(
    ("rule", "matches"),
    [
        (Rule(decision="refuse"), True),
        (Rule(decision="refuse", tier=2), True),
        (Rule(decision="refuse", tier=1), False),
        (Rule(decision="refuse", risk="medium"), True),
        (Rule(decision="refuse", risk="low"), False),
        (Rule(decision="refuse", metric="infra.*"), True),
        (Rule(decision="refuse", metric="infra.cpu"), False),
        (Rule(decision="refuse", metric="api.*"), False),
        (Rule(decision="refuse", playbook="shift-load", actor="recommendation"), True),
        (Rule(decision="refuse", playbook="shift-load", actor="ann"), False),
    ],
)
def test_a_rule_matches_by_all_that_it_names(rule: Rule, matches: bool) -> None:
    """What it does not name matches all; a `*` at the end matches every ending."""
    ruling = rule_on([rule, Rule(decision="run")], request(), 2)

    assert ruling == (
        Ruling("refuse", "rule 1 of the policy")
        if matches
        else Ruling("run", "rule 2 of the policy")
    )


def test_without_a_rule_somebody_is_asked() -> None:
    """Nothing runs because a policy forgot it."""
    assert rule_on([], request(), 1) == Ruling("ask", "no rule of the policy matches")


@pytest.mark.parametrize("tier", [3, 4])
def test_no_rule_lets_the_upper_tiers_run(tier: int) -> None:
    """Tier 3 and 4 ask, whatever the policy says."""
    ruling = rule_on([Rule(decision="run")], request(), tier)

    assert ruling == Ruling("ask", f"tier {tier} needs an approval")


def test_a_binding_makes_a_playbook_more_dangerous_never_less() -> None:
    """What an operator bound may be worse than the playbook says."""
    shift = PLAYBOOKS["shift-load"]

    assert tier_of(shift, binding("shift-load", risk="critical")) == 4
    assert tier_of(shift, binding("shift-load", risk="low")) == 2
