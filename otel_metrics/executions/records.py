"""Records of runs: what one holds, checked, and its bytes. Pure functions.

A contract: services have written and read these files for long. `line_files.encode` has the form
of a line; what is not known is left out.
"""

import difflib
import json
import math
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final

import msgspec
from opentelemetry.util.types import AnyValue

from otel_metrics import arguments, events, line_files, safe_names, values
from otel_metrics.arguments import TIMESTAMP_MAX, in_words, shown

__all__ = ["FIELDS", "Facts", "checked", "encode", "facts", "of_event", "time_of", "time_text"]

FIELDS: Final = (
    "timestamp",
    "agent",
    "success",
    "execution_time_s",
    "quality_score",
    "primary_metric",
    "session_id",
    "metadata",
    "idempotency_key",
)
"""The fields of a record in the order in which they are written; the first three are required."""
PRIMARY_METRIC: Final = ("name", "value", "target")
"""The fields of `primary_metric`; the target may be missing."""
RECORD_BYTES_MAX: Final = 1024 * 1024
"""Longer lines are refused."""

_TIMESTAMP: Final = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ")


class Facts(msgspec.Struct, frozen=True):
    """What a summary needs to know of a line; what is not of the contract's type is None.

    Attributes:
        timestamp: as it is written.
    """

    success: bool
    timestamp: Any = None
    execution_time_s: Any = None
    quality_score: Any = None
    idempotency_key: Any = None


def checked(given: Mapping[str, object]) -> dict[str, AnyValue]:
    """Return a record: its fields in order, a bounded copy without secrets; None is left out.

    Raises:
        ValueError: a field is missing, unknown, or holds what it cannot.
    """
    for key in given:
        if key not in FIELDS:
            near = difflib.get_close_matches(str(key), FIELDS, n=1)
            hint = f"did you mean {near[0]}?" if near else f"known are {', '.join(FIELDS)}"
            raise ValueError(f"{shown(key)}: is no field of a record; {hint}")
    safe_names.encoded(given.get("agent"), setting="agent")  # type: ignore[arg-type]  # which refuses what is no text
    metadata = given.get("metadata")
    if metadata is not None and not isinstance(metadata, Mapping):
        raise ValueError(f"metadata={shown(metadata)}: is no mapping; give names with values")
    taken: dict[str, object] = {
        "timestamp": _timestamp(given.get("timestamp")),
        "agent": values.text(str(given["agent"])),
        "success": _flag(given.get("success")),
        "execution_time_s": arguments.optional_number(
            "execution_time_s", given.get("execution_time_s")
        ),
        "quality_score": arguments.optional_number(
            "quality_score", given.get("quality_score"), most=1
        ),
        "primary_metric": _primary_metric(given.get("primary_metric")),
        "session_id": _identifier("session_id", given.get("session_id")),
        "idempotency_key": _identifier("idempotency_key", given.get("idempotency_key")),
    }
    content = values.clean({"metadata": metadata, "primary_metric": taken["primary_metric"]})
    assert isinstance(content, Mapping)
    taken = {**taken, "metadata": None, **events.ruled(content)}
    return {
        field: value  # type: ignore[misc]  # what the functions above return is plain
        for field in FIELDS
        if (value := taken[field]) is not None
    }


def of_event(attributes: Mapping[str, Any], time_ns: int) -> dict[str, AnyValue]:
    """Return the record of an event `agent.execution`.

    A primary metric that is not of the contract's form is left out. A key that was masked, as those
    that looked like secrets once were, is none: two masked ones are alike.

    Raises:
        ValueError: the agent's name cannot be the name of a folder.
    """
    key = attributes.get("idempotency_key")
    given = {
        "timestamp": time_text(time_ns // 10**9),
        "agent": attributes.get("gen_ai.agent.name"),
        "success": attributes.get("agent.execution.success"),
        "execution_time_s": attributes.get("execution_time_s"),
        "quality_score": attributes.get("quality_score"),
        "session_id": _as_text(attributes.get("session.id")),
        "metadata": _as_mapping(attributes.get("metadata")),
        "idempotency_key": None if values.MASK in str(key) else _as_text(key),
    }
    try:
        return checked({**given, "primary_metric": attributes.get("primary_metric")})
    except ValueError:
        return checked(given)


def encode(record: Mapping[str, object]) -> bytes:
    """Return a record as the bytes of one line, without its end.

    Raises:
        ValueError: it is longer than `RECORD_BYTES_MAX`.
    """
    line = line_files.encode(record)
    if len(line) > RECORD_BYTES_MAX:
        raise ValueError(
            f"a record of {len(line):,} bytes; accepted: at most {RECORD_BYTES_MAX:,} bytes"
        )
    return line


def facts(line: bytes) -> Facts | None:
    """Return what a line says about a run; None where it is no record of one."""
    found = _found(line)
    if found is None:
        return None
    return Facts(
        success=found.success,
        timestamp=found.timestamp if isinstance(found.timestamp, str) else None,
        execution_time_s=_measured(found.execution_time_s, math.inf),
        quality_score=_measured(found.quality_score, 1),
        idempotency_key=found.idempotency_key if isinstance(found.idempotency_key, str) else None,
    )


def time_text(seconds: float) -> str:
    """Return Unix seconds as files have them.

    Raises:
        ValueError: there is no such date.

    >>> time_text(1_700_000_000.9)
    '2023-11-14T22:13:20Z'
    """
    taken = arguments.number("timestamp", seconds, most=TIMESTAMP_MAX)
    return datetime.fromtimestamp(int(taken), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def time_of(record: Mapping[str, Any]) -> float | None:
    """Return when a run was, in Unix seconds; None where its timestamp is no time.

    >>> time_of({"timestamp": "2023-11-14T22:13:20Z"})
    1700000000.0
    """
    try:
        moment = datetime.fromisoformat(record["timestamp"])
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    except (KeyError, TypeError, ValueError, OverflowError):
        return None


def _timestamp(given: object) -> str:
    accepted = "give UTC such as 2026-01-31T08:00:00Z"
    if not isinstance(given, str) or not _TIMESTAMP.fullmatch(given) or not given.isascii():
        raise ValueError(f"timestamp={shown(given)}: is not of the files' form; {accepted}")
    try:
        datetime.fromisoformat(given)
    except ValueError as error:
        raise ValueError(f"timestamp={given}: {error}; {accepted}") from None
    return given


def _flag(given: object) -> bool:
    if given is None:
        raise ValueError("success: is missing; give true or false")
    if given is not True and given is not False:
        raise ValueError(f"success={shown(given)}: is neither true nor false; give one of them")
    return given


def _identifier(name: str, given: object) -> object:
    if given is None:
        return None
    if not isinstance(given, str) or not given:
        raise ValueError(f"{name}={shown(given)}: is no text, or empty; give text or leave it out")
    return values.identifier(given)


def _primary_metric(given: object) -> dict[str, object] | None:
    if given is None:
        return None
    form = '{"name": text, "value": number, "target": number}'
    if not isinstance(given, Mapping) or not {"name", "value"} <= set(given) <= {*PRIMARY_METRIC}:
        raise ValueError(f"primary_metric={shown(given)}: is not of the form {form}")
    if not isinstance(given["name"], str) or not given["name"]:
        raise ValueError(f"primary_metric.name={shown(given['name'])}: is no text; give its name")
    numbers = {"value": given["value"], "target": given.get("target")}
    for part, number in numbers.items():
        optional = part == "target" and number is None
        try:
            if not optional:
                numbers[part] = values.number(number, integer=False, negative=True)
        except values.RejectedValueError as error:
            raise ValueError(
                f"primary_metric.{part}={shown(number)}: {in_words(error)}; give {error.accepted}"
            ) from None
        if type(number) in (int, float):
            numbers[part] = number
    return {"name": given["name"], **numbers}


def _as_text(value: object) -> str | None:
    return str(value) if value not in (None, "") else None


def _as_mapping(value: object) -> Mapping[str, object] | None:
    """Return metadata that is any data, or was masked, as a mapping."""
    if value is None or isinstance(value, Mapping):
        return value
    return {"value": value}


def _measured(value: object, most: float) -> float | None:
    """Return a number that a mean can be made of."""
    if type(value) not in (int, float) or not 0 <= value <= most:  # type: ignore[operator]
        return None
    try:
        taken = float(value)  # type: ignore[arg-type]  # of these two types
    except OverflowError:
        return None
    return taken if math.isfinite(taken) else None


def _found(line: bytes) -> Facts | None:
    try:
        return _decoder.decode(line)
    except (msgspec.MsgspecError, RecursionError):
        pass
    try:  # what Python's own writer writes and JSON does not know: NaN and infinities
        return msgspec.convert(json.loads(line), Facts)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return None


_decoder: Final = msgspec.json.Decoder(Facts)
