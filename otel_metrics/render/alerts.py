"""The alert rules: what an operator is told of. Thresholds are those that the code itself goes by.

Pure. Alerts ask for recorded series where there is one, so that an alert and the dashboard beside
it show the same figure.
"""

from collections.abc import Sequence
from typing import Final

from otel_metrics.efficiency.recorder import DIP_BELOW
from otel_metrics.render import pipeline_alerts
from otel_metrics.render.limits import (
    AGENT_EXECUTIONS_MIN,
    AGENT_FAILURES_ABOVE,
    BUDGET_REMAINING_BELOW,
    DROP_TO,
    ROLLBACK,
    SPIKE_ERRORS_MIN,
    SPIKE_FACTOR,
)
from otel_metrics.render.promql import Queries
from otel_metrics.render.recording import AGENT, MODEL, SKILL
from otel_metrics.render.rules import Alert, Group
from otel_metrics.sovereignty.report import TARGETS

__all__ = ["alerts"]

FIVE_MINUTES_S: Final = 300


def alerts(queries: Queries) -> Sequence[Group]:
    """Return the alert rules, a group a domain."""
    return (
        Group("otel-metrics-skills-alerts", _skills(queries)),
        Group("otel-metrics-sovereignty-alerts", [_sovereignty(*target) for target in TARGETS]),
        Group("otel-metrics-cost-alerts", _cost(queries)),
        Group("otel-metrics-agents-alerts", _agents(queries)),
        Group("otel-metrics-pipeline-alerts", pipeline_alerts.alerts(queries)),
    )


def _skills(q: Queries) -> Sequence[Alert]:
    skill = "Skill {{ $labels.gen_ai_skill_name }} of {{ $labels.job }}"
    fidelities = q.count("skill.fidelity", SKILL, "1h", part="count")
    judged = q.count("skill.outcomes", SKILL, "1h", where={"skill.outcome": "!unverified"})
    executions = q.count("skill.executions", SKILL, "1h")
    return (
        Alert(
            alert="SkillFidelityBelowRollbackLimit",
            expr=_of_production(
                q,
                f"job_skill:skill_fidelity:mean1h < {ROLLBACK.fidelity_min:g}\n"
                f"and\n{fidelities} >= {ROLLBACK.fidelity_records}",
            ),
            wait="5m",
            severity="warning",
            summary=f"{skill} does not follow its patterns",
            description="Mean fidelity of the last hour is {{ $value | humanize }}; a skill is "
            f"rolled back below {ROLLBACK.fidelity_min:g}.",
            action="Run `otel-metrics skills status SKILL`, look for the patterns that are missed "
            "in its fidelity events, and roll it back if it does not recover.",
        ),
        Alert(
            alert="SkillCorrectnessBelowRollbackLimit",
            expr=_of_production(
                q,
                f"job_skill:skill_outcomes_correct:ratio_rate1h < {ROLLBACK.correct_min:g}\n"
                f"and\n{judged} >= {ROLLBACK.correct_records}",
            ),
            wait="5m",
            severity="warning",
            summary=f"{skill} decides wrongly",
            description="{{ $value | humanizePercentage }} of the verified outcomes of the last "
            f"hour are correct; a skill is rolled back below {ROLLBACK.correct_min:.0%}.",
            action="Read the reasoning of its incorrect outcomes in the event archive, and roll "
            "it back if a change of the skill or of its model explains them.",
        ),
        Alert(
            alert="SkillErrorsAboveRollbackLimit",
            expr=_of_production(
                q,
                f"job_skill:skill_execution_errors:ratio_rate1h > {ROLLBACK.exception_rate_max:g}\n"
                f"and\n{executions} >= {ROLLBACK.exception_records}",
            ),
            wait="5m",
            severity="warning",
            summary=f"{skill} raises",
            description="{{ $value | humanizePercentage }} of the executions of the last hour "
            f"raised; a skill is rolled back above {ROLLBACK.exception_rate_max:.0%}.",
            action="Look at skill_executions_total by error_type to see what is raised and since "
            "which version, and roll the skill back if that is its own.",
        ),
    )


def _of_production(q: Queries, condition: str) -> str:
    """Return a condition but for skills of which it is known that no version is in production."""
    elsewhere = q.over(
        "max",
        "skill.state",
        SKILL,
        q.selector("skill.state", where={"skill.state": "=production"}),
    )
    return f"{condition}\nunless\n{elsewhere} == 0"


def _sovereignty(hour: int, percent: float) -> Alert:
    share = 'job_layer:sovereignty_events_sovereign:ratio_rate1h{sovereignty_layer="perception"}'
    return Alert(
        alert=f"SovereigntyBelowTargetOfHour{hour}",
        # Work of so many hours ago: before that the target is not due.
        expr=f"{share} < {percent / 100:g}\nand\n{share} offset {hour}h",
        wait="15m",
        severity="warning",
        summary="{{ $labels.job }} asks a model for what it could know",
        description="{{ $value | humanizePercentage }} of perception needed no model in the last "
        f"hour; from hour {hour} on it is to be {percent:g} %.",
        action="Run `otel-metrics sovereignty report` to see since when, and look for a cache "
        "that was emptied or for input that no cache has seen before.",
    )


def _cost(q: Queries) -> Sequence[Alert]:
    budget = "{{ $labels.budget_name }} of {{ $labels.job }}"
    model = "{{ $labels.gen_ai_provider_name }} {{ $labels.gen_ai_request_model }}"
    usage = q.metric("pforge.budget.usage").bands
    assert usage is not None and usage.critical.lower is not None
    return (
        Alert(
            alert="BudgetNearlyGone",
            expr=f"job_budget:budget_remaining_per_limit:min < {BUDGET_REMAINING_BELOW:g}",
            wait="5m",
            severity="warning",
            summary=f"Budget {budget} is nearly gone",
            description="{{ $value | humanizePercentage }} of its {{ $labels.budget_unit }} are "
            "left in this period.",
            action="Run `otel-metrics budgets list` to see what is used and when the period ends, "
            "and raise the limit with `otel-metrics budgets set` if the spending is wanted.",
        ),
        Alert(
            alert="BudgetRefusesSpends",
            expr=f"{q.risen('budget.refusals', ('budget.name',), '15m')} > 0",
            wait="",
            severity="critical",
            summary=f"Budget {budget} refuses spends",
            description="{{ $value | humanize }} spends were refused in the last 15 minutes; the "
            "work that needed them was not done.",
            action="Raise the limit with `otel-metrics budgets set`, or stop what spends: "
            "pforge_tokens_used_total and llm_cost_total by model say which.",
        ),
        Alert(
            alert="TenantQuotaNearlyGone",
            expr=f"job_tenant:pforge_budget_usage_percent:max >= {usage.critical.lower:g}",
            wait="5m",
            severity="warning",
            summary="Tenant {{ $labels.tenant }} of {{ $labels.job }} has nearly used its quota",
            description="{{ $value | humanize }} % of its daily tokens are used.",
            action="Tell the tenant, or raise its quota with `otel-metrics budgets set`; at "
            "100 % its spends are refused until the day is over.",
        ),
        Alert(
            alert="CostUnknown",
            expr=f"{q.risen('llm.unpriced_tokens', MODEL, '15m')} > 0",
            wait="15m",
            severity="warning",
            summary=f"Nobody knows what {model} costs",
            description="{{ $value | humanize }} tokens of {{ $labels.job }} in 15 minutes have "
            "no price; every figure of cost is too low by theirs.",
            action="Upgrade `genai-prices`, or give the price of the model when its calls are "
            "recorded.",
        ),
    )


def _agents(q: Queries) -> Sequence[Alert]:
    dips = "job:pforge_efficiency:min_avg10m"
    errors = "job_agent_type:pforge_agent_errors:rate5m"
    agent = "Agent {{ $labels.gen_ai_agent_name }} of {{ $labels.job }}"
    return (
        Alert(
            alert="EfficiencyDip",
            expr=f"{dips} < {DIP_BELOW:g}",
            wait="10m",
            severity="warning",
            summary="{{ $labels.job }} works with an efficiency that is too low",
            description="E is {{ $value | humanize }} over ten minutes, and dips below "
            f"{DIP_BELOW:g}.",
            action="Look at gaps, misfits and false pieces to see which of them grew, and run "
            "`otel-metrics efficiency backtest` to see which plans lowered it.",
        ),
        Alert(
            alert="EfficiencyDrop",
            expr=f"{dips} < {DROP_TO:g} * {dips} offset 1h",
            wait="15m",
            severity="warning",
            summary="The efficiency of {{ $labels.job }} has dropped and stays there",
            description="E is {{ $value | humanize }} over ten minutes, less than "
            f"{DROP_TO:.0%} of what it was an hour ago.",
            action="Compare with the plans of that hour (`otel-metrics efficiency backtest`), and "
            "undo the patch or the plan that it began with.",
        ),
        Alert(
            alert="AgentErrorsSpike",
            expr=f"{errors} * {FIVE_MINUTES_S} >= {SPIKE_ERRORS_MIN}\n"
            f"and\n{errors} > {SPIKE_FACTOR} * (\n"
            f"  avg_over_time({errors}[1h] offset 5m) or {errors} * 0\n)",
            wait="",
            severity="warning",
            summary="Agents of type {{ $labels.agent_type }} of {{ $labels.job }} fail in numbers",
            description="{{ $value | humanize }} errors in five minutes, more than "
            f"{SPIKE_FACTOR} times the rate of the hour before.",
            action="Look for what these agents share: a provider that is down (the error ratio by "
            "model shows it), a tool, or a new version.",
        ),
        Alert(
            alert="AgentExecutionsFail",
            expr=f"job_agent:agent_executions_failed:ratio_rate1h > {AGENT_FAILURES_ABOVE:g}\n"
            f"and\n{q.count('agent.executions', AGENT, '1h')} >= {AGENT_EXECUTIONS_MIN}",
            wait="5m",
            severity="warning",
            summary=f"{agent} fails too often",
            description="{{ $value | humanizePercentage }} of its executions failed in the last "
            f"hour; accepted are {AGENT_FAILURES_ABOVE:.0%}.",
            action="Read its last records with `otel-metrics executions list AGENT`, and run one "
            "of the failed executions again by hand.",
        ),
    )
