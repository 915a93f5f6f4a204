"""The latest value of each service metric and resource, for as long as it is no older than it says.

Threads: `otel-metrics-service` puts values in and takes them out; collections, web routes and the
engine read on any thread. `_lock` guards the table and is held for a moment.
"""

import threading
import time
from collections.abc import Mapping, Sequence

from otel_metrics.rejections import Measured
from otel_metrics.service.samples import BandName, Resource, Sample

__all__ = ["RESOURCE_ATTRIBUTE", "Table"]

RESOURCE_ATTRIBUTE = "service.resource.id"
"""Tells the series of one metric apart."""


class Table:
    """Values, each of which vanishes when its time is over and no newer one has come.

    So a source that hangs, and a sampler that is no more, show as missing data, never as a stale
    value.
    """

    def __init__(self) -> None:
        self._begin_anew()

    def _begin_anew(self) -> None:
        self._lock = threading.Lock()
        self._samples: dict[str, tuple[float, Mapping[Resource, Sample]]] = {}

    def after_fork(self) -> None:
        """Begin empty in a forked child, with a lock of its own."""
        self._begin_anew()

    def put(self, metric: str, samples: Sequence[Sample], *, until_s: float) -> None:
        """Let these be the values of a metric, until that reading of the monotonic clock."""
        kept = {sample.resource: sample for sample in samples}
        with self._lock:
            self._samples[metric] = (until_s, kept)

    def drop(self, metric: str) -> None:
        """Let a metric have no values."""
        with self._lock:
            self._samples.pop(metric, None)

    def samples(self) -> list[Sample]:
        """Return every value that holds now."""
        now = time.monotonic()
        with self._lock:
            held = [kept for until_s, kept in self._samples.values() if now < until_s]
        return [sample for kept in held for sample in kept.values()]

    def sample(self, metric: str, resource: Resource) -> Sample | None:
        """Return the value of one metric and resource; None where there is none now."""
        return self._held(metric).get(resource)

    def band(self, metric: str, resource: Resource) -> BandName | None:
        """Return the band that a metric of a resource lies in; None where nothing is known."""
        found = self.sample(metric, resource)
        return None if found is None else found.band

    def measured(self, metric: str) -> Measured:
        """Return what the metric's gauge shows."""
        return [
            (sample.value, {RESOURCE_ATTRIBUTE: resource.id})
            for resource, sample in self._held(metric).items()
        ]

    def _held(self, metric: str) -> Mapping[Resource, Sample]:
        with self._lock:
            until_s, kept = self._samples.get(metric, (0.0, {}))
        return kept if time.monotonic() < until_s else {}
