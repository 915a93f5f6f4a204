"""Service telemetry: is each metric in its band, and what is done about the others."""

from itertools import groupby
from typing import Final

from otel_metrics.catalog.model import Metric
from otel_metrics.render.dashboards.asking import Asking
from otel_metrics.render.panels import Dashboard, Panel, Row, banded, timeseries

__all__ = ["dashboard"]

DOMAIN: Final = "service"
UNITS: Final = {
    "%": "percent",
    "ms": "ms",
    "s": "s",
    "{ratio}": "percentunit",
    "{request}/s": "reqps",
}
"""Grafana's words for units; of others a number is shown."""
LEGEND: Final = "{{instance}} {{service_resource_id}}"


def dashboard(ask: Asking) -> Dashboard:
    """Return the dashboard: a row for the metrics that begin alike, a panel for each."""
    metrics = [
        metric
        for metric in ask.catalog.metrics.values()
        if metric.domain == DOMAIN and metric.source is not None
    ]
    rows = groupby(metrics, lambda metric: metric.name.partition(".")[0])
    return Dashboard(
        name="service-telemetry",
        title="Service telemetry",
        description="Is each service metric in its band, and what is done about the others?",
        variables=(ask.service, ask.instance),
        rows=(
            Row("Playbooks", _playbooks(ask)),
            *(
                Row(part.capitalize(), tuple(_panel(ask, metric) for metric in found))
                for part, found in rows
            ),
        ),
    )


def _playbooks(ask: Asking) -> tuple[Panel, ...]:
    return (
        timeseries(
            "Playbooks that were asked for",
            {
                "{{playbook_id}} {{remediation_result}}": ask.each_rate(
                    "remediation.actions", by="playbook_id, remediation_result"
                )
            },
            "ops",
            "What became of them.",
        ),
        timeseries(
            "Approvals that wait",
            {"{{instance}}": ask.each("remediation.approvals.pending")},
            "short",
            "What waits for a person.",
        ),
        timeseries(
            "Samples that sources did not give",
            {
                "{{service_metric}} {{error_type}}": ask.each_rate(
                    "service.source.errors", by="service_metric, error_type"
                )
            },
            "ops",
            "What is missing in the panels below, and why.",
        ),
    )


def _panel(ask: Asking, metric: Metric) -> Panel:
    part, _, rest = metric.name.partition(".")
    return timeseries(
        rest.removeprefix(f"{part}_").replace("_", " ").capitalize(),
        {LEGEND: ask.each(metric.name)},
        UNITS.get(metric.unit, "short"),
        f"{metric.brief} Dashed, the bands.",
        steps=banded(metric),
    )
