"""Efficiency: what an orchestrator and its agents come to."""

from otel_metrics.efficiency.recorder import DIP_BELOW
from otel_metrics.render.dashboards.asking import Asking
from otel_metrics.render.dashboards.colours import EFFICIENCY, FAILURES
from otel_metrics.render.panels import Dashboard, Panel, Row, stat, timeseries

__all__ = ["dashboard"]

AGENT = "{{gen_ai_agent_name}}"


def dashboard(ask: Asking) -> Dashboard:
    """Return the dashboard."""
    return Dashboard(
        name="efficiency",
        title="Efficiency",
        description="What an orchestrator and its agents come to.",
        variables=(ask.service, ask.instance),
        rows=(
            Row("Now", _figures(ask)),
            Row("Orchestrator", _orchestrator(ask)),
            Row("Agents", _agents(ask)),
        ),
    )


def _figures(ask: Asking) -> tuple[Panel, ...]:
    return (
        stat(
            "Efficiency",
            f"min({ask.recorded('job:pforge_efficiency:min_avg10m')})",
            "none",
            "E over ten minutes, of the instance with the lowest; "
            f"below {DIP_BELOW:g} it is a dip.",
            steps=EFFICIENCY,
        ),
        stat(
            "Entropy",
            f"max({ask.each('pforge.entropy')})",
            "none",
            "Of the split of tests into passing and failing, in bits; 0 where all do the same.",
        ),
        stat(
            "Agents at work",
            f"sum({ask.each('pforge.agents.active')})",
            "none",
            "Of all types.",
        ),
        stat(
            "Agent errors a minute",
            f"60 * sum({ask.recorded('job_agent_type:pforge_agent_errors:rate5m')})",
            "short",
            "Over five minutes.",
        ),
        stat(
            "Rollbacks for each patch",
            f"max({ask.recorded('job:pforge_rollbacks_per_patch:ratio_rate1h')})",
            "percentunit",
            "Of the patches of the last hour, in the service with the most.",
        ),
        stat(
            "Failed agent runs",
            f"max({ask.recorded('job_agent:agent_executions_failed:ratio_rate1h')})",
            "percentunit",
            "Share of executions that failed in the last hour, of the agent with the most.",
            steps=FAILURES,
        ),
    )


def _orchestrator(ask: Asking) -> tuple[Panel, ...]:
    pieces = ("pforge.gaps", "pforge.misfits", "pforge.false_pieces")
    return (
        timeseries(
            "Efficiency",
            {"{{instance}}": ask.each("pforge.efficiency")},
            "none",
            "E of the last tick of each instance; dashed, where it is a dip.",
            steps=EFFICIENCY,
        ),
        timeseries(
            "What lowers it",
            {name.partition(".")[2]: f"sum({ask.each(name)})" for name in pieces},
            "short",
            "Pieces that are missing, that do not fit, and that look right and are not.",
        ),
        timeseries(
            "Entropy",
            {"{{instance}}": ask.each("pforge.entropy")},
            "none",
            "Of the split of tests into passing and failing, in bits.",
        ),
        timeseries(
            "Ticks",
            {"{{instance}}": ask.each_rate("pforge.ticks", by="instance")},
            "ops",
            "Ticks of the orchestrator a second; 0 is one that stands still.",
        ),
        timeseries(
            "Tick, 95th percentile",
            {"{{job}}": ask.recorded("job:pforge_orchestrator_tick_duration_seconds:p95_5m")},
            "s",
            "Duration that 95 % of the ticks stay under.",
        ),
        timeseries(
            "Patches",
            {
                "applied": ask.rate("pforge.patches.applied"),
                "rolled back": ask.rate("pforge.rollbacks"),
            },
            "ops",
            "Patches a second.",
        ),
    )


def _agents(ask: Asking) -> tuple[Panel, ...]:
    return (
        timeseries(
            "Agents at work",
            {"{{agent_type}}": f"sum by (agent_type) ({ask.each('pforge.agents.active')})"},
            "short",
            "By their type.",
            stacked=True,
        ),
        timeseries(
            "Errors",
            {"{{agent_type}}": ask.recorded("job_agent_type:pforge_agent_errors:rate5m")},
            "ops",
            "Errors of agents a second, by their type.",
        ),
        timeseries(
            "Recovery",
            {"{{action_type}}": ask.rate("pforge.recovery.actions", by="action_type")},
            "ops",
            "Recovery actions a second, by their type.",
        ),
        timeseries(
            "Failed runs",
            {AGENT: ask.recorded("job_agent:agent_executions_failed:ratio_rate1h")},
            "percentunit",
            "Share of an agent's executions that failed; dashed, where an alert comes.",
            steps=FAILURES,
        ),
        timeseries(
            "Run, 95th percentile",
            {AGENT: ask.recorded("job_agent:agent_execution_duration_seconds:p95_5m")},
            "s",
            "Duration that 95 % of an agent's executions stay under.",
        ),
        timeseries(
            "Quality",
            {AGENT: ask.mean("agent.execution.quality", by="gen_ai_agent_name")},
            "percentunit",
            "Mean quality of the results of an hour.",
        ),
    )
