"""Attributes -> the label part of a sample, as the collector writes label values (`AsString`).

Pure. `AsString` is that of go.opentelemetry.io/collector/pdata v1 (`pcommon/value.go`); keys that
become one label are joined with `;`, as the compatibility page of the OpenTelemetry specification
v1.38.0 says.
"""

import base64
import json
import math
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Final

from otel_exporter_prometheus.naming import label_name

__all__ = ["REPLACEMENT", "as_string", "clean", "escape", "join", "labels_of"]

REPLACEMENT: Final = "\ufffd"
"""What stands for a character that no page can hold: a lone surrogate, or NUL, at which
Prometheus stops reading."""

_JSON_ESCAPES: Final = str.maketrans(
    {
        "<": "\\u003c",
        ">": "\\u003e",
        "&": "\\u0026",
        "\u2028": "\\u2028",
        "\u2029": "\\u2029",
    }
)
_UNSHOWABLE: Final = dict.fromkeys([0, *range(0xD800, 0xE000)], REPLACEMENT)


def labels_of(attributes: Mapping[str, object] | None, *, reserved: str = "") -> dict[str, str]:
    """Return label -> value, neither escaped nor cleaned; a label without a value is no label.

    `reserved` is the one label that the page sets itself (`le`); an attribute of that name moves to
    `exported_<name>`, as Prometheus does on a conflict.
    """
    if not attributes:
        return {}
    labels: dict[str, list[str]] = {}
    for key in sorted(attributes, key=str):
        label = label_name(str(key))
        if label == reserved:
            label = "exported_" + label
        labels.setdefault(label, []).append(as_string(attributes[key]))
    return {label: value for label in labels if (value := ";".join(labels[label]))}


def join(labels: Mapping[str, str]) -> str:
    """Write labels in the order of their names: `a="1",b="2"`."""
    return ",".join([f'{label}="{escape(labels[label])}"' for label in sorted(labels)])


def escape(value: str) -> str:
    """Escape a label value for either format."""
    if "\\" in value or '"' in value or "\n" in value:
        return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return value


def clean(text: str) -> tuple[str, int]:
    """Replace what no page can hold, and say how many characters that were."""
    if text.isascii() and "\0" not in text:
        return text, 0
    cleaned = text.translate(_UNSHOWABLE)
    if cleaned == text:
        return text, 0
    return cleaned, cleaned.count(REPLACEMENT) - text.count(REPLACEMENT)


def as_string(value: object) -> str:
    """Write an attribute's value as the collector does: `1`, `true`, `0.5`, `["a","b"]`."""
    if isinstance(value, str):
        return str.__str__(value)
    if value is None:
        return ""
    if isinstance(value, float) and not math.isfinite(value):
        name = "NaN" if math.isnan(value) else "+Inf" if value > 0 else "-Inf"
        return f"json: unsupported value: {name}"
    if isinstance(value, bytes):
        return base64.b64encode(value).decode("ascii")
    try:
        return _json(value)
    except ValueError:
        return ""  # an array that holds NaN: Go's encoder refuses it, and AsString drops the error


def _json(value: object) -> str:
    """Write compact JSON as Go's encoder does."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return int.__repr__(value)
    if isinstance(value, float):
        return _go_float(value)
    if isinstance(value, Mapping):
        keys = sorted(value, key=str)
        return "{" + ",".join([f"{_json(str(key))}:{_json(value[key])}" for key in keys]) + "}"
    if isinstance(value, bytes):
        return f'"{base64.b64encode(value).decode("ascii")}"'
    if isinstance(value, Sequence) and not isinstance(value, str):
        return "[" + ",".join([_json(item) for item in value]) + "]"
    return json.dumps(str(value), ensure_ascii=False).translate(_JSON_ESCAPES)


def _go_float(value: float) -> str:
    """Write a float as ES6 and Go's encoding/json do: positional between 1e-6 and 1e21."""
    if not math.isfinite(value):
        raise ValueError("JSON has no such number")
    text = float.__repr__(value)
    if value != 0 and not 1e-6 <= abs(value) < 1e21:
        mantissa, _, exponent = text.partition("e")
        sign = exponent[0] if exponent[0] in "+-" else "+"
        return f"{mantissa.removesuffix('.0')}e{sign}{int(exponent.lstrip('+-'))}"
    if "e" in text:
        text = format(Decimal(text), "f")
    return text.removesuffix(".0")
