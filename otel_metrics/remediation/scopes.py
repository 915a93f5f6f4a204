"""What a playbook is for, and which kind of resource it is done to, where nobody says it. Pure."""

from collections.abc import Iterable

from otel_metrics.catalog.fields import near
from otel_metrics.catalog.model import Catalog

__all__ = ["metric_of", "metrics_of", "no_playbook", "scope_of"]


def no_playbook(wrong: str, known: Iterable[str]) -> str:
    """Return what is said of a playbook that there is not, with the one that may be meant."""
    remedy = near(wrong, known, otherwise="otel-metrics playbooks list has them")
    return f"playbook={wrong}: is no playbook of the catalog; {remedy}"


def metrics_of(playbook: str, catalog: Catalog) -> tuple[str, ...]:
    """Return the metrics that recommend a playbook."""
    return tuple(
        name
        for name, metric in catalog.metrics.items()
        if metric.playbooks is not None
        and playbook in (metric.playbooks.warning, metric.playbooks.critical)
    )


def metric_of(playbook: str, catalog: Catalog) -> str | None:
    """Return the metric that recommends a playbook, None where there is not exactly one."""
    names = metrics_of(playbook, catalog)
    return names[0] if len(names) == 1 else None


def scope_of(playbook: str, catalog: Catalog, *, metric: str | None = None) -> str | None:
    """Return the scope of what `metric` measures, or, without one, of all metrics that recommend
    the playbook; None where they differ or there is none."""
    names = metrics_of(playbook, catalog) if metric is None else (metric,)
    entries = [catalog.metrics[name] for name in names if name in catalog.metrics]
    scopes = {entry.source.scope for entry in entries if entry.source is not None}
    return scopes.pop() if len(scopes) == 1 else None
