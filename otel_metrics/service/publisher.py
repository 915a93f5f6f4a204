"""What becomes of a source's answer: values in the table, an event, samples for who follows them;
or an error that is counted, said once, and seen as missing data.

Threads: all of it is done by `otel-metrics-service`; the table is read by others.
"""

import logging
from collections.abc import Callable, Mapping
from functools import partial
from typing import Final

from otel_metrics import events, instruments
from otel_metrics.outages import Outage
from otel_metrics.service.bands import band_of
from otel_metrics.service.readings import Checked, ErrorType, SourceError
from otel_metrics.service.sample_record import SAMPLE_EVENT, sample_record
from otel_metrics.service.samples import Resource, Sample
from otel_metrics.service.table import Table
from otel_metrics.service.turns import Turn

__all__ = ["ERRORS", "Missed", "Publisher", "guarded"]

ERRORS: Final = "service.source.errors"
GRACE_S: Final = 1.0
"""A value holds until the next one should be there, and so much longer: judging takes a moment."""
SAID_CHARS_MAX: Final = 500
"""What is logged of a source's error."""

Missed = Callable[[str, Resource, str], None]
"""(metric, resource, reason) of a sample that should be there and is not: an `ErrorType`, or
`no_value` where the source said that there is nothing to tell."""

_logger = logging.getLogger("otel_metrics.service")


class Publisher:
    """Hands on what sources answer.

    Args:
        table: of the latest values.
        on_sample: is given each sample.
        on_missed: is told of each that is not there.
        resource_ids: id by scope, of values that come without one.
    """

    def __init__(
        self,
        table: Table,
        *,
        on_sample: Callable[[Sample], None],
        on_missed: Missed,
        resource_ids: Mapping[str, str],
    ) -> None:
        self._table = table
        self._on_sample = on_sample
        self._on_missed = on_missed
        self._resource_ids = resource_ids
        self._outages: dict[str, Outage] = {}
        self._trouble = Outage(_logger)

    def take(self, turn: Turn, answer: Checked, observed_at: float) -> None:
        """Publish an answer. A resource that had a value and has none now is missed."""
        samples = [
            self._sample(turn, id_, value, observed_at)
            for id_, value in answer.numbers.items()
            if value is not None
        ]
        before = {each: self._table.sample(turn.metric.name, each) for each in turn.known}
        until_s = turn.due_s + turn.source.timeout_s + GRACE_S
        self._table.put(turn.metric.name, samples, until_s=until_s)
        for sample in samples:
            self._guarded(partial(self._hand_on, turn, sample, before.get(sample.resource)))
        self._miss(turn, answer, {sample.resource for sample in samples})
        for fault in answer.faults.values():
            self._count(turn, fault)
        if not answer.faults:
            self._outage(turn).is_over("%s: its %s source answers again", *_told(turn))

    def fail(self, turn: Turn, error: SourceError) -> None:
        """Take a metric's values back, since there is no answer of use."""
        self._table.drop(turn.metric.name)
        self._count(turn, error)
        for resource in turn.known or {self._resource(turn, None)}:
            self._missed(turn, resource, error.kind)

    def forget(self, turn: Turn) -> None:
        """Take a metric's values back, since another source or process has them now."""
        turn.known = frozenset()
        self._table.drop(turn.metric.name)

    def _miss(self, turn: Turn, answer: Checked, present: set[Resource]) -> None:
        """Tell of each resource without a value why it has none."""
        faulty = {self._resource(turn, id_): fault.kind for id_, fault in answer.faults.items()}
        asked = {self._resource(turn, id_) for id_ in answer.numbers}.union(faulty)
        for resource in (turn.known | asked) - present:
            self._missed(turn, resource, faulty.get(resource, "no_value"))
        turn.known = frozenset(asked)

    def _missed(self, turn: Turn, resource: Resource, reason: ErrorType | str) -> None:
        self._guarded(partial(self._on_missed, turn.metric.name, resource, reason))

    def _hand_on(self, turn: Turn, sample: Sample, before: Sample | None) -> None:
        actor = self._resource_ids.get("service", "")
        record = sample_record(turn.metric, turn.source, sample, before=before, actor=actor)
        events.emit(SAMPLE_EVENT, record, timestamp_ns=int(sample.observed_at * 1e9))
        self._on_sample(sample)

    def _count(self, turn: Turn, error: SourceError) -> None:
        instruments.metric(ERRORS).add(
            1,
            {
                "service.metric": turn.metric.name,
                "service.source": turn.source.type,
                "error.type": error.kind,
            },
        )
        said = str(error)[:SAID_CHARS_MAX]
        message = "%s: its %s source gives no value (%s): %s"
        self._outage(turn).goes_on(message, *_told(turn), error.kind, said)

    def _sample(self, turn: Turn, id_: str | None, value: float, observed_at: float) -> Sample:
        return Sample(
            metric=turn.metric.name,
            resource=self._resource(turn, id_),
            value=value,
            observed_at=observed_at,
            band=band_of(value, turn.metric.bands),
        )

    def _resource(self, turn: Turn, id_: str | None) -> Resource:
        """Return what a value is of; without an id the scope's own, else the metric's subsystem."""
        subsystem = turn.metric.name.partition(".")[0]
        named = self._resource_ids.get(turn.source.scope, subsystem) if id_ is None else id_
        return Resource(turn.source.scope, named)

    def _outage(self, turn: Turn) -> Outage:
        return self._outages.setdefault(turn.metric.name, Outage(_logger))

    def _guarded(self, step: Callable[[], None]) -> None:
        guarded(step, self._trouble)


def guarded(step: Callable[[], None], trouble: Outage) -> None:
    """Take a step of the sampler's thread, which runs others' code and must outlive it."""
    try:
        step()
    except Exception as error:  # noqa: BLE001  # as said above
        message = "service telemetry: a sample is not used everywhere: %s: %s"
        trouble.goes_on(message, type(error).__qualname__, error)
    else:
        trouble.is_over("service telemetry: samples are used again")


def _told(turn: Turn) -> tuple[str, str]:
    return turn.metric.name, turn.source.type
