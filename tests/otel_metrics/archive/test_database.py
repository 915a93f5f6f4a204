"""Queries over an archive: each record that counts once, whatever became of the files."""

import datetime
import hashlib
import os
import resource
from pathlib import Path

import duckdb
import pytest
import zstandard

from otel_exporter_ndjson import Finding, find_segments
from otel_exporter_ndjson.frames import compress as frame
from otel_exporter_ndjson.frames import trailer
from otel_metrics import archive
from tests.otel_metrics.archive.recorded import (
    append,
    batch,
    compress,
    emit,
    event,
    exporter,
    gauge,
    histogram,
    record,
    segment_path,
    total,
)


def _values(folder: str | os.PathLike[str], findings: list[Finding] | None = None) -> list[object]:
    with archive.connect(folder, findings=[] if findings is None else findings) as db:
        return [row[0] for row in db.execute("SELECT value FROM metrics ORDER BY 1").fetchall()]


def test_a_point_is_a_row_with_its_types(tmp_path: Path) -> None:
    """Whole numbers stay exact, and times keep their nanoseconds."""
    record(tmp_path, [total(2**53 + 1, 1.5, attributes={"a.b": "x"})])

    with archive.connect(tmp_path) as db:
        row = db.execute(
            "SELECT time::VARCHAR, metric, type, unit, temporality, monotonic, scope, "
            "attributes->>'a.b', value_int, service, sequence, typeof(time) FROM metrics"
        ).fetchone()

    assert row == (
        *("2026-09-21 14:13:21.5", "jobs", "sum", "{job}", "cumulative", True, "tests", "x"),
        *(2**53 + 1, "shop", 1, "TIMESTAMP_NS"),
    )


def test_a_histogram_is_a_row_with_lists(tmp_path: Path) -> None:
    """Bounds and counts can be taken apart in SQL."""
    record(tmp_path, [histogram((1, 2, 3), 70.5, 10)])

    with archive.connect(tmp_path) as db:
        row = db.execute("SELECT count, sum, min, max, bounds, counts FROM metrics").fetchone()

    assert row == (6, 70.5, 0.5, 20.0, [1.0, 10.0], [1, 2, 3])


def test_what_is_no_number_is_one_in_a_query(tmp_path: Path) -> None:
    """The archive writes NaN and infinities as text."""
    record(tmp_path, [gauge(float("nan"), 1)], [gauge(float("inf"), 2)], [gauge(-0.5, 3)])

    with archive.connect(tmp_path) as db:
        row = db.execute(
            "SELECT bool_or(isnan(value)), bool_or(isinf(value)), min(value) FROM metrics"
        )
        assert row.fetchone() == (True, True, -0.5)


def test_an_event_is_a_row(tmp_path: Path) -> None:
    """With its body and attributes as JSON."""
    emit(tmp_path, event("order.placed", 1, n=3, **{"a~b/c": "x"}))

    with archive.connect(tmp_path) as db:
        row = db.execute(
            "SELECT event, severity, severity_number, body->>'$', attr(attributes, 'n'), "
            "attr_map(attributes), service FROM events"
        ).fetchone()

    assert row == ("order.placed", "INFO", 9, "said", "3", {"n": "3", "a~b/c": "x"}, "shop")


def test_attr_reaches_any_key(tmp_path: Path) -> None:
    """Dots, dollars, slashes and quotes are nothing special."""
    keys = {"a.b": "1", "$c": "2", "d/e": "3", 'f"g': "4", "h~i": "5"}
    emit(tmp_path, event("e", 1, **keys))

    with archive.connect(tmp_path) as db:
        for key, value in keys.items():
            row = db.execute("SELECT attr(attributes, ?) FROM events", [key]).fetchone()
            assert row == (value,)


def test_an_empty_archive_has_empty_views(tmp_path: Path) -> None:
    """A question may be asked before anything happened."""
    (tmp_path / ".archive").write_text("x")

    with archive.connect(tmp_path) as db:
        counts = [
            db.execute(f"SELECT count(*) FROM {view}").fetchone()
            for view in ("metrics", "increments", "events", "audit", "damage")
        ]

    assert counts == [(0,)] * 5


def test_an_archive_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    """And nothing is left behind."""
    with pytest.raises(FileNotFoundError):
        archive.connect(tmp_path / "nowhere")


def test_names_are_shown_as_they_were_given(tmp_path: Path) -> None:
    """Whatever is in the name of a service or of a folder."""
    folder = tmp_path / "it's 100 % [a]*?{b}"
    record(folder, [total(1, 1)], service="a/b %41 ü'")
    record(folder, [total(1, 1)], service="x" * 200)
    compress(folder)

    with archive.connect(folder) as db:
        services = [
            row[0] for row in db.execute("SELECT service FROM metrics ORDER BY 1").fetchall()
        ]

    assert services[0] == "a/b %41 ü'"
    assert services[1].startswith("xxx") and "%h" in services[1]


def test_one_service_can_be_asked_for(tmp_path: Path) -> None:
    """Of the others no file is opened."""
    for name in ("shop", "bank"):
        record(tmp_path, [total(1, 1)], service=name)

    with archive.connect(tmp_path, service="bank") as db:
        assert db.execute("SELECT DISTINCT service FROM metrics").fetchall() == [("bank",)]


def test_a_window_leaves_what_is_of_its_time(tmp_path: Path) -> None:
    """The end is not part of it."""
    record(tmp_path, *[[gauge(at, at)] for at in range(5)])
    begin = datetime.datetime(2026, 9, 21, 14, 13, 21, tzinfo=datetime.UTC)

    with archive.connect(tmp_path, since=begin, until=begin + datetime.timedelta(seconds=2)) as db:
        assert db.execute("SELECT value FROM metrics ORDER BY 1").fetchall() == [(1.0,), (2.0,)]


def test_a_segment_that_is_there_in_both_forms_is_read_once(tmp_path: Path) -> None:
    """A compression may be interrupted before it removes the plain form."""
    record(tmp_path, [gauge(1, 1)])
    path = segment_path(tmp_path)
    plain = Path(path).read_bytes()
    compress(tmp_path)
    Path(path).write_bytes(plain)

    assert _values(tmp_path) == [1.0]


def test_a_segment_that_was_copied_elsewhere_is_read_once(tmp_path: Path) -> None:
    """A record is what writer, sequence and line say, not where a file lies."""
    record(tmp_path, [gauge(1, 1)])
    path = Path(segment_path(tmp_path))
    other = path.parent.parent / "date=2020-01-01"
    other.mkdir()
    (other / path.name).write_bytes(path.read_bytes())
    findings: list[Finding] = []

    assert _values(tmp_path, findings) == [1.0]
    assert ["once more" in finding.message for finding in findings] == [True]


@pytest.mark.parametrize("tail", [b'{"kind":"metric","value":9', b'{"kind":"metric","value":9}'])
def test_an_open_segment_is_read_without_its_torn_tail(tmp_path: Path, tail: bytes) -> None:
    """A line without its end was acknowledged to nobody, even if it happens to be JSON."""
    writer = exporter(tmp_path)
    writer.export(batch(gauge(1, 1)))
    with open(segment_path(tmp_path), "ab") as file:
        file.write(tail)
    findings: list[Finding] = []

    assert _values(tmp_path, findings) == [1.0]
    assert [finding.kind for finding in findings] == ["torn_tail"]
    writer.shutdown()


def test_a_writer_can_go_on_while_it_is_asked(tmp_path: Path) -> None:
    """A connection answers of the time when it was made."""
    writer = exporter(tmp_path)
    writer.export(batch(gauge(1, 1)))
    with archive.connect(tmp_path) as before:
        writer.export(batch(gauge(2, 2)))
        writer.shutdown()
        compress(tmp_path)

        assert before.execute("SELECT value FROM metrics").fetchall() == [(1.0,)]
    assert _values(tmp_path) == [1.0, 2.0]


def test_what_was_written_again_after_a_failed_fsync_counts_once(tmp_path: Path) -> None:
    """The later segment says after which line of the earlier it begins."""
    record(tmp_path, [gauge(1, 1)], [gauge(2, 2)])
    first = Path(segment_path(tmp_path))
    lines = first.read_bytes().splitlines(keepends=True)
    first.write_bytes(b"".join(lines[:-1]))  # a writer takes its seal back where an fsync failed
    again = next(n for n, line in enumerate(lines, start=1) if b'"value":2' in line)
    head = lines[0].replace(b'"sequence":1', b'"sequence":2')[:-2]
    head += b',"continues":[{"sequence":1,"line":%d}]}\n' % (again - 1)
    second = str(first).replace("-000001.", "-000002.")
    Path(second).write_bytes(head + lines[1] + lines[again - 1])

    assert _values(tmp_path) == [1.0, 2.0]


def test_a_missing_segment_is_told(tmp_path: Path) -> None:
    """A hole in a writer's numbers that the audit does not explain is a finding."""
    writer = exporter(tmp_path, rotate_bytes=4096)
    for number in range(60):
        writer.export(batch(gauge(number, number + 1)))
    writer.shutdown()
    segments = find_segments(tmp_path)
    Path(segments[1].path).unlink()
    findings: list[Finding] = []

    _values(tmp_path, findings)

    assert len(segments) > 3
    assert [(each.kind, each.segment.sequence) for each in findings] == [("gap", 3)]


@pytest.mark.parametrize("folder", ["date=*", "date=[0-9]*", "date=2026-??-01"])
def test_no_name_in_an_archive_is_a_pattern(tmp_path: Path, folder: str) -> None:
    """A crafted folder makes a query read nothing that a hash has not vouched for."""
    record(tmp_path / "a", [gauge(1, 1)])
    path = Path(segment_path(tmp_path / "a"))
    outside = tmp_path / "outside"
    outside.mkdir()
    stranger = outside / "20260101T000000.000000Z-0000000000000000-000001.ndjson"
    stranger.write_bytes(path.read_bytes().replace(b'"value":1', b'"value":777'))
    day = path.parent.rename(path.parent.with_name(folder))
    (day.parent / "date=2026-01-01").symlink_to(outside)

    assert _values(tmp_path / "a") == [1.0]


@pytest.mark.slow
def test_a_second_frame_is_read_up_to_the_bound_of_every_reader(tmp_path: Path) -> None:
    """A frame behind the first may inflate to anything: DuckDB does not get it to read."""
    record(tmp_path, [gauge(1, 1)])
    path = Path(segment_path(tmp_path))
    whole = path.read_bytes()
    bomb = zstandard.ZstdCompressor().compress(whole.splitlines(keepends=True)[2] * 1_000_000)
    body = zstandard.ZstdCompressor(write_checksum=True).compress(whole) + bomb
    path.unlink()
    Path(f"{path}.zst").write_bytes(body + trailer(hashlib.sha256(body).digest()))
    findings: list[Finding] = []

    assert len(_values(tmp_path, findings)) < 1_000_000
    assert "inflates beyond all measure" in [finding.message for finding in findings]


def _damaged(folder: Path) -> Path:
    """Return the path of a sealed, plain segment whose second point is damaged."""
    record(folder, *[[gauge(at, at)] for at in range(3)])
    path = Path(segment_path(folder))
    data = path.read_bytes().replace(b'"value":1}', b'"value":\x00}')
    path.chmod(0o640)
    path.write_bytes(data)
    return path


def test_a_damaged_line_is_told_and_the_others_are_answered(tmp_path: Path) -> None:
    """Its place is in the findings."""
    _damaged(tmp_path)
    findings: list[Finding] = []

    assert _values(tmp_path, findings) == [0.0, 2.0]
    assert {finding.kind for finding in findings} == {"damage"}
    assert [finding.line for finding in findings if finding.line] == [5]


def test_damage_is_logged_where_nobody_asks_for_findings(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A total that lacks something must not look whole."""
    path = _damaged(tmp_path)

    archive.connect(tmp_path).close()

    assert str(path) in caplog.text


@pytest.mark.slow
def test_a_truncated_frame_gives_what_can_be_read(tmp_path: Path) -> None:
    """DuckDB itself takes it for the end of the file, and says nothing."""
    writer = exporter(tmp_path)
    for at in range(20_000):
        writer.export(batch(gauge(at, at)))
    writer.shutdown()
    compress(tmp_path)
    path = segment_path(tmp_path)
    os.chmod(path, 0o640)
    os.truncate(path, os.path.getsize(path) // 2)
    findings: list[Finding] = []

    assert 0 < len(_values(tmp_path, findings)) < 20_000
    assert "damage" in [finding.kind for finding in findings]


def _sealed_damage(folder: Path) -> None:
    """Leave a segment whose frame holds, and one of whose lines is no JSON: as recovery would."""
    path = _damaged(folder)
    data = path.read_bytes()
    Path(f"{path}.zst").write_bytes(b"".join(frame([data], len(data))))
    path.unlink()


@pytest.mark.parametrize(("mode", "found"), [("skip", 0), ("salvage", 2)], ids=["skip", "salvage"])
def test_damage_inside_a_sound_frame_does_not_end_a_query(
    tmp_path: Path, mode: archive.DamageMode, found: int
) -> None:
    """`salvage` looks for it beforehand; the view `damage` counts it either way."""
    _sealed_damage(tmp_path)
    findings: list[Finding] = []

    with archive.connect(tmp_path, damage=mode, findings=findings) as db:
        rows = db.execute("SELECT value FROM metrics ORDER BY 1").fetchall()
        lines = db.execute("SELECT sum(lines) FROM damage").fetchone()

    assert rows == [(0.0,), (2.0,)]
    assert lines == (1,)
    assert len(findings) == found


def test_damage_inside_a_sound_frame_can_end_a_query(tmp_path: Path) -> None:
    """For those who would rather have no answer."""
    _sealed_damage(tmp_path)

    with (
        archive.connect(tmp_path, damage="raise") as db,
        pytest.raises(duckdb.Error, match="Malformed JSON"),
    ):
        db.execute("SELECT sum(value) FROM metrics").fetchall()


def test_a_symlink_is_not_followed(tmp_path: Path) -> None:
    """A segment is a plain file."""
    record(tmp_path / "a", [gauge(1, 1)])
    path = Path(segment_path(tmp_path / "a"))
    path.rename(tmp_path / "elsewhere")
    path.symlink_to(tmp_path / "elsewhere")
    findings: list[Finding] = []

    assert _values(tmp_path / "a", findings) == []
    assert [finding.kind for finding in findings] == ["unreadable"]


def _made(folder: Path, name: str, content: bytes) -> None:
    inner = folder / "metrics" / "service=shop" / "date=2026-01-01"
    inner.mkdir(parents=True)
    (inner / f"20260101T000000.000000Z-0123456789abcdef-000001.ndjson{name}").write_bytes(content)


_LINE = b'{"kind":"metric","time":null,"value":%d}\n'


@pytest.mark.slow
@pytest.mark.parametrize("compressed", [True, False])
def test_a_line_of_64_mib_is_left_out(tmp_path: Path, *, compressed: bool) -> None:
    """And does not fill the memory, also where it was small on disk."""
    content = _LINE % 1 + b'{"kind":"metric","value":"' + b"x" * 2**26 + b'"}\n' + _LINE % 2
    packed = zstandard.compress(content) if compressed else content
    _made(tmp_path, ".zst" if compressed else "", packed)
    del content, packed
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    findings: list[Finding] = []

    assert _values(tmp_path, findings) == ([1.0] if compressed else [1.0, 2.0])
    assert findings
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 2**18


def test_what_no_exporter_wrote_is_no_error(tmp_path: Path) -> None:
    """Types that are wrong, depths, numbers without end: each costs its own line at most."""
    _made(
        tmp_path,
        "",
        b'{"kind":"segment","continues":[7,{"sequence":"x","line":null}]}\n'
        + _LINE % 1
        + b'{"kind":"metric","time":7,"value":[1],"attributes":5,"bounds":"x","counts":{}}\n'
        + b'{"kind":"metric","value":'
        + b"9" * 10_000
        + b"}\n"
        + b'{"kind":"metric","attributes":'
        + b"[" * 100_000
        + b"]" * 100_000
        + b"}\n"
        + b"\0" * 512
        + _LINE % 2
        + b"[]\n\n",
    )

    assert 2.0 in _values(tmp_path)


def test_the_folder_of_copies_goes_with_the_connection(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing stays in the temporary folder."""
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(temporary))
    record(tmp_path / "a", [gauge(1, 1)])
    path = segment_path(tmp_path / "a")
    append(path, b"torn")
    db = archive.connect(tmp_path / "a", findings=[])
    during = os.listdir(temporary)
    db.close()
    del db

    assert (len(during), os.listdir(temporary)) == (1, [])


def test_one_segment_can_be_asked(tmp_path: Path) -> None:
    """Its path stands for the archive."""
    record(tmp_path, [gauge(1, 1)])
    record(tmp_path, [gauge(2, 2)])
    path = find_segments(tmp_path)[0].path

    assert _values(path) == [1.0]
