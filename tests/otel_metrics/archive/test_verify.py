"""Whatever is done to an archive shows, under the right verdict, and nothing else does."""

import errno
import itertools
import json
import logging
import os
import random
import re
import shutil
import signal
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from otel_exporter_ndjson import NdjsonMetricExporter, find_segments
from otel_exporter_ndjson.audit import REMOVED, AuditLog
from otel_exporter_ndjson.frames import compress
from otel_exporter_ndjson.fs import RealFs
from otel_exporter_ndjson.retention import Limits, prune
from otel_exporter_ndjson.sealkey import SealKey, new_key_text, read_key
from otel_exporter_ndjson.segments import SegmentName
from otel_exporter_ndjson.settings import Settings
from otel_metrics.archive.problems import Problem
from otel_metrics.archive.repair import repair
from otel_metrics.archive.verify import Report, verify
from tests.otel_metrics.archive.recorded import batch, total
from tests.otel_metrics.archive.sealed import (
    Lines,
    copied,
    kinds,
    lines_of,
    make,
    new_key,
    paths,
    pruned,
    put,
    resealed,
    rewrite_chain,
    taken,
    tree,
    unsealed,
    zipped,
)

FLIPS = 10_000
GOLDEN = Path(__file__).parents[2] / "golden" / "format-1"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """An archive of three sealed segments of one writer."""
    return make(tmp_path / "archive")


def the_one(report: Report) -> Problem:
    """Return the only finding."""
    (problem,) = report.problems
    return problem


def test_a_sound_archive_has_no_finding(folder: Path) -> None:
    """Neither plain nor compressed; and nothing in it is changed by looking."""
    before = tree(folder)
    assert verify(folder).problems == []
    assert tree(folder) == before
    for path in paths(folder):
        zipped(path)
    report = verify(folder)

    assert (report.problems, report.intact, report.complete) == ([], True, True)
    assert [each.scan.records for each in report.segments] == [
        sum(line.startswith(b'{"kind":"metric"') for line in lines_of(path))
        for path in paths(folder)
    ]


@pytest.mark.parametrize("name", sorted(path.name for path in GOLDEN.iterdir()))
def test_golden_archives_are_what_they_say(name: str) -> None:
    """What every version wrote, sound and damaged, gets the verdicts that stand beside it."""
    expected = json.loads((GOLDEN / name / "expected.json").read_text())["verify"]
    report = verify(GOLDEN / name / "archive")

    assert {"integrity": report.intact, "completeness": report.complete} == expected


def test_a_golden_signature_holds() -> None:
    """Of a key that was made to be known."""
    (file,) = GOLDEN.parent.glob("*.key")
    key = SealKey(bytes.fromhex(file.read_text().strip()))

    assert verify(GOLDEN / "signed" / "archive", keys=[key]).problems == []
    assert not verify(GOLDEN / "signed" / "archive", keys=[SealKey(bytes(32))]).intact


def test_an_empty_archive_is_sound(tmp_path: Path) -> None:
    """No segment, an empty folder of a service, and no folder at all."""
    (tmp_path / "metrics" / "service=x" / "date=2026-01-01").mkdir(parents=True)
    report = verify(tmp_path)

    assert (report.problems, report.intact, report.complete) == ([], True, True)
    with pytest.raises(FileNotFoundError):
        verify(tmp_path / "none")


@pytest.mark.slow
@pytest.mark.parametrize("compressed", [False, True])
def test_every_flipped_bit_is_found(folder: Path, *, compressed: bool) -> None:
    """In ten thousand places of a segment, plain and compressed, and the segment is named."""
    path = paths(folder)[1]
    path = zipped(path) if compressed else path
    for other in paths(folder):
        if other != path:
            other.unlink()
    data = path.read_bytes()
    chance = random.Random(3)
    places = [(at, bit) for at in range(len(data)) for bit in range(8)]
    missed = []
    for at, bit in chance.sample(places, min(FLIPS // 2, len(places))):
        put(path, data[:at] + bytes([data[at] ^ (1 << bit)]) + data[at + 1 :])
        found = [each for each in verify(folder).problems if each.kind not in ("gap", "chain")]
        if not any(each.verdict in ("integrity", "unfinished") for each in found) or any(
            each.path != str(path) for each in found
        ):
            missed.append((at, bit))

    assert missed == []


def _deleted(lines: Lines, at: int) -> Lines:
    return lines[:at] + lines[at + 1 :]


def _duplicated(lines: Lines, at: int) -> Lines:
    return [*lines[: at + 1], *lines[at:]]


def _swapped(lines: Lines, at: int) -> Lines:
    if at + 1 == len(lines) or lines[at] == lines[at + 1]:
        return _deleted(lines, at)
    return [*lines[:at], lines[at + 1], lines[at], *lines[at + 2 :]]


def _edited(lines: Lines, at: int) -> Lines:
    spot = max(lines[at].rfind(digit) for digit in (b"1", b"2", b"3", b"4", b"5"))
    changed = bytes([lines[at][spot] ^ 1])
    return [*lines[:at], lines[at][:spot] + changed + lines[at][spot + 1 :], *lines[at + 1 :]]


def _foreign(lines: Lines, at: int) -> Lines:
    return [*lines[: at + 1], b'{"kind":"describe","metric":"x"}\n', *lines[at + 1 :]]


def _unknown(lines: Lines, at: int) -> Lines:
    return [*lines[: at + 1], b'{"kind":"note","text":"x"}\n', *lines[at + 1 :]]


def _spaced(lines: Lines, at: int) -> Lines:
    return [*lines[:at], lines[at].replace(b'":', b'": ', 1), *lines[at + 1 :]]


@pytest.mark.parametrize("compressed", [False, True])
@pytest.mark.parametrize(
    "edit", [_deleted, _duplicated, _swapped, _edited, _foreign, _unknown, _spaced]
)
def test_every_edit_of_a_line_is_found(
    folder: Path, edit: Callable[[Lines, int], Lines], *, compressed: bool
) -> None:
    """Each line of a segment in turn; what is found names the segment and bytes around the edit."""
    path = paths(folder)[1]
    lines = path.read_bytes().splitlines(keepends=True)
    for at in range(len(lines)):
        put(path, b"".join(edit(lines, at)))
        target = zipped(path) if compressed else path
        report = verify(folder)
        found = report.of("integrity") or report.of("unfinished")

        assert found, (edit.__name__, at)
        assert {problem.path for problem in found} == {str(target)}
        target.unlink()


def test_an_edit_lies_between_two_commit_lines(folder: Path) -> None:
    """The byte range goes from the commit line before it to the one after it."""
    path = paths(folder)[1]
    lines = path.read_bytes().splitlines(keepends=True)
    commits = [at for at, line in enumerate(lines) if line.startswith(b'{"kind":"commit"')]
    put(path, b"".join(_edited(lines, commits[1] - 1)))
    problem = the_one(verify(folder))

    size = [sum(map(len, lines[:at])) for at in commits]
    assert (problem.kind, problem.start, problem.end) == ("damage", size[0], size[1])
    assert problem.line == commits[1] + 1


def test_a_hole_is_found(folder: Path) -> None:
    """A segment that is missing in the middle fails completeness, and integrity holds."""
    paths(folder)[1].unlink()
    report = verify(folder)

    assert (report.intact, report.complete) == (True, False)
    assert "segment 2 is missing of writer" in the_one(report).message


def test_a_missing_first_segment_is_found(folder: Path) -> None:
    """Numbers begin with 1."""
    paths(folder)[0].unlink()

    assert the_one(verify(folder)).kind == "gap"


def test_the_removal_of_a_whole_writer_shows_where_another_follows(tmp_path: Path) -> None:
    """The first segment of a writer names the newest of its service."""
    folder = make(tmp_path / "a", segments=1)
    first = paths(folder)[0]
    make(folder, segments=2)
    first.unlink()
    problem = the_one(verify(folder))

    assert (problem.verdict, problem.kind) == ("completeness", "chain")
    assert first.name in problem.message


def test_two_segments_of_one_number(folder: Path) -> None:
    """A copy under another time is told, with both."""
    path = paths(folder)[1]
    name = SegmentName.parse(path.name)
    assert name is not None
    stranger = SegmentName(f"{name.start[:9]}235959.999999Z", name.instance, name.sequence)
    copied(path, path.with_name(str(stranger)))

    assert kinds(verify(folder)) == [("completeness", "same_number")]


def test_a_segment_of_another_archive_is_foreign(folder: Path, tmp_path: Path) -> None:
    """Its own hashes hold; its first line says where it belongs."""
    other = paths(make(tmp_path / "other", segments=1))[0]
    copied(other, paths(folder)[0].parent / other.name)
    report = verify(folder)

    assert kinds(report) == [("integrity", "foreign")]
    assert "says archive" in the_one(report).message


def test_a_segment_of_another_service_is_foreign(folder: Path) -> None:
    """Moved within one archive, it is out of place and missing where it was."""
    make(folder, segments=1, service="bank")
    bank = paths(folder, service="bank")[0]
    shop = paths(folder, service="shop")[0].parent
    bank.rename(shop / bank.name)

    assert "says service 'bank'" in the_one(verify(folder)).message


@pytest.mark.parametrize("what", ["instance", "sequence", "day"])
def test_a_renamed_segment_is_found(folder: Path, what: str) -> None:
    """Whatever the new name says."""
    path = paths(folder)[2]
    name = SegmentName.parse(path.name)
    assert name is not None
    other = {
        "instance": SegmentName(name.start, "0123456789abcdef", name.sequence),
        "sequence": SegmentName(name.start, name.instance, 9),
        "day": SegmentName(f"20200101{name.start[8:]}", name.instance, name.sequence),
    }[what]
    path.rename(path.with_name(str(other)))
    report = verify(folder)

    assert not report.intact
    assert ("integrity", "foreign") in kinds(report)


def test_an_archive_without_its_id_is_told(folder: Path) -> None:
    """And one that was given another id."""
    (folder / ".archive").write_text("0" * 32 + "\n")
    assert not verify(folder).intact
    (folder / ".archive").unlink()
    assert not verify(folder).intact


def test_an_archive_without_its_id_is_one_finding(folder: Path) -> None:
    """And not one for each segment, which names what they say."""
    said = (folder / ".archive").read_text().strip()
    (folder / ".archive").unlink()
    assert said in the_one(verify(folder)).message
    (folder / ".archive").write_text("0" * 32 + "\n")
    assert "in its 3 segments" in the_one(verify(folder)).message


def test_a_copy_of_a_neighbour_leaves_a_hole(folder: Path) -> None:
    """The file is there, and what it held is not: both verdicts fail, in the newest one too."""
    first, _, third = paths(folder)
    put(third, first.read_bytes())
    report = verify(folder)

    assert kinds(report) == [("completeness", "gap"), ("integrity", "foreign")]
    assert {problem.path for problem in report.problems} == {str(third)}


def test_a_changed_compressed_segment_is_told_as_one(folder: Path) -> None:
    """By the hash behind it, not in the words of the compression."""
    path = zipped(paths(folder)[1])
    data = path.read_bytes()
    put(path, data[:99] + bytes([data[99] ^ 255]) + data[100:])
    first = verify(folder).of("integrity")[0]

    assert first.message.startswith("its bytes were changed: the hash behind the zstd frame")


def test_what_stands_in_place_of_a_segment_is_told(folder: Path) -> None:
    """A link, a pipe, a folder: none is followed, none hangs."""
    first, second, third = paths(folder)
    first.rename(folder / "elsewhere")
    first.symlink_to(folder / "elsewhere")
    second.unlink()
    os.mkfifo(second)
    third.unlink()
    third.mkdir()
    report = verify(folder)

    assert {problem.path for problem in report.of("integrity")} == set(
        map(str, (first, second, third))
    )


def test_both_forms_of_a_segment_must_be_the_same(folder: Path) -> None:
    """A compression that was killed leaves both; one of them changed is found."""
    path = paths(folder)[1]
    data = path.read_bytes()
    zipped(path)
    put(path, data)
    assert verify(folder).problems == []

    put(path, b"".join(resealed(_edited(data.splitlines(keepends=True), 3))))
    assert ("integrity", "two_forms") in kinds(verify(folder))


def test_what_is_no_part_of_an_archive_is_noted(folder: Path) -> None:
    """A file that nobody reads changes no verdict, and does not hide."""
    (paths(folder)[0].parent / "notes.txt").write_text("x")
    report = verify(folder)

    assert kinds(report) == [("note", "stray")]
    assert report.intact and report.complete


class _Closed(RealFs):
    """A file system on which the folders of days belong to somebody else; root sees all others."""

    def open_dir(self, parent: int, name: str) -> int:
        if name.startswith("date="):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
        return super().open_dir(parent, name)


def test_a_folder_that_cannot_be_looked_into_is_told(folder: Path) -> None:
    """What cannot be seen is not sound."""
    report = verify(folder, fs=_Closed())

    assert kinds(report) == [("integrity", "unreadable")]
    assert the_one(report).message == "cannot be looked into: Permission denied"


def test_a_writer_that_lives_disturbs_nothing(folder: Path) -> None:
    """Its segment is open, also with half a line at its end."""
    exporter = NdjsonMetricExporter(folder, compression="none")
    exporter.export(batch(total(1, 1)))
    with paths(folder)[-1].open("ab") as file:
        file.write(b'{"kind":"metr')
    report = verify(folder)
    states = [each.state for each in report.segments]
    os.truncate(paths(folder)[-1], paths(folder)[-1].stat().st_size - 13)
    exporter.shutdown()

    assert report.problems == []
    assert sorted(states) == ["open", "sealed", "sealed", "sealed"]
    assert verify(folder).problems == []


@pytest.mark.parametrize("torn", [b"", b'{"kind":"metr', bytes(4096), b"garbage\n\0\n"])
def test_a_dead_writer_needs_a_repair(folder: Path, torn: bytes) -> None:
    """Both verdicts are open until then: it is no damage, and nobody can say what is missing."""
    child = os.fork()
    if child == 0:
        exporter = NdjsonMetricExporter(folder, sync="never")
        exporter.export(batch(total(1, 1)))
        os.kill(os.getpid(), signal.SIGKILL)
    os.waitpid(child, 0)
    path = next(path for path in paths(folder) if b'"kind":"seal"' not in path.read_bytes())
    with path.open("ab") as file:
        file.write(torn)
    report = verify(folder)

    assert kinds(report) == [("unfinished", "repair")]
    assert (report.intact, report.complete) == (True, False)
    assert (the_one(report).path, "torn tail" in the_one(report).message) == (str(path), bool(torn))


def test_a_zero_length_segment_needs_a_repair(folder: Path) -> None:
    """A power cut may leave one."""
    put(paths(folder)[2], b"")

    assert kinds(verify(folder)) == [("unfinished", "repair")]


def test_what_retention_removed_is_explained(folder: Path) -> None:
    """By the audit, and only for the very segments that it names."""
    pruned(folder)
    assert verify(folder).problems == []

    shutil.rmtree(folder / "audit")
    assert kinds(verify(folder)) == [("completeness", "gap")]


def test_a_removal_that_was_said_and_not_done_is_noted(folder: Path) -> None:
    """Killed in between: the segment is there, and nothing is wrong."""
    kept = paths(folder)[0]
    data = kept.read_bytes()
    pruned(folder)
    put(kept, data)
    report = verify(folder)

    assert kinds(report) == [("note", "announced")]
    assert report.complete


def test_an_unkeyed_rewrite_of_one_segment_breaks_the_chain(folder: Path) -> None:
    """All its hashes are made anew, and the segment behind it names the old one."""
    path = paths(folder)[1]
    put(path, b"".join(resealed(_edited(path.read_bytes().splitlines(keepends=True), 3))))
    report = verify(folder)

    assert kinds(report) == [("completeness", "chain")]


@pytest.fixture
def keyed(tmp_path: Path) -> tuple[Path, SealKey]:
    """An archive whose seals are signed, and the key."""
    file = new_key(tmp_path)
    return make(tmp_path / "signed", key_file=file), read_key(file)


def _first_value(number: int, lines: Lines) -> Lines:
    return _edited(lines, 3) if number == 0 else lines


def test_a_signed_archive_holds_with_its_key(keyed: tuple[Path, SealKey]) -> None:
    """Also among others, and without any key, but not with another."""
    folder, key = keyed
    other = SealKey(bytes(32))

    assert verify(folder, keys=[other, key]).problems == []
    assert verify(folder).problems == []
    assert kinds(verify(folder, keys=[other])) == [("integrity", "unknown_key")]


def test_a_whole_chain_rewritten_without_the_key_shows(keyed: tuple[Path, SealKey]) -> None:
    """Every hash is right; no seal is signed."""
    folder, key = keyed
    rewrite_chain(folder, _first_value)

    assert verify(folder).problems == []
    assert kinds(verify(folder, keys=[key])) == [("integrity", "unsigned")]
    assert len(verify(folder, keys=[key]).problems) == 3


def test_a_whole_chain_rewritten_with_another_key_shows(keyed: tuple[Path, SealKey]) -> None:
    """A key that the attacker made himself is unknown; under the right id it does not hold."""
    folder, key = keyed
    stranger = SealKey(bytes.fromhex(new_key_text().strip()))
    rewrite_chain(folder, _first_value, stranger)
    assert kinds(verify(folder, keys=[key])) == [("integrity", "unknown_key")]

    for path in paths(folder):
        put(path, path.read_bytes().replace(stranger.id.encode(), key.id.encode()))
    assert kinds(verify(folder, keys=[key])) == [("integrity", "wrong_signature")]


def test_an_old_signature_does_not_hold_for_new_bytes(keyed: tuple[Path, SealKey]) -> None:
    """The signature of the segment as it was, or of another one, put under a rewritten seal."""
    folder, key = keyed
    signatures = [lines_of(path)[-1].partition(b',"key":')[2] for path in paths(folder)]
    rewrite_chain(folder, _first_value)
    for path, signature in zip(paths(folder), signatures, strict=True):
        put(path, path.read_bytes()[:-2] + b',"key":' + signature)

    assert kinds(verify(folder, keys=[key])) == [("integrity", "wrong_signature")]


def test_with_a_key_only_a_signed_audit_explains(keyed: tuple[Path, SealKey]) -> None:
    """Whoever has no key can write an audit too."""
    folder, key = keyed
    again = folder.with_name("again")
    shutil.copytree(folder, again)
    pruned(folder, key)
    assert verify(folder, keys=[key]).problems == []

    pruned(again)
    assert kinds(verify(again, keys=[key])) == [
        ("completeness", "gap"),
        ("integrity", "unsigned"),
    ]


def test_an_audit_that_is_not_sealed_yet_leaves_it_open(keyed: tuple[Path, SealKey]) -> None:
    """A service that lives has removed a segment: it can be told once the audit is signed."""
    folder, key = keyed
    audit = AuditLog(Settings(path=str(folder)), key=key)
    last = os.path.getsize(paths(folder)[-1])
    limits = Limits(bytes_max=last)
    assert len(list(prune(RealFs(), str(folder), limits, now_ns=0, say=audit.removed))) == 2

    report = verify(folder, keys=[key])
    audit.close()
    assert kinds(report) == [("note", "open"), ("unfinished", "audit_open")]
    assert verify(folder, keys=[key]).problems == []


def _forged_removal(folder: Path) -> None:
    """Take the middle segment away, and say so in an audit that nobody seals, as anybody can."""
    from_other = folder.with_name("forge")
    shutil.copytree(folder, from_other)
    pruned(from_other)
    paths(folder)[1].unlink()
    (audit,) = paths(from_other, signal="audit")
    lines = [each for each in lines_of(audit) if not each.startswith(b'{"kind":"seal"')]
    put(audit, b"".join(lines))
    target = folder / audit.with_name(audit.name.removesuffix(".zst")).relative_to(from_other)
    copied(audit, target)


def test_a_forged_audit_that_a_repair_signs_explains_nothing(
    keyed: tuple[Path, SealKey],
) -> None:
    """Whoever has no key adds it without a seal; the next start seals and signs what it finds."""
    folder, key = keyed
    _forged_removal(folder)
    before = verify(folder, keys=[key])
    list(repair(folder, key=key))
    after = verify(folder, keys=[key])

    for report in (before, after):
        (missing,) = report.of("completeness")
        assert missing.kind == "gap"
        assert "said only by an audit that its own writer did not seal" in missing.message
    assert after.intact
    assert after.recovered == 1
    assert verify(folder).complete


def _continuing(lines: Lines, number: int) -> Lines:
    said = b'"continues":[{"sequence":%d,"line":1}]}\n' % number
    return [lines[0].removesuffix(b"}\n") + b"," + said, *lines[1:]]


@pytest.mark.parametrize("number", [1, 2, 3, 4])
def test_no_writer_goes_on_from_what_it_sealed(folder: Path, number: int) -> None:
    """Nor from the segment itself, or a later one."""
    lines = paths(folder)[2].read_bytes().splitlines(keepends=True)
    put(paths(folder)[2], b"".join(resealed(_continuing(lines, number))))
    report = verify(folder)

    assert {each[1] for each in kinds(report)} == {"continues"}
    assert {each.path for each in report.of("integrity")} == {str(paths(folder)[2])}


def _added(folder: Path, number: int) -> Path:
    """Add an unsealed segment that says it goes on from the one of this number."""
    last = paths(folder)[-1]
    lines = _continuing(last.read_bytes().splitlines(keepends=True), number)
    name = SegmentName.parse(last.name)
    assert name is not None
    added = last.with_name(str(SegmentName(name.start, name.instance, name.sequence + 1)))
    lines[0] = lines[0].replace(
        b'"sequence":%d' % name.sequence, b'"sequence":%d' % (name.sequence + 1), 1
    )
    lines[0] = re.sub(rb'"previous":\{[^}]*\},?', b"", lines[0])
    put(added, b"".join(lines))
    unsealed(added)
    return added


def test_an_unsigned_segment_that_hides_records_is_told(keyed: tuple[Path, SealKey]) -> None:
    """Of a segment that has no seal of its writer; and the dead one needs a repair as before."""
    folder, key = keyed
    unsealed(paths(folder)[2])
    added = _added(folder, 3)
    report = verify(folder, keys=[key])
    told = [each for each in report.of("unfinished") if each.kind == "continues"]

    assert [each.path for each in told] == [str(added)]
    assert told[0].message.startswith("an unsigned segment hides records of segment 3")
    assert len([each for each in report.of("unfinished") if each.kind == "repair"]) == 2


def _taken_back(folder: Path, key: SealKey | None) -> None:
    """Let the second segment be one whose fsync failed when it was sealed; a recovery seals it."""
    _, second, third = paths(folder)
    lines = _continuing(third.read_bytes().splitlines(keepends=True), 2)
    put(third, b"".join(resealed(lines, key)))
    unsealed(second)
    list(repair(folder, key=key))


def test_a_seal_that_its_writer_took_back_is_no_loss(keyed: tuple[Path, SealKey]) -> None:
    """The one that goes on from it names the hash of the seal that is no more."""
    folder, key = keyed
    _taken_back(folder, key)
    report = verify(folder, keys=[key])

    assert kinds(report) == kinds(verify(folder)) == [("note", "chain")]
    assert "an fsync failed" in the_one(report).message


def test_a_recovery_that_seals_another_segment_excuses_nothing(
    keyed: tuple[Path, SealKey],
) -> None:
    """The second is changed; the newest says that it goes on from it, and a recovery signs both."""
    folder, key = keyed
    unsealed(paths(folder)[1], lambda lines: _edited(lines, 3))
    _added(folder, 2)
    list(repair(folder, key=key))

    assert kinds(verify(folder, keys=[key])) == [("completeness", "chain")]


@pytest.mark.parametrize("wrong", ["segment", "sha256"])
def test_a_removal_of_another_segment_explains_nothing(
    keyed: tuple[Path, SealKey], wrong: str
) -> None:
    """The number alone fits; name or hash are not those that the next segment names."""
    folder, key = keyed
    path = paths(folder)[1]
    name = SegmentName.parse(path.name)
    assert name is not None
    true = {
        "signal": "metrics",
        "service": "shop",
        "segment": path.name,
        "sha256": verify(folder).segments[1].scan.sha256,
    }
    other = str(SegmentName("20200101T000000.000000Z", name.instance, name.sequence))
    for said in (true | {wrong: {"segment": other}.get(wrong, "0" * 64)}, true):
        audit = AuditLog(Settings(path=str(folder)), key=key)
        audit.say(REMOVED, said, service=said["service"])
        audit.close()
        path.unlink(missing_ok=True)
        missing = verify(folder, keys=[key]).problems

        assert [each.kind for each in missing] == ([] if said is true else ["gap"])


def test_a_removal_in_another_service_explains_nothing(keyed: tuple[Path, SealKey]) -> None:
    """Where a checkpoint knows of which service the segment was."""
    folder, key = keyed
    path, known = paths(folder)[1], taken(folder, key)
    said = {"signal": "metrics", "segment": path.name, "sha256": ""}
    said["sha256"] = verify(folder).segments[1].scan.sha256
    audit = AuditLog(Settings(path=str(folder)), key=key)
    audit.say(REMOVED, {**said, "service": "bank"}, service="bank")
    audit.close()
    path.unlink()

    assert kinds(verify(folder, keys=[key])) == []
    missing = kinds(verify(folder, keys=[key], checkpoint=known))
    assert missing == [("completeness", "gap"), ("completeness", "since_checkpoint")]


def test_what_retention_removed_of_one_of_several_services_is_explained(tmp_path: Path) -> None:
    """A writer chains its segments over all services, so the next one is of another."""
    folder = tmp_path / "a"
    exporter = NdjsonMetricExporter(folder, compression="none")
    for number in range(6):
        exporter.export(batch(total(number, number), service=("shop", "bank")[number % 2]))
        exporter.force_flush()
    exporter.shutdown()
    audit = AuditLog(Settings(path=str(folder)))
    done = prune(RealFs(), str(folder), Limits(bytes_max=1), now_ns=0, say=audit.removed)
    assert list(done)
    audit.close()

    assert verify(folder).problems == []


def _head(**members: object) -> bytes:
    head = {"kind": "segment", "format": 1, **members}
    return msgspec.json.encode(head) + b"\n"


def _deep(depth: int) -> object:
    value: object = 1
    for _ in range(depth):
        value = {"$map": [value]}
    return value


@pytest.mark.parametrize(
    "lines",
    [
        [b"\0" * 9_000_000],
        [b"\n" * 2_000_000],
        [b"x" * 9_000_000 + b"\n"],
        [b"[" * 1_000_000 + b"\n"],
        [b'{"kind":"segment","x":' + b"[" * 900 + b"]" * 900 + b"}\n"],
        [b'{"kind":"segment","sequence":' + b"9" * 10_000 + b"}\n"],
        [b'{"kind":"segment","sequence":1e999}\n'],
        [_head(writer=5, previous=5, continues=5, replaces=5, resource=5)],
        [_head(writer=[], previous=[], continues=[1, {}, {"sequence": {}}], replaces=[])],
        [_head(previous={"segment": 5, "sha256": []}, replaces={"sha256": 5}, resource={})],
        [_head(previous={"segment": "../x", "sha256": "y"}, replaces={"sha256": "z"})],
        [_head(resource={"attributes": {"service.name": _deep(150)}})],
        [_head(), b'{"kind":"seal","first":{},"last":[],"records":[],"sha256":5,"key":5}\n'],
        [_head(), b'{"kind":"seal","first":' + b"[" * 900 + b"]" * 900 + b"}\n"],
        [_head(), b'{"kind":"commit","records":{},"sha256":null,"shape":5}\n'],
        [b"\xff\xfe\n"] * 5_000,
    ],
    ids=range(16),
)
@pytest.mark.parametrize("compressed", [False, True])
def test_no_content_makes_it_raise(folder: Path, lines: Lines, *, compressed: bool) -> None:
    """Whatever stands in place of a segment is told, and the others are looked at."""
    path = paths(folder)[1]
    put(path, b"".join(lines))
    if compressed:
        zipped(path)
    for keys in ([], [SealKey(bytes(32))]):
        report = verify(folder, keys=keys)

        assert not report.intact or report.unfinished
        assert len(report.segments) == 3
        assert len(report.problems) < 2_000


def test_a_bomb_is_not_inflated_to_its_end(folder: Path) -> None:
    """Half a gigabyte of zeros in a few kilobytes is a finding."""
    zeros = bytes(2**20)
    path = paths(folder)[1]
    path.unlink()
    put(
        path.with_name(f"{path.name}.zst"),
        b"".join(compress((zeros for _ in range(512)), 512 * 2**20)),
    )

    assert "inflates beyond all measure" in [each.message for each in verify(folder).problems]


@pytest.mark.slow
def test_writers_that_live_never_look_damaged(tmp_path: Path) -> None:
    """While segments are begun, sealed, compressed and removed, nothing is found missing."""
    file = new_key(tmp_path)
    folder, key = make(tmp_path / "a", segments=1, key_file=file), read_key(file)
    child = os.fork()
    if child == 0:
        logging.disable()
        for number in itertools.count():
            exporter = NdjsonMetricExporter(
                folder, rotate_bytes=4096, seal_key_file=file, retention_bytes="30KiB"
            )
            for each in range(number, number + 60):
                exporter.export(batch(total(each, each), service=("shop", "bank")[each % 2]))
            exporter.shutdown()
    reports: list[Report] = []
    seen: set[str] = set()
    try:
        while len(seen) < 100:
            reports.append(verify(folder, keys=[key]))
            seen |= {each.segment.name for each in reports[-1].segments}
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
    list(repair(folder, key=key))

    wrong = [each for report in reports for each in report.problems]
    assert [each for each in wrong if each.verdict in ("integrity", "completeness")] == []
    report = verify(folder, keys=[key])
    assert report.intact
    assert (
        not [  # of what the killed one removed, only a recovery signed the audit
            each for each in report.of("completeness") if "writer did not seal" not in each.message
        ]
    )


def test_many_services_and_writers_are_one_chain_each(tmp_path: Path) -> None:
    """A writer counts its segments over all services."""
    folder = tmp_path / "a"
    exporter = NdjsonMetricExporter(folder, compression="none")
    for number in range(6):
        exporter.export(batch(total(number, number), service=("shop", "bank")[number % 2]))
    exporter.shutdown()
    assert verify(folder).problems == []

    paths(folder, service="bank")[1].unlink()
    assert kinds(verify(folder)) == [("completeness", "gap")]


def test_progress_ends_at_the_whole(folder: Path) -> None:
    """In bytes of files, of how many there are."""
    seen: list[tuple[int, int]] = []
    verify(folder, progress=lambda done, total: seen.append((done, total)))

    size = sum(os.path.getsize(each.path) for each in find_segments(folder))
    assert max(seen) == (size, size)
