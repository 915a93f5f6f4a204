"""Which records `--metric` and `--event` name, and what was meant where they name none."""

import difflib
from collections.abc import Iterator, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any, Final, Literal

from otel_exporter_prometheus import naming
from otel_metrics.catalog.loader import builtin

__all__ = ["Names", "suggestion"]

NAMES_MAX: Final = 1_000
"""Names of an archive that are kept for a hint, of each kind."""
SHOWN_MAX: Final = 5
_SERIES: Final = ("_bucket", "_sum", "_count")

Kind = Literal["metric", "event"]


class Names:
    """What the options ask for, and what they were compared with.

    Args:
        exact: whether * in a name is only that character.
    """

    def __init__(
        self, metrics: Sequence[str], events: Sequence[str], *, exact: bool = False
    ) -> None:
        self._exact = exact
        self._patterns: dict[Kind, Sequence[str]] = {"metric": metrics, "event": events}
        self._unmatched = {(kind, each) for kind, all_ in self._patterns.items() for each in all_}
        self._seen: dict[Kind, dict[str, tuple[bool, Mapping[str, Any]]]] = {
            "metric": {},
            "event": {},
        }

    def keep(self, data: Mapping[str, Any]) -> bool:
        """Whether a point or event is asked for."""
        kind: Kind = "metric" if "metric" in data else "event"
        name = str(data.get(kind) or "")
        known = self._seen[kind].get(name)
        if known is not None:
            return known[0]
        kept = self._is_asked_for(kind, name)
        if name and len(self._seen[kind]) < NAMES_MAX:
            self._seen[kind][name] = (kept, data)
        return kept

    def misses(self) -> Iterator[str]:
        """Yield one line for each name that is asked for and was not there."""
        for kind, patterns in self._patterns.items():
            for pattern in patterns:
                if (kind, pattern) in self._unmatched:
                    yield f"--{kind}={pattern}: nothing matches{self._hint(kind, pattern)}"

    def _is_asked_for(self, kind: Kind, name: str) -> bool:
        matched = [
            each
            for each in self._patterns[kind]
            if each == name or (not self._exact and fnmatchcase(name, each))
        ]
        self._unmatched -= {(kind, each) for each in matched}
        return bool(matched) or not any(self._patterns.values())

    def _hint(self, kind: Kind, pattern: str) -> str:
        seen = self._seen[kind]
        aliases = {name: name for name in seen}
        if kind == "metric":
            for name, metric in builtin().metrics.items():
                aliases.setdefault(metric.prometheus, name)
            for name, (_, data) in seen.items():
                aliases[_prometheus(name, data)] = name
            for end in _SERIES:
                pattern = pattern.removesuffix(end) if pattern not in aliases else pattern
        near = difflib.get_close_matches(pattern, aliases, n=1)
        return f"; did you mean {aliases[near[0]]}?" if near else _listed(sorted(seen))


def suggestion(wrong: str, known: Sequence[str]) -> str:
    """Return what was meant, or what there is, as the end of a line."""
    near = difflib.get_close_matches(wrong, known, n=1)
    return f"; did you mean {near[0]}?" if near else _listed(known)


def _listed(known: Sequence[str]) -> str:
    if not known:
        return ""
    more = f" and {len(known) - SHOWN_MAX} more" if len(known) > SHOWN_MAX else ""
    return f"; there is {', '.join(known[:SHOWN_MAX])}{more}"


def _prometheus(name: str, data: Mapping[str, Any]) -> str:
    """Return what a metric is called on the page; its own name where it has none there."""
    match data.get("type"), data.get("monotonic"):
        case "sum", True:
            instrument: naming.Instrument = "counter"
        case "sum", _:
            instrument = "updowncounter"
        case "gauge", _:
            instrument = "gauge"
        case _:
            instrument = "histogram"
    try:
        return naming.metric_name(name, str(data.get("unit") or ""), instrument)
    except ValueError:
        return name
