"""`otel-metrics archive plot`: the line is what was recorded, and a gap is a gap."""

import importlib
import math
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from types import ModuleType

import pytest
from click.testing import CliRunner, Result

from otel_exporter_ndjson import find_segments
from otel_metrics import archive as archives
from otel_metrics.cli.archive import archive
from otel_metrics.cli.archive.curves import Curves, Wanted, curves
from otel_metrics.cli.archive.linechart import drawn
from tests.otel_metrics.archive.recorded import (
    T0,
    Attributes,
    S,
    append,
    batch,
    emit,
    event,
    exporter,
    gauge,
    histogram,
    record,
    total,
)


def _run(*arguments: object, charset: str = "utf-8") -> Result:
    runner = CliRunner(charset=charset, env={"COLUMNS": "60"})
    return runner.invoke(archive, ["plot", *map(str, arguments)])


def _lines(
    folder: Path,
    metric: str,
    *,
    by: Sequence[str] = (),
    where: Attributes | None = None,
    quantile: float | None = None,
    since: int | None = None,
) -> dict[str, list[float | None]]:
    texts = {key: str(value) for key, value in (where or {}).items()}
    wanted = Wanted(metric=metric, by=by, where=texts, quantile=quantile, steps=50, since=since)
    with archives.connect(folder, since=since) as db:
        found = curves(db, wanted)
    return {} if found is None else {name: list(line) for name, line in found.lines.items()}


def test_a_counter_is_drawn_as_its_increase(tmp_path: Path) -> None:
    """Also across a restart."""
    record(tmp_path, [total(5, 70, start_s=40)], [total(7, 100, start_s=40)])
    record(tmp_path, [total(3, 130, start_s=100)], [total(3, 160, start_s=100)])

    assert _lines(tmp_path, "jobs") == {"": [7.0, 3.0]}


def test_the_first_increase_behind_a_loss_is_no_peak(tmp_path: Path) -> None:
    """It holds all since the process began, and is spread over that time."""
    record(tmp_path, *[[total(1000 + 6 * n, 1000 + 60 * n)] for n in range(6)])

    (line,) = _lines(tmp_path, "jobs").values()

    values = [value for value in line if value is not None]
    assert sum(values) == pytest.approx(1030)
    assert max(values) == pytest.approx(120)  # one a second, in steps of two minutes


def test_of_an_interval_that_began_before_the_time_the_rest_is_drawn(tmp_path: Path) -> None:
    """By its length."""
    record(tmp_path, [total(1000, 1000)])

    (line,) = _lines(tmp_path, "jobs", since=T0 + 900 * S).values()

    assert sum(value or 0 for value in line) == pytest.approx(100)


def test_an_increase_of_which_the_start_is_not_known_is_drawn_where_it_ends(
    tmp_path: Path,
) -> None:
    """Or the clock was set back meanwhile."""
    record(tmp_path, [total(5, 20, start_s=50)])

    assert _lines(tmp_path, "jobs") == {"": [5.0]}


def test_a_step_without_points_is_a_gap(tmp_path: Path) -> None:
    """Nothing recorded is not nothing happened."""
    record(tmp_path, *[[gauge(2, at)] for at in (0, 1, 2, 3, 8, 9, 10)])

    (line,) = _lines(tmp_path, "level").values()

    assert line.count(None) >= 1
    assert {value for value in line if value is not None} == {2.0}


def test_a_gauge_is_drawn_as_its_newest_value(tmp_path: Path) -> None:
    """And several series as their mean."""
    record(tmp_path, [gauge(2, 0)], [gauge(4, 10)])
    record(tmp_path, [gauge(6, 0)], [gauge(6, 10)])

    assert _lines(tmp_path, "level") == {"": [4.0, 5.0]}


def test_an_up_down_counter_is_drawn_as_its_value(tmp_path: Path) -> None:
    """The series of several processes are added."""
    for value in (2, 3):
        record(tmp_path, *[[total(value, at, monotonic=False)] for at in (0, 10)])

    assert _lines(tmp_path, "jobs") == {"": [5.0, 5.0]}


def test_a_histogram_is_drawn_as_its_mean_or_a_quantile(tmp_path: Path) -> None:
    """Of each step by itself."""
    first = histogram((1, 0, 0), 0.5, 40, start_s=-60)
    record(tmp_path, [first], [histogram((1, 4, 0), 20.5, 140, start_s=-60)])

    assert _lines(tmp_path, "took") == {"": [0.5, 5.0]}
    assert _lines(tmp_path, "took", quantile=0.5) == {"": [0.5, 5.5]}


def test_a_quantile_is_no_value_that_was_not_there(tmp_path: Path) -> None:
    """Inside a bucket it is a guess, which stays between the least and the greatest value."""
    record(tmp_path, [histogram((0, 4, 0), 24.0, 0, least=6.0, most=6.5)])
    record(tmp_path / "above", [histogram((0, 0, 4), 80.0, 0, least=20.0, most=20.0)])

    assert _lines(tmp_path, "took", quantile=0.1) == {"": [6.0]}
    assert _lines(tmp_path, "took", quantile=0.99) == {"": [6.5]}
    assert _lines(tmp_path / "above", "took", quantile=0.5) == {"": [20.0]}


def test_a_quantile_without_least_and_greatest_is_one_of_its_bucket(tmp_path: Path) -> None:
    """Not every histogram says them."""
    record(tmp_path, [histogram((0, 4, 0), 24.0, 0, least=math.inf, most=-math.inf)])

    assert _lines(tmp_path, "took", quantile=0.5) == {"": [5.5]}


@pytest.mark.parametrize(("metric", "kind"), [("jobs", "a sum"), ("level", "a gauge")])
def test_a_quantile_is_of_a_histogram(tmp_path: Path, metric: str, kind: str) -> None:
    """A line that is something else would be read as one."""
    record(tmp_path, [total(5, 0), gauge(1, 0)])

    result = _run(metric, "--quantile", "0.5", "--archive", tmp_path)

    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.startswith(f"--quantile=0.5: {metric} is {kind}, and has no quantiles")


@pytest.mark.parametrize(("by", "said"), [("kimd", "did you mean kind?"), ("x", "there is kind")])
def test_an_attribute_that_is_not_there_is_said(tmp_path: Path, by: str, said: str) -> None:
    """With the ones that are."""
    record(tmp_path, [total(5, 0, attributes={"kind": "a"})])

    result = _run("jobs", "--by", by, "--archive", tmp_path)

    assert (result.exit_code, result.stdout) == (1, "")
    assert f"--by={by}: no point of jobs has this attribute; {said}" in result.stderr


def test_an_attribute_gives_a_line_for_each_value(tmp_path: Path) -> None:
    """And can be asked for."""
    record(tmp_path, [total(value, 5, attributes={"a.b": str(value)}) for value in (1, 2)])

    assert _lines(tmp_path, "jobs", by=["a.b"]) == {"1": [1.0], "2": [2.0]}
    assert _lines(tmp_path, "jobs", where={"a.b": "2"}) == {"": [2.0]}
    assert _lines(tmp_path, "jobs", by=["service", "c"]) == {"shop, (none)": [3.0]}


def test_a_line_in_the_terminal_has_units_and_times(tmp_path: Path) -> None:
    """Read off without knowing the metric."""
    record(tmp_path, [total(5, 10)], [total(7, 20)])

    rows = _run("jobs", "--archive", tmp_path).output.splitlines()

    assert rows[0] == "jobs (job), increase per 15 s, UTC"
    assert rows[1].startswith("  5 │") and rows[-2].startswith("  0 │")
    assert rows[-1].split() == ["2026-09-21", "14:13:15", "2026-09-21", "14:13:45"]
    assert max(map(len, rows)) <= 60


def test_a_terminal_without_utf_8_gets_ascii(tmp_path: Path) -> None:
    """Every character of it."""
    record(tmp_path, [total(5, 0)], [total(7, 10)])

    output = _run("jobs", "--archive", tmp_path, charset="ascii").output

    assert output.isascii() and "*" in output


@pytest.mark.parametrize(("columns", "lines"), [(40, 2), (50, 1)])
def test_the_times_at_both_ends_do_not_run_together(
    tmp_path: Path, columns: int, lines: int
) -> None:
    """In a narrow terminal one is below the other."""
    record(tmp_path, [total(5, 10)], [total(7, 20)])

    result = CliRunner(env={"COLUMNS": str(columns)}).invoke(
        archive, ["plot", "jobs", "--archive", str(tmp_path)]
    )

    rows = result.output.splitlines()
    assert " ".join(rows[-lines:]).split() == ["2026-09-21", "14:13:15", "2026-09-21", "14:13:45"]
    assert max(map(len, rows[1:])) <= columns


@pytest.mark.parametrize(
    ("value", "unit", "drawn_as"),
    [(512, "B", 512), (1536, "KiB", 1.5), (3 * 2**20, "MiB", 3), (2**70, "PiB", 2**20)],
)
def test_bytes_are_drawn_in_multiples(
    tmp_path: Path, value: float, unit: str, drawn_as: float
) -> None:
    """Of 1024, as memory is counted."""
    record(tmp_path, [gauge(value, 0, unit="By")])

    wanted = Wanted(metric="level", by=(), where={}, quantile=None, steps=50)
    with archives.connect(tmp_path) as db:
        made = curves(db, wanted)

    assert made is not None
    assert (made.unit, made.lines) == (unit, {"": [drawn_as]})


def test_what_is_amiss_with_events_is_nothing_to_a_metric(tmp_path: Path) -> None:
    """And what is amiss with metrics is told."""
    record(tmp_path, [total(5, 10)])
    for kind, status in (("events", 0), ("metrics", 3)):
        if kind == "events":
            emit(tmp_path, event("e", 1))
        path = next((tmp_path / kind).rglob("*.ndjson"))
        append(str(path), b"no JSON\n")

        assert _run("jobs", "--archive", tmp_path).exit_code == status


def test_a_missing_segment_is_told(tmp_path: Path) -> None:
    """Or nobody knew why the line is flat there."""
    writer = exporter(tmp_path, rotate_bytes=4096)
    for n in range(60):
        writer.export(batch(total(n, 10 * n)))
    writer.shutdown()
    os.unlink(find_segments(tmp_path)[1].path)

    result = _run("jobs", "--archive", tmp_path)

    assert result.exit_code == 3
    assert "segment 2 of this writer is missing" in result.stderr


def test_a_gap_is_not_joined() -> None:
    """Neighbours are."""
    made = Curves(
        metric="m",
        unit="1",
        what="value",
        start_s=0,
        step_s=1,
        lines={"": [1.0, 1.0, 1.0, None, None, None, 1.0, 1.0, 1.0, 1.0]},
        left_out=0,
    )

    top = drawn(made, width=14, ascii_only=True).splitlines()[1]

    assert top == "  1 |***   ****"


@pytest.mark.parametrize(("ending", "begins"), [("png", b"\x89PNG"), ("svg", b"<?xml")])
def test_a_picture_is_what_its_ending_says(tmp_path: Path, ending: str, begins: bytes) -> None:
    """And nothing else is left in its folder."""
    record(tmp_path / "a", [total(5, 0, attributes={"k": "$x_1"})], [total(7, 10)])
    out = tmp_path / "pictures" / f"p.{ending}"
    out.parent.mkdir()

    result = _run("jobs", "--archive", tmp_path / "a", "--by", "k", "--out", out)

    assert (result.exit_code, result.output) == (0, "")
    assert out.read_bytes().startswith(begins)
    assert os.listdir(out.parent) == [out.name]


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        (["job"], 1, "job: no such metric; did you mean jobs?"),
        (["jobs", "--since", "2030-01-01T00:00:00Z"], 1, "jobs: nothing is of that time"),
        (["jobs", "--where", "a=b"], 1, "jobs: nothing is of that time or has those attributes"),
        (["jobs", "--where", "a"], 2, "is not of the form attribute=value"),
        (["jobs", "--out", "p.gif"], 2, "--out=p.gif: the file must end in .png, .svg"),
        (["jobs", "--service", "shp"], 1, "did you mean shop?"),
    ],
)
def test_what_is_wrong_is_said(
    tmp_path: Path, arguments: list[str], status: int, said: str
) -> None:
    """With what was meant, where that can be guessed."""
    record(tmp_path, [total(5, 0)])

    result = _run(*arguments, "--archive", tmp_path)

    assert said in result.stderr
    assert (result.exit_code, result.stdout) == (status, "")


def test_lines_that_are_too_many_are_told(tmp_path: Path) -> None:
    """The largest are drawn."""
    record(tmp_path, [total(n, 0, attributes={"n": n}) for n in range(1, 13)])

    result = _run("jobs", "--archive", tmp_path, "--by", "n")

    assert "4 more lines are not drawn" in result.stderr
    assert " 12\n" in result.stdout


def test_without_matplotlib_it_is_said_how_to_get_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is an extra."""
    record(tmp_path, [total(5, 0)])
    importing: Callable[..., ModuleType] = importlib.import_module

    def missing(name: str, package: str | None = None) -> ModuleType:
        if name.startswith("matplotlib"):
            raise ImportError(name)
        return importing(name, package)

    monkeypatch.setattr(importlib, "import_module", missing)
    result = _run("jobs", "--archive", tmp_path, "--out", tmp_path / "p.png")

    assert result.stderr == "matplotlib is not installed; pip install 'otel-metrics[plot]'\n"
    assert result.exit_code == 2
