"""Telemetry's health is told by metrics that the catalog has under these very names."""

from otel_exporter_prometheus import health
from otel_exporter_prometheus.merge import Family, Rule
from otel_exporter_prometheus.naming import Instrument
from otel_exporter_prometheus.points import Number
from otel_metrics import instruments


def family(metric: str, value: float) -> Family:
    """Return what a page shows of a metric of the catalog."""
    entry = instruments.catalog().metrics[metric]
    rule: Rule = entry.merge or "sum"
    instrument: Instrument = "counter" if entry.instrument == "counter" else "gauge"
    return Family(
        name=entry.prometheus,
        kind="counter" if instrument == "counter" else "gauge",
        unit=entry.unit,
        description=entry.brief,
        source=(metric, instrument),
        rule=rule,
        series={'exporter="otlp"': Number(value)},
    )


def test_each_of_the_three_makes_telemetry_unwell() -> None:
    """An exporter that is down, an error of the archive, a pipeline that stands still."""
    sick = {"delivery.state": 0, "archive.errors": 1, "pipeline.progress.age": 1e6}

    found = {name: health.examine([family(name, value)]) for name, value in sick.items()}

    assert {name: len(each.problems) for name, each in found.items()} == dict.fromkeys(sick, 1)
    well = {"delivery.state": 1, "archive.errors": 0, "pipeline.progress.age": 1}
    assert health.examine([family(name, value) for name, value in well.items()]).ok
