"""Names as the collector's Prometheus exporter and Prometheus' own OTLP endpoint render them.

Both use `UnderscoreEscapingWithSuffixes` of github.com/prometheus/otlptranslator; this follows its
v1.0.0 (`metric_namer.go`, `label_namer.go`). Pure functions; nothing here knows of pages.
"""

import re
from typing import Final, Literal

__all__ = ["Instrument", "label_name", "metric_name", "problem", "unit_suffix"]

Instrument = Literal["counter", "updowncounter", "gauge", "histogram"]

_MAIN_UNITS: Final = {
    "d": "days",
    "h": "hours",
    "min": "minutes",
    "s": "seconds",
    "ms": "milliseconds",
    "us": "microseconds",
    "ns": "nanoseconds",
    "By": "bytes",
    "KiBy": "kibibytes",
    "MiBy": "mebibytes",
    "GiBy": "gibibytes",
    "TiBy": "tibibytes",
    "KBy": "kilobytes",
    "MBy": "megabytes",
    "GBy": "gigabytes",
    "TBy": "terabytes",
    "m": "meters",
    "V": "volts",
    "A": "amperes",
    "J": "joules",
    "W": "watts",
    "g": "grams",
    "Cel": "celsius",
    "Hz": "hertz",
    "1": "",
    "%": "percent",
}
_PER_UNITS: Final = {
    "s": "second",
    "m": "minute",
    "h": "hour",
    "d": "day",
    "w": "week",
    "mo": "month",
    "y": "year",
}
_FRACTIONS: Final = frozenset({"ratio", "utilization"})
"""Last words of a gauge of unit `1` after which `_ratio` is what a reader expects."""

_NOT_NAME = re.compile(r"[^a-zA-Z0-9:]+")
_NOT_NAME_ONE = re.compile(r"[^a-zA-Z0-9:]")
_NOT_LABEL = re.compile(r"[^a-zA-Z0-9]+")
_UNDERSCORES = re.compile(r"_{2,}")
_OTEL_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_./-]*")
_ANNOTATION = re.compile(r"\{[^{}]*\}")
_EDGE = re.compile(r"[_./-]{2,}|[_./-]$")


def metric_name(name: str, unit: str, instrument: Instrument) -> str:
    """Return the name on the page, without a histogram's `_bucket`, `_sum` and `_count`.

    Raises:
        ValueError: nothing of the name can be shown.

    >>> metric_name("gen_ai.client.inference.duration", "s", "histogram")
    'gen_ai_client_inference_duration_seconds'
    """
    words = [word for word in _NOT_NAME.split(name) if word]
    main, per = _unit_suffixes(unit)
    if main and main not in words:
        words.append(main.removesuffix("_") if per and per not in words else main)
    if per and per not in words:
        words.append(per)
    if instrument == "counter":
        words = [*(word for word in words if word != "total"), "total"]
    if instrument == "gauge" and unit == "1":
        words = [*(word for word in words if word != "ratio"), "ratio"]
    rendered = "_".join(words)
    if not rendered.strip("_"):
        raise ValueError(f"metric name {name!r} has no letter or digit that Prometheus can show")
    return "_" + rendered if rendered[0].isdigit() else rendered


def unit_suffix(unit: str) -> str:
    """Return the words of a unit as they stand in a name: `By/s` is `bytes_per_second`."""
    return "_".join(part for part in _unit_suffixes(unit) if part).strip("_")


def label_name(key: str) -> str:
    """Return the label for an attribute's key.

    A leading digit is kept behind `key_`. Unlike the translator, which refuses the whole metric
    then, this renders keys of symbols only as `_`, and `__key__`, which Prometheus keeps for
    itself, with single underscores.
    """
    label = _NOT_LABEL.sub("_", key) or "_"
    return "key_" + label if label[0].isdigit() else label


def problem(name: str, unit: str, instrument: Instrument) -> str | None:
    """Say why translators would render this name differently and what to do, or return None."""
    if not _OTEL_NAME.fullmatch(name):
        return _problem_of_characters(name)
    if _EDGE.search(name):
        return (
            f"{name!r} has a trailing or doubled separator, which some translators keep "
            "and others drop; use single separators between words"
        )
    words = _NOT_NAME.split(name)
    if "total" in words[:-1] or (words == ["total"]):
        return (
            f"{name!r} has 'total' before its end, which some translators remove; "
            "leave 'total' out, counters get it at the end"
        )
    if words[-1] == "total":
        if instrument != "counter":
            return (
                f"{name!r} ends in 'total', which Prometheus reads as a counter; "
                f"leave it out of the name of this {instrument}"
            )
        words = words[:-1]
    return _problem_of_unit(unit) or _problem_of_unit_in_name(name, words, unit, instrument)


def _unit_suffixes(unit: str) -> tuple[str, str]:
    """Split a unit at its first `/` into the suffix of its main part and `per_...`."""
    main, _, per = unit.partition("/")
    main, per = main.strip(), per.strip()
    main_suffix = "" if _is_annotation(main) else _clean(_MAIN_UNITS.get(main, main))
    per_suffix = "" if _is_annotation(per) else _clean(_PER_UNITS.get(per, per))
    per_suffix = _clean("per_" + per_suffix).removesuffix("_") if per_suffix else ""
    return main_suffix, "" if per_suffix == "per" else per_suffix


def _is_annotation(part: str) -> bool:
    return "{" in part or "}" in part


def _clean(unit: str) -> str:
    return _UNDERSCORES.sub("_", _NOT_NAME_ONE.sub("_", unit)).removeprefix("_")


def _problem_of_characters(name: str) -> str:
    if name[:1].isdigit():
        return (
            f"{name!r} begins with a digit, which some translators drop and others keep; "
            "begin with a letter"
        )
    return (
        f"{name!r} is no instrument name; begin with a letter and use letters, digits, "
        "'_', '.', '-' and '/'"
    )


def _problem_of_unit(unit: str) -> str | None:
    main, slash, per = unit.partition("/")
    if _is_annotation(unit):
        alone = all(not _is_annotation(part) or _ANNOTATION.fullmatch(part) for part in (main, per))
        if not alone or (_is_annotation(per) and not _is_annotation(main)):
            return (
                f"unit {unit!r} joins a unit and an annotation, of which some translators drop one "
                "and some both; use the unit alone or one annotation such as '{request}'"
            )
    if slash and not per:
        return f"unit {unit!r} lacks a part after '/'; write it as in UCUM, such as 'By/s'"
    if unit != "%" and not all(
        _is_annotation(part) or (part.isascii() and part.isalnum())
        for part in ((main, per) if slash else (main or "1",))
    ):
        return (
            f"unit {unit!r} has characters that translators replace in different ways; "
            "use an annotation such as '{score}'"
        )
    return None


def _problem_of_unit_in_name(
    name: str, words: list[str], unit: str, instrument: Instrument
) -> str | None:
    main, per = _unit_suffixes(unit)
    if main and (main in words[:-1] or words == [main] or (per and main in words)):
        return (
            f"{name!r} has {main!r}, the word of its unit {unit!r}, where some translators "
            f"do not look for it; leave {main!r} out, it is added at the end"
        )
    if per and words[-2:] == per.split("_"):
        return f"{name!r} says {per!r}, which its unit {unit!r} adds again; leave it out"
    if instrument == "gauge" and unit == "1":
        return _problem_of_ratio(name, words)
    return None


def _problem_of_ratio(name: str, words: list[str]) -> str | None:
    if "ratio" in words[:-1]:
        return f"{name!r} has 'ratio' inside, which some translators remove; put it at the end"
    if words[-1] not in _FRACTIONS:
        return (
            f"{name!r} is a gauge of unit '1', which most translators show as ..._ratio and "
            "some do not; end its name in 'ratio' or 'utilization', or use an annotation such "
            "as '{score}' as its unit"
        )
    return None
