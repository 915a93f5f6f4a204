"""The catalog as dashboards for Grafana, which ask Prometheus. Pure."""

import json
from collections.abc import Mapping, Sequence
from typing import Any, Final

from otel_metrics.catalog.model import Catalog
from otel_metrics.render.alerts import alerts
from otel_metrics.render.dashboards import (
    cost,
    efficiency,
    overview,
    pipeline,
    service,
    skills,
    sovereignty,
)
from otel_metrics.render.dashboards.asking import Asking
from otel_metrics.render.panels import FOLDER_TAG, Dashboard, Row, dashboard_json, table, text
from otel_metrics.render.prometheus import RUNBOOK
from otel_metrics.render.promql import Queries
from otel_metrics.render.rules import Alert

__all__ = ["dashboard_files"]

LINES_A_ALERT: Final = 3
"""Grid units, of about 38 pixels, that an alert takes in the runbook."""


def dashboard_files(catalog: Catalog, *, runbook: str = RUNBOOK) -> dict[str, str]:
    """Return every dashboard by its path under `collector-config/grafana/`.

    Args:
        runbook: URL of the page of alerts; what is no URL Grafana cannot open, and the dashboard
            `runbook` is linked to instead.
    """
    asking = Asking(catalog)
    told = [rule for group in alerts(Queries(catalog)) for rule in group.rules]
    dashboards = (
        overview.dashboard(asking),
        skills.dashboard(asking),
        sovereignty.dashboard(asking),
        cost.dashboard(asking),
        efficiency.dashboard(asking),
        pipeline.dashboard(asking),
        service.dashboard(asking),
        _runbook([rule for rule in told if isinstance(rule, Alert)], asking),
    )
    links = _links(runbook)
    return {
        f"dashboards/{it.name}.json": json.dumps(
            dashboard_json(it, links), indent=2, ensure_ascii=False
        )
        + "\n"
        for it in dashboards
    }


def _links(runbook: str) -> Sequence[Mapping[str, Any]]:
    on_a_site = runbook.startswith(("http://", "https://"))
    return (
        {
            "type": "dashboards",
            "title": FOLDER_TAG,
            "tags": [FOLDER_TAG],
            "asDropdown": False,
            "includeVars": True,
            "keepTime": True,
            "targetBlank": False,
        },
        {
            "type": "link",
            "title": "What to do",
            "tooltip": "What each alert means, and what to do",
            "url": runbook if on_a_site else f"/d/{FOLDER_TAG}-runbook",
            "icon": "doc",
            "targetBlank": on_a_site,
        },
    )


def _runbook(told: Sequence[Alert], asking: Asking) -> Dashboard:
    content = "\n\n".join(f"**{rule.alert}** ({rule.severity}): {rule.action}" for rule in told)
    return Dashboard(
        name="runbook",
        title="Runbook",
        description="What is wrong now, and what to do about it.",
        variables=(asking.service,),
        rows=(
            Row(
                "Now",
                (
                    table(
                        "Alerts",
                        'ALERTS{job=~"$service"}',
                        "Alerts that fire, or that will if what they watch goes on; none is good.",
                    ),
                ),
            ),
            Row(
                "What to do",
                (
                    text(
                        "Each alert",
                        content,
                        "What to do at each alert.",
                        height=LINES_A_ALERT * len(told) // 2,
                    ),
                ),
            ),
        ),
    )
