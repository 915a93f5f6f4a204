"""The page on Prometheus and Grafana: its links hold, its commands run, its targets are targets."""

import re
import subprocess
import sys
from pathlib import Path

import yaml

from otel_metrics.catalog import builtin
from otel_metrics.render.grafana import dashboard_files
from tests.docs.links import broken

REPOSITORY = Path(__file__).parents[2]
PAGE = (REPOSITORY / "docs/prometheus.md").read_text(encoding="utf-8")
RENDER = re.findall(r"^\$ otel-metrics (.*)$", PAGE, re.MULTILINE)


def test_no_link_is_broken() -> None:
    """Every file, page and heading that the page points to is there."""
    assert broken(PAGE) == []


def test_the_commands_render_rules_and_dashboards(tmp_path: Path) -> None:
    """Both, with links to a page of one's own."""
    for command in RENDER:
        ran = subprocess.run(
            [sys.executable, "-m", "otel_metrics", *command.split()], cwd=tmp_path, text=True
        )
        assert ran.returncode == 0

    written = {path.name: path.read_text() for path in tmp_path.rglob("*.*") if path.is_file()}
    assert "runbook_url: https://wiki.internal/otel-metrics#targetdown" in written["alerts.yml"]
    assert '"url": "https://wiki.internal/otel-metrics"' in written["overview.json"]


def test_the_targets_of_the_page_are_in_the_form_of_the_file() -> None:
    """A service is added as those are that are there."""
    (block,) = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)
    committed = REPOSITORY / "collector-config/prometheus/targets/services.yml"

    example = re.findall(r"^#   (.*)$", committed.read_text(), re.MULTILINE)
    (said,), (there,) = yaml.safe_load(block), yaml.safe_load("\n".join(example))
    assert said.keys() == there.keys()
    assert said["labels"].keys() == there["labels"].keys()


def test_every_dashboard_is_in_the_table() -> None:
    """By its title."""
    titles = set(
        re.findall(r'^  "title": "(.*)"', "\n".join(dashboard_files(builtin()).values()), re.M)
    )

    table = PAGE.partition("| Dashboard |")[2].partition("\n\n")[0]
    assert set(re.findall(r"^\| ([A-Z].*?) \|", table, re.MULTILINE)) == titles
