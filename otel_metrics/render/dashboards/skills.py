"""Skills: how right they are, what they cost, and in which state they are."""

from otel_metrics.render.dashboards.asking import Asking
from otel_metrics.render.dashboards.colours import CORRECT, ERRORS, FIDELITY
from otel_metrics.render.panels import Dashboard, Panel, Row, stat, table, timeseries

__all__ = ["dashboard"]

SKILL = "{{gen_ai_skill_name}}"


def dashboard(ask: Asking) -> Dashboard:
    """Return the dashboard."""
    return Dashboard(
        name="skills",
        title="Skills",
        description="How right each skill is, what it costs, and in which state it is.",
        variables=(ask.service,),
        rows=(
            Row("The weakest and the dearest", _figures(ask)),
            Row("Quality", _quality(ask)),
            Row("Work", _work(ask)),
            Row("States", _states(ask)),
        ),
    )


def _figures(ask: Asking) -> tuple[Panel, ...]:
    return (
        stat(
            "Least correct",
            f"min({ask.recorded('job_skill:skill_outcomes_correct:ratio_rate1h')})",
            "percentunit",
            "Correct among the verified outcomes of the last hour, of the skill with the fewest.",
            steps=CORRECT,
        ),
        stat(
            "Lowest fidelity",
            f"min({ask.recorded('job_skill:skill_fidelity:mean1h')})",
            "percentunit",
            "Mean fidelity of the last hour, of the skill with the lowest.",
            steps=FIDELITY,
        ),
        stat(
            "Most errors",
            f"max({ask.recorded('job_skill:skill_execution_errors:ratio_rate1h')})",
            "percentunit",
            "Share of executions that raised in the last hour, of the skill with the most.",
            steps=ERRORS,
        ),
        stat(
            "Dearest correct outcome",
            f"max({ask.recorded('job_skill:skill_cost_per_correct_outcome:ratio_rate1h')})",
            "currencyUSD",
            "Of the skills with a correct outcome in the last hour.",
        ),
        stat(
            "Cost an hour",
            f"3600 * sum({ask.recorded('job_skill:skill_cost:rate1h')})",
            "currencyUSD",
            "What the model calls inside skills cost in the last hour.",
        ),
        stat(
            "Executions",
            f"sum({ask.recorded('job_skill:skill_executions:rate5m')})",
            "ops",
            "Executions a second, over five minutes.",
        ),
    )


def _quality(ask: Asking) -> tuple[Panel, ...]:
    patterns = ask.rate(
        "skill.patterns", by="gen_ai_skill_name", where={"skill.pattern.result": "=missed"}
    )
    return (
        timeseries(
            "Correct",
            {SKILL: ask.recorded("job_skill:skill_outcomes_correct:ratio_rate1h")},
            "percentunit",
            "Correct among the verified outcomes of an hour; dashed, the limits of a rollback and "
            "of a promotion.",
            steps=CORRECT,
        ),
        timeseries(
            "Fidelity",
            {SKILL: ask.recorded("job_skill:skill_fidelity:mean1h")},
            "percentunit",
            "Mean share of the expected patterns that were followed; dashed, the limits of a "
            "rollback and of a promotion.",
            steps=FIDELITY,
        ),
        timeseries(
            "Executions that raised",
            {SKILL: ask.recorded("job_skill:skill_execution_errors:ratio_rate1h")},
            "percentunit",
            "Share of an hour's executions; dashed, the limit of a rollback.",
            steps=ERRORS,
        ),
        timeseries(
            "Confidence",
            {
                "{{skill_outcome}}": ask.mean("skill.outcome.confidence", by="skill_outcome"),
            },
            "percentunit",
            "Mean confidence by outcome: the two should lie apart, or confidence says nothing.",
        ),
        timeseries(
            "Patterns missed",
            {SKILL: patterns},
            "ops",
            "Expected patterns that executions did not follow, a second.",
        ),
        timeseries(
            "Outcomes",
            {"{{skill_outcome}}": ask.rate("skill.outcomes", by="skill_outcome")},
            "ops",
            "Outcomes a second, of all skills.",
            stacked=True,
        ),
    )


def _work(ask: Asking) -> tuple[Panel, ...]:
    dear = {
        SKILL: ask.recorded("job_skill:skill_cost_per_correct_outcome:ratio_rate1h"),
        "{{gen_ai_agent_name}}": ask.recorded(
            "job_agent:skill_cost_per_correct_outcome:ratio_rate1h"
        ),
        "all of {{job}}": ask.recorded("job:skill_cost_per_correct_outcome:ratio_rate1h"),
    }
    return (
        timeseries(
            "Executions",
            {SKILL: ask.recorded("job_skill:skill_executions:rate5m")},
            "ops",
            "Executions a second.",
            stacked=True,
        ),
        timeseries(
            "Duration, 95th percentile",
            {SKILL: ask.recorded("job_skill:skill_execution_duration_seconds:p95_5m")},
            "s",
            "Duration that 95 % of a skill's executions stay under.",
        ),
        timeseries(
            "Cost of a correct outcome",
            dear,
            "currencyUSD",
            "By skill, by agent, and of all together. A skill or an agent without a correct "
            "outcome has no curve; what it spent is in that of all.",
        ),
        timeseries(
            "Memory, 95th percentile",
            {SKILL: ask.quantile("skill.execution.memory", by="gen_ai_skill_name")},
            "bytes",
            "Memory that 95 % of a skill's executions stay under.",
        ),
    )


def _states(ask: Asking) -> tuple[Panel, ...]:
    moves = {
        "promoted to {{skill_promotion_to}}": ask.rate(
            "skill.promotions", "1h", by="skill_promotion_to"
        ),
        "back to {{skill_promotion_to}}": ask.rate(
            "skill.rollbacks", "1h", by="skill_promotion_to"
        ),
    }
    labels = "job, gen_ai_skill_name, gen_ai_skill_version, skill_state"
    return (
        timeseries(
            "Promotions and rollbacks",
            {legend: f"3600 * {query}" for legend, query in moves.items()},
            "short",
            "Moves between states in the last hour.",
        ),
        table(
            "State of each skill",
            f"max by ({labels}) ({ask.queries.selector('skill.state')}) == 1",
            "The state that each skill is in, as its service last said.",
        ),
    )
