"""What a Grafana dashboard is made of, and its classic JSON (schema version 42). Pure.

Panels are laid out in the order given, from left to right, each row of them under its heading.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from otel_metrics.catalog.model import Metric

__all__ = [
    "DATASOURCE",
    "FOLDER_TAG",
    "Dashboard",
    "Panel",
    "Query",
    "Row",
    "Steps",
    "Variable",
    "banded",
    "dashboard_json",
    "rising",
    "stat",
    "table",
    "text",
    "timeseries",
]

Kind = Literal["stat", "timeseries", "table", "text"]
Steps = Sequence[tuple[str, float | None]]
"""Colours, each from its value on; the first from the lowest on."""

SCHEMA_VERSION: Final = 42
COLUMNS: Final = 24
FOLDER_TAG: Final = "otel-metrics"
DATASOURCE: Final = {"type": "prometheus", "uid": "${datasource}"}
ONE_COLOUR: Final[Steps] = (("blue", None),)


@dataclass(frozen=True, slots=True)
class Query:
    """What a panel asks Prometheus, and how its series are named."""

    expr: str
    legend: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Panel:
    """One panel; `content` is the Markdown of a text."""

    kind: Kind
    title: str
    description: str
    unit: str = ""
    queries: Sequence[Query] = ()
    steps: Steps = ONE_COLOUR
    width: int = 12
    height: int = 8
    content: str = ""
    stacked: bool = False


@dataclass(frozen=True, slots=True)
class Row:
    """Panels under one heading."""

    title: str
    panels: Sequence[Panel]


@dataclass(frozen=True, slots=True)
class Variable:
    """What a reader of a dashboard chooses from: the values of a label."""

    name: str
    label: str
    values: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Dashboard:
    """One dashboard; its `name` is its file's and the end of its uid."""

    name: str
    title: str
    description: str
    rows: Sequence[Row]
    variables: Sequence[Variable] = field(default=())


def stat(
    title: str,
    query: str,
    unit: str,
    description: str,
    *,
    steps: Steps = ONE_COLOUR,
) -> Panel:
    """Return one figure."""
    return Panel(
        kind="stat",
        title=title,
        description=description,
        unit=unit,
        queries=(Query(query),),
        steps=steps,
        width=4,
        height=4,
    )


def timeseries(
    title: str,
    queries: Mapping[str, str],
    unit: str,
    description: str,
    *,
    steps: Steps = ONE_COLOUR,
    stacked: bool = False,
) -> Panel:
    """Return curves; `queries` are by the legend of their series."""
    return Panel(
        kind="timeseries",
        title=title,
        description=description,
        unit=unit,
        queries=tuple(Query(expr, legend) for legend, expr in queries.items()),
        steps=steps,
        stacked=stacked,
    )


def table(title: str, query: str, description: str, *, unit: str = "none") -> Panel:
    """Return the labels and values of now."""
    return Panel(
        kind="table",
        title=title,
        description=description,
        unit=unit,
        queries=(Query(query),),
        width=COLUMNS,
    )


def text(title: str, content: str, description: str, *, height: int) -> Panel:
    """Return a text in Markdown."""
    return Panel(
        kind="text",
        title=title,
        description=description,
        content=content,
        width=COLUMNS,
        height=height,
    )


def rising(warning: float, good: float) -> Steps:
    """Return colours for what should be high: green from `good` on, red below `warning`."""
    return (("red", None), ("orange", warning), ("green", good))


def banded(metric: Metric) -> Steps:
    """Return colours for the bands of a metric: good is green, critical is red."""
    if metric.bands is None:
        raise KeyError(f"{metric.name} has no bands")
    good, critical = metric.bands.good, metric.bands.critical
    steps: list[tuple[str, float | None]] = [("green", None)]
    if good.lower is not None:
        steps = [("orange", None), ("green", good.lower)]
        if critical.upper is not None:
            steps = [("red", None), ("orange", critical.upper), ("green", good.lower)]
    if good.upper is not None:
        steps.append(("orange", good.upper))
        if critical.lower is not None:
            steps.append(("red", critical.lower))
    return tuple(steps)


def dashboard_json(dashboard: Dashboard, links: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return a dashboard as Grafana reads it."""
    variables = [_variable(variable) for variable in dashboard.variables]
    return {
        "uid": f"{FOLDER_TAG}-{dashboard.name}",
        "title": dashboard.title,
        "description": dashboard.description,
        "tags": [FOLDER_TAG],
        "schemaVersion": SCHEMA_VERSION,
        "editable": False,
        "graphTooltip": 1,
        "time": {"from": "now-3h", "to": "now"},
        "refresh": "30s",
        "timezone": "browser",
        "links": list(links),
        "templating": {"list": [_datasource(), *variables]},
        "annotations": {"list": []},
        "panels": list(_laid_out(dashboard.rows)),
    }


def _laid_out(rows: Sequence[Row]) -> Iterator[dict[str, Any]]:
    number, top = 0, 0
    for row in rows:
        number += 1
        yield _heading(number, row.title, top)
        top, left, tallest = top + 1, 0, 0
        for panel in row.panels:
            if left + panel.width > COLUMNS:
                top, left, tallest = top + tallest, 0, 0
            number += 1
            yield _panel(number, panel, left, top)
            left, tallest = left + panel.width, max(tallest, panel.height)
        top += tallest


def _heading(number: int, title: str, top: int) -> dict[str, Any]:
    return {
        "id": number,
        "type": "row",
        "title": title,
        "collapsed": False,
        "gridPos": {"h": 1, "w": COLUMNS, "x": 0, "y": top},
        "panels": [],
    }


def _panel(number: int, panel: Panel, left: int, top: int) -> dict[str, Any]:
    placed = {
        "id": number,
        "type": panel.kind,
        "title": panel.title,
        "description": panel.description,
        "gridPos": {"h": panel.height, "w": panel.width, "x": left, "y": top},
    }
    if panel.kind == "text":
        return {**placed, "options": {"mode": "markdown", "content": panel.content}}
    return {
        **placed,
        "datasource": DATASOURCE,
        "targets": [_target(panel, index, query) for index, query in enumerate(panel.queries)],
        "fieldConfig": {"defaults": _defaults(panel), "overrides": []},
        "options": _OPTIONS[panel.kind],
        **({"transformations": _COLUMNS_OF_LABELS} if panel.kind == "table" else {}),
    }


def _target(panel: Panel, index: int, query: Query) -> dict[str, Any]:
    now = panel.kind == "table"
    return {
        "refId": chr(ord("A") + index),
        "datasource": DATASOURCE,
        "expr": query.expr,
        "legendFormat": query.legend or "__auto",
        "instant": now,
        "range": not now,
        **({"format": "table"} if now else {}),
    }


def _defaults(panel: Panel) -> dict[str, Any]:
    steps = [{"color": colour, "value": value} for colour, value in panel.steps]
    defaults: dict[str, Any] = {
        "unit": panel.unit,
        "thresholds": {"mode": "absolute", "steps": steps},
    }
    if panel.kind == "timeseries":
        defaults["color"] = {"mode": "palette-classic"}
        defaults["custom"] = {
            "lineWidth": 1,
            "fillOpacity": 20 if panel.stacked else 5,
            "stacking": {"mode": "normal" if panel.stacked else "none", "group": "A"},
            "thresholdsStyle": {"mode": "off" if panel.steps is ONE_COLOUR else "dashed"},
        }
    if panel.kind == "stat":
        defaults["color"] = {"mode": "thresholds"}
        defaults["noValue"] = "nothing yet"
    if panel.unit == "percentunit":
        defaults["min"] = 0
    return defaults


_OPTIONS: Final[Mapping[str, Mapping[str, Any]]] = {
    "stat": {
        "reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": False},
        "colorMode": "value",
        "graphMode": "area",
        "textMode": "value",
    },
    "timeseries": {
        "legend": {"displayMode": "list", "placement": "bottom", "showLegend": True},
        "tooltip": {"mode": "multi", "sort": "desc"},
    },
    "table": {"showHeader": True, "cellHeight": "sm"},
}
_COLUMNS_OF_LABELS: Final = [
    {"id": "organize", "options": {"excludeByName": {"Time": True, "__name__": True}}}
]


def _datasource() -> dict[str, Any]:
    return {
        "name": "datasource",
        "label": "Data source",
        "type": "datasource",
        "query": "prometheus",
        "refresh": 1,
        "hide": 0,
        "current": {},
    }


def _variable(variable: Variable) -> dict[str, Any]:
    return {
        "name": variable.name,
        "label": variable.label,
        "type": "query",
        "datasource": DATASOURCE,
        "definition": variable.values,
        "query": {"query": variable.values, "refId": variable.name},
        "refresh": 2,
        "sort": 1,
        "multi": True,
        "includeAll": True,
        "allValue": ".*",
        "current": {"text": ["All"], "value": ["$__all"]},
        "hide": 0,
    }
