"""A repair does by hand what the next start of every service would do."""

import os
import signal
from pathlib import Path

import pytest

from otel_exporter_ndjson import NdjsonMetricExporter, find_segments
from otel_exporter_ndjson.audit import REMOVED, AuditLog
from otel_exporter_ndjson.sealkey import read_key
from otel_exporter_ndjson.settings import Settings
from otel_metrics.archive.repair import Repaired, repair, would_repair
from otel_metrics.archive.verify import verify
from tests.otel_metrics.archive.recorded import batch, total
from tests.otel_metrics.archive.sealed import make, new_key, paths, put, spoil, tree, zipped


def dead(folder: Path, service: str) -> None:
    """Let a writer die."""
    child = os.fork()
    if child == 0:
        exporter = NdjsonMetricExporter(folder, sync="never")
        exporter.export(batch(total(1, 1), service=service))
        os.kill(os.getpid(), signal.SIGKILL)
    os.waitpid(child, 0)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two dead writers, of which one was in the middle of a line, and one that ended well."""
    path = make(tmp_path / "archive", segments=1, service="well")
    for service in ("bank", "shop"):
        dead(path, service)
    with paths(path, service="shop")[0].open("ab") as file:
        file.write(b'{"kind":"me')
    return path


def actions(done: list[Repaired]) -> list[tuple[str, str, int]]:
    return [(each.service, each.done.action, each.done.torn_bytes) for each in done]


def test_every_service_is_repaired(folder: Path) -> None:
    """Sealed, compressed, the torn tail beside it; then everything holds."""
    assert verify(folder).unfinished
    done = list(repair(folder))

    assert actions(done) == [
        ("bank", "sealed", 0),
        ("bank", "compressed", 0),
        ("shop", "sealed", 11),
        ("shop", "compressed", 0),
        ("well", "compressed", 0),
    ]
    assert verify(folder).problems == []
    assert all(each.compressed for each in find_segments(folder))
    assert list(repair(folder)) == []


def test_a_dry_run_says_the_same_and_changes_nothing(folder: Path) -> None:
    """What would be done is what is done."""
    path = make(folder, segments=2, service="well")
    put(paths(path, service="well")[1], b"")
    before = tree(folder)
    expected = list(would_repair(folder))

    assert tree(folder) == before
    assert expected == list(repair(folder))


def test_one_service_alone(folder: Path) -> None:
    """The others are left."""
    assert {each.service for each in repair(folder, service="shop")} == {"shop"}
    assert verify(folder).unfinished


def test_what_was_changed_after_it_was_sealed_is_left_alone(tmp_path: Path) -> None:
    """It would look sound once it is compressed."""
    folder = make(tmp_path / "a", segments=1)
    path = paths(folder)[0]
    spoil(path)
    before = tree(folder)
    expected = list(would_repair(folder))

    assert [each.done.action for each in expected] == ["damaged"]
    assert [each.done.action for each in repair(folder)] == ["damaged"]
    assert tree(folder) == before


def test_a_writer_that_lives_is_left_alone(folder: Path) -> None:
    """Its lock is held."""
    exporter = NdjsonMetricExporter(folder, compression="none")
    exporter.export(batch(total(1, 1), service="alive"))

    assert list(would_repair(folder, service="alive")) == []
    assert list(repair(folder, service="alive")) == []
    exporter.shutdown()


def test_with_a_key_seals_are_signed(tmp_path: Path) -> None:
    """So that a repaired archive verifies with it."""
    file = new_key(tmp_path)
    key = read_key(file)
    folder = make(tmp_path / "a", segments=1, key_file=file)
    dead(folder, "shop")
    list(repair(folder, key=key))

    assert verify(folder, keys=[key]).problems == []


def test_the_other_form_of_a_killed_compression_goes(tmp_path: Path) -> None:
    """Both are there; one stays."""
    folder = make(tmp_path / "a", segments=1)
    path = paths(folder)[0]
    data = path.read_bytes()
    zipped(path)
    put(path, data)
    list(repair(folder))

    assert not path.exists()
    assert verify(folder).problems == []


@pytest.mark.skipif(os.geteuid() != 0, reason="not run: only root may write what is another's")
def test_root_keeps_owner_and_mode(folder: Path) -> None:
    """A service can read and go on with what root repaired."""
    for path in folder.rglob("*"):
        os.chown(path, 1234, 4321)
    list(repair(folder))

    files = [path for path in folder.rglob("*") if path.is_file()]
    assert {(path.stat().st_uid, path.stat().st_gid) for path in files} == {(1234, 4321)}


def test_the_audit_is_repaired_too(tmp_path: Path) -> None:
    """It is an archive like every other."""
    folder = make(tmp_path / "a", segments=1)
    child = os.fork()
    if child == 0:
        what = {"signal": "metrics", "service": "shop", "segment": "none", "sha256": "none"}
        AuditLog(Settings(path=str(folder))).say(REMOVED, what, service="shop")
        os.kill(os.getpid(), signal.SIGKILL)
    os.waitpid(child, 0)
    done = list(repair(folder))

    assert [(each.signal, each.done.action) for each in done] == [
        ("metrics", "compressed"),
        ("audit", "sealed"),
        ("audit", "compressed"),
    ]
