"""Names, lines and hashes of segments: any damage shows, and nothing undamaged is lost."""

import random
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.sdk.metrics.export import MetricsData

from otel_exporter_ndjson import Finding, NdjsonMetricExporter, find_segments, read
from otel_exporter_ndjson.errors import DamagedError
from otel_exporter_ndjson.files import read_lines
from otel_exporter_ndjson.frames import compress, inflate, trailer_holds
from otel_exporter_ndjson.scan import check
from otel_exporter_ndjson.segments import SegmentName, decode_name, encode_name

Batches = Callable[..., MetricsData]


@pytest.fixture
def sealed(tmp_path: Path, batch: Batches) -> Path:
    """A sealed segment of three points in two batches."""
    exporter = NdjsonMetricExporter(tmp_path, sync="never", compression="none")
    exporter.export(batch(1, 2))
    exporter.export(batch(3))
    exporter.shutdown()
    (segment,) = find_segments(tmp_path)
    return Path(segment.path)


def damages(data: bytes) -> list[str]:
    return [damage.message for damage in check(data.splitlines(keepends=True)).damages]


def test_a_whole_segment_has_no_damage(sealed: Path) -> None:
    """What a writer sealed checks clean."""
    scan = check(sealed.read_bytes().splitlines(keepends=True))

    assert (scan.damages, scan.sealed, scan.records) == ([], True, 3)


def test_every_flipped_bit_is_found(sealed: Path) -> None:
    """Not one bit of a sealed segment can change unseen."""
    data = sealed.read_bytes()
    missed = []
    for at in range(len(data)):
        for bit in range(8):
            flipped = data[:at] + bytes([data[at] ^ (1 << bit)]) + data[at + 1 :]
            scan = check(flipped.splitlines(keepends=True))
            if scan.sealed and not scan.damages:
                missed.append((at, bit))

    assert missed == []


def test_every_truncation_keeps_the_valid_prefix(sealed: Path) -> None:
    """Cut at any byte, every whole line before the cut is read, and no half of one."""
    data = sealed.read_bytes()
    ends = [at + 1 for at, byte in enumerate(data) if byte == 10]
    for size in range(len(data)):
        sealed.write_bytes(data[:size])
        findings: list[Finding] = []
        records = [record.raw for record in read(sealed, findings=findings)]
        whole = data[: max([end for end in ends if end <= size], default=0)]
        expected = [
            line for line in whole.splitlines(keepends=True) if line.startswith(b'{"kind":"metric"')
        ]
        assert records == expected, size
        kinds = [] if size == len(whole) else ["torn_tail"]
        assert [finding.kind for finding in findings] == kinds, findings
        assert not check(data[:size].splitlines(keepends=True)).sealed


def test_every_edit_of_lines_is_found(sealed: Path) -> None:
    """A line deleted, repeated, swapped with the next, or put in from elsewhere."""
    lines = sealed.read_bytes().splitlines(keepends=True)
    foreign = lines[2].replace(b'"value":1', b'"value":9')
    for at in range(len(lines)):
        before, line, after = lines[:at], lines[at], lines[at + 1 :]
        edits = [[*before, *after], [*before, line, line, *after], [*before, line, foreign, *after]]
        if after:
            edits.append([*before, after[0], line, *after[1:]])
        for edit in edits:
            scan = check(edit)
            assert scan.damages or not scan.sealed, (at, edit)


def test_damage_is_placed_between_two_hashes(sealed: Path) -> None:
    """The byte range of a changed value lies between the commit lines around it."""
    data = sealed.read_bytes()
    at = data.index(b'"value":3') + 8
    (damage, *_) = check((data[:at] + b"4" + data[at + 1 :]).splitlines(keepends=True)).damages

    assert damage.start <= at < damage.end
    assert damage.start == data.index(b'{"kind":"commit"')


def test_flipped_bits_of_a_compressed_segment_are_found(sealed: Path) -> None:
    """Each flip changes what inflates, or the hash behind the frame, or both."""
    data = sealed.read_bytes()
    packed = b"".join(compress([data], len(data)))
    assert b"".join(inflate([packed])) == data
    assert trailer_holds(packed)

    missed = []
    for at in range(len(packed)):
        for bit in range(8):
            flipped = packed[:at] + bytes([packed[at] ^ (1 << bit)]) + packed[at + 1 :]
            if trailer_holds(flipped):
                missed.append((at, bit))
    assert missed == []


def test_a_damaged_compressed_segment_is_a_finding(sealed: Path) -> None:
    """Reading tells that it is damaged, gives what inflates, and does not raise."""
    data = sealed.read_bytes()
    packed = b"".join(compress([data], len(data)))
    target = Path(f"{sealed}.zst")
    sealed.unlink()
    for spoilt in (packed[: len(packed) // 2], packed[:-1], b"x" + packed[1:], b"", packed + b"x"):
        target.write_bytes(spoilt)
        findings: list[Finding] = []
        records = list(read(target, findings=findings))
        assert "damage" in {finding.kind for finding in findings}
        assert len(records) <= 3


def test_a_bomb_is_stopped() -> None:
    """Half a gigabyte of zeros in a few kilobytes is not inflated to the end."""
    zeros = bytes(2**20)
    bomb = b"".join(compress((zeros for _ in range(512)), 512 * 2**20))
    taken = 0
    with pytest.raises(DamagedError, match="beyond all measure"):
        for chunk in inflate([bomb]):
            taken += len(chunk)

    assert taken <= 65 * 2**20


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (b"x" * (9 * 2**20), "at most"),
        (b"[" * 10**6, "nested"),
        (b'{"kind":' + b"[" * 100 + b"]" * 100 + b"}", "nested"),
        (b'{"kind":"metric","value":' + b"1" * 10**6 + b"}", "no JSON"),
        (b'{"kind":"metric","value":1e999}', "no JSON"),
        (b"\x00\x00", "NULs"),
        (b'{"kind":"metric"\xff}', "no JSON"),
        (b'\xef\xbb\xbf{"kind":"metric"}', "no JSON"),
        (b"", "no JSON"),
        (b"[]", "no object"),
        (b'"text"', "no object"),
    ],
)
def test_a_hostile_line_is_a_finding_and_the_next_is_read(
    sealed: Path, line: bytes, message: str
) -> None:
    """Whatever a line holds, the lines around it are read."""
    lines = sealed.read_bytes().splitlines(keepends=True)
    sealed.write_bytes(b"".join([*lines[:3], line + b"\n", *lines[3:]]))
    findings: list[Finding] = []
    values = [record.data["value"] for record in read(sealed, findings=findings)]

    assert values == [1, 2, 3]
    assert message in findings[0].message
    assert findings[0].line == 4


@given(st.text(max_size=100))
def test_names_survive_encoding(name: str) -> None:
    """A folder's name is safe ASCII of bounded length, and gives the service's name back."""
    encoded = encode_name(name)

    assert encoded.isascii()
    assert not set(encoded) - set(
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.%"
    )
    assert len(encoded) <= 120
    assert encoded not in ("", ".", "..")
    if "%h" not in encoded and not any("\ud800" <= char <= "\udfff" for char in name):
        assert decode_name(encoded) == name


@pytest.mark.parametrize(
    ("name", "encoded"),
    [
        ("shop", "shop"),
        ("../../etc/passwd", "..%2F..%2Fetc%2Fpasswd"),
        ("..", "%2E%2E"),
        ("", "%"),
        ("a\0b\n", "a%00b%0A"),
        ("100%", "100%25"),
        ("é" * 200, "%C3%A9" * 10 + "%h"),
    ],
)
def test_awkward_names(name: str, encoded: str) -> None:
    """Traversal, empty, control characters, and what is too long."""
    assert encode_name(name).startswith(encoded)
    assert len(encode_name(name)) <= 120


def test_long_names_never_share_a_folder() -> None:
    """Ten thousand pairs of long names that begin alike."""
    dice = random.Random(7)
    names = {"x" * 130 + str(dice.random()) for _ in range(10_000)}

    assert len({encode_name(name) for name in names}) == len(names)


def test_a_segment_name_says_when_who_and_which() -> None:
    """`<UTC start>-<instance>-<sequence>.ndjson`, read back as it was written."""
    name = SegmentName.at(1_700_000_000_123_456_789, "0123456789abcdef", 7)

    assert str(name) == "20231114T221320.123456Z-0123456789abcdef-000007.ndjson"
    assert SegmentName.parse(f"{name}.zst") == name
    assert SegmentName.parse("notes.ndjson") is None


def test_both_forms_hold_the_same_lines(sealed: Path) -> None:
    """Compressed or not, the same lines with the same numbers."""
    data = sealed.read_bytes()
    (plain,) = find_segments(sealed)
    before = list(read_lines(plain))
    Path(f"{sealed}.zst").write_bytes(b"".join(compress([data], len(data))))
    sealed.unlink()
    (packed,) = find_segments(f"{sealed}.zst")

    assert list(read_lines(packed)) == before


def test_a_number_has_one_name() -> None:
    """Digits that are not needed make another name, and no segment."""
    name = "20260101T000000.000000Z-0000000000000000-000019.ndjson"

    assert str(SegmentName.parse(name)) == name
    assert str(SegmentName.parse(f"{name}.zst")) == name
    assert SegmentName.parse(name.replace("-000019", "-0000019")) is None
    assert SegmentName.parse(name.replace("-000019", "-1000019")) is not None
