"""The recording rules: what dashboards and alerts ask for over and over, computed once.

Levels name the labels that are left beside those of the scrape: `job` is one service with all its
instances, `job_skill` one of its skills. Rates are a second's. Pure.
"""

from collections.abc import Sequence

from otel_metrics.render.promql import P95, Queries, added, per, share
from otel_metrics.render.rules import Group, Recording

__all__ = ["recording"]

SKILL = ("gen_ai.skill.name",)
AGENT = ("gen_ai.agent.name",)
LAYER = ("sovereignty.layer",)
MODEL = ("gen_ai.provider.name", "gen_ai.request.model")
TOOL = ("gen_ai.tool.name",)
AGENT_TYPE = ("agent_type",)
SIGNAL = ("signal",)
JOB = ()
ERROR = {"error.type": "!"}


def recording(queries: Queries) -> Sequence[Group]:
    """Return the recording rules, a group a domain."""
    return (
        Group("otel-metrics-skills", _skills(queries)),
        Group("otel-metrics-sovereignty", _sovereignty(queries)),
        Group("otel-metrics-tokens", _tokens(queries)),
        Group("otel-metrics-budgets", _budgets(queries)),
        Group("otel-metrics-efficiency", _efficiency(queries)),
        Group("otel-metrics-executions", _executions(queries)),
        Group("otel-metrics-pipeline", _pipeline(queries)),
    )


def _skills(q: Queries) -> Sequence[Recording]:
    correct = q.rate("skill.outcomes", SKILL, "1h", where={"skill.outcome": "=correct"})
    judged = q.rate("skill.outcomes", SKILL, "1h", where={"skill.outcome": "!unverified"})
    failed = q.rate("skill.executions", SKILL, "1h", where=ERROR)
    return (
        Recording(
            record="job_skill:skill_executions:rate5m",
            expr=q.rate("skill.executions", SKILL, "5m"),
            about="Executions of a skill a second.",
        ),
        Recording(
            record="job_skill:skill_execution_errors:ratio_rate1h",
            expr=share(failed, q.rate("skill.executions", SKILL, "1h")),
            about="Share of executions that raised; 0 without errors, absent without executions.",
        ),
        Recording(
            record="job_skill:skill_outcomes_correct:ratio_rate1h",
            expr=share(correct, judged),
            about="Correct among the outcomes that were verified; absent where none was.",
        ),
        Recording(
            record="job_skill:skill_fidelity:mean1h",
            expr=q.mean("skill.fidelity", SKILL, "1h"),
            about="Mean fidelity; absent where none was recorded.",
        ),
        Recording(
            record="job_skill:skill_execution_duration_seconds:p95_5m",
            expr=q.quantile(P95, "skill.execution.duration", SKILL, "5m"),
            about="Duration that 95 % of a skill's executions stay under.",
        ),
        Recording(
            record="job_skill:skill_cost:rate1h",
            expr=q.rate("skill.cost", SKILL, "1h"),
            about="USD a second, of all outcomes.",
        ),
        *(_cost_per_correct(q, level, keep) for level, keep in _COST_LEVELS.items()),
    )


_COST_LEVELS = {"job_skill": SKILL, "job_agent": AGENT, "job": JOB}


def _cost_per_correct(q: Queries, level: str, keep: Sequence[str]) -> Recording:
    cost = q.rate("skill.cost", keep, "1h")
    correct = q.rate("skill.outcomes", keep, "1h", where={"skill.outcome": "=correct"})
    return Recording(
        record=f"{level}:skill_cost_per_correct_outcome:ratio_rate1h",
        expr=per(cost, correct),
        about="USD for each correct outcome, what the other outcomes cost included; absent, and\n"
        "not infinite, where none was correct. The level above counts that cost all the same.",
    )


def _sovereignty(q: Queries) -> Sequence[Recording]:
    in_layer = {"sovereignty.layer": "!"}
    return (
        Recording(
            record="job_layer:sovereignty_events:rate5m",
            expr=q.rate("sovereignty.events", LAYER, "5m", where=in_layer),
            about="Pieces of work of a layer a second, with and without a model.",
        ),
        *(
            Recording(
                record=f"job_layer:sovereignty_events_sovereign:ratio_rate{window}",
                expr=share(
                    q.rate(
                        "sovereignty.events",
                        LAYER,
                        window,
                        where={**in_layer, "sovereignty.path": "=sovereign"},
                    ),
                    q.rate("sovereignty.events", LAYER, window, where=in_layer),
                ),
                about="Share of a layer's work that needed no model; 0 where all of it did,\n"
                "absent where there was no work.",
            )
            for window in ("5m", "1h")
        ),
        Recording(
            record="job:sovereignty_api_cost:rate1h",
            expr=q.rate("sovereignty.api.cost", JOB, "1h"),
            about="USD a second for paid APIs.",
        ),
    )


def _tokens(q: Queries) -> Sequence[Recording]:
    usage = "gen_ai.client.inference.usage"
    tokens = added(
        q.rate(f"{usage}.input_tokens", MODEL, "5m"), q.rate(f"{usage}.output_tokens", MODEL, "5m")
    )
    calls = "gen_ai.client.inference.duration"
    return (
        Recording(
            record="job_model:gen_ai_client_inference_usage_tokens:rate5m_per_minute",
            expr=f"60 * {tokens}",
            about="Tokens of a model a minute, in and out; cached and reasoning tokens are\n"
            "parts of these.",
        ),
        Recording(
            record="job_model:gen_ai_client_inference_errors:ratio_rate5m",
            expr=share(
                q.rate(calls, MODEL, "5m", part="count", where=ERROR),
                q.rate(calls, MODEL, "5m", part="count"),
            ),
            about="Share of a model's calls that failed; 0 without failures.",
        ),
        Recording(
            record="job_model:gen_ai_client_inference_duration_seconds:p95_5m",
            expr=q.quantile(P95, calls, MODEL, "5m"),
            about="Duration that 95 % of a model's calls stay under.",
        ),
        Recording(
            record="job_tool:gen_ai_execute_tool_duration_seconds:p95_5m",
            expr=q.quantile(P95, "gen_ai.execute_tool.duration", TOOL, "5m"),
            about="Duration that 95 % of a tool's calls stay under.",
        ),
        Recording(
            record="job_agent:gen_ai_invoke_agent_duration_seconds:p95_5m",
            expr=q.quantile(P95, "gen_ai.invoke_agent.duration", AGENT, "5m"),
            about="Duration that 95 % of an agent's invocations stay under.",
        ),
        Recording(
            record="job_model:llm_cost:rate1h",
            expr=q.rate("llm.cost", MODEL, "1h"),
            about="USD a second for a model, of calls whose price is known.",
        ),
        Recording(
            record="job:llm_cost:rate1h",
            expr=q.rate("llm.cost", JOB, "1h"),
            about="USD a second for all models together.",
        ),
    )


def _budgets(q: Queries) -> Sequence[Recording]:
    budget = ("budget.name", "budget.unit")
    remaining, limit = q.selector("budget.remaining"), q.selector("budget.limit")
    return (
        Recording(
            record="job_budget:budget_remaining_per_limit:min",
            expr=q.over("min", "budget.remaining", budget, f"{remaining} / ({limit} > 0)"),
            about="Share of a budget that is left. Instances with one ledger all say the same,\n"
            "others have one of their own: that with the least left counts. Absent where a\n"
            "budget allows nothing.",
        ),
        Recording(
            record="job_tenant:pforge_budget_usage_percent:max",
            expr=q.over(
                "max", "pforge.budget.usage", ("tenant",), q.selector("pforge.budget.usage")
            ),
            about="Percent of a tenant's daily quota, of the ledger where most of it is used.",
        ),
    )


def _efficiency(q: Queries) -> Sequence[Recording]:
    efficiency = q.selector("pforge.efficiency")
    return (
        Recording(
            record="job:pforge_efficiency:min_avg10m",
            expr=q.over("min", "pforge.efficiency", JOB, f"avg_over_time({efficiency}[10m])"),
            about="Efficiency over ten minutes, of the instance with the lowest.",
        ),
        Recording(
            record="job_agent_type:pforge_agent_errors:rate5m",
            expr=q.rate("pforge.agent.errors", AGENT_TYPE, "5m"),
            about="Errors of a type of agent a second.",
        ),
        Recording(
            record="job:pforge_rollbacks_per_patch:ratio_rate1h",
            expr=share(
                q.rate("pforge.rollbacks", JOB, "1h"), q.rate("pforge.patches.applied", JOB, "1h")
            ),
            about="Patches rolled back for each that was applied; absent where none was applied.",
        ),
        Recording(
            record="job:pforge_orchestrator_tick_duration_seconds:p95_5m",
            expr=q.quantile(P95, "pforge.orchestrator.tick.duration", JOB, "5m"),
            about="Duration that 95 % of the orchestrator's ticks stay under.",
        ),
    )


def _executions(q: Queries) -> Sequence[Recording]:
    # A boolean is written in lower case on every path.
    failed = q.rate("agent.executions", AGENT, "1h", where={"agent.execution.success": "=false"})
    return (
        Recording(
            record="job_agent:agent_executions_failed:ratio_rate1h",
            expr=share(failed, q.rate("agent.executions", AGENT, "1h")),
            about="Share of an agent's executions that failed; 0 without failures.",
        ),
        Recording(
            record="job_agent:agent_execution_duration_seconds:p95_5m",
            expr=q.quantile(P95, "agent.execution.duration", AGENT, "5m"),
            about="Duration that 95 % of an agent's executions stay under.",
        ),
    )


def _pipeline(q: Queries) -> Sequence[Recording]:
    return (
        Recording(
            record="job_signal:archive_bytes:rate5m",
            expr=q.rate("archive.bytes", SIGNAL, "5m"),
            about="Bytes that the archive grows by a second, before compression.",
        ),
        Recording(
            record="job_signal:archive_sync_duration_seconds:p95_5m",
            expr=q.quantile(P95, "archive.sync.duration", SIGNAL, "5m"),
            about="Time that 95 % of the archive's syncs stay under.",
        ),
    )
