"""The part of the metrics' page that says where values come from, which are good, and what to do
when they are not; and the page of playbooks. Pure."""

from collections.abc import Iterable, Iterator
from typing import Final

from otel_metrics.catalog.model import Band, Catalog, Metric, Parameter, Playbook, Source
from otel_metrics.render.markdown import GENERATED, code, codes, number, page, table

__all__ = ["judged", "playbooks_page"]

RISKS: Final = ("low", "medium", "high", "critical")
_JUDGED: Final = """\
A value is good when it is within the good band, else critical when it is within the critical one, else a warning; a band has its bounds in it.
Of a metric with a [source](#sources), three samples in a row at warning recommend the first playbook, three at critical the second.
[Playbooks](playbooks.md) are bound to actions by the operator; an unbound one only notifies.
"""  # noqa: E501  # a sentence a line
_SOURCES: Final = """\
A source is asked each interval, and a sample takes the timeout at most; what does not come in time is missing, and counted in `service.source.errors`.
"""  # noqa: E501  # a sentence a line
_QUERIES: Final = """\
They are for the schema in `examples/service_telemetry`; for another, say your query under `metric_refinements`.
`:now` is the time, `:since` 5 minutes before it, both in UTC; a column called `oldest_at` is a time, of which the source makes an age in seconds.
"""  # noqa: E501  # a sentence a line
_PLAYBOOKS: Final = """\
What can be done about a metric out of its band.
What a playbook does is bound by the operator in the file that `OTEL_PYTHON_METRICS_PLAYBOOKS` names; one that is not bound notifies, and nothing else.
The risk decides the tier, and whether a person must agree each time.
The metric is looked at after the action: it must be back in its band within the time of the last column.
"""  # noqa: E501  # a sentence a line


def judged(catalog: Catalog) -> list[str]:
    """Return the section of bands and the section of sources, none where nothing has them."""
    return [*_bands(catalog), *_sources(catalog)]


def playbooks_page(catalog: Catalog) -> str:
    """Return the page of every playbook, by risk."""
    lines = ["# Playbooks", "", GENERATED, "", _PLAYBOOKS]
    for risk in RISKS:
        found = [playbook for playbook in catalog.playbooks.values() if playbook.risk == risk]
        if found:
            agreed = "a person agrees each time" if found[0].needs_approval else "no approval"
            head = ("Playbook", "What it does", "Parameters", "Recommended for", "Within")
            rows = (_playbook_row(playbook, catalog.metrics.values()) for playbook in found)
            title = f"## {risk.capitalize()} risk: tier {found[0].tier}, {agreed}"
            lines += [title, "", *table(head, rows), ""]
    return page(lines)


def _bands(catalog: Catalog) -> list[str]:
    metrics = [metric for metric in catalog.metrics.values() if metric.bands is not None]
    if not metrics:
        return []
    head = ("Metric", "Unit", "Good", "Critical", "At warning", "At critical")
    return ["## Bands and playbooks", "", _JUDGED, *table(head, map(_bands_row, metrics)), ""]


def _sources(catalog: Catalog) -> list[str]:
    asked = [(metric, metric.source) for metric in catalog.metrics.values() if metric.source]
    if not asked:
        return []
    head = ("Metric", "Source", "Of a", "Interval", "Timeout", "Figure of a window", "Unit")
    rows = (_source_row(metric, source) for metric, source in asked)
    return ["## Sources", "", _SOURCES, *table(head, rows), "", *_queries(asked)]


def _bands_row(metric: Metric) -> tuple[str, ...]:
    bands, playbooks = metric.bands, metric.playbooks
    return (
        code(metric.name),
        code(metric.unit),
        _band(bands.good) if bands else "",
        _band(bands.critical) if bands else "",
        code(playbooks.warning or "") if playbooks else "",
        code(playbooks.critical or "") if playbooks else "",
    )


def _band(band: Band) -> str:
    lower, upper = band.lower, band.upper
    if upper is None:
        return "" if lower is None else f"≥ {number(lower)}"
    if lower is None:
        return f"≤ {number(upper)}"
    if lower > upper:
        return f"≥ {number(lower)} or ≤ {number(upper)}"
    return f"{number(lower)} to {number(upper)}"


def _source_row(metric: Metric, source: Source) -> tuple[str, ...]:
    kind = code(source.type)
    if source.statistic:
        kind += f": {code(source.statistic)}"
    if source.capacity is not None:
        kind += f" of {number(source.capacity)}"
    if source.type == "prometheus":
        kind += f": {code(source.query or '')}"
    if source.url_variable:
        kind += f", at {code(source.url_variable)}"
    return (
        code(metric.name),
        kind,
        code(source.scope),
        f"{number(source.interval_s)} s",
        f"{number(source.timeout_s)} s",
        code(source.aggregation),
        code(source.unit_name),
    )


def _queries(with_source: Iterable[tuple[Metric, Source]]) -> list[str]:
    asked = [(metric, source.query) for metric, source in with_source if source.type == "sql"]
    if not asked:
        return []
    lines = ["The queries of the `sql` sources.", *_QUERIES.splitlines(), "", "```sql"]
    for metric, query in asked:
        lines += [f"-- {metric.name}", *(query or "").splitlines(), ""]
    return [*lines[:-1], "```", ""]


def _playbook_row(playbook: Playbook, metrics: Iterable[Metric]) -> tuple[str, ...]:
    verified = f", by {code(playbook.verifies)}" if playbook.verifies else ""
    return (
        code(playbook.id),
        playbook.brief,
        "; ".join(map(_parameter, playbook.parameters)),
        codes(_recommending(playbook, metrics)),
        f"{number(playbook.within_s)} s{verified}",
    )


def _recommending(playbook: Playbook, metrics: Iterable[Metric]) -> Iterator[str]:
    for metric in metrics:
        named = metric.playbooks
        if named and playbook.id in (named.warning, named.critical):
            yield metric.name


def _parameter(parameter: Parameter) -> str:
    if parameter.choices:
        takes = f"one of {codes(parameter.choices)}"
    elif parameter.pattern:
        takes = f"matches {code(parameter.pattern)}"
    else:
        low, high = parameter.minimum, parameter.maximum
        bounds = [number(bound) for bound in (low, high) if bound is not None]
        takes = f"{parameter.type}, {' to '.join(bounds)}"
    default = parameter.default
    given = "to be given" if default is None else f"default {code(str(default))}"
    return f"{code(parameter.name)} {parameter.brief.rstrip('.')} ({takes}; {given})"
