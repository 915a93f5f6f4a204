"""The totals of counters and histograms, in an archive and in Prometheus, to be compared."""

from collections.abc import Callable
from pathlib import Path

from otel_exporter_ndjson import read
from otel_metrics.catalog import builtin
from tests.collector_config.naming import Shown, of_samples

__all__ = ["archived", "counting"]

Query = Callable[[str], list[tuple[dict[str, str], float]]]


def archived(archive: Path) -> Shown:
    """Return the newest value of every counter, and count and sum of every histogram, as one
    process archived them."""
    found: dict[tuple[str, frozenset[tuple[str, str]]], float] = {}
    for record in read(archive, signal="metrics"):
        point = record.data
        metric = builtin().metrics[point["metric"]]
        labels = {key.replace(".", "_"): _text(value) for key, value in point["attributes"].items()}
        series = frozenset(labels.items())
        if metric.instrument == "counter":
            found[metric.prometheus, series] = point["value"]
        elif metric.instrument == "histogram":
            found[f"{metric.prometheus}_count", series] = point["count"]
            found[f"{metric.prometheus}_sum", series] = point["sum"]
    return of_samples(
        ({**dict(labels), "__name__": name}, v) for (name, labels), v in found.items()
    )


def _text(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def counting(query: Query) -> Shown:
    """Return every counter, and count and sum of every histogram, that Prometheus has.

    Args:
        query: returns labels and value of each series that PromQL finds.
    """
    names = {
        f"{metric.prometheus}{suffix}"
        for metric in builtin().metrics.values()
        for suffix in {"counter": [""], "histogram": ["_count", "_sum"]}.get(metric.instrument, [])
    }
    found = query('{__name__!=""}')
    return of_samples((labels, value) for labels, value in found if labels["__name__"] in names)
