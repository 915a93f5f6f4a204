"""Against a checkpoint shows what nothing inside an archive can show."""

import os
import shutil
import signal
from pathlib import Path

import pytest

from otel_exporter_ndjson import DamagedError, NdjsonMetricExporter
from otel_exporter_ndjson.sealkey import SealKey, read_key
from otel_metrics.archive.checkpoint import (
    read_checkpoint,
    write_new,
)
from otel_metrics.archive.repair import repair
from otel_metrics.archive.signatures import keyring
from otel_metrics.archive.verify import verify
from tests.otel_metrics.archive.recorded import batch, total
from tests.otel_metrics.archive.sealed import (
    Lines,
    kinds,
    make,
    new_key,
    paths,
    pruned,
    put,
    resealed,
    rewrite_chain,
    taken,
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """An archive of three sealed segments of one writer."""
    return make(tmp_path / "archive")


def test_what_is_still_there_holds(folder: Path) -> None:
    """Also after more was written, compressed, and removed by retention."""
    checkpoint = taken(folder)
    make(folder, segments=5)
    list(repair(folder))
    assert verify(folder, checkpoint=checkpoint).problems == []

    shutil.rmtree(folder)
    checkpoint = taken(make(folder))
    pruned(folder)
    assert verify(folder, checkpoint=checkpoint).problems == []


def test_the_removal_of_the_newest_shows_only_so(folder: Path) -> None:
    """Without a checkpoint nothing speaks of a segment that nobody follows."""
    checkpoint = taken(folder)
    paths(folder)[2].unlink()

    assert verify(folder).problems == []
    assert kinds(verify(folder, checkpoint=checkpoint)) == [("completeness", "since_checkpoint")]


def test_a_folder_put_back_to_last_week_shows_only_so(folder: Path, tmp_path: Path) -> None:
    """Everything in it holds; it is only older than it was."""
    shutil.copytree(folder, tmp_path / "last week")
    make(folder, segments=5)
    checkpoint = taken(folder)
    shutil.rmtree(folder)
    (tmp_path / "last week").rename(folder)

    assert verify(folder).problems == []
    report = verify(folder, checkpoint=checkpoint)
    assert kinds(report) == [("completeness", "since_checkpoint")]
    assert len(report.problems) == 2


def _changed(number: int, lines: Lines) -> Lines:
    return [line.replace(b'"value":1', b'"value":7') for line in lines]


def test_a_chain_rewritten_without_a_key_shows(folder: Path) -> None:
    """Every segment has another hash than at the time of the checkpoint."""
    checkpoint = taken(folder)
    rewrite_chain(folder, _changed)

    assert verify(folder).problems == []
    assert len(verify(folder, checkpoint=checkpoint).of("completeness")) == 3


def test_an_open_segment_is_held_to_its_last_commit(folder: Path) -> None:
    """It may grow and be sealed; what was there before may not change."""
    exporter = NdjsonMetricExporter(folder, compression="none")
    exporter.export(batch(total(1, 1)))
    checkpoint = taken(folder)
    exporter.export(batch(total(2, 2)))
    grown = verify(folder, checkpoint=checkpoint)
    exporter.shutdown()

    assert (grown.problems, verify(folder, checkpoint=checkpoint).problems) == ([], [])
    list(repair(folder))
    assert verify(folder, checkpoint=checkpoint).problems == []


def test_an_open_segment_that_was_changed_shows(folder: Path) -> None:
    """Rewritten with right hashes, it is not what it was."""
    exporter = NdjsonMetricExporter(folder, compression="none")
    exporter.export(batch(total(1, 1)))
    exporter.export(batch(total(2, 2)))
    checkpoint = taken(folder)
    exporter.shutdown()
    lines = paths(folder)[3].read_bytes().splitlines(keepends=True)
    put(paths(folder)[3], b"".join(resealed(_changed(0, lines))))

    assert verify(folder).problems == []
    assert kinds(verify(folder, checkpoint=checkpoint)) == [("completeness", "since_checkpoint")]


def test_a_dead_segment_may_be_repaired_after_a_checkpoint(folder: Path) -> None:
    """The seal of a recovery comes behind what the checkpoint names."""
    child = os.fork()
    if child == 0:
        exporter = NdjsonMetricExporter(folder, sync="never")
        exporter.export(batch(total(1, 1)))
        os.kill(os.getpid(), signal.SIGKILL)
    os.waitpid(child, 0)
    checkpoint = taken(folder)
    list(repair(folder))

    assert verify(folder, checkpoint=checkpoint).problems == []


def test_a_checkpoint_of_another_archive_is_told(folder: Path, tmp_path: Path) -> None:
    """It names another id."""
    checkpoint = taken(make(tmp_path / "other", segments=1))

    assert ("completeness", "checkpoint") in kinds(verify(folder, checkpoint=checkpoint))


def test_every_byte_of_a_checkpoint_counts(folder: Path, tmp_path: Path) -> None:
    """Signed or not, one that was changed is refused; so is what is none."""
    for key in (None, read_key(new_key(tmp_path))):
        taken(folder, key)
        path = folder.with_name("checkpoint.json")
        text = path.read_bytes()
        for at in range(0, len(text), 3):
            path.write_bytes(text[:at] + bytes([text[at] ^ 1]) + text[at + 1 :])
            try:
                found = read_checkpoint(path, keyring([key] if key else []))
            except DamagedError:
                continue
            assert found.signature == "unknown_key"  # the key's id was changed
        (tmp_path / "seal.key").unlink(missing_ok=True)
    for text in (b"", b"{}", b"[]\n", b"\xff\n", b'{"kind":"checkpoint"}\n'):
        path.write_bytes(text)
        with pytest.raises(DamagedError):
            read_checkpoint(path, {})


def test_a_checkpoint_that_anybody_could_have_made_is_told_where_keys_are_given(
    folder: Path, tmp_path: Path
) -> None:
    """With keys, one without a signature or with a stranger's does not do."""
    file = new_key(tmp_path)
    key = read_key(file)
    signed = make(tmp_path / "signed", key_file=file)
    for stranger in (None, SealKey(bytes(32))):
        checkpoint = taken(signed, stranger, known=key)
        report = verify(signed, keys=[key], checkpoint=checkpoint)
        assert kinds(report) == [("completeness", "checkpoint")]

    assert verify(signed, keys=[key], checkpoint=taken(signed, key)).problems == []


def test_a_signed_checkpoint_vouches_for_segments_from_before_the_key(
    folder: Path, tmp_path: Path
) -> None:
    """For those that it names, with exactly these hashes; one that nobody signed does not."""
    key = read_key(new_key(tmp_path))
    assert ("integrity", "unsigned") in kinds(verify(folder, keys=[key]))
    checkpoint = taken(folder, key)
    assert verify(folder, keys=[key], checkpoint=checkpoint).problems == []

    rewrite_chain(folder, _changed)
    report = verify(folder, keys=[key], checkpoint=checkpoint)
    assert len([each for each in report.problems if each.kind == "unsigned"]) == 3
    report = verify(folder, keys=[key], checkpoint=taken(folder, known=key))
    assert len([each for each in report.problems if each.kind == "unsigned"]) == 3


def test_a_checkpoint_replaces_the_one_before_in_one_step(tmp_path: Path) -> None:
    """Nothing else is left in the folder; where it cannot be made the old one stays."""
    target = tmp_path / "checkpoint.json"
    write_new(str(target), b"one")
    write_new(str(target), b"two")

    assert [path.name for path in tmp_path.iterdir()] == ["checkpoint.json"]
    assert target.read_bytes() == b"two"
    with pytest.raises(OSError, match="make it first"):
        write_new(str(tmp_path / "none" / "x"), b"three")
