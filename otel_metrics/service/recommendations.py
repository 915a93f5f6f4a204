"""Which playbook a run of samples recommends, and in which words. Pure."""

from otel_metrics.catalog.model import Metric
from otel_metrics.service.samples import BandName, Recommendation, Sample
from otel_metrics.service.snapshots import moment
from otel_metrics.service.streaks import RUN_LENGTH

__all__ = ["playbook_of", "recommendation_of"]


def playbook_of(metric: Metric, band: BandName) -> str | None:
    """Return the playbook that a metric names for a band; None where it names none."""
    if metric.playbooks is None:
        return None
    return metric.playbooks.warning if band == "warning" else metric.playbooks.critical


def recommendation_of(
    sample: Sample,
    band: BandName,
    playbook: str,
    *,
    confidence: float,
    values: tuple[float, ...] = (),
) -> Recommendation:
    """Return what the sample recommends that completed a run of `values`.

    Its id is the same in every process that saw the same within a second, so that it is acted on
    once.
    """
    return Recommendation(
        id=f"{sample.resource.id}:{moment(sample.observed_at)}:{sample.metric}:{band}",
        metric=sample.metric,
        resource=sample.resource,
        band=band,
        playbook=playbook,
        confidence=confidence,
        reason=(
            f"{sample.metric} of {sample.resource.id} is {band}, {RUN_LENGTH} samples in a row; "
            f"the last is {sample.value:g}"
        ),
        observed_at=sample.observed_at,
        values=values,
    )
