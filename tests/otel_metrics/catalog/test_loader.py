"""A user's catalog file: what it may add, and every way in which it can be wrong."""
# ruff: noqa: E501  # a case a line, so that the tables can be read as tables

import textwrap
from pathlib import Path

import msgspec
import pytest

from otel_metrics.catalog import Catalog, InvalidCatalogError, Metric, builtin, load
from otel_metrics.errors import CatalogError

VALID = """\
file_format: definition/2
attributes:
  - key: shop.region
    type: string
    brief: Region of the order.
    stability: development
metrics:
  - name: shop.orders
    instrument: counter
    unit: "{order}"
    brief: Orders.
    stability: development
    attributes:
      - ref: shop.region
        requirement_level: required
"""


def name_of(name: str, unit: str, instrument: str) -> str:
    """Stand in for the exporter's naming: these tests are about the file, not about names."""
    suffix = {"s": "_seconds", "By": "_bytes"}.get(unit, "")
    total = "_total" if instrument == "counter" else ""
    return f"{name.replace('.', '_').replace('-', '_')}{suffix}{total}"


def loaded(text: str, folder: Path) -> Catalog:
    path = folder / "shop.yaml"
    path.write_text(text, encoding="utf-8")
    return load(path, into=builtin(), name_of=name_of)


def problems(text: str, folder: Path) -> list[str]:
    with pytest.raises(InvalidCatalogError) as caught:
        loaded(text, folder)
    return [str(problem).removeprefix(f"{folder}/") for problem in caught.value.problems]


def in_metric(lines: str, *, base: str = VALID) -> str:
    """Add keys to the one metric of the valid file; they begin on line 16."""
    return base + textwrap.indent(textwrap.dedent(lines).strip("\n"), "    ") + "\n"


def test_a_file_adds_to_what_is_built_in(tmp_path: Path) -> None:
    """The metric has the defaults that it does not name, and nothing built in is gone."""
    catalog = loaded(VALID, tmp_path)

    assert catalog.metrics["shop.orders"] == Metric(
        name="shop.orders",
        instrument="counter",
        unit="{order}",
        brief="Orders.",
        domain="shop",
        attributes=("shop.region",),
        levels={"shop.region": "required"},
        prometheus="shop_orders_total",
        value_type="double",
    )
    assert catalog.metrics.keys() - {"shop.orders"} == builtin().metrics.keys()
    assert "shop.orders" not in builtin().metrics


def test_every_annotation_reaches_the_metric(tmp_path: Path) -> None:
    """What a file says of exposing, keeping, merging and judging is kept."""
    text = """\
        file_format: definition/2
        metrics:
          - name: shop.queue
            instrument: gauge
            unit: "{order}"
            brief: Orders that wait.
            stability: stable
            attributes: [{ref: service.resource.id}]
            annotations:
              prometheus: shop_queue
              value_type: int
              merge: sum
              series_budget: 10
              ttl: 5m
              bands:
                good: {upper: 25}
                critical: {lower: 75}
              playbooks: {warning: scale-workers, critical: spawn-emergency-shard}
              source:
                type: sql
                interval: 30s
                timeout: 500ms
                aggregation: max
                scope: queue
                unit_name: count
                url_variable: SHOP_DB_URL
                query: |-
                  -- all that wait
                  SELECT count(*) FROM orders
        """

    metric = loaded(textwrap.dedent(text), tmp_path).metrics["shop.queue"]

    assert msgspec.to_builtins(metric) == {
        "name": "shop.queue",
        "instrument": "gauge",
        "unit": "{order}",
        "brief": "Orders that wait.",
        "domain": "shop",
        "prometheus": "shop_queue",
        "value_type": "int",
        "merge": "sum",
        "series_budget": 10,
        "ttl_s": 300.0,
        "bands": {"good": {"upper": 25.0}, "critical": {"lower": 75.0}},
        "playbooks": {"warning": "scale-workers", "critical": "spawn-emergency-shard"},
        "source": {
            "type": "sql",
            "interval_s": 30.0,
            "timeout_s": 0.5,
            "aggregation": "max",
            "scope": "queue",
            "unit_name": "count",
            "url_variable": "SHOP_DB_URL",
            "query": "-- all that wait\nSELECT count(*) FROM orders",
        },
        "attributes": ("service.resource.id",),
        "levels": {"service.resource.id": "recommended"},
        "observable": True,
        "stability": "stable",
    }


def test_a_built_in_metric_takes_more_attributes(tmp_path: Path) -> None:
    """`metric_refinements` extends, and changes nothing else."""
    text = VALID + textwrap.dedent("""\
        metric_refinements:
          - id: shop.skill.executions
            ref: skill.executions
            attributes:
              - ref: shop.region
        """)
    before = builtin().metrics["skill.executions"]

    after = loaded(text, tmp_path).metrics["skill.executions"]

    assert after == msgspec.structs.replace(
        before,
        attributes=(*before.attributes, "shop.region"),
        levels={**before.levels, "shop.region": "recommended"},
    )


def test_an_event_may_carry_what_no_metric_may(tmp_path: Path) -> None:
    """Structures belong into events."""
    text = VALID + textwrap.dedent("""\
        events:
          - name: shop.order
            brief: An order came.
            stability: development
            attributes:
              - ref: shop.region
              - ref: metadata
        """)

    assert loaded(text, tmp_path).events["shop.order"].attributes == ("shop.region", "metadata")


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        ("definition/2", "definition/1", "1: file_format: 'definition/1' is not read; write definition/2"),
        ("file_format: definition/2\n", "", "1: file_format: is missing; add file_format: definition/2"),
        ("metrics:", "metrcs:", "7: metrcs: is no known key; did you mean 'metrics'?"),
        ("metrics:", "spans:", "7: spans: is no known key; known keys: attributes, events, file_format, metric_refinements, metrics, playbooks"),
        ("    type: string", "    type: strin", "4: attributes[shop.region].type: 'strin' is not one of string, int, double, boolean, string[], int[], double[], boolean[], any; did you mean 'string'?"),
        ("    type: string\n", "", "3: attributes[shop.region].type: is missing; add type: one of string, int, double, boolean, string[], int[], double[], boolean[], any"),
        ("    type: string", "    type: {members: []}", "4: attributes[shop.region].type.members: is missing; list the values that the attribute may have"),
        ("    type: string", "    type: {members: [{id: a}, {id: b, value: a}]}", "4: attributes[shop.region].type.members: 'a' is there twice; keep one of both"),
        ("    type: string", "    type: {members: [{id: a, value: 0.5}]}", "4: attributes[shop.region].type.members[0].value: is no text and no whole number; quote it"),
        ("    type: string", "    type: any", "14: metrics[shop.orders].attributes[0].ref: 'shop.region' is of type any, which no metric can carry; refer to it in an event"),
        ("key: shop.region", "key: gen_ai.agent.name", "3: attributes[gen_ai.agent.name].key: the attribute 'gen_ai.agent.name' is built in and cannot be redefined; remove it: a ref finds the one that is built in"),
        ("    unit: \"{order}\"\n", "", "8: metrics[shop.orders].unit: is missing; add the unit, such as s, By, 1 or \"{request}\""),
        ("\"{order}\"", "seconds", "10: metrics[shop.orders].unit: 'seconds' is no code; write 's', as UCUM has it"),
        ("\"{order}\"", "per day", "10: metrics[shop.orders].unit: 'per day' is no unit; use at most 63 printable ASCII characters and no spaces"),
        ("\"{order}\"", "1", "10: metrics[shop.orders].unit: is 1; make it text, in quotes"),
        ("    brief: Orders.\n", "", "8: metrics[shop.orders].brief: is missing; say in one sentence what is measured"),
        ("brief: Orders.", "breif: Orders.", "11: metrics[shop.orders].breif: is no known key; did you mean 'brief'?"),
        ("brief: Orders.", "brief: [Orders]", "11: metrics[shop.orders].brief: is a list; make it text, in quotes"),
        ("    brief: Orders.\n    stability: development\n", "    brief: Orders.\n", "8: metrics[shop.orders].stability: is missing; add stability: one of development, alpha, beta, release_candidate, stable, deprecated"),
        ("counter", "conter", "9: metrics[shop.orders].instrument: 'conter' is not one of counter, updowncounter, gauge, histogram; did you mean 'counter'?"),
        ("counter", "summary", "9: metrics[shop.orders].instrument: 'summary' is not one of counter, updowncounter, gauge, histogram; choose one"),
        ("counter", "histogram", "8: metrics[shop.orders].annotations.buckets: a histogram without buckets; add annotations.buckets: the upper bounds in the metric's unit, ascending"),
        ("name: shop.orders", "name: skill.executions", "8: metrics[skill.executions].name: the metric 'skill.executions' is built in and cannot be redefined; choose another name, or refine it under metric_refinements"),
        ("name: shop.orders", "name: skill.execution_s", None),
        ("name: shop.orders", "name: skill-executions", "8: metrics[skill-executions].name: skill_executions_total in Prometheus is 'skill.executions' already; choose another name"),
        ("name: shop.orders", "name: 9lives", "8: metrics[9lives].name: '9lives' is no name; use letters, digits, '.', '_' and '-', a letter first, at most 255 characters"),
        ("name: shop.orders", "nam: shop.orders", "8: metrics[0].nam: is no known key; did you mean 'name'?"),
        ("ref: shop.region", "ref: shop.regoin", "14: metrics[shop.orders].attributes[0].ref: there is no attribute 'shop.regoin'; did you mean 'shop.region'?"),
        ("ref: shop.region", "ref: zzz", "14: metrics[shop.orders].attributes[0].ref: there is no attribute 'zzz'; define it under attributes, or see `catalog list`"),
        ("ref: shop.region", "ref_group: shop", "14: metrics[shop.orders].attributes[0].ref: is missing; name the key of an attribute"),
        ("requirement_level: required", "requirement_level: requird", "15: metrics[shop.orders].attributes[0].requirement_level: 'requird' is not one of required, recommended, opt_in; did you mean 'required'?"),
        ("requirement_level: required", "requirement_level: {sometimes: x}", "15: metrics[shop.orders].attributes[0].requirement_level.sometimes: is no known key; known keys: conditionally_required, opt_in, recommended"),
        ("  - name: shop.orders\n", "  - name: shop.orders\n    name: twice\n", "9: metrics[0]: the key 'name' is there twice (first on line 8); keep one of both"),
        ("brief: Orders.", "brief: &anchor Orders.", "11: metrics[0].brief: the anchor &anchor; write the value out where it is used"),
    ],
)  # fmt: skip
def test_a_wrong_key_is_named_with_line_and_remedy(
    old: str, new: str, problem: str | None, tmp_path: Path
) -> None:
    """The reader of the message finds the place and knows what to do."""
    text = VALID.replace(old, new, 1)

    if problem is None:
        assert loaded(text, tmp_path)
    else:
        assert f"shop.yaml:{problem}" in problems(text, tmp_path)


@pytest.mark.parametrize(
    ("annotation", "problem"),
    [
        ("bucket: [1]", "bucket: is no known key; did you mean 'buckets'?"),
        ("prometheus: shop_orders", "prometheus: 'shop_orders' is not what it is exposed as; write shop_orders_total, or leave it out"),
        ("value_type: integer", "value_type: 'integer' is not one of int, double; choose one"),
        ("value_type: float", "value_type: 'float' is not one of int, double; choose one"),
        ("buckets: [1, 2]", "buckets: is for a histogram, and this is a counter; remove it"),
        ("merge: sum", "merge: is sum, and what processes count is added; remove it; max is for a total that every process reads"),
        ("ttl: 5m", "ttl: is for a gauge, and this is a counter; remove it"),
        ("series_budget: 0", "series_budget: is no number of attribute sets; write a whole number from 1 to 1000000"),
        ("series_budget: -1", "series_budget: is no number of attribute sets; write a whole number from 1 to 1000000"),
        ("series_budget: 2.5", "series_budget: is no number of attribute sets; write a whole number from 1 to 1000000"),
        ("series_budget: true", "series_budget: is no number of attribute sets; write a whole number from 1 to 1000000"),
        ("series_budget: many", "series_budget: is no number of attribute sets; write a whole number from 1 to 1000000"),
        ("observable: maybe", "observable: is 'maybe', a text; write true or false"),
        ("source: 3", "source: is for a gauge, and this is a counter; remove it"),
        ("bands: {good: {upper: 1}}", "bands.critical: is missing; give its lower or its upper bound"),
        ("bands: {good: {upper: 1}, critical: {}}", "bands.critical: has no bound; give its lower or its upper bound"),
        ("bands: {good: {lower: 2, upper: 1}, critical: {lower: 3}}", "bands.good: lower is above upper; swap them"),
        ("bands: {good: {upper: high}, critical: {lower: 3}}", "bands.good.upper: is 'high', a text; make it a finite number"),
        ("bands: {good: {upper: .inf}, critical: {lower: 3}}", "bands.good.upper: is inf; make it a finite number"),
        ("bands: 3", "bands: is 3; make it a mapping of keys and values"),
        ("playbooks: {waning: x}", "playbooks.waning: is no known key; did you mean 'warning'?"),
    ],
)  # fmt: skip
def test_a_wrong_annotation_is_named_with_line_and_remedy(
    annotation: str, problem: str, tmp_path: Path
) -> None:
    """Our own keys are checked like those of the conventions."""
    found = problems(in_metric(f"annotations:\n  {annotation}"), tmp_path)

    assert f"shop.yaml:17: metrics[shop.orders].annotations.{problem}" in found


@pytest.mark.parametrize(
    ("buckets", "problem"),
    [
        ("[]", "a histogram without buckets"),
        ("3", "is 3; make it a list"),
        ("[1, 3, 2]", "the bounds do not ascend; sort them, each once"),
        ("[1, 1]", "the bounds do not ascend; sort them, each once"),
        ("[1, .inf]", "a bound is no finite number; leave +Inf out: it is implied"),
        ("[1, .nan]", "a bound is no finite number"),
        ("[1, two]", "a bound is no finite number"),
        ("[true, 2]", "a bound is no finite number"),
        (str(list(range(201))), "201 bounds; keep at most 200"),
    ],
)
def test_wrong_buckets_are_refused(buckets: str, problem: str, tmp_path: Path) -> None:
    """A histogram with useless buckets would only show later, in a flat quantile."""
    base = VALID.replace("counter", "histogram")

    found = problems(in_metric(f"annotations:\n  buckets: {buckets}", base=base), tmp_path)

    assert any(f".annotations.buckets: {problem}" in line for line in found)


@pytest.mark.parametrize("ttl", ["0", "-5", "soon", "5 parsecs", "true", ".inf", "400d", "[]"])
def test_a_time_that_is_none_is_refused(ttl: str, tmp_path: Path) -> None:
    """A gauge that never expires, or at once, must be asked for in so many words."""
    base = VALID.replace("counter", "gauge")

    (found,) = problems(in_metric(f"annotations:\n  ttl: {ttl}", base=base), tmp_path)

    assert found.startswith("shop.yaml:17: metrics[shop.orders].annotations.ttl: is no time; write")


@pytest.mark.parametrize(
    ("ttl", "seconds"),
    [("90", 90.0), ("1.5", 1.5), ("250ms", 0.25), ("2 h", 7200.0), ("1d", 86400.0)],
)
def test_a_time_has_a_unit_or_is_in_seconds(ttl: str, seconds: float, tmp_path: Path) -> None:
    """Both spellings mean what they say."""
    base = VALID.replace("counter", "gauge")

    catalog = loaded(in_metric(f"annotations:\n  ttl: {ttl}", base=base), tmp_path)

    assert catalog.metrics["shop.orders"].ttl_s == seconds


@pytest.mark.parametrize(
    ("refinement", "problem"),
    [
        ("{id: a, ref: skill.execution, attributes: []}", "ref: there is no metric 'skill.execution'; did you mean 'skill.executions'?"),
        ("{id: a, attributes: []}", "ref: is missing; name the metric that is refined"),
        ("{id: a, ref: skill.executions, unit: s}", "unit: is no known key; known keys: annotations, attributes, id, ref"),
        ("{id: a, ref: skill.executions, attributes: [{ref: error.type}]}", "attributes[0].ref: 'error.type' is there already; remove it"),
        ("{id: a, ref: skill.executions, attributes: [{ref: metadata}]}", "attributes[0].ref: 'metadata' is of type any, which no metric can carry; refer to it in an event"),
    ],
)  # fmt: skip
def test_a_refinement_redefines_nothing(refinement: str, problem: str, tmp_path: Path) -> None:
    """A built-in metric means the same to everybody who charts it."""
    found = problems(f"{VALID}metric_refinements:\n  - {refinement}\n", tmp_path)

    assert f"shop.yaml:17: metric_refinements[a].{problem}" in found


@pytest.mark.parametrize(
    ("key", "problem"),
    [
        ("shop-region", "'shop-region' is there already as 'shop.region'; remove it"),
        ("le", "'le' is a label with a meaning; choose another key"),
    ],
)
def test_labels_that_would_clash_are_refused(key: str, problem: str, tmp_path: Path) -> None:
    """Two attributes under one label, or a label of the page's own, would falsify a series."""
    definition = f"  - {{key: {key}, type: string, brief: X., stability: development}}\nmetrics:"
    text = VALID.replace("metrics:", definition) + f"      - ref: {key}\n"

    (found,) = problems(text, tmp_path)

    assert found == f"shop.yaml:17: metrics[shop.orders].attributes[1].ref: {problem}"


def test_a_name_that_translators_render_differently_is_refused(tmp_path: Path) -> None:
    """What the exporter's naming finds wrong with a name is said at that name."""
    path = tmp_path / "shop.yaml"
    path.write_text(VALID, encoding="utf-8")

    with pytest.raises(CatalogError, match=r"shop.yaml:8: metrics\[shop.orders\].name: is odd"):
        load(path, into=builtin(), name_of=name_of, problem_of=lambda *_: "is odd")


def test_a_name_may_be_defined_once(tmp_path: Path) -> None:
    """The message says where the first one is."""
    twice = VALID + VALID.partition("metrics:\n")[2]

    (found,) = problems(twice, tmp_path)

    assert found.endswith(f"is there already, at {tmp_path}/shop.yaml:8; keep one")


def test_every_problem_is_named_in_one_run(tmp_path: Path) -> None:
    """Nobody has to correct one mistake to be told of the next; they come in order of lines."""
    text = VALID.replace("Orders.", "").replace("counter", "conter").replace("string", "strng")

    lines = [found.split(":")[1] for found in problems(text, tmp_path)]

    assert lines == ["4", "9", "11"]


def test_a_flood_of_problems_is_cut_off(tmp_path: Path) -> None:
    """A file that is wrong throughout costs a hundred messages, not minutes."""
    text = VALID + "".join(f"      - ref: shop.regoin{number}\n" for number in range(20_000))

    assert len(problems(text, tmp_path)) == 100


@pytest.mark.parametrize(
    "text",
    ["", "[]", "text", "metrics", "file_format: definition/2\nmetrics: 3\n", "- a: b",
     "file_format: definition/2\nmetrics: [3]\n", "file_format: definition/2\nattributes: [[]]\n",
     "file_format: [definition/2]\n", "file_format: definition/2\n\"\\e[31m\": 1\n"],
)  # fmt: skip
def test_any_other_shape_is_a_problem_and_no_crash(text: str, tmp_path: Path) -> None:
    """A file that is something else altogether is refused like a typo, in printable text."""
    found = problems(text, tmp_path)

    assert found
    assert all(line.isprintable() for line in found)


def test_a_missing_file_is_a_catalog_error(tmp_path: Path) -> None:
    """A path that is wrong is reported like a file that is wrong."""
    with pytest.raises(CatalogError, match=r"absent.yaml: cannot be read: No such file"):
        load(tmp_path / "absent.yaml", into=builtin(), name_of=name_of)
