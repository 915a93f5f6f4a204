"""Records of runs: what is refused, and the bytes of what is not."""

import hashlib
import json
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from otel_metrics.arguments import TIMESTAMP_MAX
from otel_metrics.executions import records

TIMESTAMP = "2026-01-31T08:00:00Z"
PLAIN: dict[str, Any] = {"timestamp": TIMESTAMP, "agent": "reviewer", "success": True}
WHOLE: dict[str, Any] = {
    **PLAIN,
    "execution_time_s": 12.5,
    "quality_score": 0.9,
    "primary_metric": {"name": "coverage", "value": 0.91, "target": 0.9},
    "session_id": "s-1",
    "metadata": {"branch": "main"},
    "idempotency_key": "k-1",
}
JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=12,
)


def test_a_record_is_written_in_the_order_of_its_fields() -> None:
    """Whatever the order was in which they were given."""
    line = records.encode(records.checked(dict(reversed(WHOLE.items()))))

    assert line.decode() == (
        '{"timestamp": "2026-01-31T08:00:00Z", "agent": "reviewer", "success": true, '
        '"execution_time_s": 12.5, "quality_score": 0.9, '
        '"primary_metric": {"name": "coverage", "value": 0.91, "target": 0.9}, '
        '"session_id": "s-1", "metadata": {"branch": "main"}, "idempotency_key": "k-1"}'
    )


def test_what_is_not_known_is_left_out() -> None:
    """No nulls are written."""
    absent = dict.fromkeys(set(WHOLE) - set(PLAIN))

    assert records.checked({**PLAIN, **absent}) == PLAIN


@pytest.mark.parametrize(
    ("field", "value", "told"),
    [
        ("agent", "", "agent='': is empty"),
        ("success", None, "success: is missing; give true or false"),
        ("success", 1, "success=1: is neither true nor false"),
        ("success", "yes", "success='yes': is neither"),
        ("execution_time_s", -1, "execution_time_s=-1: is below 0; give a finite number from 0"),
        ("execution_time_s", float("nan"), "execution_time_s=nan: is no finite number"),
        ("execution_time_s", "1", "execution_time_s='1': is no number"),
        ("execution_time_s", True, "execution_time_s=True: is no number"),
        ("execution_time_s", 10**400, "execution_time_s=1000"),
        ("quality_score", 1.0001, "quality_score=1.0001: is above 1; give a number from 0 to 1"),
        ("quality_score", -0.1, "quality_score=-0.1: is below 0"),
        ("primary_metric", "coverage", "primary_metric='coverage': is not of the form"),
        ("primary_metric", {"name": "c"}, "primary_metric=<dict>: is not of the form"),
        ("primary_metric", {"name": "c", "value": 1, "unit": "s"}, "is not of the form"),
        ("primary_metric", {"name": "", "value": 1}, "primary_metric.name='': is no text"),
        ("primary_metric", {"name": "c", "value": None}, "primary_metric.value=None: is no number"),
        ("primary_metric", {"name": "c", "value": 1, "target": "x"}, "primary_metric.target='x'"),
        ("session_id", 7, "session_id=7: is no text"),
        ("metadata", ["a"], "metadata=<list>: is no mapping"),
        ("idempotency_key", "", "idempotency_key='': is no text, or empty"),
        ("timestamp", "2026-01-31", "timestamp='2026-01-31': is not of the files' form"),
        ("timestamp", "2026-02-30T08:00:00Z", "timestamp=2026-02-30T08:00:00Z"),
        ("qualty_score", 1, "'qualty_score': is no field of a record; did you mean quality_score"),
        ("xyz", 1, "'xyz': is no field of a record; known are timestamp, agent"),
    ],
)
def test_what_is_no_record_is_refused(field: str, value: object, told: str) -> None:
    """With the field, what it holds, and what it may hold."""
    with pytest.raises(ValueError, match=told):
        records.checked({**PLAIN, field: value})


@pytest.mark.parametrize("quality", [0, 1, 0.0, 1.0, Decimal("0.5")])
def test_the_ends_of_quality_are_in_it(quality: float) -> None:
    """Zero and one are qualities, and any kind of number may say so."""
    record = records.checked({**PLAIN, "quality_score": quality})

    assert record["quality_score"] == float(quality)


@given(st.dictionaries(st.text(min_size=1, max_size=8), JSON_VALUES, max_size=5))
def test_data_comes_back_from_a_line(metadata: dict[str, Any]) -> None:
    """Text of any script and any depth, in one line by every way of telling lines."""
    record = records.checked({**PLAIN, "metadata": metadata})
    line = records.encode(record)

    assert json.loads(line) == record
    assert len(line.decode().splitlines()) == 1
    assert records.facts(line) == records.Facts(success=True, timestamp=TIMESTAMP)


def test_values_that_json_does_not_know_are_text() -> None:
    """So that any reader reads the line."""
    data = {"nan": float("nan"), "inf": [float("inf"), -float("inf")], "bytes": b"\0\xff"}
    line = records.encode(records.checked({**PLAIN, "metadata": data}))

    assert json.loads(line)["metadata"] == {
        "nan": "NaN",
        "inf": ["Infinity", "-Infinity"],
        "bytes": {"$bytes": "AP8="},
    }


def test_secrets_do_not_enter_a_file() -> None:
    """What looks like one is masked, as in events."""
    record = records.checked({**PLAIN, "metadata": {"api_key": "sk-live-1234567890abcdef"}})

    assert record["metadata"] == {"api_key": "[redacted]"}


@pytest.mark.parametrize("field", ["session_id", "idempotency_key"])
def test_ids_that_are_secrets_do_not_enter_a_file(field: str) -> None:
    """They still name what they name, by their hashes."""
    secret = "Bearer eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.dGhlIHNpZ25hdHVyZQ"
    one, other = (records.checked({**PLAIN, field: each}) for each in (secret, f"{secret}s"))

    assert "eyJ" not in records.encode(one).decode()
    assert one[field] == f"sha256:{hashlib.sha256(secret.encode()).hexdigest()}"
    assert one[field] != other[field]


@given(st.binary(max_size=200))
def test_any_bytes_are_a_record_or_none(line: bytes) -> None:
    """Reading what others wrote never raises."""
    records.facts(line)


@pytest.mark.parametrize(
    ("line", "quality", "time_s"),
    [
        (b'{"success": true, "quality_score": NaN, "execution_time_s": 3}', None, 3.0),
        (b'{"success": true, "quality_score": 1.5, "execution_time_s": -1}', None, None),
        (b'{"success": true, "quality_score": "good", "execution_time_s": true}', None, None),
        (b'{"success": true, "quality_score": 1, "execution_time_s": 1e308}', 1.0, 1e308),
        (b'{"success": true, "quality_score": null, "extra": [1]}', None, None),
    ],
)
def test_a_figure_that_is_none_is_left_out(
    line: bytes, quality: float | None, time_s: float | None
) -> None:
    """The run counts all the same."""
    facts = records.facts(line)

    assert facts == records.Facts(success=True, quality_score=quality, execution_time_s=time_s)


@pytest.mark.parametrize("line", [b"{}", b'{"success": 1}', b"[true]", b'{"success": tr', b""])
def test_a_line_without_success_is_no_record(line: bytes) -> None:
    """It is not guessed."""
    assert records.facts(line) is None


def test_a_record_that_is_too_long_is_refused() -> None:
    """Before any file is touched."""
    session = {**PLAIN, "idempotency_key": None, "metadata": None}
    with pytest.raises(ValueError, match="accepted: at most 1,048,576 bytes"):
        records.encode({**session, "session_id": "x" * 2**20})


@given(st.integers(0, TIMESTAMP_MAX))
def test_times_are_utc_to_the_second(seconds: int) -> None:
    """And lead back to the second."""
    text = records.time_text(seconds)

    assert text == datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    assert records.time_of({"timestamp": text}) == seconds


@pytest.mark.parametrize("timestamp", [None, 7, "", "yesterday", "2026-13-01T00:00:00Z"])
def test_a_time_that_is_none_is_not_guessed(timestamp: object) -> None:
    """What has none is not pruned, and not in a window."""
    assert records.time_of({"timestamp": timestamp}) is None


def test_masked_keys_of_events_are_no_keys() -> None:
    """Two of them look alike, and the second run would be taken for the first."""
    about = {"gen_ai.agent.name": "reviewer", "agent.execution.success": True}
    record = records.of_event({**about, "idempotency_key": "[redacted]"}, 1_769_846_400 * 10**9)

    assert record == PLAIN


def test_a_primary_metric_of_another_form_is_left_out_of_the_file() -> None:
    """The rest of the event is kept."""
    about = {"gen_ai.agent.name": "reviewer", "agent.execution.success": True}
    record = records.of_event({**about, "primary_metric": {"x": 1}}, 1_769_846_400 * 10**9)

    assert record == PLAIN
