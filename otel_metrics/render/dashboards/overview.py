"""Is it right, what does it cost, is anything lost: the first look."""

from otel_metrics.efficiency.recorder import DIP_BELOW
from otel_metrics.render.dashboards.asking import Asking
from otel_metrics.render.dashboards.colours import (
    BUDGET,
    CORRECT,
    EFFICIENCY,
    ERRORS,
    FAILURES,
    FIDELITY,
    LOST,
    SOVEREIGN,
)
from otel_metrics.render.limits import BUDGET_REMAINING_BELOW
from otel_metrics.render.panels import Dashboard, Panel, Row, stat, timeseries

__all__ = ["dashboard"]


def dashboard(ask: Asking) -> Dashboard:
    """Return the dashboard."""
    return Dashboard(
        name="overview",
        title="Overview",
        description="Is it right, what does it cost, is anything lost?",
        variables=(ask.service,),
        rows=(
            Row("Is it right?", _right(ask)),
            Row("What does it cost?", _cost(ask)),
            Row("Is anything lost?", _lost(ask)),
            Row("Over time", _over_time(ask)),
        ),
    )


def _right(ask: Asking) -> tuple[Panel, ...]:
    verified = {"skill.outcome": "!unverified"}
    return (
        stat(
            "Correct",
            ask.share("skill.outcomes", {"skill.outcome": "=correct"}, verified),
            "percentunit",
            "Correct among the verified outcomes of the last hour.",
            steps=CORRECT,
        ),
        stat(
            "Fidelity",
            ask.mean("skill.fidelity"),
            "percentunit",
            "Mean share of the expected patterns that executions followed, in the last hour.",
            steps=FIDELITY,
        ),
        stat(
            "Executions that raised",
            ask.share("skill.executions", {"error.type": "!"}, {}),
            "percentunit",
            "Share of skill executions that ended with an exception, in the last hour.",
            steps=ERRORS,
        ),
        stat(
            "Failed agent runs",
            ask.share("agent.executions", {"agent.execution.success": "=false"}, {}),
            "percentunit",
            "Share of agent executions that failed, in the last hour.",
            steps=FAILURES,
        ),
        stat(
            "Work without a model",
            ask.share(
                "sovereignty.events",
                {"sovereignty.path": "=sovereign"},
                {"sovereignty.layer": "!"},
            ),
            "percentunit",
            "Share of all layers' work that needed no model, in the last hour.",
            steps=SOVEREIGN,
        ),
        stat(
            "Efficiency",
            f"min({ask.recorded('job:pforge_efficiency:min_avg10m')})",
            "none",
            "E over ten minutes, of the instance with the lowest; "
            f"below {DIP_BELOW:g} it is a dip.",
            steps=EFFICIENCY,
        ),
    )


def _cost(ask: Asking) -> tuple[Panel, ...]:
    tokens = ask.recorded("job_model:gen_ai_client_inference_usage_tokens:rate5m_per_minute")
    return (
        stat(
            "Models, an hour",
            f"3600 * sum({ask.recorded('job:llm_cost:rate1h')})",
            "currencyUSD",
            "What the model calls of the last hour cost, of those whose price is known.",
        ),
        stat(
            "A correct outcome",
            f"{ask.rate('skill.cost', '1h')}\n/\n"
            f"({ask.rate('skill.outcomes', '1h', where={'skill.outcome': '=correct'})} > 0)",
            "currencyUSD",
            "Cost of all outcomes, wrong ones included, for each correct one; nothing where none "
            "was correct in the last hour.",
        ),
        stat("Tokens a minute", f"sum({tokens})", "short", "Tokens in and out, over five minutes."),
        stat(
            "Paid APIs, an hour",
            f"3600 * sum({ask.recorded('job:sovereignty_api_cost:rate1h')})",
            "currencyUSD",
            "What calls of paid APIs cost in the last hour.",
        ),
        stat(
            "Least budget left",
            f"min({ask.recorded('job_budget:budget_remaining_per_limit:min')})",
            "percentunit",
            "Of the budget with the least left; an alert comes below "
            f"{BUDGET_REMAINING_BELOW:.0%}.",
            steps=BUDGET,
        ),
        stat(
            "Tokens without a price",
            ask.total("llm.unpriced_tokens"),
            "short",
            "Since the services started; every cost here is too low by theirs.",
            steps=LOST,
        ),
    )


def _lost(ask: Asking) -> tuple[Panel, ...]:
    down = ask.queries.selector("delivery.state")
    return (
        stat(
            "Exporters down",
            f"count({down} == 0) or vector(0)",
            "none",
            "Exporters that deliver nothing now.",
            steps=LOST,
        ),
        stat(
            "Records lost",
            ask.total("archive.dropped"),
            "short",
            "Records that did not reach the archive, since the services started.",
            steps=LOST,
        ),
        stat(
            "Points left out",
            ask.total("delivery.rejected"),
            "short",
            "Points and events that an exporter could not take, since the services started.",
            steps=LOST,
        ),
        stat(
            "Archive errors",
            ask.total("archive.errors"),
            "short",
            "Since the services started.",
            steps=LOST,
        ),
        stat(
            "Over the series budget",
            ask.total("metric.overflow"),
            "short",
            "Measurements whose attributes are lost in an overflow series, since the services "
            "started.",
            steps=LOST,
        ),
        stat(
            "Alerts",
            'count(ALERTS{alertstate="firing",job=~"$service"}) or vector(0)',
            "none",
            "Alerts that fire now; the runbook says what to do.",
            steps=LOST,
        ),
    )


def _over_time(ask: Asking) -> tuple[Panel, ...]:
    return (
        timeseries(
            "Correct, by skill",
            {
                "{{gen_ai_skill_name}}": ask.recorded(
                    "job_skill:skill_outcomes_correct:ratio_rate1h"
                )
            },
            "percentunit",
            "Correct among the verified outcomes of an hour; dashed, the limits of a rollback and "
            "of a promotion.",
            steps=CORRECT,
        ),
        timeseries(
            "Cost an hour, by model",
            {"{{gen_ai_request_model}}": f"3600 * {ask.recorded('job_model:llm_cost:rate1h')}"},
            "currencyUSD",
            "What the model calls of an hour cost.",
            stacked=True,
        ),
        timeseries(
            "Work without a model, by layer",
            {
                "{{sovereignty_layer}}": ask.recorded(
                    "job_layer:sovereignty_events_sovereign:ratio_rate5m"
                )
            },
            "percentunit",
            "Share of a layer's work that needed no model.",
            steps=SOVEREIGN,
        ),
        timeseries(
            "Errors, by type of agent",
            {"{{agent_type}}": ask.recorded("job_agent_type:pforge_agent_errors:rate5m")},
            "ops",
            "Errors of agents a second.",
        ),
    )
