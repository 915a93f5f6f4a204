"""What `GET /api/metrics/snapshots` is asked for: a query string as a `Question`. Pure.

Every parameter is known, stands once, and is checked; a cursor is opaque, and only ours are taken.
"""

import base64
import difflib
import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Final
from urllib.parse import parse_qsl

from otel_metrics.service.history import PAGE_MAX, Question

__all__ = ["QuestionError", "cursor_after", "question_of"]

PARAMETERS: Final = ("metric", "resource", "since", "until", "limit", "cursor")
LIMIT: Final = 100
"""Snapshots of a page, where nothing is said."""
LATEST: Final = datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)
"""The last time that can be written down in UTC, as snapshots have theirs."""
QUERY_CHARS_MAX: Final = 4_096
SHOWN_CHARS_MAX: Final = 60
"""Characters of what was asked that an answer shows."""


class QuestionError(ValueError):
    """A query that is not understood; the message says what would be."""


def question_of(query: bytes) -> Question:
    """Return what a query string asks for.

    Raises:
        QuestionError: it is not understood.
    """
    asked = _parameters(query)
    return Question(
        metric=asked.get("metric"),
        resource=asked.get("resource"),
        since=_time("since", asked),
        until=_time("until", asked),
        limit=_limit(asked),
        after=_after(asked),
    )


def cursor_after(record: Mapping[str, object]) -> str:
    """Return the cursor of the page that follows on this snapshot."""
    place = json.dumps([record["window_end"], record["snapshot_id"]]).encode()
    return base64.urlsafe_b64encode(place).decode().rstrip("=")


def _parameters(query: bytes) -> dict[str, str]:
    if len(query) > QUERY_CHARS_MAX:
        raise QuestionError(f"the query is longer than {QUERY_CHARS_MAX} characters; ask for less")
    try:
        pairs = (
            parse_qsl(
                query.decode("ascii"), keep_blank_values=True, strict_parsing=True, errors="strict"
            )
            if query
            else []
        )
    except ValueError as error:
        raise QuestionError("the query is not percent-encoded UTF-8 of name=value") from error
    for name, _ in pairs:
        if name not in PARAMETERS:
            raise QuestionError(f"{_shown(name)}: there is no such parameter{_near(name)}")
    asked = dict(pairs)
    if len(asked) < len(pairs):
        raise QuestionError("a parameter stands twice; give each once")
    return {name: value for name, value in asked.items() if value}


def _near(name: str) -> str:
    near = difflib.get_close_matches(name[:SHOWN_CHARS_MAX], PARAMETERS, n=1)
    return f"; did you mean {near[0]}?" if near else f"; there are {', '.join(PARAMETERS)}"


def _time(name: str, asked: Mapping[str, str]) -> float | None:
    text = asked.get(name)
    if text is None:
        return None
    try:
        moment = datetime.fromisoformat(text)
        if moment.tzinfo is None or moment > LATEST:
            raise ValueError
        return max(0.0, moment.timestamp())
    except (ValueError, OverflowError) as error:
        raise QuestionError(
            f"{name}={_shown(text)}: is no time; give one of RFC 3339 with its zone, such as "
            "2027-01-15T08:00:00Z"
        ) from error


def _limit(asked: Mapping[str, str]) -> int:
    text = asked.get("limit", str(LIMIT))
    if not (text.isascii() and text.isdigit() and len(text) <= 4 and 1 <= int(text) <= PAGE_MAX):
        raise QuestionError(f"limit={_shown(text)}: is no number from 1 to {PAGE_MAX}")
    return int(text)


def _after(asked: Mapping[str, str]) -> tuple[str, str] | None:
    text = asked.get("cursor")
    if text is None:
        return None
    try:
        place = json.loads(
            base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
        )
    except (ValueError, RecursionError):  # also those of Base64 and UTF-8
        place = None
    match place:
        case [str(end), str(snapshot_id)] if _is_whole(end + snapshot_id):
            return end, snapshot_id
    raise QuestionError("cursor: is none of ours; take next_cursor of the page before, unchanged")


def _is_whole(text: str) -> bool:
    """Tell whether a text has no half of a character, as none in a row has."""
    return not any("\ud800" <= character <= "\udfff" for character in text)


def _shown(text: str) -> str:
    return ascii(text[:SHOWN_CHARS_MAX])[1:-1]
