"""Periods of the calendar, in UTC."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from otel_metrics.budgets.limits import Period, moment, window


def at(text: str) -> int:
    """Return a time in microseconds since 1970."""
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()) * 1_000_000


@pytest.mark.parametrize(
    ("period", "now", "starts", "ends"),
    [
        ("hour", "2026-01-15T10:59:59", "2026-01-15T10:00:00", "2026-01-15T11:00:00"),
        ("hour", "2026-01-15T11:00:00", "2026-01-15T11:00:00", "2026-01-15T12:00:00"),
        ("hour", "2026-12-31T23:30:00", "2026-12-31T23:00:00", "2027-01-01T00:00:00"),
        ("day", "2026-03-29T01:30:00", "2026-03-29T00:00:00", "2026-03-30T00:00:00"),
        ("day", "2024-02-28T12:00:00", "2024-02-28T00:00:00", "2024-02-29T00:00:00"),
        ("month", "2026-01-31T23:59:59", "2026-01-01T00:00:00", "2026-02-01T00:00:00"),
        ("month", "2026-02-28T23:59:59", "2026-02-01T00:00:00", "2026-03-01T00:00:00"),
        ("month", "2024-02-29T23:59:59", "2024-02-01T00:00:00", "2024-03-01T00:00:00"),
        ("month", "2100-02-28T12:00:00", "2100-02-01T00:00:00", "2100-03-01T00:00:00"),
        ("month", "2026-04-30T00:00:00", "2026-04-01T00:00:00", "2026-05-01T00:00:00"),
        ("month", "2026-12-31T23:59:59", "2026-12-01T00:00:00", "2027-01-01T00:00:00"),
    ],
)
def test_where_a_period_begins_and_ends(period: Period, now: str, starts: str, ends: str) -> None:
    """Months have their own lengths, also in leap years and at the end of a year."""
    assert window(period, at(now)) == (at(starts), at(ends))


@given(st.integers(0, at("2200-01-01T00:00:00")), st.sampled_from(["hour", "day", "month"]))
def test_periods_neither_overlap_nor_leave_a_gap(now_us: int, period: Period) -> None:
    """Every time is in exactly one, which begins where the one before ends."""
    starts_us, ends_us = window(period, now_us)

    assert starts_us <= now_us < ends_us
    assert window(period, starts_us) == window(period, ends_us - 1) == (starts_us, ends_us)
    assert window(period, ends_us)[0] == ends_us
    assert window(period, starts_us - 1)[1] == starts_us


def test_a_time_is_kept_to_the_microsecond() -> None:
    """No float is between."""
    assert moment(1_768_473_000_000_001).isoformat() == "2026-01-15T10:30:00.000001+00:00"
