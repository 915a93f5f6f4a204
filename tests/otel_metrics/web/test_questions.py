"""Query strings of `/api/metrics/snapshots`: what is understood, and what is said of the rest."""

import base64
import string
from urllib.parse import urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from otel_metrics.service.history import PAGE_MAX, Question
from otel_metrics.web.questions import QuestionError, cursor_after, question_of

NO_TIME = "is no time; give one of RFC 3339 with its zone, such as 2027-01-15T08:00:00Z"
TEXTS = st.text(st.characters(codec="utf-8"), min_size=1, max_size=100)


def test_nothing_asked_is_a_page_of_all() -> None:
    """An empty value is none."""
    assert question_of(b"") == question_of(b"metric=&cursor=") == Question(limit=100)


def test_all_can_be_asked_at_once() -> None:
    """A cursor is what the page before gave."""
    cursor = cursor_after({"window_end": "2027-01-15T08:05:00Z", "snapshot_id": "ü:1"})
    query = urlencode(
        {
            "metric": "infra.cpu_utilization",
            "resource": "ü & 1",
            "since": "2027-01-15T08:00:00Z",
            "until": "2027-01-15T09:00:00+01:00",
            "limit": "7",
            "cursor": cursor,
        }
    )

    assert question_of(query.encode()) == Question(
        metric="infra.cpu_utilization",
        resource="ü & 1",
        since=1_800_000_000.0,
        until=1_800_000_000.0,
        limit=7,
        after=("2027-01-15T08:05:00Z", "ü:1"),
    )


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("metrik=x", "metrik: there is no such parameter; did you mean metric?"),
        (
            "x=1",
            (
                "x: there is no such parameter; there are metric, resource, since, until, limit, "
                "cursor"
            ),
        ),
        ("metric=a&metric=b", "a parameter stands twice; give each once"),
        ("metric", "the query is not percent-encoded UTF-8 of name=value"),
        ("metric=%ff", "the query is not percent-encoded UTF-8 of name=value"),
        ("limit=0", "limit=0: is no number from 1 to 1000"),
        ("limit=1001", "limit=1001: is no number from 1 to 1000"),
        ("limit=-1", "limit=-1: is no number from 1 to 1000"),
        ("limit=1e2", "limit=1e2: is no number from 1 to 1000"),
        ("limit=%D9%A3", r"limit=\u0663: is no number from 1 to 1000"),
        ("limit=" + "9" * 999, f"limit={'9' * 60}: is no number from 1 to 1000"),
        ("since=yesterday", f"since=yesterday: {NO_TIME}"),
        ("until=2027-01-15T08:00:00", f"until=2027-01-15T08:00:00: {NO_TIME}"),
        ("until=9999-12-31T23:59:59-23:59", f"until=9999-12-31T23:59:59-23:59: {NO_TIME}"),
        ("since=9999-12-31T23:59:59.5Z", f"since=9999-12-31T23:59:59.5Z: {NO_TIME}"),
        ("cursor=5", "cursor: is none of ours; take next_cursor of the page before, unchanged"),
        ("a=" + "b" * 5000, "the query is longer than 4096 characters; ask for less"),
    ],
)
def test_what_is_not_understood_is_refused(query: str, message: str) -> None:
    """With what would be."""
    with pytest.raises(QuestionError) as refused:
        question_of(query.encode())

    assert str(refused.value) == message


@pytest.mark.parametrize(
    "place", ["[]", "[1, 2]", '["a"]', '["a", null]', '"ab"', "{}", "ab", '["\\ud800", "a"]']
)
def test_a_cursor_of_another_make_is_refused(place: str) -> None:
    """Whatever is in it."""
    cursor = base64.urlsafe_b64encode(place.encode()).decode()
    with pytest.raises(QuestionError, match="none of ours"):
        question_of(urlencode({"cursor": cursor}).encode())


@given(end=TEXTS, snapshot_id=TEXTS)
def test_a_cursor_leads_back_to_its_snapshot(end: str, snapshot_id: str) -> None:
    """As it is put into a URL, without an escape."""
    cursor = cursor_after({"window_end": end, "snapshot_id": snapshot_id})

    assert set(cursor) <= set(string.ascii_letters + string.digits + "-_")
    assert question_of(f"cursor={cursor}".encode()).after == (end, snapshot_id)


@given(st.binary(max_size=200) | st.text(max_size=200).map(lambda text: f"cursor={text}".encode()))
def test_no_query_does_anything_else(query: bytes) -> None:
    """It is a question of a bounded page, or refused."""
    try:
        question = question_of(query)
    except QuestionError:
        return
    assert 1 <= question.limit <= PAGE_MAX
