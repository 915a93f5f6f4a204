"""What a catalog file says of playbooks: what they do, what they risk, and what they take.

Pure. What a playbook's parameters may be is closed: text has choices or a pattern, a number has
bounds, so that nothing else ever reaches an action.
"""

import re
from collections.abc import Mapping
from typing import Final, Literal, cast, get_args

import msgspec

from otel_metrics.catalog.fields import Fields, Report, near
from otel_metrics.catalog.model import Metric, Parameter, Playbook, Risk
from otel_metrics.catalog.patterns import slowness_of
from otel_metrics.yaml_source import Node

__all__ = ["KEYS", "PLAYBOOK_ID", "playbook", "verified"]

RESERVED: Final = "resource"
"""What steps call the id of the target."""
KEYS: Final = ("id", "brief", "risk", "parameters", "within", "verifies")
WITHIN_S: Final = 600.0
"""How soon a metric should be back in its band where nothing is said."""
WITHIN_MAX_S: Final = 86_400.0
"""The latest that a metric may be back in its band."""
PARAMETERS_MAX: Final = 20
"""Parameters of one playbook."""
PATTERN_CHARS_MAX: Final = 500
"""Characters of a parameter's pattern."""
PLAYBOOK_ID: Final = re.compile(r"(?=.{1,63}$)[a-z][a-z0-9]*(?:-[a-z0-9]+)*")

Type = Literal["string", "integer", "number"]

_TEXT_KEYS: Final = ("choices", "pattern")
_NUMBER_KEYS: Final = ("minimum", "maximum")
_NAME: Final = re.compile(r"[a-z][a-z0-9_]{0,62}")


def playbook(fields: Fields, report: Report, *, name: str) -> Playbook:
    """Return one playbook; what is wrong goes to `report`.

    Args:
        name: its id, which is known to be a new one.
    """
    risk = cast(Risk | None, fields.choice("risk", get_args(Risk), required=True))
    return Playbook(
        id=name,
        brief=fields.text("brief", required="say in one sentence what it does"),
        risk=risk or "critical",
        parameters=_parameters(fields, report),
        within_s=_within_s(fields),
        verifies=fields.text("verifies") or None,
    )


def verified(fields: Fields, name: str, metrics: Mapping[str, Metric]) -> None:
    """Refuse the metric that a playbook verifies where it cannot be back in a band."""
    metric = metrics.get(name)
    if metric is None:
        remedy = near(name, metrics, otherwise="see `catalog list`")
        fields.refuse("verifies", f"there is no metric {name[:80]!r}", remedy)
    elif metric.bands is None:
        message = f"{name!r} has no bands that it could be back in"
        fields.refuse("verifies", message, "give it bands, or name another metric")


def _within_s(fields: Fields) -> float:
    if not fields.has("within"):
        return WITHIN_S
    seconds = fields.seconds("within")
    if seconds is None or not 0 < seconds <= WITHIN_MAX_S:
        fields.refuse("within", "is no time up to 1d", "write such as 90s or 10m")
        return WITHIN_S
    return seconds


def _parameters(fields: Fields, report: Report) -> tuple[Parameter, ...]:
    items = fields.items("parameters")
    if len(items) > PARAMETERS_MAX:
        fields.refuse("parameters", f"{len(items)} of them", f"keep at most {PARAMETERS_MAX}")
        return ()
    found: dict[str, Parameter] = {}
    for index, item in enumerate(items):
        known = ("name", "type", "brief", "default", *_TEXT_KEYS, *_NUMBER_KEYS)
        inner = Fields(item, f"{fields.path('parameters')}[{index}]", report, known=known)
        parameter = _parameter(inner)
        if parameter.name in found:
            inner.refuse("name", f"{parameter.name!r} is there already", "keep one of both")
        elif parameter.name:
            found[parameter.name] = parameter
    return tuple(found.values())


def _parameter(fields: Fields) -> Parameter:
    name = fields.text("name", required="name the parameter")
    if name == RESERVED:
        fields.refuse("name", f"{name!r} stands for the target in steps", "choose another name")
    if name and not _NAME.fullmatch(name):
        remedy = "use small letters, digits and '_', a letter first, at most 63 characters"
        fields.refuse("name", f"{name[:80]!r} is no name", remedy)
        name = ""
    kind = cast(Type | None, fields.choice("type", get_args(Type), required=True))
    brief = fields.text("brief", required="say in one sentence what it is")
    if kind is None:
        return Parameter(name=name, type="string", brief=brief)
    _refuse_of_others(fields, kind)
    parameter = Parameter(
        name=name,
        type=kind,
        brief=brief,
        choices=_choices(fields) if kind == "string" else (),
        pattern=_pattern(fields) if kind == "string" else None,
        minimum=fields.number("minimum") if kind != "string" else None,
        maximum=fields.number("maximum") if kind != "string" else None,
    )
    _refuse_open(fields, parameter)
    return _with_default(fields, parameter)


def _refuse_of_others(fields: Fields, kind: Type) -> None:
    for key in _NUMBER_KEYS if kind == "string" else _TEXT_KEYS:
        if fields.has(key):
            what = "a number" if kind == "string" else "a text"
            fields.refuse(key, f"is for {what}, and this is of type {kind}", "remove it")


def _choices(fields: Fields) -> tuple[str, ...]:
    values = [item.value for item in fields.items("choices")]
    texts = tuple(value for value in values if isinstance(value, str))
    if len(texts) < len(values) or len(set(texts)) < len(texts):
        fields.refuse("choices", "are not texts that differ", "quote each, and keep each once")
    return texts


def _pattern(fields: Fields) -> str | None:
    pattern = fields.lines("pattern")
    if len(pattern) > PATTERN_CHARS_MAX:
        message = f"has {len(pattern)} characters"
        fields.refuse("pattern", message, f"use {PATTERN_CHARS_MAX} at most")
        return None
    try:
        re.compile(pattern)
    except (re.error, OverflowError, RecursionError) as error:
        remedy = "write a regular expression of Python, which must match the whole text"
        fields.refuse("pattern", f"is none: {error}", remedy)
        return None
    slow = slowness_of(pattern)
    if slow is not None:
        message = f"has {slow}, which a hostile value makes take for ever"
        fields.refuse("pattern", message, "repeat characters or classes of them, one after another")
        return None
    return pattern or None


def _refuse_open(fields: Fields, parameter: Parameter) -> None:
    """Refuse a parameter that could be anything, and one that could be nothing."""
    if parameter.type == "string":
        given = [key for key in _TEXT_KEYS if fields.has(key)]
        if len(given) != 1:
            message = "has both choices and a pattern" if given else "takes any text"
            fields.refuse("type", message, "give either its choices or a pattern")
        return
    for key in _NUMBER_KEYS:
        if not fields.has(key):
            fields.refuse(key, "is missing", "give the least and the greatest number that it takes")
    low, high = parameter.minimum, parameter.maximum
    if low is not None and high is not None and low > high:
        fields.refuse("minimum", "is above maximum", "swap them")


def _with_default(fields: Fields, parameter: Parameter) -> Parameter:
    node = fields.node("default")
    if node is None:
        return parameter
    if not _fits(parameter, node):
        fields.refuse("default", "is not what the parameter takes", f"make it {_takes(parameter)}")
        return parameter
    return msgspec.structs.replace(parameter, default=node.value)


def _fits(parameter: Parameter, node: Node) -> bool:
    value = node.value
    if parameter.type == "string":
        if not isinstance(value, str):
            return False
        if parameter.pattern is not None:
            return re.fullmatch(parameter.pattern, value) is not None
        return not parameter.choices or value in parameter.choices
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    if parameter.type == "integer" and not isinstance(value, int):
        return False
    low, high = parameter.minimum, parameter.maximum
    return (low is None or value >= low) and (high is None or value <= high)


def _takes(parameter: Parameter) -> str:
    if parameter.choices:
        return f"one of {', '.join(parameter.choices)}"
    if parameter.type == "string":
        return "a text that the pattern matches whole"
    kind = "a whole number" if parameter.type == "integer" else "a number"
    return f"{kind} within minimum and maximum"
