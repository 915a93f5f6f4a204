"""Plays recorded spans through the real SDK: their order, times, attributes, events and errors."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from opentelemetry import trace
from opentelemetry.trace import Span, SpanKind, Status, StatusCode, TracerProvider

BEGIN_NS = 1_700_000_000_000_000_000
FOLDER = Path(__file__).with_name("spans")


@dataclass(frozen=True)
class Recording:
    """What `record_spans.py` wrote: the spans of a scenario, and what its server billed."""

    billed: Sequence[Mapping[str, Any]]
    spans: Sequence[Mapping[str, Any]]

    def play(self, provider: TracerProvider) -> None:
        """Start and end each span as it was, in the order that was."""
        turns = [(turn, span) for span in self.spans for turn in span["turns"]]
        spans: dict[int, Span] = {}
        for turn, recorded in sorted(turns, key=lambda pair: pair[0]):
            if turn == recorded["turns"][0]:
                spans[recorded["id"]] = _start(provider, recorded, spans)
            else:
                _end(spans[recorded["id"]], recorded)


def _start(
    provider: TracerProvider, recorded: Mapping[str, Any], spans: Mapping[int, Span]
) -> Span:
    scope, first = recorded["scope"], recorded["at_start"]
    parent = spans.get(recorded["parent"], trace.INVALID_SPAN)
    return provider.get_tracer(scope["name"], scope["version"]).start_span(
        first["name"],
        context=trace.set_span_in_context(parent),
        kind=SpanKind[recorded["kind"]],
        attributes=first["attributes"],
        start_time=BEGIN_NS + recorded["times_ns"][0],
    )


def _end(span: Span, recorded: Mapping[str, Any]) -> None:
    span.update_name(recorded["name"])
    span.set_attributes(recorded["attributes"])
    span.set_status(Status(StatusCode[recorded["status"]]))
    for event in recorded["events"]:
        span.add_event(event["name"], event["attributes"], BEGIN_NS + event["at_ns"])
    span.end(BEGIN_NS + recorded["times_ns"][1])


@cache
def load(scenario: str) -> Recording:
    content = json.loads((FOLDER / f"{scenario}.json").read_text())
    return Recording(content["billed"], content["spans"])


SCENARIOS = sorted(path.stem for path in FOLDER.glob("*.json"))


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run a test that takes `scenario` and `recording` with every recording there is."""
    if "scenario" in metafunc.fixturenames:
        every = [(name, load(name)) for name in SCENARIOS]
        metafunc.parametrize(("scenario", "recording"), every, ids=SCENARIOS)
