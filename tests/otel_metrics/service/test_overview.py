"""The overview: a value that holds, or why there is none."""

from dataclasses import replace
from typing import Any

import msgspec
import pytest

from otel_metrics.service.overview import overview
from otel_metrics.service.samples import Resource
from otel_metrics.service.snapshots import Latest
from tests.otel_metrics.service.kept import CPU, HOST, START


def latest(**known: Any) -> Latest:
    """Return what is known of a host: a value of 30 s ago, unless told otherwise."""
    about = {"value": 75.0, "band": "warning", "observed_at": START - 30}
    return Latest(metric=CPU.name, **{"resource": HOST, **about, **known})


def shown(*known: Latest, now: float = START) -> list[dict[str, object]]:
    """Return the overview of the one metric."""
    return overview({CPU.name: CPU}, known, now=now)


def test_a_value_that_holds_is_shown_with_its_age() -> None:
    """In the unit's word of records."""
    assert shown(latest()) == [
        {
            "metric_id": "infra.cpu_utilization",
            "unit": "percent",
            "resource": {"scope": "host", "id": "host-1"},
            "value": 75.0,
            "band": "warning",
            "observed_at": "2027-01-15T07:59:30Z",
            "age_seconds": 30.0,
            "absent": None,
        }
    ]


@pytest.mark.parametrize(
    ("known", "now", "absent"),
    [
        (latest(), START + 35, None),
        (latest(), START + 36, "stale"),
        (latest(missing_since=START, missing_reason="timeout"), START, "timeout"),
        (latest(missing_since=START), START, "never_sampled"),
        (latest(missing_since=START, missing_reason="no_value"), START, "no_value"),
        (latest(missing_since=START - 20, missing_reason="timeout"), START, "timeout"),
        (latest(missing_since=START - 20, missing_reason="no_value"), START + 36, "stale"),
    ],
)
def test_a_value_that_holds_no_longer_is_absent(
    known: Latest, now: float, absent: str | None
) -> None:
    """Never shown as if it did: two intervals and the source's timeout after it was seen."""
    [record] = shown(known, now=now)

    assert record["absent"] == absent
    assert (record["value"] is None, record["band"] is None) == (absent is not None,) * 2
    assert record["observed_at"] == "2027-01-15T07:59:30Z"


def test_a_process_without_a_value_hides_none_of_another() -> None:
    """Of several workers one may have had no request: nobody asks twice in half an interval."""
    [record] = shown(latest(missing_since=START - 20, missing_reason="no_value"))

    assert (record["value"], record["absent"]) == (75.0, None)


def test_a_source_that_answers_again_fails_for_no_resource_that_it_does_not_name() -> None:
    """What was missed before the first answer was of a resource that nobody knew."""
    before = Latest(
        metric=CPU.name,
        resource=Resource("host", "infra"),
        missing_since=START - 90,
        missing_reason="connection",
    )
    silent = replace(before, missing_reason="no_value")

    assert len(shown(latest(), before)) == 1
    assert len(shown(latest(), silent)) == 2
    assert [record["absent"] for record in shown(before)] == ["connection"]


def test_a_resource_that_never_answered_says_why() -> None:
    """It has no time of a value."""
    silent = latest(
        value=None, band=None, observed_at=None, missing_since=START, missing_reason="query"
    )
    [record] = shown(silent)

    assert (record["absent"], record["observed_at"], record["age_seconds"]) == ("query", None, None)


@pytest.mark.parametrize(
    ("reason", "ids"),
    [
        ("connection", ["host-1"]),
        ("not_a_number", ["infra", "host-1"]),
        ("no_value", ["infra", "host-1"]),
    ],
)
def test_a_source_that_failed_before_it_named_a_resource_is_told_until_one_has_a_value(
    reason: str, ids: list[str]
) -> None:
    """What stood for all of them then would look down for ever; what is of itself stays."""
    silent = latest(
        resource=Resource("host", "infra"),
        value=None,
        band=None,
        observed_at=None,
        missing_since=START - 60,
        missing_reason=reason,
    )
    failing = latest(missing_since=START, missing_reason="connection")

    assert [record["resource"]["id"] for record in shown(silent, latest())] == ids  # type: ignore[index] # of JSON
    assert len(shown(silent, failing)) == 2


def test_a_metric_that_nobody_sampled_is_there_all_the_same() -> None:
    """Of no resource."""
    [record] = shown()

    assert (record["resource"], record["absent"]) == (None, "never_sampled")


def test_a_clock_that_is_behind_makes_no_negative_age() -> None:
    """A value of the future is of now."""
    [record] = shown(latest(observed_at=START + 10))

    assert (record["age_seconds"], record["absent"]) == (0.0, None)


def test_what_has_no_source_is_not_shown() -> None:
    """It is no metric of the service's."""
    bare = msgspec.structs.replace(CPU, source=None)

    assert overview({CPU.name: bare}, [latest()], now=START) == []
