"""The reference pages: complete, readable by any Markdown reader, and not drifted."""

from dataclasses import dataclass
from pathlib import Path

import click
import pytest

from otel_exporter_prometheus import naming
from otel_metrics.autoconfig.environment import VARIABLES
from otel_metrics.catalog import builtin, load
from otel_metrics.cli.main import root
from otel_metrics.render import (
    commands_page,
    environment_page,
    events_page,
    metrics_page,
    playbooks_page,
    reference,
)
from otel_metrics.render.own_catalog import EXAMPLE

REFERENCE = Path(__file__).parents[3] / "docs" / "reference"


@dataclass(frozen=True)
class Stub:
    name: str
    default: str
    meaning: str
    group: str


def tables(page: str) -> list[list[str]]:
    """Return the cells of every row of every table."""
    return [
        [cell.strip() for cell in line.strip("|").split(" | ")]
        for line in page.splitlines()
        if line.startswith("| ")
    ]


def test_the_page_names_every_metric_with_its_exposed_name() -> None:
    """Whoever sees a name on a dashboard finds it on the page."""
    page = metrics_page(builtin()).partition("## Attributes of metrics")[0]
    shown = {row[0]: row[-1] for row in tables(page)}

    for name, metric in builtin().metrics.items():
        assert shown[f"`{name}`"] == f"`{metric.prometheus}`"


def test_the_page_explains_every_attribute_of_a_metric() -> None:
    """No table refers to an attribute that the page does not explain."""
    explained = {row[0] for row in tables(metrics_page(builtin()))}

    for metric in builtin().metrics.values():
        assert {f"`{key}`" for key in metric.attributes} <= explained


def test_the_page_names_every_event_and_attribute() -> None:
    """An analyst finds every field of an archived event."""
    explained = {row[0] for row in tables(events_page(builtin()))}

    for name, event in builtin().events.items():
        assert {f"`{name}`", *(f"`{key}`" for key in event.attributes)} <= explained


def test_the_page_says_what_is_good_of_each_service_metric_and_where_it_comes_from() -> None:
    """With the playbook of each band, and the query of what is asked of a database."""
    page = metrics_page(builtin())
    rows = tables(page)

    assert [
        "`api.saturation`",
        "`%`",
        "≤ 70",
        "≥ 85",
        "`spawn-extra-workers`",
        "`shed-load`",
    ] in rows
    assert "70 to 85 | ≥ 90 or ≤ 60" in page
    assert (
        "| `infra.disk_usage` | `host`: `disk` | `volume` | 300 s | 5 s | `max` | `percent` |"
    ) in page
    for metric in builtin().metrics.values():
        if metric.source is not None:
            assert sum(row[0] == f"`{metric.name}`" for row in rows) == 3
            assert f"-- {metric.name}\n{metric.source.query}" in page or not metric.source.query


def test_the_page_of_playbooks_has_each_under_its_risk() -> None:
    """With what it takes, what recommends it, and how soon it must have helped."""
    page = playbooks_page(builtin())
    sections = page.split("\n## ")[1:]

    shown = {
        section.partition(":")[0]: {row[0] for row in tables(section)[1:]} for section in sections
    }
    assert shown == {
        f"{risk.capitalize()} risk": {
            f"`{playbook.id}`" for playbook in builtin().playbooks.values() if playbook.risk == risk
        }
        for risk in ("low", "medium", "high", "critical")
    }
    assert (
        "| `scale-workers` | Start workers of the queue. | `workers` How many workers there shall "
        "be (integer, 1 to 50; default `2`) | `executor.queue_depth` | 600 s |"
    ) in page


def test_every_row_has_as_many_cells_as_its_head() -> None:
    """A stray bar in a text would shift every cell after it."""
    pages = (metrics_page(builtin()), events_page(builtin()), playbooks_page(builtin()))
    for page in pages:
        width = 0
        for line in page.splitlines():
            if not line.startswith("|"):
                width = 0
                continue
            cells = line.replace(r"\|", "").count("|")
            width = width or cells
            assert cells == width, line


def test_the_example_of_a_users_file_holds(tmp_path: Path) -> None:
    """What the page tells a user to write is accepted."""
    path = tmp_path / "shop.yaml"
    path.write_text(EXAMPLE, encoding="utf-8")

    catalog = load(path, into=builtin(), name_of=naming.metric_name, problem_of=naming.problem)

    assert EXAMPLE in metrics_page(builtin())
    assert catalog.metrics["shop.order.duration"].prometheus == "shop_order_duration_seconds"
    assert "shop.region" in catalog.metrics["skill.executions"].attributes


def test_variables_are_shown_under_their_groups() -> None:
    """The page has the order and the headings of the list."""
    page = environment_page(
        [Stub("OTEL_A", "1s", "Says a|b.", "First"), Stub("OTEL_B", "unset", "Says b.", "Second")]
    )

    body = page.partition("## First")[2]
    assert body == (
        "\n\n| Variable | Default | Meaning |\n|---|---|---|\n| `OTEL_A` | `1s` | Says a\\|b. |\n"
        "\n## Second\n\n| Variable | Default | Meaning |\n|---|---|---|\n"
        "| `OTEL_B` | `unset` | Says b. |\n"
    )


def test_commands_are_shown_with_usage_options_and_help() -> None:
    """Help on the page is the help of the command line, hidden commands left out."""

    @click.group()
    def top() -> None:
        """Do things."""

    @top.command()
    @click.argument("file")
    @click.option("--form", type=click.Choice(["a", "b"]), help="How.")
    @click.option("--fast/--slow", help="Speed.")
    @click.option("--out", default="here", show_default=True, help="Where.")
    def go(file: str, form: str, fast: bool, out: str) -> None:
        """Go there.

        And come
        back.

        \b
        as
          is
        """

    @top.command(hidden=True)
    def secret() -> None:
        """Nobody's business."""

    page = commands_page(top)

    assert page.partition("## `otel-metrics`")[2] == (
        "\n\nDo things.\n\n```text\notel-metrics [OPTIONS] COMMAND [ARGS]...\n```\n\n"
        "## `otel-metrics go`\n\nGo there.\n\nAnd come back.\n\n```text\nas\n  is\n```\n\n"
        "```text\notel-metrics go [OPTIONS] FILE\n```\n\n"
        "| Option | Takes | Meaning |\n|---|---|---|\n"
        "| `--form` | `a`, `b` | How. |\n| `--fast, --slow` |  | Speed. |\n"
        "| `--out` | TEXT | Where. Default: `here`. |\n"
    )


@pytest.mark.parametrize(
    "name", ["commands.md", "environment.md", "events.md", "metrics.md", "playbooks.md"]
)
def test_no_page_has_drifted(name: str) -> None:
    """After a change of what a page describes, run `otel-metrics catalog render docs`."""
    if not REFERENCE.is_dir():
        pytest.skip("the pages are in the source tree only")

    pages = reference(builtin(), VARIABLES, root)

    assert (REFERENCE / name).read_text(encoding="utf-8") == pages[name]
