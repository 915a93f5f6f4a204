"""A parsed file in Weaver's registry format (`definition/2`) -> catalog entries and problems.

Pure: it is given parsed files and what is known already. A file may add attributes, metrics, events
and playbooks. Of a metric that is known (`metric_refinements`) it may add attributes, and say where
the values come from and which are good; it redefines none.
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final, cast

import msgspec

from otel_metrics.catalog.annotations import annotations, refined
from otel_metrics.catalog.attributes import IGNORED, attribute_type, examples, references
from otel_metrics.catalog.fields import Fields, Report, TooManyProblemsError, near
from otel_metrics.catalog.model import Attribute, Catalog, Event, Instrument, Metric
from otel_metrics.catalog.playbooks import KEYS, PLAYBOOK_ID, playbook, verified
from otel_metrics.catalog.units import unit_of
from otel_metrics.yaml_source import Node, Problem

__all__ = ["EMPTY", "NameOf", "ProblemOf", "Source", "merge"]

EMPTY: Final = Catalog(metrics={}, attributes={}, events={})
FILE_FORMAT: Final = "definition/2"
INSTRUMENTS: Final = ("counter", "updowncounter", "gauge", "histogram")
STABILITIES: Final = ("development", "alpha", "beta", "release_candidate", "stable", "deprecated")

NameOf = Callable[[str, str, Instrument], str]
"""(metric name, unit, instrument) -> its name in Prometheus."""
ProblemOf = Callable[[str, str, Instrument], str | None]
"""(metric name, unit, instrument) -> why translators would render it differently, or None.

A `; ` parts what is wrong from what to do."""

_SECTIONS = ("file_format", "attributes", "metrics", "events", "playbooks", "metric_refinements")
_SIGNAL = ("name", "brief", "note", "stability", "attributes")
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_.\-/]{0,254}")
_KEY = re.compile(r"[A-Za-z][A-Za-z0-9_.\-]{0,254}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """One parsed file: what problems call it, and the domain that its entries belong to."""

    file: str
    domain: str
    root: Node


def merge(
    sources: Sequence[Source],
    *,
    into: Catalog = EMPTY,
    name_of: NameOf | None = None,
    problem_of: ProblemOf | None = None,
) -> tuple[Catalog, tuple[Problem, ...]]:
    """Return `into` with the entries of `sources`, and every problem that they have.

    The catalog is of use only where there are no problems.

    Args:
        name_of: without it, an entry must say its Prometheus name, which is believed.
        problem_of: without it, no name is questioned.
    """
    reading = _Reading(into, name_of, problem_of)
    reports = [Report(source.file) for source in sources]
    with suppress(TooManyProblemsError):
        _read(sources, reports, reading)
    problems = [problem for report in reports for problem in report.problems]
    problems.sort(key=lambda problem: (problem.file, problem.line))
    return reading.catalog(), tuple(problems)


def _read(sources: Sequence[Source], reports: Sequence[Report], reading: "_Reading") -> None:
    files = [_File(*pair, reading) for pair in zip(sources, reports, strict=True)]
    for file in files:  # first, because any file may refer to those of another
        file.attributes()
        file.playbooks()
    for file in files:
        file.metrics()
        file.events()
    for file in files:
        file.refinements()
    for file in files:
        file.verifications()


class _Reading:
    """What is known so far, over all files."""

    def __init__(self, into: Catalog, name_of: NameOf | None, problem_of: ProblemOf | None) -> None:
        self.name_of = name_of
        self.problem_of = problem_of
        self.attributes = dict(into.attributes)
        self.metrics = dict(into.metrics)
        self.events = dict(into.events)
        self.playbooks = dict(into.playbooks)
        self.places: dict[tuple[str, str], str] = {}
        self.series: dict[str, str] = {}
        for metric in into.metrics.values():
            self.series.update(dict.fromkeys(_series(metric), metric.name))

    def catalog(self) -> Catalog:
        return Catalog(
            metrics=self.metrics,
            attributes=self.attributes,
            events=self.events,
            playbooks=self.playbooks,
        )


class _File:
    """One file, section by section."""

    def __init__(self, source: Source, report: Report, reading: _Reading) -> None:
        self.report = report
        self._file = source.file
        self._domain = source.domain
        self._reading = reading
        self._verified: list[tuple[Fields, str]] = []
        self._root = Fields(source.root, "", self.report, known=_SECTIONS)
        found = self._root.text("file_format", required=f"add file_format: {FILE_FORMAT}")
        if found and found != FILE_FORMAT:
            self._root.refuse("file_format", f"{found!r} is not read", f"write {FILE_FORMAT}")

    def attributes(self) -> None:
        known = ("key", "type", "brief", "note", "stability", "examples", *IGNORED)
        for fields in self._entries("attributes", "key", known):
            key = self._new(fields, "attribute", "key", _KEY, self._reading.attributes)
            kind, members = attribute_type(fields, self.report)
            attribute = Attribute(
                key=key,
                type=kind,
                brief=fields.text("brief", required="say in one sentence what it is"),
                members=members,
                examples=examples(fields),
                note=fields.text("note"),
                stability=_stability(fields),
            )
            if key:
                self._reading.attributes[key] = attribute

    def playbooks(self) -> None:
        for fields in self._entries("playbooks", "id", KEYS):
            name = self._new(fields, "playbook", "id", PLAYBOOK_ID, self._reading.playbooks)
            made = playbook(fields, self.report, name=name)
            if name:
                self._reading.playbooks[name] = made
            if made.verifies:
                self._verified.append((fields, made.verifies))

    def verifications(self) -> None:
        """Look at the metrics that playbooks verify, when all are known."""
        for fields, name in self._verified:
            verified(fields, name, self._reading.metrics)

    def metrics(self) -> None:
        known = (*_SIGNAL, "instrument", "unit", *IGNORED)
        for fields in self._entries("metrics", "name", known):
            metric = self._metric(fields)
            if not metric.name:
                continue
            self._reading.metrics[metric.name] = metric
            for series in _series(metric):
                other = self._reading.series.setdefault(series, metric.name)
                if other != metric.name:
                    message = f"{series} in Prometheus is {other!r} already"
                    fields.refuse("name", message, "choose another name")

    def events(self) -> None:
        for fields in self._entries("events", "name", (*_SIGNAL, *IGNORED)):
            levels = self._levels(fields, scalar=False)
            event = Event(
                name=self._new(fields, "event", "name", _NAME, self._reading.events),
                brief=fields.text("brief", required="say in one sentence what happened"),
                domain=self._domain,
                attributes=tuple(levels),
                levels=levels,
                note=fields.text("note"),
                stability=_stability(fields),
            )
            if event.name:
                self._reading.events[event.name] = event

    def refinements(self) -> None:
        known = ("id", "ref", "attributes", "annotations")
        for fields in self._entries("metric_refinements", "id", known):
            fields.text("id", required="name the refinement, such as app.skill.executions")
            name = fields.text("ref", required="name the metric that is refined")
            metric = self._reading.metrics.get(name)
            if metric is None:
                if name:
                    remedy = near(name, self._reading.metrics, otherwise="see `catalog list`")
                    fields.refuse("ref", f"there is no metric {name!r}", remedy)
                continue
            levels = {**metric.levels, **self._levels(fields, scalar=True, taken=metric.attributes)}
            metric = _with_attributes(metric, levels)
            self._reading.metrics[name] = self._refined(fields, metric)

    def _refined(self, fields: Fields, metric: Metric) -> Metric:
        node = fields.node("annotations")
        if node is None:
            return metric
        path, playbooks = fields.path("annotations"), self._reading.playbooks
        said = refined(node, path, self.report, metric=metric, defined=playbooks)
        return msgspec.structs.replace(metric, **said)

    def _metric(self, fields: Fields) -> Metric:
        chosen = fields.choice("instrument", INSTRUMENTS, required=True)
        instrument = cast(Instrument | None, chosen)
        levels = self._levels(fields, scalar=True)
        name = self._new(fields, "metric", "name", _NAME, self._reading.metrics)
        unit = unit_of(fields)
        ours = self._annotations(fields, instrument, levels)
        if name and unit and instrument:
            ours["prometheus"] = self._prometheus(fields, (name, unit, instrument), ours)
        return Metric(
            name=name,
            instrument=instrument or "counter",
            unit=unit,
            brief=fields.text("brief", required="say in one sentence what is measured"),
            domain=self._domain,
            attributes=tuple(levels),
            levels=levels,
            note=fields.text("note"),
            stability=_stability(fields),
            **ours,
        )

    def _levels(self, fields: Fields, *, scalar: bool, taken: Sequence[str] = ()) -> dict[str, str]:
        attributes = self._reading.attributes
        return references(fields, self.report, attributes, scalar=scalar, taken=taken)

    def _annotations(
        self, fields: Fields, instrument: str | None, levels: Mapping[str, str]
    ) -> dict[str, Any]:
        node = fields.node("annotations")
        if node is None:  # as if there were none in it; a problem is at the metric's line
            node = Node(value={}, line=fields.line("annotations"))
        return annotations(
            node,
            fields.path("annotations"),
            self.report,
            instrument=instrument,
            attributes=levels,
            defined=self._reading.playbooks,
        )

    def _prometheus(
        self, fields: Fields, identity: tuple[str, str, Instrument], ours: Mapping[str, Any]
    ) -> str:
        declared = str(ours["prometheus"])
        reading = self._reading
        problem = reading.problem_of(*identity) if reading.problem_of else None
        if problem:
            message, _, remedy = problem.partition("; ")
            fields.refuse("name", message, remedy or "choose a name that all render alike")
            return declared
        if reading.name_of is None:
            if not declared:
                fields.refuse("annotations", "prometheus is missing", "add the exposed name")
            return declared
        exposed = reading.name_of(*identity)
        if declared and declared != exposed:
            line = _line_of(fields, "annotations", "prometheus")
            path = f"{fields.path('annotations')}.prometheus"
            message = f"{declared!r} is not what it is exposed as"
            self.report.add(line, path, message, f"write {exposed}, or leave it out")
        return exposed

    def _entries(self, section: str, naming: str, known: Sequence[str]) -> Iterator[Fields]:
        """Yield each entry of a section; problems call it by its name where it has one."""
        for index, item in enumerate(self._root.items(section)):
            name: object = index
            if isinstance(item.value, Mapping) and naming in item.value:
                name = item.value[naming].plain()
            yield Fields(item, f"{section}[{name}]", self.report, known=known)

    def _new(
        self,
        fields: Fields,
        what: str,
        key: str,
        pattern: re.Pattern[str],
        known: Mapping[str, object],
    ) -> str:
        """Return the name that an entry takes, "" where it is wrong or taken."""
        name = fields.text(key, required=f"name the {what}")
        if not name:
            return ""
        if not pattern.fullmatch(name):
            remedy = "use letters, digits, '.', '_' and '-', a letter first, at most 255 characters"
            if what == "playbook":
                remedy = "use small letters and digits, with '-' between words, at most 63"
            fields.refuse(key, f"{name[:80]!r} is no name", remedy)
            return ""
        place = self._reading.places.get((what, name))
        if place is not None:
            fields.refuse(key, f"the {what} {name!r} is there already, at {place}", "keep one")
            return ""
        if name in known:
            remedy = "choose another name"
            if what == "attribute":
                remedy = "remove it: a ref finds the one that is built in"
            elif what == "metric":
                remedy += ", or refine it under metric_refinements"
            fields.refuse(key, f"the {what} {name!r} is built in and cannot be redefined", remedy)
            return ""
        self._reading.places[what, name] = f"{self._file}:{fields.line(key)}"
        return name


def _stability(fields: Fields) -> str:
    return fields.choice("stability", STABILITIES, required=True) or "development"


def _series(metric: Metric) -> tuple[str, ...]:
    """Return the names on the page that belong to a metric."""
    name = metric.prometheus
    if metric.instrument != "histogram":
        return (name,)
    return (name, f"{name}_bucket", f"{name}_sum", f"{name}_count")


def _line_of(fields: Fields, section: str, key: str) -> int:
    node = fields.node(section)
    return node.lines.get(key, node.line) if node else fields.line(section)


def _with_attributes(metric: Metric, levels: Mapping[str, str]) -> Metric:
    return msgspec.structs.replace(metric, attributes=tuple(levels), levels=levels)
