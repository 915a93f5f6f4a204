"""The compiled form: what the YAML says, and what any catalog becomes and comes back as."""

import json
import math
from pathlib import Path
from typing import Any

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from otel_metrics.catalog import Catalog, InvalidCatalogError, builtin, load
from otel_metrics.catalog.compile import FOLDER, compiled, encode
from otel_metrics.catalog.loader import COMPILED


def test_the_compiled_catalog_is_what_the_yaml_says() -> None:
    """After a change of the YAML, run `python -m otel_metrics.catalog.compile`."""
    assert Path(FOLDER, COMPILED).read_bytes() == compiled()


def test_the_compiled_catalog_has_one_entry_a_line() -> None:
    """A change of one metric shows as one changed line."""
    lines = encode(builtin()).decode().splitlines()

    assert sum(line.startswith('"skill.executions":{') for line in lines) == 1


briefs = st.from_regex(r"[A-Za-z][A-Za-z ,:#'\"é-]{0,30}[.]", fullmatch=True)
words = st.from_regex(r"[a-z]{1,8}", fullmatch=True)
stability = st.sampled_from(["development", "stable"])
levels = st.sampled_from(["required", "recommended", "opt_in", {"opt_in": "when asked"}])
types: st.SearchStrategy[Any] = st.sampled_from(["string", "int", "double", "boolean"]) | st.lists(
    words, min_size=1, max_size=3, unique=True
).map(lambda ids: {"members": [{"id": name, "value": name} for name in ids]})
bounds = st.floats(min_value=-1e9, max_value=1e9)
durations = st.sampled_from(["90s", "5m", 30, 0.5])

sources = st.fixed_dictionaries(
    {"interval": st.sampled_from(["5s", "5m", 30, "1d"]), "scope": words},
    optional={
        "timeout": st.sampled_from(["500ms", 2]),
        "aggregation": st.sampled_from(["avg", "max", "min", "sum", "p95"]),
        "unit_name": words,
    },
).flatmap(lambda said: st.sampled_from(KINDS).map(lambda kind: {**said, **kind}))
KINDS: list[dict[str, Any]] = [
    {"type": "callable"},
    {"type": "host", "statistic": "disk"},
    {"type": "http_server", "statistic": "saturation", "capacity": 8},
    {"type": "prometheus", "query": "up", "url_variable": "OWN_URL"},
    {"type": "sql", "query": "SELECT 1 -- one\nFROM own"},
]
banded = (
    st.lists(bounds, min_size=2, max_size=2, unique=True)
    .map(sorted)
    .flatmap(
        lambda ends: st.sampled_from(
            [
                {"good": {"upper": ends[0]}, "critical": {"lower": ends[1]}},
                {"good": {"lower": ends[1]}, "critical": {"upper": ends[0]}},
                {
                    "good": {"lower": ends[0], "upper": ends[1]},
                    "critical": {"lower": ends[1], "upper": ends[0]},
                },
            ]
        )
    )
)
recommended = st.fixed_dictionaries(
    {}, optional={"warning": st.just("scale-workers"), "critical": st.just("own-playbook")}
)
KEYS = (
    *("type", "interval", "timeout", "aggregation", "scope", "unit_name", "query", "capacity"),
    *("url_variable", "statistic", "good", "warning", "critical", "lower", "upper", "id", "brief"),
    *("risk", "parameters", "within", "verifies", "name", "default", "choices", "pattern"),
    *("minimum", "maximum"),
)
"""What the keys of our own may hold, so that any data is often nearly right."""
PLAYBOOK = {
    "id": "own-playbook",
    "brief": "Mend it.",
    "risk": "high",
    "within": "90s",
    "parameters": [
        {"name": "pool", "type": "string", "brief": "Which.", "pattern": "[a-z]+", "default": "a"},
        {"name": "share", "type": "number", "brief": "How.", "minimum": 0, "maximum": 1},
    ],
}


@st.composite
def attributes(draw: st.DrawFn) -> list[dict[str, Any]]:
    keys = draw(st.lists(words.map(lambda word: f"own.{word}"), max_size=4, unique=True))
    return [
        {"key": key, "type": draw(types), "brief": draw(briefs), "stability": draw(stability)}
        for key in keys
    ]


@st.composite
def metrics(draw: st.DrawFn, keys: list[str]) -> dict[str, Any]:
    instrument = draw(st.sampled_from(["counter", "updowncounter", "gauge", "histogram"]))
    ours: dict[str, Any] = draw(
        st.fixed_dictionaries(
            {}, optional={"series_budget": st.integers(1, 5_000), "bands": banded}
        )
    )
    if instrument == "histogram":
        ours["buckets"] = sorted(draw(st.sets(bounds, min_size=1, max_size=8)))
    if instrument == "gauge":
        ours |= draw(st.fixed_dictionaries({}, optional={"ttl": durations, "source": sources}))
    if "bands" in ours and "source" in ours:
        ours |= draw(st.fixed_dictionaries({}, optional={"playbooks": recommended}))
    chosen = draw(st.lists(st.sampled_from(keys), unique=True)) if keys else []
    if "source" in ours:
        chosen.append("service.resource.id")
    return {
        "instrument": instrument,
        "unit": draw(st.sampled_from(["s", "By", "1", "{thing}", "%"])),
        "brief": draw(briefs),
        "stability": draw(stability),
        "attributes": [{"ref": key, "requirement_level": draw(levels)} for key in chosen],
        "annotations": ours,
    }


@st.composite
def files(draw: st.DrawFn) -> dict[str, Any]:
    defined = draw(attributes())
    keys = [attribute["key"] for attribute in defined]
    names = draw(st.lists(words, min_size=1, max_size=4, unique=True))
    return {
        "file_format": "definition/2",
        "attributes": defined,
        "metrics": [{"name": f"own.{name}.thing", **draw(metrics(keys))} for name in names],
        "playbooks": [PLAYBOOK],
        "metric_refinements": [
            {"id": "own.refined", "ref": "skill.executions", "attributes": [{"ref": key}]}
            for key in keys[:1]
        ],
    }


@given(files())
def test_any_valid_file_loads_and_survives_compiling(tmp_path_factory: Any, file: Any) -> None:
    """What a file says is in the catalog, and the compiled form gives the same catalog back."""
    path = tmp_path_factory.mktemp("catalog") / "own.yaml"
    path.write_text(json.dumps(file), encoding="utf-8")  # JSON is YAML

    catalog = load(path, into=builtin(), name_of=lambda name, *_: name.replace(".", "_"))

    for metric in file["metrics"]:
        entry = catalog.metrics[metric["name"]]
        said = (metric["instrument"], metric["unit"], [ref["ref"] for ref in metric["attributes"]])
        assert (entry.instrument, entry.unit, list(entry.attributes)) == said
        said_source = metric["annotations"].get("source", {"type": None})
        assert (entry.source.type if entry.source else None) == said_source["type"]
        assert (entry.bands is not None) == ("bands" in metric["annotations"])
        given_bounds = metric["annotations"].get("buckets", [])
        assert all(map(math.isclose, entry.buckets, given_bounds))
    assert msgspec.json.decode(encode(catalog), type=Catalog) == catalog


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20) | words,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(KEYS) | st.text(max_size=5), inner, max_size=5)
    ),
    max_leaves=12,
)


@given(anything, anything, anything, anything)
def test_any_data_in_our_own_keys_is_judged(
    tmp_path_factory: Any, source: Any, bands: Any, named: Any, playbooks: Any
) -> None:
    """Whatever stands in place of a source, bands and playbooks is kept or refused in words."""
    file = {
        "file_format": "definition/2",
        "playbooks": playbooks if isinstance(playbooks, list) else [playbooks],
        "metric_refinements": [
            {
                "id": "own.refined",
                "ref": "executor.queue_depth",
                "annotations": {"source": source, "bands": bands, "playbooks": named},
            }
        ],
    }
    path = tmp_path_factory.mktemp("catalog") / "own.yaml"
    path.write_text(json.dumps(file), encoding="utf-8")

    try:
        catalog = load(path, into=builtin(), name_of=lambda name, *_: name)
    except InvalidCatalogError as error:
        assert all(problem.remedy for problem in error.problems)
    else:
        assert msgspec.json.decode(encode(catalog), type=Catalog) == catalog
