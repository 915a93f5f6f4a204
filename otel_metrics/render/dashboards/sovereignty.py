"""Sovereignty: how much of the work needs no model, and what the rest costs."""

from otel_metrics.render.dashboards.asking import Asking
from otel_metrics.render.dashboards.colours import SOVEREIGN
from otel_metrics.render.panels import Dashboard, Panel, Row, stat, timeseries
from otel_metrics.sovereignty.kinds import LAYERS

__all__ = ["dashboard"]


def dashboard(ask: Asking) -> Dashboard:
    """Return the dashboard."""
    return Dashboard(
        name="sovereignty",
        title="Sovereignty",
        description="How much of the work needs no model, and what the rest costs.",
        variables=(ask.service,),
        rows=(Row("The last hour", _figures(ask)), Row("Over time", _over_time(ask))),
    )


def _figures(ask: Asking) -> tuple[Panel, ...]:
    return (
        *(_layer(ask, layer) for layer in LAYERS),
        stat(
            "Cost an hour",
            f"3600 * sum({ask.recorded('job:sovereignty_api_cost:rate1h')})",
            "currencyUSD",
            "What calls of paid APIs cost in the last hour.",
        ),
        stat(
            "API calls",
            ask.total("sovereignty.api.calls"),
            "short",
            "Calls of paid APIs since the services started.",
        ),
        stat(
            "Skills crystallised",
            ask.total("sovereignty.skills.crystallized"),
            "short",
            "Skills that took over work from a model, since the services started.",
        ),
    )


def _layer(ask: Asking, layer: str) -> Panel:
    share = ask.recorded(
        "job_layer:sovereignty_events_sovereign:ratio_rate1h", f'sovereignty_layer="{layer}"'
    )
    return stat(
        layer.capitalize(),
        f"min({share})",
        "percentunit",
        f"Share of {layer} that needed no model, of the service with the lowest.",
        steps=SOVEREIGN,
    )


def _over_time(ask: Asking) -> tuple[Panel, ...]:
    return (
        timeseries(
            "Work without a model",
            {
                "{{sovereignty_layer}}": ask.recorded(
                    "job_layer:sovereignty_events_sovereign:ratio_rate5m"
                )
            },
            "percentunit",
            "Share of a layer's work of five minutes; dashed, the targets of perception in the "
            "first hour and in the fourth.",
            steps=SOVEREIGN,
        ),
        timeseries(
            "Work",
            {"{{sovereignty_layer}}": ask.recorded("job_layer:sovereignty_events:rate5m")},
            "ops",
            "Pieces of work a second, with and without a model.",
            stacked=True,
        ),
        timeseries(
            "By what did it",
            {
                "{{sovereignty_event_type}}": ask.rate(
                    "sovereignty.events", by="sovereignty_event_type"
                )
            },
            "ops",
            "Events a second: cache, rule and template need no model.",
            stacked=True,
        ),
        timeseries(
            "Cost an hour",
            {"{{job}}": f"3600 * {ask.recorded('job:sovereignty_api_cost:rate1h')}"},
            "currencyUSD",
            "What calls of paid APIs cost.",
        ),
        timeseries(
            "API calls",
            {"{{job}}": ask.rate("sovereignty.api.calls", by="job")},
            "ops",
            "Calls of paid APIs a second.",
        ),
        timeseries(
            "Skills crystallised",
            {
                "{{job}}": f"sum by (job) "
                f"({ask.queries.selector('sovereignty.skills.crystallized')})"
            },
            "short",
            "Skills that took over work from a model, since the service started.",
        ),
    )
