"""The metrics and labels that an expression of PromQL names.

Not a parser: enough of one for expressions that promtool has found sound.
"""

import re
from collections.abc import Iterator, Mapping

from otel_metrics.catalog.model import Catalog
from otel_metrics.render.prometheus import groups
from otel_metrics.render.rules import Recording

OF_A_SCRAPE = frozenset(
    {"job", "instance", "pod", "service_instance_id", "le", "otel_metric_overflow"}
)
OF_PROMETHEUS: Mapping[str, frozenset[str]] = {
    "up": OF_A_SCRAPE,
    "ALERTS": OF_A_SCRAPE | {"alertname", "alertstate", "severity"},
}
OF_A_COLLECTOR: Mapping[str, frozenset[str]] = {
    **dict.fromkeys(
        (
            f"otelcol_exporter_{refused}_failed_{items}{ending}"
            for refused in ("enqueue", "send")
            for items in ("metric_points", "log_records")
            for ending in ("", "_total")
        ),
        OF_A_SCRAPE | {"exporter"},
    ),
    "otelcol_exporter_queue_size": OF_A_SCRAPE | {"exporter"},
    "otelcol_exporter_queue_capacity": OF_A_SCRAPE | {"exporter"},
}
KEYWORDS = frozenset({"and", "or", "unless", "offset"})

_TEXT = re.compile(r'"[^"]*"')
_GROUPING = re.compile(r"\b(?:by|without|on|ignoring)\s*\(([^)]*)\)")
_MATCHERS = re.compile(r"\{([^}]*)\}")
_WINDOW = re.compile(r"\[[^\]]*\]|offset \w+")
_NAME = re.compile(r"(?<![\w:.])[a-zA-Z_:][\w:]*(?!\w)(?!\s*\()")


def metrics_of(expr: str) -> set[str]:
    """Return the names of series that an expression selects."""
    bare = _WINDOW.sub("", _MATCHERS.sub("", _GROUPING.sub("", _TEXT.sub('""', expr))))
    return set(_NAME.findall(bare)) - KEYWORDS


def labels_of(expr: str) -> set[str]:
    """Return the labels that an expression matches or groups by."""
    grouped = (found.split(",") for found in _GROUPING.findall(expr))
    matched = (re.findall(r"(\w+)\s*(?:=|!)", found) for found in _MATCHERS.findall(expr))
    return {name.strip() for names in (*grouped, *matched) for name in names if name.strip()}


def known(catalog: Catalog) -> dict[str, frozenset[str]]:
    """Return every series that there can be, with its labels: of the catalog, and recorded."""
    series = {**OF_PROMETHEUS, **OF_A_COLLECTOR, **dict(_of_catalog(catalog))}
    for group in groups(catalog):
        for rule in group.rules:
            if isinstance(rule, Recording):
                named = (series[name] for name in metrics_of(rule.expr) if name in series)
                series[rule.record] = frozenset().union(*named)
    return series


def _of_catalog(catalog: Catalog) -> Iterator[tuple[str, frozenset[str]]]:
    for metric in catalog.metrics.values():
        labels = OF_A_SCRAPE | {re.sub(r"[^a-zA-Z0-9]+", "_", key) for key in metric.attributes}
        parts = ("_bucket", "_sum", "_count") if metric.instrument == "histogram" else ("",)
        for part in parts:
            yield metric.prometheus + part, labels
