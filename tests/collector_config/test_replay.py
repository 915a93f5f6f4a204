"""`replay.yaml`: what was exported from an archive arrives, once, whatever is away meanwhile."""

from pathlib import Path

import pytest
from click.testing import CliRunner

from otel_metrics.cli.archive import archive
from tests.collector_config.conftest import MakeCollector
from tests.collector_config.reading import received
from tests.collector_config.running import FOLDER, Collector, until
from tests.otel_metrics.archive.everything import of_archive, of_lines, record_everything

pytestmark = [pytest.mark.slow, pytest.mark.component("otelcol")]


@pytest.fixture
def exported(tmp_path: Path) -> Path:
    """A file with each kind of point and event, as the archive's command writes it."""
    record_everything(tmp_path / "archive")
    file = tmp_path / "export" / "all.jsonl"
    file.parent.mkdir()
    words = ["--archive", str(tmp_path / "archive"), "--format", "otlp-json", "--out", str(file)]
    result = CliRunner().invoke(archive, ["export", *words])
    assert (result.exit_code, result.stderr) == (0, "")
    return file


def replaying(
    collector: MakeCollector, store: Collector, folder: Path, files: list[Path] | None = None
) -> Collector:
    """Return a collector, not started, that replays a folder's files to a store."""
    env = {
        "OTELCOL_REPLAY_FILES": str(folder / "*.jsonl"),
        "OTELCOL_REPLAY_URL": f"http://{store.http}",
    }
    return collector("replay", files=files, env=env)


def test_the_store_gets_what_was_exported(
    collector: MakeCollector, exported: Path, tmp_path: Path
) -> None:
    """Each record once, both signals, though the store is not there at first."""
    store = collector("local", label="store")
    replay = replaying(collector, store, exported.parent).start()
    until(lambda: replay.said("Will retry", '"metrics"'), replay.log)
    store.start()
    sent, out = of_archive(tmp_path / "archive"), store.folder / "out"
    until(lambda: received(out).total() >= sent.total(), replay.log)
    replay.stop()
    store.stop()

    assert received(out) == sent


def test_a_file_that_does_not_match_is_not_read(
    collector: MakeCollector, exported: Path, tmp_path: Path
) -> None:
    """The control: under another name the same records are nowhere, and the next file's are."""
    elsewhere = exported.rename(exported.with_suffix(".other"))
    store = collector("local", label="store").start()
    replay = replaying(collector, store, exported.parent).start()
    lines = elsewhere.read_text().splitlines(keepends=True)
    (exported.parent / "one.jsonl").write_text(lines[0])
    out = store.folder / "out"
    until(lambda: received(out), replay.log)
    replay.stop()
    store.stop()

    assert received(out) == of_lines(lines[:1])


@pytest.mark.parametrize("known_by", ["64KiB", "1000"])
def test_files_that_begin_alike_are_all_read(
    collector: MakeCollector, exported: Path, tmp_path: Path, known_by: str
) -> None:
    """Two exports with the same first line are two files; as the receiver would have it by itself,
    the second is not read."""
    first, second, third = _lines(exported)
    exported.unlink()
    (exported.parent / "a.jsonl").write_text(first + second)
    (exported.parent / "b.jsonl").write_text(first + third)
    changed = tmp_path / "replay.yaml"
    changed.write_text((FOLDER / "replay.yaml").read_text().replace("64KiB", known_by))
    store = collector("local", label="store").start()
    replay = replaying(collector, store, exported.parent, [changed]).start()
    out = store.folder / "out"
    until(lambda: received(out) >= of_lines([first, second]), replay.log)
    # Found at a later look at the folder, when the second had its chance.
    last = first.replace('{"resourceMetrics":', '{ "resourceMetrics":').replace("runs", "last")
    (exported.parent / "c.jsonl").write_text(last)
    until(lambda: received(out) >= of_lines([last]), replay.log)
    expected = of_lines([first, second, last, *([first, third] if known_by == "64KiB" else [])])
    until(lambda: received(out).total() >= expected.total(), replay.log)
    replay.stop()
    store.stop()

    assert received(out) == expected


def _lines(exported: Path) -> tuple[str, str, str]:
    """Return a line of more than 1,000 bytes, and two others, all of metrics."""
    lines = [line for line in exported.read_text().splitlines(True) if "resourceMetrics" in line]
    first = lines[0]
    assert len(first) > 1000
    return first, first.replace("runs", "second"), first.replace("runs", "third")
