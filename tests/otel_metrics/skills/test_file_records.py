"""What stands in a line of a skill file, whatever a caller hands over."""

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from otel_metrics import line_files, values
from otel_metrics.arguments import TIMESTAMP_MAX
from otel_metrics.skills import file_records

NOW = 1_772_359_200.5
anything = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(), st.binary()),
    lambda inner: st.one_of(
        st.lists(inner, max_size=5), st.dictionaries(st.text(), inner, max_size=5)
    ),
    max_leaves=20,
)


def line(**fields: object) -> bytes:
    """Return the line of an outcome."""
    given = {"timestamp": NOW, "skill_name": "triage", "execution_id": "e", **fields}
    return line_files.encode(file_records.record("skill.outcome", given))


@given(anything, st.text())
def test_any_data_is_one_line_of_json(decision: object, reasoning: str) -> None:
    """For a reader that splits at line feeds, and for one that splits as Python does."""
    encoded = line(decision=decision, reasoning=reasoning)

    def no_constant(name: str) -> None:
        raise AssertionError(f"{name} is no JSON")

    assert b"\n" not in encoded
    assert len(encoded.decode().splitlines()) == 1
    json.loads(encoded, parse_constant=no_constant)


plain = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(-(2**63), 2**63 - 1),
        st.floats(allow_nan=False, allow_infinity=False),
        st.text(st.characters(categories=["L", "N", "Zs"]), max_size=6),
    ),
    lambda inner: st.lists(inner, max_size=5),
    max_leaves=20,
)


@given(plain)
def test_plain_data_is_written_as_pythons_writer_does(decision: object) -> None:
    """Byte for byte: readers and diffs of old see no change."""
    record = file_records.record(
        "skill.outcome", {"timestamp": NOW, "skill_name": "triage", "decision": decision}
    )

    assert record["decision"] == decision
    assert line_files.encode(record) == json.dumps(record, ensure_ascii=False).encode()


@pytest.mark.parametrize(
    ("value", "written"),
    [
        (math.nan, '"NaN"'),
        (-math.inf, '"-Infinity"'),
        ({"a": [math.inf]}, '{"a": ["Infinity"]}'),
        (b"\0\xff", '{"$bytes": "AP8="}'),
        ({"x"}, '["x"]'),
        ((1, 2), "[1, 2]"),
        (2**70, '"1180591620717411303424"'),
        ("a\ud800b", '"a\ufffdb"'),
        ("a\u2028b\u2029c\x85d", '"a\\u2028b\\u2029c\\u0085d"'),
        ("tab\tnul\0", '"tab\\tnul\\u0000"'),
    ],
    ids=ascii,
)
def test_what_json_lacks_has_one_form(value: object, written: str) -> None:
    """NaN, infinities, bytes, sets, long integers, lone surrogates, line ends."""
    assert f'"decision": {written}, ' in line(decision=value).decode()


@pytest.mark.parametrize(
    "given",
    [
        {"decision": {"api_key": "0123456789"}},
        {"reasoning": "he said password=hunter22hunter"},
        {"expected_decision": ["Bearer abcdefghijklmnopqrstuvwxyz"]},
        {"decision": "card 4111 1111 1111 1111"},
    ],
    ids=str,
)
def test_secrets_reach_no_file(given: dict[str, object]) -> None:
    """They are masked where events are."""
    written = line(**given).decode()

    assert values.MASK in written
    for secret in ("0123456789", "hunter22", "abcdefghijkl", "4111"):
        assert secret not in written


@pytest.mark.parametrize(
    ("timestamp", "said"),
    [
        (0, "1970-01-01T00:00:00.000000Z"),
        (1_772_359_200, "2026-03-01T10:00:00.000000Z"),
        (1_772_359_200.1, "2026-03-01T10:00:00.100000Z"),
        (TIMESTAMP_MAX, "9999-12-31T23:59:59.000000Z"),
    ],
)
def test_a_time_is_said_in_microseconds_of_utc(timestamp: float, said: str) -> None:
    """Always six digits, always with its zone."""
    assert file_records.iso(timestamp) == said
