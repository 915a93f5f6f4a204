"""What a backtest needs of an archive: plans, what was said of the efficiency, two counters.

A counter's points are no numbers of patches: each says how many since its process began. By how
much it rose is told as the view `increments` of `otel_metrics.archive` tells it.
"""

import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final

from otel_exporter_ndjson import DamagedError, Finding, Record, Segment, read
from otel_exporter_ndjson.files import first_line
from otel_exporter_ndjson.parsing import parsed
from otel_metrics.cli.archive.options import is_of
from otel_metrics.cli.archive.progress import shown
from otel_metrics.efficiency.backtest import Plan, Reading, Source

__all__ = ["Records", "Subject", "gather"]

PLAN: Final = "efficiency.plan"
EFFICIENCY: Final = "pforge.efficiency"
PATCHES: Final = "pforge.patches.applied"
ROLLBACKS: Final = "pforge.rollbacks"
LARGEST: Final = 1e300
"""A number beyond this is no efficiency, no priority and no cost."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """What is asked: which archive, what of it, and how far from a plan an efficiency may be."""

    path: str
    service: str | None
    since: int | None
    until: int | None
    window_ns: int

    def holds(self, time_ns: int) -> bool:
        """Whether a time is asked for."""
        return (self.since is None or time_ns >= self.since) and (
            self.until is None or time_ns < self.until
        )


@dataclass(slots=True, kw_only=True)
class Records:
    """What was found.

    Attributes:
        plans_elsewhen: plans that are there and not of the time that is asked for.
        findings: what is not as it should be.
    """

    plans: list[Plan] = field(default_factory=list)
    plans_elsewhen: int = 0
    readings: list[Reading] = field(default_factory=list)
    patches: float = 0
    rollbacks: float = 0
    findings: list[Finding] = field(default_factory=list)


def gather(subject: Subject, found: list[Segment]) -> Records:
    """Read an archive; its metrics only where it has plans.

    Args:
        found: all its segments.
    """
    records, processes = Records(), _Processes()
    wanted = [each for each in found if subject.service is None or is_of(each, subject.service)]
    walk = partial(_walk, subject, wanted, records.findings)
    walk("events", {PLAN: partial(_take_plan, subject, records, processes)})
    if records.plans:
        count = partial(_take_count, subject, records, _Increases())
        near = _near(records.plans, subject.window_ns)
        reading = partial(_take_reading, records, near, processes)
        walk("metrics", {EFFICIENCY: reading, PATCHES: count, ROLLBACKS: count})
    return records


def _walk(
    subject: Subject,
    wanted: list[Segment],
    findings: list[Finding],
    signal: str,
    takers: Mapping[str, Callable[[Record, int], None]],
) -> None:
    """Go through all of a signal, and hand each record of a name to what takes it."""

    def firsts() -> Iterator[Record]:
        segment = None
        for record in read(subject.path, signal=signal, service=subject.service, findings=findings):
            take = takers.get(record.data.get("metric") or record.data.get("event") or "")
            time_ns = None if take is None else _time(record, findings)
            if take is not None and time_ns is not None:
                take(record, time_ns)
            if record.segment is not segment:
                segment = record.segment
                yield record

    shown(firsts(), [each for each in wanted if each.signal == signal], f"reading {signal}")


def _take_plan(
    subject: Subject, records: Records, processes: "_Processes", record: Record, time_ns: int
) -> None:
    if not subject.holds(time_ns):
        records.plans_elsewhen += 1
        return
    attributes = record.data.get("attributes")
    said: Mapping[str, Any] = attributes if isinstance(attributes, dict) else {}
    plan = Plan(
        source=processes.source(record),
        time_ns=time_ns,
        plan_id=str(said.get("plan_id", "")),
        priority=_number(said.get("priority")),
        cost_usd=_number(said.get("cost_usd")),
    )
    records.plans.append(plan)


def _near(plans: Sequence[Plan], window_ns: int) -> Mapping[Source, tuple[int, int]]:
    """Return for each process from when to when what it said matters to its plans."""
    times: dict[Source, list[int]] = {}
    for plan in plans:
        times.setdefault(plan.source, []).append(plan.time_ns)
    return {source: (min(at) - window_ns, max(at) + window_ns) for source, at in times.items()}


def _take_reading(
    records: Records,
    near: Mapping[Source, tuple[int, int]],
    processes: "_Processes",
    record: Record,
    time_ns: int,
) -> None:
    source = processes.source(record)
    value = _number(record.data.get("value"))
    first, last = near.get(source, (1, 0))
    if value is not None and first <= time_ns <= last:
        records.readings.append(Reading(source=source, time_ns=time_ns, efficiency=value))


def _take_count(
    subject: Subject, records: Records, increases: "_Increases", record: Record, time_ns: int
) -> None:
    increase = increases.of(record)  # of every point: the next one is counted from it
    if not subject.holds(time_ns):
        return
    if record.data.get("metric") == PATCHES:
        records.patches += increase
    else:
        records.rollbacks += increase


class _Increases:
    """By how much each series of a counter rose from one point to the next.

    Its first point counts whole, and so does one after a reset and each one of delta temporality. A
    point that was written twice, because an export that failed was tried again, counts once.
    """

    def __init__(self) -> None:
        self._before: dict[str, tuple[object, float]] = {}

    def of(self, record: Record) -> float:
        data = record.data
        total = _number(data.get("value"))
        if total is None:
            return 0
        keys = ("scope", "metric", "unit", "temporality", "monotonic", "attributes", "start")
        series = [record.segment.service, record.instance, *map(data.get, keys)]
        key = json.dumps(series, sort_keys=True)
        time, before = self._before.get(key, (None, 0.0))
        self._before[key] = (data.get("time"), total)
        if (time, before) == (data.get("time"), total):
            return 0
        if data.get("temporality") == "delta" or total < before:
            return total
        return total - before


class _Processes:
    """Whose record it is. The writers of metrics and of events are two, of one process.

    The id of an instance may be the service's own, and then that of many processes.
    """

    def __init__(self) -> None:
        self._of: dict[tuple[str, str], Source] = {}

    def source(self, record: Record) -> Source:
        """Return the process that wrote a record."""
        segment = record.segment
        key = (segment.service, segment.instance)
        if key not in self._of:
            self._of[key] = Source(service=segment.service, instance=_process(segment))
        return self._of[key]


def _process(segment: Segment) -> str:
    """Return what a segment's first line says of its process; without, only the writer is known."""
    head = parsed(first_line(segment))
    if isinstance(head, str):
        return segment.instance
    resource, writer = head.get("resource"), head.get("writer")
    attributes = resource.get("attributes") if isinstance(resource, dict) else None
    instance = attributes.get("service.instance.id") if isinstance(attributes, dict) else None
    place = [writer.get("host"), writer.get("pid")] if isinstance(writer, dict) else []
    return "/".join(str(each) for each in (instance, *place) if each is not None)


def _time(record: Record, findings: list[Finding]) -> int | None:
    try:
        return record.time_ns
    except DamagedError as error:
        findings.append(Finding("damage", record.segment, record.line, 0, str(error)))
        return None


def _number(value: object) -> float | None:
    """Return what is a finite number; an archive may hold anything."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if math.isfinite(value) and abs(value) <= LARGEST else None
