"""The event of one sample: the exact fields that records of a sample have. Pure."""

from collections.abc import Mapping
from datetime import UTC, datetime

import msgspec

from otel_metrics.catalog.model import Metric, Source
from otel_metrics.service.samples import Sample

__all__ = ["SAMPLE_EVENT", "sample_record"]

SAMPLE_EVENT = "service.sample"


def sample_record(
    metric: Metric, source: Source, sample: Sample, *, before: Sample | None, actor: str
) -> Mapping[str, object]:
    """Return the attributes of a sample's event.

    Args:
        before: the same metric and resource's last sample, which tells the trend.
        actor: the service that sampled.
    """
    return {
        "event_type": f"metrics.{metric.name}",
        "source": source.type,
        "actor": actor,
        "resource": {"scope": sample.resource.scope, "id": sample.resource.id},
        "payload": {
            "metric_id": metric.name,
            "value": sample.value,
            "unit": source.unit_name or metric.unit,
            "aggregation": source.aggregation,
            "interval_seconds": source.interval_s,
            "observed_at": _time(sample.observed_at),
            "thresholds": None if metric.bands is None else msgspec.to_builtins(metric.bands),
            "computed_band": sample.band,
            "trend": _trend(sample, before),
            "annotations": {"prometheus": metric.prometheus},
        },
    }


def _time(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _trend(sample: Sample, before: Sample | None) -> str:
    if before is None:
        return "unknown"
    if sample.value == before.value:
        return "steady"
    return "rising" if sample.value > before.value else "falling"
