"""Variables that are set and that nobody reads, because their name is spelt wrong.

Those that begin as an exporter's own are found by that exporter's settings.
"""

import difflib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import opentelemetry.environment_variables
import opentelemetry.instrumentation.environment_variables
import opentelemetry.sdk.environment_variables

from otel_metrics.autoconfig.environment import VARIABLES

__all__ = ["MASK", "Misspelling", "misspelt"]

PREFIX: Final = "OTEL_PYTHON_METRICS_"
"""Nothing but this bundle's own variables begins so."""
LIKENESS: Final = 0.9
"""How like one of ours a name must be, to be taken for it: others have variables of their own."""
MASK: Final = "***"
"""Stands for a value that may be a secret."""
_FAMILIES: Final = (
    "OTEL_EXPORTER_NDJSON_",
    "OTEL_EXPORTER_PROMETHEUS_",
    "OTEL_EXPORTER_OTLP_",
)
_OURS: Final = tuple(variable.name for variable in VARIABLES)
_KNOWN: Final = frozenset(_OURS).union(
    *(
        {name for name in vars(module) if name.startswith("OTEL_")}
        for module in (
            opentelemetry.environment_variables,
            opentelemetry.sdk.environment_variables,
            opentelemetry.instrumentation.environment_variables,
        )
    )
)


@dataclass(frozen=True, slots=True)
class Misspelling:
    """A problem of a variable's name. Its value is never told: it may be any variable's."""

    variable: str
    value: str
    message: str


def misspelt(environ: Mapping[str, str]) -> list[Misspelling]:
    """Return the variables that are set, unknown, and ours by their prefix or much like ours."""
    return [
        Misspelling(name, MASK, f"no such variable; {hint}")
        for name in sorted(environ)
        if name.startswith("OTEL_")
        and name not in _KNOWN
        and not name.startswith(_FAMILIES)
        and environ[name].strip()
        and (hint := _hint(name))
    ]


def _hint(name: str) -> str | None:
    near = difflib.get_close_matches(name, _OURS, n=1, cutoff=LIKENESS)
    if not near and name.startswith(PREFIX):
        own = [each for each in _OURS if each.startswith(PREFIX)]
        near = difflib.get_close_matches(name, own, n=1, cutoff=0.75)
        if not near:
            return f"there are {', '.join(own)}"
    return f"did you mean {near[0]}?" if near else None
