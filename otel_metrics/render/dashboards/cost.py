"""Cost and budgets: what is spent, on what, and how much may still be."""

from otel_metrics.render.dashboards.asking import Asking
from otel_metrics.render.dashboards.colours import BUDGET, LOST
from otel_metrics.render.panels import Dashboard, Panel, Row, banded, stat, table, timeseries

__all__ = ["dashboard"]

MODEL = "{{gen_ai_request_model}}"
USAGE = "gen_ai.client.inference.usage"
KINDS = {
    "in": f"{USAGE}.input_tokens",
    "out": f"{USAGE}.output_tokens",
    "read from a cache": f"{USAGE}.cache_read.input_tokens",
    "written to a cache": f"{USAGE}.cache_write.input_tokens",
    "reasoning": f"{USAGE}.reasoning.output_tokens",
}


def dashboard(ask: Asking) -> Dashboard:
    """Return the dashboard."""
    return Dashboard(
        name="cost-and-budgets",
        title="Cost and budgets",
        description="What is spent, on what, and how much may still be.",
        variables=(ask.service,),
        rows=(
            Row("Now", _figures(ask)),
            Row("Cost", _cost(ask)),
            Row("Tokens", _tokens(ask)),
            Row("Budgets", _budgets(ask)),
            Row("Calls", _calls(ask)),
        ),
    )


def _figures(ask: Asking) -> tuple[Panel, ...]:
    tokens = ask.recorded("job_model:gen_ai_client_inference_usage_tokens:rate5m_per_minute")
    return (
        stat(
            "Models, an hour",
            f"3600 * sum({ask.recorded('job:llm_cost:rate1h')})",
            "currencyUSD",
            "What the model calls of the last hour cost, of those whose price is known.",
        ),
        stat(
            "Models, so far",
            ask.total("llm.cost"),
            "currencyUSD",
            "Since the services started.",
        ),
        stat("Tokens a minute", f"sum({tokens})", "short", "Tokens in and out, over five minutes."),
        stat(
            "Tokens without a price",
            ask.total("llm.unpriced_tokens"),
            "short",
            "Since the services started; every cost here is too low by theirs.",
            steps=LOST,
        ),
        stat(
            "Calls without usage",
            ask.total("gen_ai.usage.missing"),
            "short",
            "Model calls whose answer said nothing of tokens, since the services started.",
            steps=LOST,
        ),
        stat(
            "Spends refused",
            ask.total("budget.refusals"),
            "short",
            "By any budget, since the services started.",
            steps=LOST,
        ),
    )


def _cost(ask: Asking) -> tuple[Panel, ...]:
    return (
        timeseries(
            "Cost an hour, by model",
            {MODEL: f"3600 * {ask.recorded('job_model:llm_cost:rate1h')}"},
            "currencyUSD",
            "What the model calls of an hour cost.",
            stacked=True,
        ),
        timeseries(
            "Cost an hour, by skill",
            {"{{gen_ai_skill_name}}": f"3600 * {ask.recorded('job_skill:skill_cost:rate1h')}"},
            "currencyUSD",
            "What the model calls inside a skill cost in an hour.",
            stacked=True,
        ),
        timeseries(
            "Cost an hour, by outcome",
            {"{{skill_outcome}}": f"3600 * {ask.rate('skill.cost', '1h', by='skill_outcome')}"},
            "currencyUSD",
            "What is paid for correct outcomes, and what for others.",
            stacked=True,
        ),
        timeseries(
            "Cost of a correct outcome",
            {"{{job}}": ask.recorded("job:skill_cost_per_correct_outcome:ratio_rate1h")},
            "currencyUSD",
            "Cost of all outcomes of an hour for each correct one.",
        ),
    )


def _tokens(ask: Asking) -> tuple[Panel, ...]:
    tokens = ask.recorded("job_model:gen_ai_client_inference_usage_tokens:rate5m_per_minute")
    return (
        timeseries(
            "Tokens a minute, by model", {MODEL: tokens}, "short", "In and out.", stacked=True
        ),
        timeseries(
            "Tokens a minute, by kind",
            {kind: f"60 * {ask.rate(name)}" for kind, name in KINDS.items()},
            "short",
            "What a cache gave or took is a part of what goes in, reasoning of what comes out.",
        ),
        timeseries(
            "Tokens a minute, as counted for budgets",
            {"{{model}}": f"60 * {ask.rate('pforge.tokens.used', by='model')}"},
            "short",
            "Tokens that were spent against a budget or reported by an orchestrator.",
            stacked=True,
        ),
        timeseries(
            "Tokens of a call, 95th percentile",
            {
                "{{gen_ai_token_type}}": ask.quantile(
                    "gen_ai.client.token.usage", by="gen_ai_token_type"
                )
            },
            "short",
            "Tokens that 95 % of the calls stay under. The older name of the conventions; empty "
            "where only the newer ones are asked for.",
        ),
    )


def _budgets(ask: Asking) -> tuple[Panel, ...]:
    usage = ask.metric("pforge.budget.usage")
    budget = "job, budget_name, budget_unit"
    return (
        timeseries(
            "Left of each budget",
            {"{{budget_name}}": ask.recorded("job_budget:budget_remaining_per_limit:min")},
            "percentunit",
            "Share that is left in its period; dashed, where an alert comes.",
            steps=BUDGET,
        ),
        timeseries(
            "Quota of each tenant",
            {"{{tenant}}": ask.recorded("job_tenant:pforge_budget_usage_percent:max")},
            "percent",
            "Share of the day's tokens that is used.",
            steps=banded(usage),
        ),
        timeseries(
            "Used of each budget",
            {
                "{{budget_name}} ({{budget_unit}})": f"max by ({budget}) "
                f"({ask.queries.selector('budget.used')})"
            },
            "short",
            "In the budget's own unit.",
        ),
        timeseries(
            "Spends refused",
            {"{{budget_name}}": ask.rate("budget.refusals", by="budget_name")},
            "ops",
            "Refused spends a second.",
        ),
        table(
            "Limits",
            f"max by ({budget}) ({ask.queries.selector('budget.limit')})",
            "What each budget allows in its period, in its own unit.",
        ),
    )


def _calls(ask: Asking) -> tuple[Panel, ...]:
    durations = "job_model:gen_ai_client_inference_duration_seconds:p95_5m"
    return (
        timeseries(
            "Failed calls, by model",
            {MODEL: ask.recorded("job_model:gen_ai_client_inference_errors:ratio_rate5m")},
            "percentunit",
            "Share of a model's calls that failed.",
        ),
        timeseries(
            "Model calls, 95th percentile",
            {MODEL: ask.recorded(durations)},
            "s",
            "Duration that 95 % of a model's calls stay under.",
        ),
        timeseries(
            "First chunk, 95th percentile",
            {
                MODEL: ask.quantile(
                    "gen_ai.client.operation.time_to_first_chunk", by="gen_ai_request_model"
                )
            },
            "s",
            "Time to the first chunk of a streamed answer.",
        ),
        timeseries(
            "Tools and agents, 95th percentile",
            {
                "{{gen_ai_tool_name}}": ask.recorded(
                    "job_tool:gen_ai_execute_tool_duration_seconds:p95_5m"
                ),
                "{{gen_ai_agent_name}}": ask.recorded(
                    "job_agent:gen_ai_invoke_agent_duration_seconds:p95_5m"
                ),
            },
            "s",
            "Duration that 95 % of a tool's calls, or of an agent's invocations, stay under.",
        ),
    )
