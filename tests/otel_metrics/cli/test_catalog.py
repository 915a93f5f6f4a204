"""`otel-metrics catalog`: what a user sees, and the exit status that a script sees."""

import csv
import io
import json
import os
import shlex
import subprocess
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner, Result

from otel_metrics.catalog import builtin
from otel_metrics.cli.main import root
from otel_metrics.render.own_catalog import EXAMPLE

REPOSITORY = Path(__file__).parents[3]


def run(*arguments: str) -> Result:
    return CliRunner().invoke(root, ["catalog", *arguments])


@pytest.fixture
def own(tmp_path: Path) -> Path:
    path = tmp_path / "shop.yaml"
    path.write_text(EXAMPLE, encoding="utf-8")
    return path


def test_list_shows_every_metric_with_its_exposed_name() -> None:
    """The name that a dashboard needs stands beside the name that code uses."""
    lines = [line.split() for line in run("list").output.splitlines()]

    assert lines[0] == ["NAME", "INSTRUMENT", "UNIT", "PROMETHEUS"]
    assert {(line[0], line[-1]) for line in lines[1:]} == {
        (name, metric.prometheus) for name, metric in builtin().metrics.items()
    }


def test_every_format_says_the_same() -> None:
    """JSON, YAML and CSV hold the same rows, so that each tool can read the one it likes."""
    from_json = json.loads(run("list", "--format", "json").output)
    from_yaml = yaml.safe_load(run("list", "--format", "yaml").output)
    from_csv = list(csv.DictReader(io.StringIO(run("list", "--format", "csv").output)))

    assert from_yaml == from_json
    assert from_csv == [{**row, "attributes": ", ".join(row["attributes"])} for row in from_json]
    assert len(run("list", "--format", "markdown").output.splitlines()) == len(from_json) + 2


def test_list_shows_a_users_own_metrics(own: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The variable that a service starts with also tells the command."""
    monkeypatch.setenv("OTEL_PYTHON_METRICS_CATALOG", str(own))

    assert "shop_order_duration_seconds" in run("list").output


def test_a_file_that_holds_is_confirmed(own: Path) -> None:
    """The answer says what the file brings, and the status is 0."""
    result = run("check", str(own))

    assert result.output == (
        "shop.order.duration is shop_order_duration_seconds in Prometheus\n"
        "executor.queue_depth has source of the file's own\n"
        "executor.queue_depth has bands of the file's own\n"
        "executor.queue_depth has playbooks of the file's own\n"
        "skill.executions also takes shop.region\n"
        "hire-pickers is a playbook of low risk, tier 1\n"
        f"{own}: no problems\n"
    )
    assert result.exit_code == 0


def test_a_file_that_does_not_hold_is_refused_line_by_line(own: Path) -> None:
    """Every problem is a line with file, line, key and remedy, and the status is 1."""
    own.write_text(EXAMPLE.replace("unit: s", "unit: sec").replace("0.5, 2", "2, 0.5"))

    result = run("check", str(own))

    assert result.output == (
        f"{own}:13: metrics[shop.order.duration].unit: 'sec' is no code; "
        "write 's', as UCUM has it\n"
        f"{own}:20: metrics[shop.order.duration].annotations.buckets: the bounds do not ascend; "
        "sort them, each once\n"
    )
    assert result.exit_code == 1


@pytest.mark.parametrize(
    ("old", "new", "key"),
    [
        ("shop.order.duration", "shop.total.duration", "name"),
        ("shop.order.duration", "shop.order.", "name"),
        ("shop.order.duration", "shop.order.seconds.spent", "name"),
    ],
)
def test_a_name_that_is_not_the_same_on_every_path_is_refused(
    old: str, new: str, key: str, own: Path
) -> None:
    """What would be charted under two names is told before it is charted."""
    own.write_text(EXAMPLE.replace(old, new))

    result = run("check", str(own))

    assert f":11: metrics[{new}].{key}: " in result.output
    assert result.exit_code == 1


def test_an_undefined_playbook_and_crossing_bands_are_named_with_line_and_remedy(
    own: Path,
) -> None:
    """What would recommend nothing, or two things at once, is refused before it runs."""
    wrong = EXAMPLE.replace("lower: 500", "lower: 50").replace(
        "critical: scale-", "critical: scael-"
    )
    own.write_text(wrong, encoding="utf-8")
    of = "metric_refinements[shop.queue].annotations"

    result = run("check", str(own))

    assert result.output == (
        f"{own}:31: {of}.bands.critical: crosses good: both have the values from 50 to 100; "
        "move a bound, so that good ends where it begins\n"
        f"{own}:32: {of}.playbooks.critical: there is no playbook 'scael-workers'; "
        "did you mean 'scale-workers'?\n"
    )
    assert result.exit_code == 1


@pytest.mark.parametrize("command", [("list", "--catalog"), ("check",)])
def test_a_missing_file_is_named(command: tuple[str, ...]) -> None:
    """No traceback: one line, and the status says no."""
    result = run(*command, "absent.yaml")

    assert result.output.startswith("absent.yaml: cannot be read: No such file or directory;")
    assert result.exit_code == 1


def test_render_writes_the_pages_and_check_finds_them_current(tmp_path: Path) -> None:
    """What was just rendered has not drifted."""
    rendered = run("render", "docs", "--out", str(tmp_path / "reference"))
    checked = run("render", "docs", "--check", "--out", str(tmp_path / "reference"))

    names = {path.name for path in (tmp_path / "reference").iterdir()}
    assert names == {"commands.md", "environment.md", "events.md", "metrics.md", "playbooks.md"}
    assert (rendered.exit_code, checked.exit_code, checked.output) == (0, 0, "")


def test_check_names_the_page_that_drifted_and_writes_nothing(tmp_path: Path) -> None:
    """A pipeline fails with the name of the page."""
    run("render", "docs", "--out", str(tmp_path))
    (tmp_path / "events.md").write_text("old", encoding="utf-8")

    result = run("render", "docs", "--check", "--out", str(tmp_path))

    assert result.output.startswith(f"{tmp_path}/events.md has drifted; run ")
    assert (tmp_path / "events.md").read_text(encoding="utf-8") == "old"
    assert result.exit_code == 1


@pytest.mark.parametrize(
    ("what", "names"),
    [
        ("prometheus", {"alerts.yml", "recording.yml"}),
        ("grafana", {"overview.json", "skills.json", "host-and-pipeline.json"}),
    ],
)
def test_render_writes_the_stack_and_check_finds_it_current(
    what: str, names: set[str], tmp_path: Path
) -> None:
    """Rules and dashboards, in folders that are made, and not drifted right after."""
    rendered = run("render", what, "--out", str(tmp_path / "out"))
    checked = run("render", what, "--check", "--out", str(tmp_path / "out"))

    assert names <= {path.name for path in (tmp_path / "out").rglob("*.*")}
    assert (rendered.exit_code, checked.exit_code, checked.output) == (0, 0, "")


@pytest.mark.parametrize("what", ["prometheus", "grafana"])
def test_check_names_each_file_of_the_stack_that_drifted(what: str, tmp_path: Path) -> None:
    """A pipeline fails with the names, of those that are missing too, and writes nothing."""
    run("render", what, "--out", str(tmp_path))
    changed, missing, *_ = sorted(path for path in tmp_path.rglob("*.*") if path.is_file())
    changed.write_text("old", encoding="utf-8")
    missing.unlink()

    result = run("render", what, "--check", "--out", str(tmp_path))

    assert [line.split(" has drifted; run ")[0] for line in sorted(result.output.splitlines())] == [
        str(changed),
        str(missing),
    ]
    assert (changed.read_text(encoding="utf-8"), missing.exists()) == ("old", False)
    assert result.exit_code == 1


def test_what_is_said_to_mend_a_drift_mends_it(
    own: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The command has every option that the check had, that of a variable with them."""
    monkeypatch.setenv("OTEL_PYTHON_METRICS_CATALOG", str(own))
    options = ("--runbook", "https://example.org/a b", "--out", str(tmp_path / "out"))
    drifted = run("render", "prometheus", "--check", *options)
    monkeypatch.delenv("OTEL_PYTHON_METRICS_CATALOG")

    _, _, said = drifted.output.splitlines()[0].partition(" catalog ")
    run(*shlex.split(said))

    monkeypatch.setenv("OTEL_PYTHON_METRICS_CATALOG", str(own))
    checked = run("render", "prometheus", "--check", *options)
    assert (drifted.exit_code, checked.exit_code, checked.output) == (1, 0, "")


def test_the_committed_files_are_of_the_built_in_catalog(own: Path) -> None:
    """`make docs` takes no catalog from the shell; `make -n` says what it would run."""
    env = {**os.environ, "OTEL_PYTHON_METRICS_CATALOG": str(own)}
    said = subprocess.run(
        ["make", "-n", "docs"], cwd=REPOSITORY, env=env, capture_output=True, text=True, check=True
    ).stdout

    renders = [line for line in said.splitlines() if " catalog render " in line]
    assert len(renders) == 3
    assert all(line.startswith("env -u OTEL_PYTHON_METRICS_CATALOG ") for line in renders)


def test_rules_are_rendered_with_a_catalog_and_a_runbook_of_ones_own(
    own: Path, tmp_path: Path
) -> None:
    """Sums go over attributes that the file adds, and alerts link to the page that is named."""
    options = ("--catalog", str(own), "--runbook", "https://example.org/a")

    result = run("render", "prometheus", *options, "--out", str(tmp_path))

    assert result.exit_code == 0
    assert "shop_region" in (tmp_path / "rules/recording.yml").read_text(encoding="utf-8")
    alerts = (tmp_path / "rules/alerts.yml").read_text(encoding="utf-8")
    assert "runbook_url: https://example.org/a#targetdown" in alerts
