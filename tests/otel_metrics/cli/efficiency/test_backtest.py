"""`otel-metrics efficiency backtest`: the figures of what a service recorded, and their reasons."""

import csv
import importlib
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import yaml
from click.testing import CliRunner, Result

from otel_exporter_ndjson import find_segments
from otel_metrics.cli.efficiency import efficiency
from tests.otel_metrics.archive.recorded import DELTA, append, emit, event, gauge, record, total

SERVICE = """
import os
import otel_metrics
from otel_metrics import efficiency
telemetry = otel_metrics.configure(service_name="forge", metrics_exporter=["ndjson"])
reached = 1.0
def say():
    efficiency.update_state_gauges({"efficiency": reached})
    telemetry.flush(10)
say()
for number, (priority, change) in enumerate(zip((1, 2, 3, 4, 5), (0.1, 0.3, 0.2, 0.5, 0.4))):
    efficiency.record_plan(f"plan-{number}", priority, cost_usd=0.5)
    efficiency.patch_applied()
    reached += change
    say()
efficiency.rollback()
"""
FORK = """
parent = os.getpid()
if os.fork() == 0:
    reached = 9.0
    say()
    efficiency.record_plan("plan-of-child", 1)
    reached = 7.0
    say()
    telemetry.shutdown()
    os._exit(0)
os.wait()
efficiency.record_plan("plan-of-parent", 1)
reached = 3.0
say()
"""


def serve(folder: Path, program: str) -> Path:
    """Run a service that records and ends; return its archive."""
    environ = {key: value for key, value in os.environ.items() if not key.startswith("OTEL_")}
    subprocess.run([sys.executable, "-c", program], cwd=folder, env=environ, check=True, timeout=60)
    return folder / "telemetry"


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What a service of five plans has recorded."""
    return serve(tmp_path_factory.mktemp("forge"), SERVICE)


def run(*arguments: object) -> Result:
    """Call the command."""
    return CliRunner().invoke(efficiency, ["backtest", *map(str, arguments)])


def figures(*arguments: object) -> dict[str, Any]:
    """Return what the command found, as data."""
    result = run(*arguments, "--format", "json")
    assert (result.exit_code, result.stderr) == (0, "")
    found: dict[str, Any] = json.loads(result.stdout)
    return found


def plan(at_s: float, priority: object = 1.0, **attributes: object) -> Any:
    """Return the event of a plan."""
    given = {"plan_id": f"plan-{at_s:g}", "priority": priority, **attributes}
    return event("efficiency.plan", at_s, **given)


def test_the_figures_of_a_service(archive: Path) -> None:
    """Its priorities against the changes that followed correlate by 0.8, whatever the clock did."""
    found = figures("--archive", archive)

    assert (found["plans"], found["pairs"], found["pairs_that_share_a_change"]) == (5, 5, 0)
    assert found["pearson"] == {
        "value": pytest.approx(0.8),
        "low": pytest.approx(-0.279631, abs=1e-5),
        "high": pytest.approx(0.986194, abs=1e-5),
        "reason": None,
    }
    assert found["spearman"]["value"] == pytest.approx(0.8)
    assert found["line"] == {"slope": pytest.approx(0.08), "intercept": pytest.approx(0.06)}
    assert found["rollback_ratio"] == {"value": pytest.approx(0.2), "reason": None}
    assert found["cost_per_fix_usd"] == {"value": pytest.approx(0.5), "reason": None}
    minutes = sum(each["minutes"] for each in found["outcomes"])
    assert found["change_per_minute"]["value"] == pytest.approx(1.5 / minutes)


def test_each_plan_is_told(archive: Path) -> None:
    """With the efficiency before and after it."""
    found = [
        [each[key] for key in ("plan_id", "priority", "before", "after", "change", "cost_usd")]
        for each in figures("--archive", archive)["outcomes"]
    ]

    assert found[0] == ["plan-0", 1.0, 1.0, 1.1, pytest.approx(0.1), 0.5]
    assert [each[0] for each in found] == [f"plan-{number}" for number in range(5)]


def test_people_read_the_figures_below_the_plans(archive: Path) -> None:
    """In words."""
    lines = run("--archive", archive).stdout.splitlines()

    assert lines[0].split() == [
        *("TIME", "PLAN", "PRIORITY", "BEFORE", "AFTER", "CHANGE", "MINUTES", "COST", "NOTE")
    ]
    assert lines[1].split()[2:7] == ["plan-0", "1", "1", "1.1", "0.1"]
    assert lines[7:10] == [
        "plans: 5, 5 with the efficiency before and after",
        "Pearson: 0.800 (95 %: -0.280 to 0.986)",
        "Spearman: 0.800 (95 %: -0.457 to 0.991)",
    ]
    assert lines[11:] == ["rollback ratio: 0.2 (1 of 5 patches)", "cost per fix: 0.5 USD"]


def test_every_other_form_has_the_plans(archive: Path) -> None:
    """And Markdown and YAML the figures, too."""
    rows = list(csv.DictReader(run("--archive", archive, "--format", "csv").stdout.splitlines()))
    (data,) = yaml.safe_load(run("--archive", archive, "--format", "yaml").stdout)
    markdown = run("--archive", archive, "--format", "markdown").stdout

    assert [row["plan_id"] for row in rows] == [f"plan-{number}" for number in range(5)]
    assert data["pearson"]["value"] == pytest.approx(0.8)
    assert "| Pearson | 0.800 (95 %: -0.280 to 0.986) |" in markdown
    assert markdown.count("| plan-") == 5


@pytest.mark.parametrize(("ending", "begins"), [("png", b"\x89PNG"), ("svg", b"<?xml")])
def test_a_picture_is_what_its_ending_says(
    archive: Path, tmp_path: Path, ending: str, begins: bytes
) -> None:
    """Beside the figures."""
    out = tmp_path / f"plans.{ending}"
    result = run("--archive", archive, "--out", out)

    assert (result.exit_code, "Pearson: 0.800" in result.stdout) == (0, True)
    assert out.read_bytes().startswith(begins)


def test_the_picture_has_a_point_for_each_plan_and_the_line(archive: Path, tmp_path: Path) -> None:
    """Named in the legend, with the correlation above."""
    out = tmp_path / "plans.svg"
    run("--archive", archive, "--out", out)
    drawn = out.read_text()

    collection = drawn[drawn.index('<g id="PathCollection_1">') :]
    assert collection[: collection.index("</g>\n   </g>")].count("<use ") == 5
    assert "least squares" in drawn and "Pearson 0.800" in drawn
    assert "shares its change" not in drawn


@pytest.mark.slow
def test_a_forked_child_answers_for_itself(tmp_path: Path) -> None:
    """What it says of the efficiency is nothing to its parent's plans."""
    found = figures("--archive", serve(tmp_path, SERVICE + FORK))
    changes = {each["plan_id"]: (each["before"], each["after"]) for each in found["outcomes"]}

    assert changes["plan-of-child"] == (9.0, 7.0)
    assert changes["plan-of-parent"] == (2.5, 3.0)


@pytest.mark.slow
def test_each_run_of_a_service_is_added(tmp_path: Path) -> None:
    """Its counters begin anew, its patches do not."""
    for _ in range(2):
        archive = serve(tmp_path, SERVICE)
    found = figures("--archive", archive)

    assert (found["pairs"], found["patches_applied"], found["rollbacks"]) == (10, 10, 2)
    assert found["pearson"]["value"] == pytest.approx(0.8)


def test_counters_are_told_by_how_much_they_rose(tmp_path: Path) -> None:
    """In the time that is asked for: a point says how many since the process began."""
    emit(tmp_path, plan(15), plan(25))
    patches, rollbacks = "pforge.patches.applied", "pforge.rollbacks"
    record(
        tmp_path,
        [total(5, 10, name=patches), total(1, 10, name=rollbacks)],
        [total(7, 20, name=patches), total(1, 20, name=rollbacks)],
        [total(7, 20, name=patches)],
        [total(9, 30, name=patches), total(2, 30, name=rollbacks)],
        [total(4, 40, name=patches, start_s=35)],
    )
    record(tmp_path, *[[total(3, at, name=patches, temporality=DELTA)] for at in (10, 30)])

    found = [
        figures("--archive", tmp_path, *window)
        for window in ((), ("--since", "2026-09-21T14:13:32Z"), ("--until", "2026-09-21T14:13:42Z"))
    ]

    assert [(each["patches_applied"], each["rollbacks"]) for each in found] == [
        (9 + 4 + 3 + 3, 2),
        (2 + 2 + 4 + 3, 1),
        (7 + 3, 1),
    ]
    assert [each["plans"] for each in found] == [2, 2, 1]


def test_only_the_service_that_is_asked_for_counts(tmp_path: Path) -> None:
    """Its plans, its efficiency, its patches."""
    for service, patches in (("shop", 3), ("forge", 4)):
        emit(tmp_path, plan(5), service=service)
        record(tmp_path, [total(patches, 9, name="pforge.patches.applied")], service=service)

    found = figures("--archive", tmp_path, "--service", "forge")

    assert (found["plans"], found["patches_applied"]) == (1, 4)


def test_the_window_is_as_long_as_is_said(tmp_path: Path) -> None:
    """Beyond it there is no change."""
    emit(tmp_path, plan(100))
    record(tmp_path, *[[gauge(at, at, name="pforge.efficiency")] for at in (0, 130)])

    reasons = [
        figures("--archive", tmp_path, "--window", window)["outcomes"][0]["reason"]
        for window in ("10s", "50s", "100s")
    ]

    assert reasons == [
        "its process said nothing of the efficiency then",
        "no efficiency in the window before it",
        None,
    ]


def test_plans_between_two_exports_are_a_caution(tmp_path: Path) -> None:
    """They share their change, and the interval is too narrow for that."""
    emit(tmp_path, *[plan(at, at) for at in range(10, 15)])
    record(tmp_path, *[[gauge(at, at, name="pforge.efficiency")] for at in (0, 60)])

    result = run("--archive", tmp_path)

    assert "Pearson: none: the change of efficiency is the same in all 5 pairs" in result.stdout
    assert "caution: 5 of 5 plans share their change with another" in result.stdout
    assert result.stdout.count("shares its change") == 5


def test_what_others_made_of_a_plan_is_told(tmp_path: Path) -> None:
    """An archive holds what it was given."""
    odd = [plan(1, "high"), plan(2, float("nan")), plan(3, True), plan(4, cost_usd="dear")]
    emit(tmp_path, *odd, event("efficiency.plan", 5))

    found = figures("--archive", tmp_path)

    assert [each["priority"] for each in found["outcomes"]] == [None, None, None, 1.0, None]
    assert [each["cost_usd"] for each in found["outcomes"]] == [None] * 5


@pytest.mark.parametrize("form", ["table", "json", "csv", "markdown", "yaml"])
def test_what_drives_a_terminal_is_shown_as_escapes(tmp_path: Path, form: str) -> None:
    """A plan's id was written by others."""
    emit(tmp_path, plan(1, plan_id="\x1b[31mred\u202e"))

    result = run("--archive", tmp_path, "--format", form)

    assert "\x1b" not in result.stdout and "\u202e" not in result.stdout
    assert "u001b[31mred" in result.stdout


def test_damage_is_told_beside_the_figures(archive: Path, tmp_path: Path) -> None:
    """Exit status 3: what is there may not be all."""
    emit(tmp_path, plan(1))
    append(find_segments(tmp_path, signal="events")[0].path, b"no JSON\n")

    result = run("--archive", tmp_path)

    assert result.exit_code == 3
    assert "no JSON" in result.stderr
    assert "plans: 1, 0 with" in result.stdout


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        (["--window", "10"], 2, "--window=10: has no unit; give 10m or 10s"),
        (["--window", "soon"], 2, "--window=soon: is no time; give a number with s, m, h or d"),
        (["--window", "0s"], 2, "--window=0s: must be 0.001 s or more"),
        (["--out", "p.gif"], 2, "--out=p.gif: the file must end in .png, .svg"),
        (["--out", "no/folder/p.png"], 2, "there is no folder"),
        (["--since", "yesterday"], 2, "--since=yesterday: is no time"),
        (["--since", "2030-01-01T00:00:00Z"], 1, "no plan is of that time; 1 plan of other times"),
        (["--service", "shp"], 1, "--service=shp: nothing matches; did you mean shop?"),
        (["--archive", "nowhere"], 2, "--archive=nowhere: No such file or directory"),
    ],
)
def test_what_is_wrong_is_said(
    tmp_path: Path, arguments: list[str], status: int, said: str
) -> None:
    """And nothing else is printed."""
    emit(tmp_path / "telemetry", plan(1))

    result = run(*arguments)

    assert said in result.stderr
    assert (result.exit_code, result.stdout) == (status, "")


def test_without_a_plan_the_answer_is_no(tmp_path: Path) -> None:
    """And what makes one is said."""
    record(tmp_path, [gauge(1, 0, name="pforge.efficiency")])

    result = run("--archive", tmp_path)

    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr == (
        f"{tmp_path}: holds no plan, which is an event efficiency.plan; "
        "efficiency.record_plan() makes one\n"
    )


def test_nothing_is_drawn_of_nothing(tmp_path: Path) -> None:
    """Exit status 1, and no file; the figures say their reasons."""
    emit(tmp_path, plan(1))
    out = tmp_path / "p.png"

    result = run("--archive", tmp_path, "--out", out)

    assert (result.exit_code, out.exists()) == (1, False)
    assert "there is nothing to draw: no plan has an efficiency before and after" in result.stderr
    assert "Pearson: none: 0 pairs are too few, it takes 4" in result.stdout


def test_without_matplotlib_it_is_said_how_to_get_it(
    archive: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is an extra; the figures need it not."""
    importing: Callable[..., ModuleType] = importlib.import_module

    def missing(name: str, package: str | None = None) -> ModuleType:
        if name.startswith("matplotlib"):
            raise ImportError(name)
        return importing(name, package)

    monkeypatch.setattr(importlib, "import_module", missing)
    result = run("--archive", archive, "--out", tmp_path / "p.png")

    assert result.stderr == "matplotlib is not installed; pip install 'otel-metrics[plot]'\n"
    assert (result.exit_code, "Pearson: 0.800" in result.stdout) == (2, True)
