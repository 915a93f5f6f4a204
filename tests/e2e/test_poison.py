"""Values that no exporter can encode: left out and counted, and the rest of the batch arrives."""

import json
from typing import TYPE_CHECKING, Any

import pytest

from otel_exporter_ndjson import read
from tests.otel_metrics.pipeline.conftest import http_collector

__all__ = ["http_collector"]

if TYPE_CHECKING:
    from tests.e2e.conftest import Archived, Run
    from tests.otel_metrics.pipeline.conftest import Collector, MakeCollector

pytestmark = pytest.mark.slow

VALUES = """
import math, json
from decimal import Decimal
from fractions import Fraction
class Numpy:
    def __init__(self, value): self.value = value
    def __float__(self): return float(self.value)
class NumpyInteger(Numpy):
    def __index__(self): return self.value
class Hostile:
    def __float__(self): raise RuntimeError("mine")
    __index__ = __lt__ = __gt__ = __eq__ = __hash__ = __repr__ = __float__
VALUES = [True, 2**63, -(2**63) - 1, 10**400, Decimal("1.5"), Decimal("NaN"), Decimal("1E+400"),
          Fraction(1, 3), Numpy(1.5), NumpyInteger(3), "7", b"7", None, math.nan, math.inf,
          -math.inf, -1, 1e308, [1], {}, object(), Hostile(), 1 + 2j]
raised = []
def call(method, *arguments):
    try:
        method(*arguments)
    except BaseException as error:
        raised.append(f"{method} {type(error).__name__}: {error}")
"""
OURS = (
    VALUES
    + """
import otel_metrics
from otel_metrics import instruments
telemetry = otel_metrics.configure()
COUNTER, HISTOGRAM = "skill.executions", "skill.execution.duration"
UP_DOWN, GAUGE = "agent.executions.active", "skill.state"
SERIES = {"gen_ai.skill.name": "x"}
for value in VALUES:
    call(instruments.metric(COUNTER).add, value, {"gen_ai.skill.name": "any"})
    call(instruments.metric(HISTOGRAM).record, value, {"gen_ai.skill.name": "any"})
    call(instruments.metric(GAUGE).set, value, {"gen_ai.skill.name": "any"})
for text in ("\\ud800", "a\\udfffb", b"\\xff", None, 2**70, math.nan, [1, "\\ud800"], Hostile()):
    call(instruments.metric(COUNTER).add, 1, {"gen_ai.skill.name": text})
    call(instruments.metric(COUNTER).add, 1, {text if isinstance(text, str) else "k": "v"})
instruments.metric(COUNTER).add(5, {"gen_ai.skill.name": "good"})
result = telemetry.flush(10)
print(json.dumps([raised, {name: [v.status, v.reason] for name, v in result.items()}]))
"""
)

SDK = (
    VALUES
    + """
import os
from opentelemetry import metrics
from opentelemetry.metrics import Observation
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
if "PLAIN" in os.environ:
    metrics.set_meter_provider(MeterProvider([InMemoryMetricReader()]))
    flush = metrics.get_meter_provider().force_flush
else:
    import otel_metrics
    telemetry = otel_metrics.configure()
    flush = lambda: telemetry.flush(10)
meter = metrics.get_meter("service")
good = meter.create_counter("good")
for at, value in enumerate(VALUES):
    for kind, verb in ("counter", "add"), ("up_down_counter", "add"), ("histogram", "record"):
        call(getattr(getattr(meter, f"create_{kind}")(f"{kind}.{at}"), verb), value, {"k": "v"})
    call(meter.create_gauge(f"gauge.{at}").set, value, {"k": "v"})
    callback = lambda options, value=value: [Observation(value, {"k": "v"})]
    meter.create_observable_gauge(f"observed.{at}", [callback])
texts = meter.create_counter("texts")
for text in ("\\ud800", "a\\udfffb", b"\\xff", None, 2**70, math.nan, [1, "\\ud800"]):
    call(texts.add, 1, {"k": text})
    call(texts.add, 1, {text if isinstance(text, str) else "k": "v"})
texts.add(5, {"k": "good"})
for scope in metrics.get_meter("odd \\ud800"), metrics.get_meter("o", attributes={"k": "\\ud800"}):
    scope.create_counter("scoped").add(5, {"k": "good"})
good.add(5, {"k": "good"})
flush()
good.add(5, {"k": "good"})
result = flush()
verdicts = {} if result is True else {name: [v.ok, v.reason] for name, v in result.items()}
print(json.dumps([[line.partition(" at 0x")[2][16:] for line in raised], verdicts]))
"""
)


def totals(collector: "Collector", metric: str) -> dict[str, float]:
    """Return the last value of each series of a counter or gauge, by its attributes' values."""
    last: dict[str, float] = {}
    for message in collector.messages:
        for resource in getattr(message, "resource_metrics", []):
            for scope in resource.scope_metrics:
                for kept in scope.metrics:
                    if kept.name == metric:
                        for point in [*kept.sum.data_points, *kept.gauge.data_points]:
                            key = ",".join(pair.value.string_value for pair in point.attributes)
                            last[key] = point.as_int or point.as_double
    return last


@pytest.fixture
def collector(http_collector: "MakeCollector") -> "Collector":
    """A real OTLP/HTTP server."""
    return http_collector()


def environ(collector: "Collector") -> dict[str, str]:
    """Return the variables that ship to it, beside the archive."""
    return {
        "OTEL_METRICS_EXPORTER": "ndjson,otlp,prometheus",
        "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf",
        "OTEL_EXPORTER_OTLP_ENDPOINT": collector.endpoint.removesuffix("/v1/metrics"),
    }


def test_handles_take_what_is_a_number_and_count_the_rest(
    run: "Run", archived: "Archived", collector: "Collector"
) -> None:
    """Nothing raises, both exporters deliver, and what was refused is counted by reason."""
    done = run(OURS, env=environ(collector))
    raised, verdicts = json.loads(done.stdout)
    refused = {
        json.loads(series)["reason"]: total
        for series, total in archived.totals("metric.rejected").items()
        if json.loads(series)["metric"] == "skill.executions"
    }

    assert raised == []
    assert verdicts == {"ndjson": ["delivered", None], "otlp": ["delivered", None]}
    assert totals(collector, "skill.executions")["good"] == 5
    assert totals(collector, "skill.executions")["any"] == 3  # of what counts as a whole number
    assert refused == {
        "negative": 2,
        "not_a_number": 9,
        "not_an_integer": 3,
        "not_finite": 5,
        "out_of_range": 3,
        "unknown_attribute": 8,
    }
    assert "Traceback" not in done.stderr


def test_instruments_of_the_service_cost_only_what_cannot_be_encoded(
    run: "Run", archived: "Archived", collector: "Collector"
) -> None:
    """Through the SDK's own instruments the rest of each batch arrives, whatever stands in name,
    attributes, scope and resource; the verdicts name what is left out, and no more raises than
    does with the SDK alone."""
    resource = {"OTEL_RESOURCE_ATTRIBUTES": "team=\udcff,shop=berlin"}
    plain, _ = json.loads(run(SDK, env={"PLAIN": "1"}).stdout)
    done = run(SDK, env={**environ(collector), **resource})
    raised, verdicts = json.loads(done.stdout)

    assert raised == plain
    assert totals(collector, "good") == {"good": 10}
    assert archived.total("good") == 10
    assert totals(collector, "texts")["good"] == archived_value(archived, "texts", "good") == 5
    assert totals(collector, "scoped") == {"good": 5}
    assert [verdicts[name][0] for name in ("ndjson", "otlp")] == [False, False]
    assert "could not be encoded and were left out: counter.1" in verdicts["otlp"][1]
    assert verdicts["ndjson"][1].startswith("left out: ")


def archived_value(archived: "Archived", metric: str, key: str) -> float | None:
    """Return what the archive says last of one series."""
    values: list[Any] = [
        record.data["value"]
        for record in read(archived.root, signal="metrics")
        if record.data.get("metric") == metric and record.data.get("attributes") == {"k": key}
    ]
    return values[-1] if values else None
