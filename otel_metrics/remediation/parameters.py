"""The values of a playbook's parameters, checked against what the playbook says of them. Pure.

Whoever gives a value is not trusted: a label of a metric, an alert, a request. A value can only
choose among what the playbook allows.
"""

import math
import re
from collections.abc import Mapping
from typing import Final

from otel_metrics.catalog.fields import near
from otel_metrics.catalog.model import Parameter, Playbook
from otel_metrics.remediation.model import Value

__all__ = ["PLAIN", "RESOURCE", "TEXT_CHARS_MAX", "WHOLE_MAX", "fault", "from_text", "resolve"]

TEXT_CHARS_MAX: Final = 1_024
"""Longest text that a parameter takes."""
WHOLE_MAX: Final = 2**53
"""Largest number that every side keeps exactly."""
PLAIN: Final = "[A-Za-z0-9][A-Za-z0-9._:@+-]*"
"""What a text is that has neither choices nor a pattern: one word, no path, no option."""

RESOURCE: Final = "resource"
"""Stands in steps for the id of what the playbook is done to, where its `targets` are listed: who
asks can only choose among them. No playbook has a parameter of this name."""

_SHOWN_CHARS_MAX: Final = 80


def resolve(playbook: Playbook, *layers: Mapping[str, object]) -> dict[str, Value]:
    """Return the value of each parameter: of the last layer that has it, else its default.

    Raises:
        ValueError: a line for each value that is wrong, is missing, or is of no parameter.
    """
    declared = {parameter.name: parameter for parameter in playbook.parameters}
    given = {name: value for layer in layers for name, value in layer.items()}
    faults = [_unknown(name, declared, playbook.id) for name in given if name not in declared]
    resolved: dict[str, Value] = {}
    for name, parameter in declared.items():
        value = given.get(name, parameter.default)
        wrong = "is missing; give it a value" if value is None else fault(parameter, value)
        if wrong is None:
            assert isinstance(value, str | int | float)
            resolved[name] = value
        else:
            faults.append(
                f"{name}: {wrong}" if value is None else f"{name}={_shown(value)}: {wrong}"
            )
    if faults:
        raise ValueError("\n".join(faults))
    return resolved


def fault(parameter: Parameter, value: object) -> str | None:
    """Return what is wrong with a value, and what to do; None where it is allowed.

    >>> fault(Parameter(name="workers", type="integer", brief="", maximum=50), 51)
    'is above 50; give at most 50'
    """
    if parameter.type == "string":
        return _text_fault(parameter, value)
    return _number_fault(parameter, value)


def from_text(parameter: Parameter, text: str) -> Value:
    """Return what a word of a command line says: of a number's parameter, the number.

    What is no number stays text, which `fault` then refuses.
    """
    if parameter.type == "string" or not text.isascii() or len(text) > _SHOWN_CHARS_MAX:
        return text
    try:
        return int(text) if parameter.type == "integer" else float(text)
    except ValueError:
        return text


def _text_fault(parameter: Parameter, value: object) -> str | None:
    if not isinstance(value, str):
        return f"is a {type(value).__name__}; give a text"
    if parameter.choices:
        if value in parameter.choices:
            return None
        listed = f"give one of {', '.join(parameter.choices)}"
        return f"is none of its choices; {near(value, parameter.choices, otherwise=listed)}"
    if len(value) > TEXT_CHARS_MAX:
        return f"is longer than {TEXT_CHARS_MAX:,} characters; give a shorter one"
    if "\0" in value:
        return "holds NUL; remove it"
    if not _is_unicode(value):
        return "holds half a character (a lone surrogate); remove it"
    pattern = parameter.pattern or PLAIN
    try:
        matches = re.fullmatch(pattern, value)
    except re.error as error:
        return f"cannot be checked: the pattern {pattern!r} is none ({error}); correct the pattern"
    return None if matches else f"does not match {pattern}; give one that does"


def _number_fault(parameter: Parameter, value: object) -> str | None:
    whole = parameter.type == "integer"
    if isinstance(value, bool) or not isinstance(value, int if whole else int | float):
        return f"is a {type(value).__name__}; give a {'whole ' if whole else ''}number"
    assert isinstance(value, int | float)
    if not math.isfinite(value) if isinstance(value, float) else abs(value) > WHOLE_MAX:
        return f"is beyond ±{WHOLE_MAX:,}; give a smaller number"
    if parameter.minimum is not None and value < parameter.minimum:
        return f"is below {parameter.minimum:g}; give at least {parameter.minimum:g}"
    if parameter.maximum is not None and value > parameter.maximum:
        return f"is above {parameter.maximum:g}; give at most {parameter.maximum:g}"
    return None


def _unknown(name: str, declared: Mapping[str, Parameter], playbook: str) -> str:
    listed = f"it has {', '.join(declared) or 'none'}"
    shown = ascii(name[:_SHOWN_CHARS_MAX])
    return f"{shown}: is no parameter of {playbook}; {near(name, declared, otherwise=listed)}"


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _shown(value: object) -> str:
    shown = ascii(value)
    return shown if len(shown) <= _SHOWN_CHARS_MAX else f"{shown[:_SHOWN_CHARS_MAX]}…"
