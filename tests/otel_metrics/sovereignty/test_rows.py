"""A row is the same whether its event comes from a call, through a processor or from an archive."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from opentelemetry.sdk._logs import LogRecordProcessor, ReadWriteLogRecord
from opentelemetry.sdk.resources import SERVICE_NAME, Resource

from otel_exporter_ndjson import NdjsonLogRecordExporter
from otel_metrics import events, sovereignty
from otel_metrics.archive.feed import EventFeed
from otel_metrics.pipeline.logs import ArchiveProcessor, make_provider
from otel_metrics.sovereignty.recorder import record_event, record_mark
from otel_metrics.sovereignty.rows import (
    EVENTS,
    Event,
    Mark,
    Position,
    UnusableEventError,
    of_event,
)

Row = Event | Mark | None


class Rows(LogRecordProcessor):
    """Keeps the rows of what is emitted."""

    def __init__(self) -> None:
        self.rows: list[Row] = []

    def on_emit(self, log_record: ReadWriteLogRecord) -> None:
        """Keep one."""
        record = log_record.log_record
        self.rows.append(
            of_event(record.event_name or "", record.attributes or {}, record.timestamp)
        )

    def shutdown(self) -> None:
        """Do nothing."""

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """Do nothing."""
        del timeout_millis
        return True


@contextmanager
def recording(folder: Path) -> Iterator[Rows]:
    """Let events go to an archive, and be kept as rows."""
    provider = make_provider(Resource({SERVICE_NAME: "shop"}))
    provider.add_log_record_processor(
        ArchiveProcessor(NdjsonLogRecordExporter(folder, service="shop"))
    )
    seen = Rows()
    provider.add_log_record_processor(seen)
    events.bind(provider)
    try:
        yield seen
    finally:
        events.reset()
        provider.shutdown()


def archived(folder: Path) -> list[Row]:
    """Return the rows of an archive."""
    return [
        of_event(fed.name, fed.attributes, fed.time_ns, Position(*fed[1:4]))
        for fed in EventFeed(path=str(folder), prefix=EVENTS).events_after({})
        if fed.name
    ]


DATA = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary(),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.text() | st.sampled_from(["cost_usd", "$map", "$float"]), inner)
    ),
    max_leaves=12,
)


@settings(max_examples=60)
@given(given_=st.lists(st.tuples(DATA, DATA), min_size=1, max_size=8))
def test_any_data_gives_the_same_row_everywhere(given_: list[tuple[Any, Any]]) -> None:
    """Numbers, NaN, bytes, surrogates, NULs, markers of the archive's own, long texts."""
    direct: list[Row] = []
    with TemporaryDirectory() as folder:
        with recording(Path(folder)) as seen:
            for metadata, session_id in given_:
                kept = record_event("api_cost", metadata, session_id, filed_at="elsewhere")
                assert kept is not None
                direct.append(of_event(*kept))
        assert None not in direct
        assert direct == seen.rows
        assert direct == archived(Path(folder))


def test_a_session_gives_the_same_row_everywhere(tmp_path: Path) -> None:
    """Its start and its end."""
    with recording(tmp_path) as seen:
        started = record_mark("session_started", "s\0-1", "chess", filed_at="elsewhere")
        ended = record_mark("session_ended", "s\0-1", None, filed_at="elsewhere")

    assert started is not None
    assert ended is not None
    direct = [of_event(*started), of_event(*ended)]
    assert direct == seen.rows == archived(tmp_path)
    assert [row.session_id for row in direct if row] == ["s\ufffd-1"] * 2


@pytest.mark.parametrize("content", ["redacted", "none"])
def test_what_content_is_kept_is_ruled_alike(tmp_path: Path, content: Any) -> None:
    """In the archive and in the store; the cost is no content, and stays."""
    with recording(tmp_path):
        events.set_content(content)
        kept = record_event("api_cost", {"cost_usd": 0.25, "text": "mine"}, "s", filed_at="x")

    assert kept is not None
    row = of_event(*kept)
    assert isinstance(row, Event)
    assert [row] == archived(tmp_path)
    assert row.cost_usd == 0.25
    assert "mine" not in row.metadata_json


def test_an_event_of_an_earlier_release_is_known_by_its_place(tmp_path: Path) -> None:
    """In the archive, where it carries no identity and says its cost in the metadata."""
    with recording(tmp_path):
        events.emit("sovereignty.api_cost", {"metadata": {"cost_usd": 2}})
        events.emit("sovereignty.api_cost", {"metadata": {"cost_usd": "3"}})

    [first, second] = archived(tmp_path)
    assert isinstance(first, Event)
    assert isinstance(second, Event)
    assert (first.cost_usd, second.cost_usd) == (2.0, None)
    assert first.writer == second.writer
    assert first.number < second.number


@pytest.mark.parametrize("cost", [1.1e12, 10**400, float("inf"), -1])
@pytest.mark.parametrize("under", ["sovereignty.cost_usd", "metadata"])
def test_a_cost_out_of_range_is_none(cost: float, under: str) -> None:
    """The event is kept all the same, as the recorder does."""
    said = {"cost_usd": cost} if under == "metadata" else cost
    row = of_event("sovereignty.api_cost", {under: said}, 1, Position("i", 1, 1))

    assert isinstance(row, Event)
    assert row.cost_usd is None


def test_an_event_of_a_later_release_is_no_row() -> None:
    """It is kept by that."""
    assert of_event("sovereignty.of_tomorrow", {}, 1) is None


@pytest.mark.parametrize(
    ("kind", "identity", "time_ns", "reason"),
    [
        ("api_call", None, 1, "no_identity"),
        ("api_call", "0123456789abcdef-0", 1, "no_identity"),
        ("api_call", "0123456789abcdef-9999999999999999999", 1, "no_identity"),
        ("api_call", 7, 1, "no_identity"),
        ("api_call", "0123456789abcdef-1", None, "no_time"),
        ("session_started", "0123456789abcdef-1", 1, "no_session"),
    ],
)
def test_what_cannot_be_kept_is_told(
    kind: str, identity: object, time_ns: int | None, reason: str
) -> None:
    """Events without an identity or a place, without a time, or without their session."""
    with pytest.raises(UnusableEventError, match=f"sovereignty.{kind} has no") as raised:
        of_event(f"sovereignty.{kind}", {"sovereignty.event.id": identity}, time_ns)

    assert raised.value.reason == reason


def test_no_two_events_of_a_process_have_one_identity() -> None:
    """Whichever call makes them."""
    kept = [record_event("api_call", None, None, filed_at="x") for _ in range(100)]

    assert len({str(each and each.attributes["sovereignty.event.id"]) for each in kept}) == 100
    assert sovereignty.EVENT_TYPES
