"""What is erased is gone, everything else stays as it was, and `verify` tells the difference."""

import os
import signal
import stat
from pathlib import Path
from typing import Any

import pytest

from otel_exporter_ndjson import (
    NdjsonLogRecordExporter,
    NdjsonMetricExporter,
    find_segments,
    read,
    read_events,
    read_metrics,
)
from otel_exporter_ndjson.audit import AuditLog, read_audit
from otel_exporter_ndjson.fs import RealFs
from otel_exporter_ndjson.sealkey import SealKey, read_key
from otel_exporter_ndjson.settings import Settings
from otel_metrics.archive.erasure import Erased, Eraser, torn_with
from otel_metrics.archive.matching import Wanted
from otel_metrics.archive.repair import repair
from otel_metrics.archive.verify import verify
from tests.otel_metrics.archive.recorded import batch, emit, event, gauge, total
from tests.otel_metrics.archive.sealed import (
    kinds,
    lines_of,
    make,
    new_key,
    paths,
    put,
    resealed,
    taken,
    tree,
    zipped,
)

ALICE = Wanted(attributes=[("user.id", "alice")])


def erased(
    folder: Path,
    wanted: Wanted = ALICE,
    *,
    key: SealKey | None = None,
    unsigned: bool = False,
    reason: str = "asked for it",
) -> list[Erased]:
    """Erase, as the command does."""
    audit = AuditLog(Settings(path=str(folder)), key=key)
    eraser = Eraser(
        folder, wanted, reason=reason, actor="me", key=key, unsigned=unsigned, audit=audit
    )
    done = list(eraser.run())
    audit.close()
    return done


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Events and points of alice and bob, in sealed segments."""
    path = tmp_path / "archive"
    for number in range(2):
        who = [event("order", n, **{"user.id": user}) for n, user in enumerate(["alice", "bob"])]
        emit(path, *who, event("tick", 9, n=number))
    exporter = NdjsonMetricExporter(path, compression="none")
    for at in range(3):
        points = [total(at, at, attributes={"user.id": user}) for user in ("alice", "bob")]
        exporter.export(batch(*points, gauge(at, at)))
    exporter.shutdown()
    return path


def holding(folder: Path, text: bytes) -> list[Path]:
    """Return the files that hold a text, inflated where they are compressed."""
    found = [Path(each.path) for each in find_segments(folder)]
    return [path for path in found if text in b"".join(lines_of(path))]


@pytest.mark.parametrize("compressed", [False, True])
def test_what_is_erased_is_gone_and_the_rest_stays(folder: Path, *, compressed: bool) -> None:
    """Every other record keeps its bytes and its line number, in files of the same names."""
    if compressed:
        for path in [*paths(folder), *paths(folder, signal="events")]:
            zipped(path)
    before = {(each.segment.name, each.line): each.raw for each in read(folder)}
    names = {each.path for each in find_segments(folder)}
    done = erased(folder)
    after = {
        (each.segment.name, each.line): each.raw
        for each in read(folder)
        if each.segment.signal != "audit"
    }

    assert [each.action for each in done] == ["erased"] * 3
    assert sum(each.records for each in done) == 5
    assert holding(folder, b"alice") == []
    assert after == {where: raw for where, raw in before.items() if b"alice" not in raw}
    assert names == {each.path for each in find_segments(folder) if each.signal != "audit"}


def test_verify_tells_an_erasure_and_finds_nothing_wrong(folder: Path) -> None:
    """Who asked for what, how many records, and which hash was replaced; status stays 0."""
    checkpoint = taken(folder)
    erased(folder)
    report = verify(folder, checkpoint=checkpoint)

    assert kinds(report) == [("note", "rewritten")]
    assert (report.intact, report.complete) == (True, True)
    messages = [each.message for each in report.problems]
    assert messages[0].startswith("rewritten, 3 records erased, reason: asked for it; it replaces")
    assert sum(each.scan.erased for each in report.segments) == 5


def test_the_audit_says_what_replaced_what(folder: Path) -> None:
    """Hashes before and after, and who did it."""
    hashes = {each.segment.name: each.scan.sha256 for each in verify(folder).segments}
    erased(folder)
    now = {each.segment.name: each.scan.sha256 for each in verify(folder).segments}

    for said in read_audit(folder):
        assert (said.event, said.reason, said.actor) == ("replaced", "erasure", "me")
        assert said.sha256 == hashes[said.segment]
        assert said.replaced_by == now[said.segment]


def test_an_erasure_that_the_audit_does_not_know_is_told(folder: Path) -> None:
    """A segment may not say of itself that it was rewritten."""
    erased(folder)
    for path in (folder / "audit").rglob("*.ndjson"):
        path.unlink()

    assert ("completeness", "rewritten") in kinds(verify(folder))


def test_erased_lines_without_a_reason_are_told(folder: Path) -> None:
    """Where the first line does not say what it replaces."""
    path = paths(folder)[0]
    lines = path.read_bytes().splitlines(keepends=True)
    lines = [b'{"kind":"erased"}\n' if b"alice" in line else line for line in lines]
    put(path, b"".join(resealed(lines)))

    assert ("integrity", "erased_unsaid") in kinds(verify(folder))


def test_erasing_again_does_nothing_and_erasing_more_goes_on(folder: Path) -> None:
    """A second erasure names the first one's hash, and the chain to the old one still holds."""
    checkpoint = taken(folder)
    erased(folder)
    before = {path: data for path, data in tree(folder).items() if "audit" not in path}
    assert erased(folder) == []
    assert before == {path: data for path, data in tree(folder).items() if "audit" not in path}

    done = erased(folder, Wanted(attributes=[("user.id", "bob")]))
    assert [each.action for each in done] == ["erased"] * 3
    report = verify(folder, checkpoint=checkpoint)
    assert kinds(report) == [("note", "rewritten")]
    assert lines_of(paths(folder)[0])[0].count(b'"replaces"') == 1


def test_what_follows_an_erased_segment_still_chains(tmp_path: Path) -> None:
    """Later segments name the hash that is gone; the audit explains it."""
    folder = make(tmp_path / "a")
    erased(folder, Wanted(metrics=["jobs"]))
    make(folder, segments=5)
    report = verify(folder)

    assert kinds(report) == [("note", "rewritten")]
    assert len(report.problems) == 3


def test_a_batch_that_was_exported_in_another_shape_reads_without_what_was_erased(
    folder: Path,
) -> None:
    """What a commit line counts is what is left."""
    assert any(b'"shape":' in line for line in lines_of(paths(folder)[0]))
    erased(folder)
    findings: list[Any] = []
    values = [
        [
            point.attributes
            for each in data.resource_metrics
            for scope in each.scope_metrics
            for metric in scope.metrics
            for point in metric.data.data_points
        ]
        for data in read_metrics(folder, findings=findings)
    ]
    names = [str(each.log_record.event_name) for each in read_events(folder, findings=findings)]

    assert findings == []
    assert values == [[{"user.id": "bob"}, {}]] * 3
    assert sorted(names) == ["order", "order", "tick", "tick"]


@pytest.mark.parametrize(
    ("attributes", "body", "matches"),
    [
        ({"user.id": "alice"}, None, True),
        ({"user.id": "alice2"}, None, False),
        ({"user.id": "Alice"}, None, False),
        ({"note": "alice"}, None, False),
        ({"user.id": ["bob", "alice"]}, None, True),
        ({}, {"user.id": "alice"}, True),
        ({}, {"user": {"id": "alice"}}, True),
        ({}, {"deep": [{"er": {"user.id": "alice"}}]}, True),
        ({}, "alice", False),
        ({}, {"$map": {"$x": 1, "user.id": "alice"}}, True),
    ],
)
def test_what_matches(attributes: Any, body: Any, *, matches: bool) -> None:
    """Exactly the value, under the key, however deep."""
    record = {"kind": "event", "event": "order", "attributes": attributes, "body": body}

    assert ALICE.matches(record) is matches


@pytest.mark.parametrize(
    ("value", "text", "matches"),
    [
        (7, "7", True),
        (7, "7.0", False),
        (7.5, "7.5", True),
        (True, "true", True),
        (True, "True", False),
        (None, "null", False),
        ({"$bytes": "AAE="}, "AAE=", True),
        ({"$float": "NaN"}, "NaN", True),
    ],
)
def test_values_match_as_the_archive_writes_them(value: Any, text: str, *, matches: bool) -> None:
    """A number is compared as JSON has it."""
    record = {"kind": "metric", "metric": "jobs", "attributes": {"k": value}}

    assert Wanted(attributes=[("k", text)]).matches(record) is matches


def test_names_and_attributes_must_all_match() -> None:
    """Of several names one, of several attributes all; an exemplar counts too."""
    point = {
        "kind": "metric",
        "metric": "jobs",
        "attributes": {"a": "1"},
        "exemplars": [{"attributes": {"b": "2"}}],
    }
    both = [("a", "1"), ("b", "2")]

    assert Wanted(metrics=["other", "jobs"], attributes=both).matches(point)
    assert not Wanted(metrics=["other"], attributes=both).matches(point)
    assert not Wanted(events=["jobs"]).matches(point)
    assert not Wanted(attributes=[*both, ("c", "3")]).matches(point)
    assert not Wanted()


def test_without_an_audit_nothing_is_changed(folder: Path) -> None:
    """It is only counted."""
    before = tree(folder)
    done = list(Eraser(folder, ALICE).run())

    assert [(each.action, each.records) for each in done] == [
        ("found", 3),
        ("found", 1),
        ("found", 1),
    ]
    assert tree(folder) == before


def test_a_segment_whose_writer_lives_is_left_and_told(folder: Path) -> None:
    """It is done once that is sealed."""
    exporter = NdjsonLogRecordExporter(folder, compression="none")
    exporter.export([])
    emitted = NdjsonMetricExporter(folder, compression="none")
    emitted.export(batch(total(1, 1, attributes={"user.id": "alice"})))
    done = erased(folder)
    emitted.shutdown()
    exporter.shutdown()

    assert sorted(each.action for each in done) == ["erased", "erased", "erased", "open"]
    assert [each.action for each in erased(folder)] == ["erased"]
    assert holding(folder, b"alice") == []


def test_a_damaged_segment_is_left_and_told(folder: Path) -> None:
    """A new seal would hide the damage."""
    path = paths(folder)[0]
    put(path, path.read_bytes().replace(b'"value":2', b'"value":7', 1))
    before = path.read_bytes()
    done = erased(folder)

    assert sorted(each.action for each in done) == ["damaged", "erased", "erased"]
    assert path.read_bytes() == before


def test_what_describes_records_is_told(tmp_path: Path) -> None:
    """A value in a resource is not erased, and nobody may think so."""
    folder = tmp_path / "a"
    emit(folder, event("order", 1, n=1), service="alice")

    (done,) = erased(folder, Wanted(attributes=[("service.name", "alice")]))
    assert done.action == "described"


def test_set_aside_bytes_are_told(folder: Path) -> None:
    """A torn tail is no record, and may hold the value all the same."""
    torn = Path(f"{paths(folder)[0]}.torn")
    torn.write_bytes(b'{"kind":"metric","attributes":{"user.id":"alice"')

    assert torn_with(folder, ALICE) == [str(torn)]
    assert torn_with(folder, Wanted(attributes=[("user.id", "carol")])) == []


def test_signed_segments_stay_signed(tmp_path: Path) -> None:
    """With the key they are signed anew; without it they are left, unless that is wanted."""
    file = new_key(tmp_path)
    folder, key = make(tmp_path / "a", key_file=file), read_key(file)
    jobs = Wanted(metrics=["jobs"])
    assert [each.action for each in erased(folder, jobs)] == ["signed"] * 3

    assert [each.action for each in erased(folder, jobs, key=key)] == ["erased"] * 3
    assert kinds(verify(folder, keys=[key])) == [("note", "rewritten")]
    done = erased(folder, Wanted(metrics=["level"]), unsigned=True)
    assert [each.action for each in done] == ["erased"] * 3
    assert ("integrity", "unsigned") in kinds(verify(folder, keys=[key]))


def test_mode_and_owner_stay(folder: Path) -> None:
    """A file that nobody may write stays so; run by root, whose it is."""
    path = zipped(paths(folder)[0])
    path.chmod(0o440)
    if os.geteuid() == 0:
        os.chown(path, 1234, 4321)
    before = path.stat()
    erased(folder)
    after = path.stat()

    assert stat.S_IMODE(after.st_mode) == 0o440
    assert (after.st_uid, after.st_gid) == (before.st_uid, before.st_gid)
    assert after.st_ino != before.st_ino


class _Dying(RealFs):
    """Kills the process at the n-th thing that it does to the disk."""

    def __init__(self, at: int) -> None:
        self._left = at

    def _count(self) -> None:
        self._left -= 1
        if self._left == 0:
            os.kill(os.getpid(), signal.SIGKILL)

    def write(self, descriptor: int, data: bytes | memoryview) -> int:
        self._count()
        return super().write(descriptor, data)

    def sync(self, descriptor: int) -> None:
        self._count()
        super().sync(descriptor)

    def unlink(self, directory: int, name: str) -> None:
        self._count()
        super().unlink(directory, name)

    def replace(self, directory: int, name: str, target: str) -> None:
        self._count()
        super().replace(directory, name, target)
        self._count()

    def sync_dir(self, directory: int) -> None:
        self._count()
        super().sync_dir(directory)


def _killed_at(folder: Path, at: int) -> bool:
    """Erase in a process that dies at its n-th step; False when it came to the end."""
    child = os.fork()
    if child == 0:
        fs = _Dying(at)
        audit = AuditLog(Settings(path=str(folder)), fs=fs)
        list(Eraser(folder, ALICE, reason="asked for it", audit=audit, fs=fs).run())
        audit.close()
        os._exit(0)
    return os.WIFSIGNALED(os.waitpid(child, 0)[1])


@pytest.mark.slow
@pytest.mark.parametrize("compressed", [False, True])
def test_killed_at_any_step_it_can_be_run_again(tmp_path: Path, *, compressed: bool) -> None:
    """Each segment is the old one or the new one; after a repair and a second run all is done."""
    steps = 0
    for at in range(1, 500):
        folder = tmp_path / str(at)
        emit(folder, event("order", 1, **{"user.id": "alice"}), event("tick", 2, n=1))
        make(folder, segments=1)
        if compressed:
            zipped(paths(folder, signal="events")[0])
        killed = _killed_at(folder, at)
        report = verify(folder)
        assert report.intact and not report.of("completeness"), report.problems
        list(repair(folder))
        erased(folder)
        report = verify(folder)
        assert {each.verdict for each in report.problems} <= {"note"}, report.problems
        assert holding(folder, b"alice") == []
        assert not list(folder.rglob("*.tmp"))
        if not killed:
            break
        steps = at
    assert steps >= 10


def test_an_erasure_that_a_copy_undid_is_noted(folder: Path) -> None:
    """The segment as it was is put back: its hashes hold, and the audit says it was replaced."""
    before = {path: path.read_bytes() for path in paths(folder)}
    assert erased(folder)
    for path, data in before.items():
        put(path, data)
    report = verify(folder)

    assert ("note", "announced") in kinds(report)
    assert (report.intact, report.complete) == (True, True)
