"""Sources of catalog files, of metrics of one's own and of the built-in ones."""
# ruff: noqa: E501  # a case a line, so that the tables can be read as tables

from pathlib import Path

import msgspec
import pytest

from otel_metrics.catalog import Catalog, InvalidCatalogError, builtin, load
from otel_metrics.catalog.model import Band, Bands, Playbooks, Source

OWN = """\
file_format: definition/2
metrics:
  - name: shop.queue
    instrument: gauge
    unit: "{order}"
    brief: Orders that wait.
    stability: development
    attributes: [{ref: service.resource.id}]
    annotations:
      source: SOURCE
"""
REFINED = """\
file_format: definition/2
metric_refinements:
  - id: shop.refined
    ref: METRIC
    annotations: ANNOTATIONS
"""


def loaded(text: str, folder: Path) -> Catalog:
    path = folder / "shop.yaml"
    path.write_text(text, encoding="utf-8")
    return load(path, into=builtin(), name_of=lambda name, *_: name.replace(".", "_"))


def problems(text: str, folder: Path) -> list[str]:
    with pytest.raises(InvalidCatalogError) as caught:
        loaded(text, folder)
    return [str(problem).removeprefix(f"{folder}/shop.yaml:") for problem in caught.value.problems]


def refined(metric: str, annotations: str) -> str:
    return REFINED.replace("METRIC", metric).replace("ANNOTATIONS", annotations)


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ("{type: callable, interval: 30, scope: shop}", Source(type="callable", interval_s=30, scope="shop")),
        ("{type: callable, interval: 2s, scope: shop}", Source(type="callable", interval_s=2, timeout_s=2, scope="shop")),
        (
            "{type: host, statistic: disk, interval: 1d, timeout: 1m, scope: volume, aggregation: max}",
            Source(type="host", statistic="disk", interval_s=86_400, timeout_s=60, scope="volume", aggregation="max"),
        ),
        (
            "{type: http_server, statistic: saturation, capacity: 8, interval: 60s, scope: service}",
            Source(type="http_server", statistic="saturation", capacity=8, interval_s=60, scope="service"),
        ),
        (
            '{type: prometheus, query: "sum(up)", url_variable: SHOP_URL, interval: 1m, scope: shop}',
            Source(type="prometheus", query="sum(up)", url_variable="SHOP_URL", interval_s=60, scope="shop"),
        ),
    ],
)  # fmt: skip
def test_each_type_says_what_it_needs(said: str, expected: Source, tmp_path: Path) -> None:
    """The timeout is 5 s, or the interval where that is shorter."""
    assert loaded(OWN.replace("SOURCE", said), tmp_path).metrics["shop.queue"].source == expected


@pytest.mark.parametrize(
    ("said", "problem"),
    [
        ("{}", ".type: is missing; add type: one of host, http_server, sql, prometheus, callable"),
        ("{type: mysql, interval: 1m, scope: shop}", ".type: 'mysql' is not one of host, http_server, sql, prometheus, callable; did you mean 'sql'?"),
        ("{type: callable, scope: shop}", ".interval: is missing; add the time between two samples, as 60s"),
        ("{type: callable, interval: 500ms, scope: shop}", ".interval: is no time from 1s to 1d; write such as 30s or 5m"),
        ("{type: callable, interval: 25h, scope: shop}", ".interval: is no time from 1s to 1d; write such as 30s or 5m"),
        ("{type: callable, interval: soon, scope: shop}", ".interval: is no time from 1s to 1d; write such as 30s or 5m"),
        ("{type: callable, interval: 1m, timeout: 61s, scope: shop}", ".timeout: is no time up to the interval, 60s; write a shorter one, such as 500ms or 5s"),
        ("{type: callable, interval: 1m, timeout: 0, scope: shop}", ".timeout: is no time up to the interval, 60s; write a shorter one, such as 500ms or 5s"),
        ("{type: callable, interval: 1m}", ".scope: is missing; say what a value is of, such as host or queue"),
        ("{type: callable, interval: 1m, scope: My Shop}", ".scope: 'My Shop' is no scope; use small letters, digits and '_', a letter first, at most 63 characters"),
        ("{type: callable, interval: 1m, scope: shop, aggregation: mean}", ".aggregation: 'mean' is not one of avg, max, min, sum, p95; choose one"),
        ("{type: callable, interval: 1m, scope: shop, inteval: 1m}", ".inteval: is no known key; did you mean 'interval'?"),
        ("{type: sql, interval: 1m, scope: shop}", ".query: is missing; add query: one SELECT"),
        ("{type: prometheus, interval: 1m, scope: shop}", ".query: is missing; add query: an expression of PromQL"),
        ("{type: callable, interval: 1m, scope: shop, query: SELECT 1}", ".query: is for sql and prometheus, and this is callable; remove it"),
        ("{type: host, statistic: cpu, interval: 1m, scope: host, url_variable: A}", ".url_variable: is for sql and prometheus, and this is host; remove it"),
        ("{type: sql, interval: 1m, scope: shop, query: DELETE FROM orders}", ".query: is no SELECT; begin it with SELECT or WITH: a source only reads"),
        ("{type: sql, interval: 1m, scope: shop, query: SELECT 1; DELETE FROM orders}", ".query: has more than one statement; keep one SELECT, without ';' in it"),
        ("{type: sql, interval: 1m, scope: shop, query: SELECT 1, url_variable: postgresql://a}", ".url_variable: is no name of a variable; name the environment variable that holds the URL, such as ORDERS_DB_URL"),
        (f"{{type: sql, interval: 1m, scope: shop, query: SELECT {'1' * 10_000}}}", ".query: has 10007 characters; use 10000 at most"),
        ("{type: host, interval: 1m, scope: host}", ".statistic: is missing; add statistic: one of cpu, memory, disk"),
        ("{type: host, statistic: latency_p95, interval: 1m, scope: host}", ".statistic: 'latency_p95' is not one of cpu, memory, disk; choose one"),
        ("{type: http_server, statistic: cpu, interval: 1m, scope: host}", ".statistic: 'cpu' is not one of latency_p95, error_ratio, request_rate, saturation; choose one"),
        ("{type: sql, interval: 1m, scope: shop, query: SELECT 1, statistic: cpu}", ".statistic: is for host and http_server, and this is sql; remove it"),
        ("{type: http_server, statistic: saturation, interval: 1m, scope: service}", ".capacity: is missing; add the number of requests at once that are 100 %"),
        ("{type: http_server, statistic: saturation, capacity: 0, interval: 1m, scope: service}", ".capacity: is no number of requests; make it greater than 0"),
        ("{type: http_server, statistic: error_ratio, capacity: 8, interval: 1m, scope: service}", ".capacity: is for saturation, and this is error_ratio; remove it"),
    ],
)  # fmt: skip
def test_what_cannot_be_asked_is_refused(said: str, problem: str, tmp_path: Path) -> None:
    """With line, key and remedy."""
    found = problems(OWN.replace("SOURCE", said), tmp_path)

    assert found == [f"10: metrics[shop.queue].annotations.source{problem}"]


def test_a_word_is_no_source(tmp_path: Path) -> None:
    """Where values come from is more than a name."""
    first, *_ = problems(OWN.replace("SOURCE", "sql"), tmp_path)

    assert first == (
        "10: metrics[shop.queue].annotations.source: is 'sql', a text; "
        "make it a mapping of keys and values"
    )


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        ("[{ref: service.resource.id}]", "[]", "10: metrics[shop.queue].annotations.source: needs the attribute service.resource.id, which says what a value is of; add `- ref: service.resource.id` under attributes"),
        ("instrument: gauge", "instrument: counter", "10: metrics[shop.queue].annotations.source: is for a gauge, and this is a counter; remove it"),
        ("annotations:\n", "annotations:\n      observable: false\n", "10: metrics[shop.queue].annotations.observable: is false, and the source is asked; remove it"),
        ("annotations:\n", "annotations:\n      playbooks: {warning: scale-workers}\n", "10: metrics[shop.queue].annotations.playbooks: without a source and bands nothing recommends them; add what is missing, or remove them"),
        ("annotations:\n", "annotations:\n      bands: {good: {upper: 1}, critical: {lower: 2}}\n      playbooks: {warning: scale-worker}\n", "11: metrics[shop.queue].annotations.playbooks.warning: there is no playbook 'scale-worker'; did you mean 'scale-workers'?"),
        ("annotations:\n", "annotations:\n      bands: {good: {upper: 1}, critical: {lower: 2}}\n      playbooks: {critical: dance}\n", "11: metrics[shop.queue].annotations.playbooks.critical: there is no playbook 'dance'; define it under playbooks"),
    ],
)  # fmt: skip
def test_a_metric_that_cannot_have_it_is_refused(
    old: str, new: str, problem: str, tmp_path: Path
) -> None:
    """What would have no effect, or would show the values of all resources as one."""
    text = OWN.replace("SOURCE", "{type: callable, interval: 1m, scope: shop}").replace(old, new)

    assert problems(text, tmp_path) == [problem]


@pytest.mark.parametrize(
    ("metric", "said", "changes"),
    [
        ("infra.cpu_utilization", "{interval: 1s}", {"interval_s": 1.0, "timeout_s": 1.0}),
        ("api.saturation", "{capacity: 200}", {"capacity": 200.0}),
        ("executor.queue_depth", "{query: SELECT 3}", {"query": "SELECT 3"}),
        ("executor.queue_depth", "{url_variable: JOBS_URL}", {"url_variable": "JOBS_URL"}),
        ("executor.queue_depth", "{type: callable}", {"type": "callable", "query": None}),
        ("infra.disk_usage", "{type: prometheus, query: disk}", {"type": "prometheus", "query": "disk", "statistic": None}),
        ("learning.collector_health", "{scope: agent}", {"scope": "agent"}),
    ],
)  # fmt: skip
def test_a_deployment_says_where_built_in_values_come_from(
    metric: str, said: str, changes: dict[str, object], tmp_path: Path
) -> None:
    """What is not said is as it was; the metric itself stays what it is."""
    before = builtin().metrics[metric]
    assert before.source is not None

    after = loaded(refined(metric, f"{{source: {said}}}"), tmp_path).metrics[metric]

    source = msgspec.structs.replace(before.source, **changes)
    assert after == msgspec.structs.replace(before, source=source)


def test_a_deployment_says_what_is_good_and_what_to_do(tmp_path: Path) -> None:
    """Bands and playbooks replace the built-in ones."""
    bands = "bands: {good: {upper: 50}, critical: {lower: 90}}"
    text = refined("infra.cpu_utilization", f"{{{bands}, playbooks: {{critical: shift-load}}}}")

    after = loaded(text, tmp_path).metrics["infra.cpu_utilization"]

    assert after == msgspec.structs.replace(
        builtin().metrics["infra.cpu_utilization"],
        bands=Bands(good=Band(upper=50), critical=Band(lower=90)),
        playbooks=Playbooks(critical="shift-load"),
    )


def test_a_metric_that_is_recorded_may_have_other_bands(tmp_path: Path) -> None:
    """Its panel turns red there; nothing samples it, and so it recommends nothing."""
    text = refined(
        "system.cpu.utilization", "{bands: {good: {upper: 0.5}, critical: {lower: 0.9}}}"
    )

    after = loaded(text, tmp_path).metrics["system.cpu.utilization"]

    assert after.bands == Bands(good=Band(upper=0.5), critical=Band(lower=0.9))


@pytest.mark.parametrize(
    ("metric", "annotations", "problem"),
    [
        ("executor.queue_depth", "{merge: sum}", ".merge: is no known key; known keys: bands, playbooks, source"),
        ("executor.queue_depth", "{source: {type: prometheus}}", ".source.query: is missing; add query: an expression of PromQL"),
        ("executor.queue_depth", "{source: {query: DROP TABLE tasks}}", ".source.query: is no SELECT; begin it with SELECT or WITH: a source only reads"),
        ("api.error_rate", "{source: {type: http_server, capacity: 3}}", ".source.capacity: is for saturation, and this is error_ratio; remove it"),
        ("api.error_rate", "{source: {statistic: saturation}}", ".source.capacity: is missing; add the number of requests at once that are 100 %"),
        ("system.cpu.utilization", "{source: {type: callable, interval: 1m, scope: host}}", ".source: 'system.cpu.utilization' has none: what it counts is recorded; remove it, or declare a metric of your own"),
        ("skill.executions", "{playbooks: {warning: scale-workers}}", ".playbooks: without a source and bands nothing recommends them; add what is missing, or remove them"),
        ("executor.queue_depth", "{bands: {good: {upper: 80}, critical: {lower: 75}}}", ".bands.critical: crosses good: both have the values from 75 to 80; move a bound, so that good ends where it begins"),
    ],
)  # fmt: skip
def test_a_refinement_that_does_not_hold_is_refused(
    metric: str, annotations: str, problem: str, tmp_path: Path
) -> None:
    """As what is declared anew is."""
    found = problems(refined(metric, annotations), tmp_path)

    assert found == [f"5: metric_refinements[shop.refined].annotations{problem}"]
