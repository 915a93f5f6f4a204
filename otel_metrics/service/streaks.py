"""When a metric is out of its band for good: three samples in a row. Pure.

What is missing or out of order begins the count anew: absent data recommends nothing. Samples in
one band that come sooner than their interval says count as one. Once a run was told, the same band
of the same metric and resource is told again only after a sample in another one, so that a state
that lasts makes no storm.
"""

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from otel_metrics.service.samples import BandName, Sample

__all__ = ["RUN_LENGTH", "STREAKS_MAX", "Streaks"]

RUN_LENGTH: Final = 3
"""Samples in a row in one band."""
GAP_INTERVALS: Final = 2.0
"""A sample that comes so many intervals after the one before follows on nothing."""
SOON_INTERVALS: Final = 0.5
"""A sample in the same band that comes so soon after the one before is not one more in a row."""
STREAKS_MAX: Final = 10_000
"""Metrics and resources that are counted; what was not heard of for longest is forgotten."""


@dataclass(slots=True)
class _Run:
    band: BandName | None = None
    length: int = 0
    told: BandName | None = None
    at: float = 0.0
    values: tuple[float, ...] = ()


class Streaks:
    """Counts samples in a row by metric and resource.

    Args:
        interval_s: returns the time between two samples of a metric.
    """

    def __init__(self, interval_s: Callable[[str], float]) -> None:
        self._interval_s = interval_s
        self._runs: OrderedDict[tuple[str, str], _Run] = OrderedDict()

    def take(self, sample: Sample) -> BandName | None:
        """Return the band, warning or critical, that this sample completes a run of."""
        run = self._run(sample.metric, sample.resource.id)
        if sample.band != run.told:
            run.told = None
        gap = (sample.observed_at - run.at) / self._interval_s(sample.metric)
        goes_on = 0 < gap <= GAP_INTERVALS and sample.band == run.band
        if goes_on and gap < SOON_INTERVALS:
            return None
        run.length = run.length + 1 if goes_on else 1
        run.band, run.at = sample.band, sample.observed_at
        run.values = (*run.values, sample.value)[-min(run.length, RUN_LENGTH) :]
        if sample.band in (None, "good", run.told) or run.length < RUN_LENGTH:
            return None
        run.told = sample.band
        return sample.band

    def values(self, metric: str, resource_id: str) -> tuple[float, ...]:
        """Return the last values of a run, the newest last."""
        run = self._runs.get((metric, resource_id))
        return () if run is None else run.values

    def interrupt(self, metric: str, resource_id: str) -> None:
        """Begin the count anew, because a sample is missing."""
        run = self._runs.get((metric, resource_id))
        if run is not None:
            run.length, run.band = 0, None

    def _run(self, metric: str, resource_id: str) -> _Run:
        key = (metric, resource_id)
        run = self._runs.setdefault(key, _Run())
        self._runs.move_to_end(key)
        if len(self._runs) > STREAKS_MAX:
            self._runs.popitem(last=False)
        return run
