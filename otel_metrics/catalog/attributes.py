"""What a catalog file says of attributes: their types, and which ones a metric or event refers to.

Pure. Whatever is wrong is added to the report, and reading goes on.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Final

from otel_metrics.catalog.fields import Fields, Report, near
from otel_metrics.catalog.model import Attribute, Member
from otel_metrics.yaml_source import Node

__all__ = ["IGNORED", "attribute_type", "examples", "references"]

SCALARS: Final = ("string", "int", "double", "boolean")
TYPES: Final = (*SCALARS, *(f"{scalar}[]" for scalar in SCALARS), "any")
LEVELS: Final = ("required", "recommended", "opt_in")
RESERVED_LABELS: Final = frozenset({"le", "quantile", "otel_metric_overflow"})
"""Labels that the page and the SDK use for themselves."""
IGNORED: Final = ("annotations", "deprecated", "entity_associations", "requirement_level")
"""Weaver's own keys that change nothing here: for its tools, accepted and ignored by us."""

_NOT_IN_LABEL = re.compile(r"[^A-Za-z0-9]+")


def attribute_type(fields: Fields, report: Report) -> tuple[str, tuple[Member, ...]]:
    """Return the type of an attribute, and its members where it is `enum`."""
    node = fields.node("type")
    if node is None or not isinstance(node.value, Mapping):
        return fields.choice("type", TYPES, required=True) or "string", ()
    inner = Fields(node, fields.path("type"), report, known=("members",))
    if not inner.items("members"):
        inner.refuse("members", "is missing", "list the values that the attribute may have")
    members: list[Member] = []
    for index, item in enumerate(inner.items("members")):
        member = _member(item, f"{inner.path('members')}[{index}]", report)
        if any(member.value == other.value for other in members):
            inner.refuse("members", f"{member.value!r} is there twice", "keep one of both")
        members.append(member)
    return "enum", tuple(members)


def _member(item: Node, path: str, report: Report) -> Member:
    known = ("id", "value", "brief", "note", "stability", "deprecated", "annotations")
    fields = Fields(item, path, report, known=known)
    name = fields.text("id", required="name the value")
    node = fields.node("value")
    value = name if node is None else node.value
    if isinstance(value, bool) or not isinstance(value, str | int):
        fields.refuse("value", "is no text and no whole number", "quote it")
        value = name
    return Member(id=name, value=value, brief=fields.text("brief"))


def examples(fields: Fields) -> tuple[str | int | float | bool, ...]:
    """Return the examples of an attribute: single values, one or a list of them."""
    node = fields.node("examples")
    if node is None:
        return ()
    items = node.value if isinstance(node.value, tuple) else (node,)
    values = [item.value for item in items]
    kept = tuple(value for value in values if isinstance(value, str | int | float | bool))
    if len(kept) < len(values):
        fields.refuse("examples", "an example is no single value", "quote it")
    return kept


def references(
    fields: Fields,
    report: Report,
    attributes: Mapping[str, Attribute],
    *,
    scalar: bool,
    taken: Sequence[str] = (),
) -> dict[str, str]:
    """Return the requirement level of each attribute that an entry refers to.

    Args:
        attributes: those that are defined.
        scalar: True for a metric, which carries single values under labels of their own.
        taken: keys that the metric has already.
    """
    levels: dict[str, str] = {}
    labels = {_label(key): key for key in taken}
    for index, item in enumerate(fields.items("attributes")):
        path = f"{fields.path('attributes')}[{index}]"
        known = ("ref", "requirement_level", "brief", "note", "examples", *IGNORED)
        ref = Fields(item, path, report, known=known)
        key = ref.text("ref", required="name the key of an attribute")
        if not key or not _may_refer(ref, key, attributes, scalar=scalar):
            continue
        other = labels.setdefault(_label(key), key)
        if key in levels or key in taken or other != key:
            message = f"{key!r} is there already" + (f" as {other!r}" if other != key else "")
            ref.refuse("ref", message, "remove it")
        elif scalar and _label(key) in RESERVED_LABELS:
            ref.refuse("ref", f"{key!r} is a label with a meaning", "choose another key")
        levels[key] = _level(ref, report)
    return levels


def _may_refer(ref: Fields, key: str, attributes: Mapping[str, Attribute], *, scalar: bool) -> bool:
    attribute = attributes.get(key)
    if attribute is None:
        define = "define it under attributes, or see `catalog list`"
        remedy = near(key, attributes, otherwise=define)
        ref.refuse("ref", f"there is no attribute {key!r}", remedy)
        return False
    if scalar and attribute.type not in (*SCALARS, "enum"):
        message = f"{key!r} is of type {attribute.type}, which no metric can carry"
        ref.refuse("ref", message, "refer to it in an event")
    return True


def _level(ref: Fields, report: Report) -> str:
    node = ref.node("requirement_level")
    if node is None or not isinstance(node.value, Mapping):
        return ref.choice("requirement_level", LEVELS) or "recommended"
    known = ("conditionally_required", "recommended", "opt_in")
    inner = Fields(node, ref.path("requirement_level"), report, known=known)
    for key in known:
        if inner.has(key):
            return f"{key}: {inner.text(key)}"
    ref.refuse("requirement_level", "is empty", f"write one of {', '.join(LEVELS)}")
    return "recommended"


def _label(key: str) -> str:
    return _NOT_IN_LABEL.sub("_", key)
