"""What is in force and where it comes from, for `doctor`: variables, the configuration file, the
catalog file, and the file of playbooks.

Says what `configure()` would do and starts nothing. No secret leaves this file: what a variable may
hold of one is masked here.
"""

import contextlib
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Final

from opentelemetry.configuration import OpenTelemetryConfiguration

from otel_exporter_prometheus import naming
from otel_metrics.autoconfig import declarative
from otel_metrics.autoconfig.environment import VARIABLES, Variable
from otel_metrics.autoconfig.settings import Settings, from_environ
from otel_metrics.catalog.loader import builtin, load
from otel_metrics.errors import CatalogError
from otel_metrics.pipeline.otlp_values import without_secrets
from otel_metrics.remediation.configuration import ConfigurationProblems, read

__all__ = ["Checkup", "InForce", "Refused", "examine"]

CONFIG_FILE: Final = "OTEL_CONFIG_FILE"
ENVIRONMENT: Final = "environment"
DEFAULT: Final = "default"
CATALOG: Final = "OTEL_PYTHON_METRICS_CATALOG"
PLAYBOOKS: Final = "OTEL_PYTHON_METRICS_PLAYBOOKS"
SECRET_WORDS: Final = ("HEADERS", "TOKEN", "PASSWORD", "SECRET")
"""A variable whose name has one of these may hold a secret: its value is not shown."""
MASK: Final = "***"
_KNOWN: Final = frozenset(variable.name for variable in VARIABLES)
_USER = re.compile(r"(?<=//)\S*@")
"""The user and password of an address, and more than that where it is no sound one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class InForce:
    """One variable: what holds, where that comes from, and what it does."""

    name: str
    value: str
    source: str
    effect: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Refused:
    """A variable that cannot be used as it is; `message` says what is used instead."""

    variable: str
    value: str
    message: str

    def __str__(self) -> str:
        return f"{self.variable}={self.value}: {self.message}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkup:
    """What `configure()` would start with."""

    settings: Settings
    variables: list[InForce]
    refused: list[Refused]


def examine(
    environ: Mapping[str, str], *, installed: Collection[str] = (), everything: bool = False
) -> Checkup:
    """Say what these variables make hold, and the files that they name.

    Args:
        environ: the environment.
        installed: names of further metric exporters that may be asked for.
        everything: also what is not set.
    """
    file = environ.get(CONFIG_FILE, "").strip()
    said, beside, refused = _from_file(file, environ) if file else (None, "", [])
    in_force = environ if said is None else said
    settings, problems = from_environ(in_force, installed=installed)
    refused += [_refused(each.variable, each.value, each.message) for each in problems]
    refused += _wrong_catalog(settings.catalog)
    refused += _wrong_playbooks(settings.playbooks, settings.catalog)
    wrong: dict[str, str] = {}
    for each in refused:
        before = f"{wrong[each.variable]}; " if each.variable in wrong else ""
        wrong[each.variable] = before + each.message
    rows = [_set(variable, environ, said, beside) for variable in VARIABLES]
    strange = [
        InForce(name=name, value=MASK, source=ENVIRONMENT, effect="")
        for name in sorted(wrong.keys() - _KNOWN)
    ]
    return Checkup(
        settings=settings,
        variables=[
            _with_verdict(row, wrong)
            for row in [*rows, *strange]
            if everything or row.source != DEFAULT
        ],
        refused=refused,
    )


def _set(
    variable: Variable, environ: Mapping[str, str], said: Mapping[str, str] | None, beside: str
) -> InForce:
    """Return what holds for a variable; `said` is what the configuration file says, if there is
    one that holds."""
    name = variable.name
    outside = environ.get(name, "").strip()
    inside = (said or {}).get(name, "").strip()
    if name == CONFIG_FILE and outside:
        return _row(variable, outside, ENVIRONMENT, variable.meaning + beside)
    if inside and not name.startswith(declarative.OWN_PREFIX):
        return _row(variable, inside, CONFIG_FILE, variable.meaning)
    if outside:
        held = said is None or bool(inside)
        effect = variable.meaning if held else f"none: {CONFIG_FILE} replaces it"
        return _row(variable, outside, ENVIRONMENT, effect)
    return _row(variable, variable.default, DEFAULT, variable.meaning)


def _with_verdict(row: InForce, wrong: Mapping[str, str]) -> InForce:
    message = wrong.get(row.name)
    effect = row.effect if message is None else f"REFUSED: {message}"
    return InForce(name=row.name, value=row.value, source=row.source, effect=effect)


def _row(variable: Variable, value: str, source: str, effect: str) -> InForce:
    shown = value if source == DEFAULT else _shown(variable.name, value)
    return InForce(name=variable.name, value=shown, source=source, effect=effect)


def _shown(name: str, value: str) -> str:
    if name not in _KNOWN or any(word in name for word in SECRET_WORDS):
        return MASK
    masked = _masked(value)
    return without_secrets(masked) if name.endswith(("_ENDPOINT", "_URL")) else masked


def _masked(text: str) -> str:
    return _USER.sub(f"{MASK}@", text)


def _refused(variable: str, value: str, message: str) -> Refused:
    shown = _shown(variable, value)
    if value and shown != value:
        message = message.replace(value, shown)
    return Refused(variable=variable, value=shown, message=_masked(message))


def _from_file(
    file: str, environ: Mapping[str, str]
) -> tuple[dict[str, str] | None, str, list[Refused]]:
    """Return what a configuration file says as variables, what the SDK starts beside, and what is
    wrong with the file."""
    try:
        configuration = declarative.read(file)
        said = declarative.variables(configuration, environ)
    except Exception as error:  # noqa: BLE001  # upstream's loader raises what it likes
        why = " ".join(str(error).split())
        message = f"{why}; the other variables are used instead"
        return None, "", [_refused(CONFIG_FILE, file, message)]
    return said, _beside(configuration), []


def _beside(configuration: OpenTelemetryConfiguration) -> str:
    provider = configuration.meter_provider
    readers = len(provider.readers) if provider is not None else 0
    parts = [
        f"{readers} reader(s) of metrics" if readers else "",
        "logs" if configuration.logger_provider is not None else "",
        "traces" if configuration.tracer_provider is not None else "",
    ]
    named = ", ".join(part for part in parts if part)
    return f" The SDK itself starts what it says of: {named}." if named else ""


def _wrong_catalog(file: str | None) -> list[Refused]:
    if file is None:
        return []
    try:
        load(file, into=builtin(), name_of=naming.metric_name, problem_of=naming.problem)
    except (CatalogError, OSError) as error:
        first, *others = str(error).splitlines()
        more = f" (and {len(others)} more: otel-metrics catalog check)" if others else ""
        message = f"{first}{more}; the built-in catalog alone is used"
        return [_refused(CATALOG, file, message)]
    return []


def _wrong_playbooks(file: str | None, catalog_file: str | None) -> list[Refused]:
    """Say what is wrong with the operator's file, by the catalog that is in force."""
    if file is None:
        return []
    catalog = builtin()
    if catalog_file is not None:
        with contextlib.suppress(CatalogError, OSError):  # said already
            catalog = load(
                catalog_file, into=catalog, name_of=naming.metric_name, problem_of=naming.problem
            )
    try:
        read(file, playbooks=catalog.playbooks, metrics=catalog.metrics)
    except ConfigurationProblems as error:
        first, *others = map(str, error.problems)
        more = f" (and {len(others)} more: otel-metrics playbooks list)" if others else ""
        return [_refused(PLAYBOOKS, file, f"{first}{more}; no playbook runs until it is right")]
    return []
