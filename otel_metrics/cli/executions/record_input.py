"""What `executions record` is given: options, and a record as JSON. Pure."""

import difflib
import json
import re
from collections.abc import Mapping
from typing import Any, Final

from otel_metrics.cli.wrong_use import as_typed
from otel_metrics.executions.records import FIELDS

__all__ = ["INPUT_BYTES_MAX", "InputError", "as_given", "merged", "parsed"]

INPUT_BYTES_MAX: Final = 1024 * 1024
"""A longer record is refused."""
OPTIONS: Final[Mapping[str, str]] = {
    "agent": "AGENT",
    "success": "--success or --failure",
    "execution_time_s": "--time",
    "quality_score": "--quality",
    "idempotency_key": "--idempotency-key",
}
"""By which option a field of the record is given."""
_LISTED: Final = ", ".join(FIELDS)


class InputError(ValueError):
    """What was given is no record; the message says what to do."""


def parsed(data: bytes) -> dict[str, Any]:
    """Return the one JSON object in `data`.

    Raises:
        InputError: it holds none, more than one, or what JSON does not know.
    """
    if len(data) > INPUT_BYTES_MAX:
        raise InputError(f"is longer than {INPUT_BYTES_MAX:,} bytes")
    try:
        text = data.decode("utf-8-sig")
        record = json.loads(text, object_pairs_hook=_object, parse_constant=_no_constant)
    except RecursionError:
        raise InputError("is nested too deep") from None
    except UnicodeDecodeError as error:
        raise InputError(f"is no UTF-8 at byte {error.start + 1}") from None
    except json.JSONDecodeError as error:
        if not text.strip():
            raise InputError('is empty; give a record such as {"success": true}') from None
        hint = "; give one record" if error.msg == "Extra data" else ""
        place = f"line {error.lineno}, column {error.colno}"
        raise InputError(f"is no JSON: {error.msg} at {place}{hint}") from None
    if not isinstance(record, dict):
        raise InputError('is no object; give a record such as {"success": true}')
    for field in record:
        if field not in FIELDS:
            near = difflib.get_close_matches(field, FIELDS, n=1)
            meant = f"did you mean {near[0]}? " if near else ""
            raise InputError(f"{field}: is no field of a record; {meant}known are {_LISTED}")
    return record


def merged(record: Mapping[str, Any], options: Mapping[str, Any]) -> dict[str, Any]:
    """Return what record and options say together.

    Args:
        options: by field; None where an option is not given.

    Raises:
        InputError: they say different things.
    """
    given = {field: value for field, value in options.items() if value is not None}
    for field, value in given.items():
        if field in record and record[field] != value:
            raise InputError(
                f"says {field}={json.dumps(record[field])}, and {OPTIONS[field]} says "
                f"{json.dumps(value)}; give it once"
            )
    return {**record, **given}


def as_given(message: str, record: Mapping[str, Any], source: str) -> str:
    """Return what is wrong with a field under the name by which it was given.

    Args:
        message: begins with the field.
        record: what was given as JSON.
        source: what that was given by.
    """
    field = re.match(r"\w*", message)
    if field is not None and field[0] in record:
        return f"{source}: {message}"
    return as_typed(message, OPTIONS)


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in pairs:
        if key in found:
            raise InputError(f"says {key} twice; give it once")
        found[key] = value
    return found


def _no_constant(name: str) -> None:
    raise InputError(f"holds {name}, which JSON does not know; give a number or leave it out")
