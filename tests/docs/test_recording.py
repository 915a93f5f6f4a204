"""The page on recording names all there is to call, and its code runs as it stands."""

import inspect
import re
from collections.abc import Iterator
from pathlib import Path
from types import FunctionType, ModuleType

import pytest

from otel_exporter_prometheus.naming import metric_name
from otel_metrics import (
    budgets,
    efficiency,
    executions,
    host,
    instruments,
    skills,
    sovereignty,
    tokens,
)
from otel_metrics.catalog.loader import builtin, load
from otel_metrics.testing import Captured, capture

PAGE = (Path(__file__).parents[2] / "docs" / "recording.md").read_text()
DOMAINS = (budgets, efficiency, executions, host, skills, sovereignty, tokens)
FUNCTIONS = {
    f"{domain.__name__.rpartition('.')[2]}.{name}": getattr(domain, name)
    for domain in DOMAINS
    for name in domain.__all__
    if isinstance(getattr(domain, name), FunctionType)
}


def blocks(language: str) -> list[str]:
    """Return the page's code blocks of a language."""
    return re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)


def section(name: str) -> str:
    """Return what the page says under a heading of the second level."""
    found = re.search(rf"^## {name}\n(.*?)(?=^## |\Z)", PAGE, re.DOTALL | re.MULTILINE)
    assert found is not None, name
    return found[1]


@pytest.fixture
def captured(tmp_path: Path) -> Iterator[Captured]:
    """Record with the page's own catalog file loaded."""
    (tmp_path / "shop.yaml").write_text(blocks("yaml")[0])
    with capture() as seen:
        instruments.use_catalog(load(tmp_path / "shop.yaml", into=builtin(), name_of=metric_name))
        yield seen
    budgets.use(None)


@pytest.mark.parametrize("block", blocks("python"), ids=lambda block: block.split("\n", 1)[0][:40])
def test_each_block_runs(captured: Captured, block: str) -> None:
    """As it stands, strictly, and records something; a test in it passes."""
    names: dict[str, object] = {"skills": skills}
    exec(compile(block, "recording.md", "exec"), names)
    for name, function in list(names.items()):
        if name.startswith("test_") and callable(function):
            function(captured)

    assert captured.names() or "capture()" in block


@pytest.mark.parametrize("name", FUNCTIONS)
def test_every_public_function_is_named_with_its_arguments(name: str) -> None:
    """What a domain offers is on the page, under its domain, down to the last argument."""
    under = section(name.partition(".")[0].capitalize())

    assert f"`{name}(" in under
    parameters = inspect.signature(FUNCTIONS[name]).parameters
    assert [one for one in parameters if not re.search(rf"[`(, ]{one}[`),=]", under)] == []


@pytest.mark.parametrize("domain", [d for d in DOMAINS if d is not host])
def test_every_metric_and_event_of_a_domain_is_named(domain: ModuleType) -> None:
    """By its name in the catalog, which is what a dashboard or a query asks for."""
    title = domain.__name__.rpartition(".")[2]
    catalog = builtin()
    metrics = [name for name, metric in catalog.metrics.items() if metric.domain == title]
    under = section(title.capitalize())

    assert metrics
    assert [name for name in metrics if f"`{name}`" not in under] == []


def test_every_event_is_named() -> None:
    """That is of a domain which a service records; those of sovereignty by their type."""
    recorded = {domain.__name__.rpartition(".")[2] for domain in DOMAINS}
    events = [event for event in builtin().events.values() if event.domain in recorded]
    names = [event.name.removeprefix("sovereignty.") for event in events]

    assert names
    assert [name for name in names if f"`{name}`" not in PAGE] == []


def test_every_link_leads_somewhere() -> None:
    """A file beside the page, or a heading of it."""
    headings = {
        heading.lower().replace(" ", "-") for heading in re.findall(r"^## (.+)$", PAGE, re.M)
    }
    folder = Path(__file__).parents[2] / "docs"

    for path, heading in re.findall(r"\]\(([^)#]*)#?([^)]*)\)", PAGE):
        assert not path or (folder / path).exists()
        assert path or heading in headings
