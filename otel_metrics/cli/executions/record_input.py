"""What `executions record` is given: options, and a record as JSON. Pure functions."""

import json
from collections.abc import Mapping
from typing import Any, Final

__all__ = ["INPUT_BYTES_MAX", "InputError", "merged", "parsed"]

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


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in pairs:
        if key in found:
            raise InputError(f"says {key} twice; give it once")
        found[key] = value
    return found


def _no_constant(name: str) -> None:
    raise InputError(f"holds {name}, which JSON does not know; give a number or leave it out")
