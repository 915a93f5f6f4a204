"""One pure function from variables to frozen settings, and what was wrong on the way.

A bad value never stops the service: it becomes a `Problem` that names variable, value, what is
accepted and what is used instead.
"""

import difflib
import math
import os
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Final, Literal, Protocol, cast
from urllib.parse import unquote, urlsplit

import otel_exporter_ndjson.settings
import otel_exporter_prometheus.settings
from otel_metrics.autoconfig.spelling import MASK, misspelt
from otel_metrics.events import Content
from otel_metrics.pipeline import otlp

__all__ = ["HostMetrics", "Problem", "Settings", "from_environ"]

HostMetrics = Literal["auto", "off", "per_core"]

WINDOW_S: Final = 300.0
"""Length of a snapshot's window where nothing is said."""
WINDOW_MIN_S: Final = 1.0
"""The shortest window of a snapshot."""
WINDOW_MAX_S: Final = 86_400.0
"""The longest window of a snapshot."""

DEFAULT_METRICS_EXPORTERS: Final = ("ndjson", "prometheus")
OTLP_SPELLINGS: Final = {"otlp_proto_grpc": "grpc", "otlp_proto_http": "http/protobuf"}
"""Names of upstream's entry points, each with the protocol that it stands for."""
SPELLINGS: Final = {
    **dict.fromkeys(OTLP_SPELLINGS, "otlp"),
    "prometheus_multiprocess": "prometheus",
}
"""Names of entry points, each with the exporter of ours that it stands for."""


class Problem(Protocol):
    """What is wrong with one variable. Each exporter's settings have a class of this shape."""

    @property
    def variable(self) -> str:
        """The variable's name."""

    @property
    def value(self) -> str:
        """What it holds."""

    @property
    def message(self) -> str:
        """What is accepted, and what is used instead."""


@dataclass(frozen=True, slots=True)
class _Problem:
    variable: str
    value: str
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """All that `configure` needs to know. Durations are in seconds."""

    disabled: bool
    metrics_exporters: tuple[str, ...]
    logs_exporters: tuple[str, ...]
    resource_attributes: Mapping[str, str]
    interval_s: float
    export_timeout_s: float
    exemplar_filter: str
    exit_timeout_s: float
    catalog: str | None
    strict: bool
    event_content: Content
    host_metrics: HostMetrics
    genai_spans: bool
    older_genai_names: bool
    skills_dir: str | None
    executions_dir: str | None
    sovereignty_db: str | None
    budgets_db: str | None
    service_db: str | None
    service_sql_url: str | None = field(repr=False)
    service_prometheus_url: str | None = field(repr=False)
    service_window_s: float
    playbooks: str | None
    remediation_db: str | None
    remediation_stop: bool
    actors_file: str | None
    events_delay_s: float
    events_queue_max: int
    events_batch_max: int
    events_timeout_s: float
    ndjson: otel_exporter_ndjson.settings.Settings
    prometheus: otel_exporter_prometheus.settings.Settings
    otlp_metrics: otlp.OtlpSettings
    otlp_logs: otlp.OtlpSettings


def from_environ(
    environ: Mapping[str, str], *, installed: Collection[str] = ()
) -> tuple[Settings, tuple[Problem, ...]]:
    """Read the settings from variables.

    Args:
        environ: the variables; empty means unset.
        installed: names of further metric exporters that may be asked for.
    """
    read = _Reader(environ)
    metrics_exporters = read.exporters(
        "OTEL_METRICS_EXPORTER",
        default=DEFAULT_METRICS_EXPORTERS,
        known=("ndjson", "prometheus", "otlp", "console", *SPELLINGS, *installed),
    )
    logs_exporters = read.exporters(
        "OTEL_LOGS_EXPORTER",
        default=(),
        known=("ndjson", "otlp", "console", *OTLP_SPELLINGS),
    )
    ndjson, ndjson_problems = otel_exporter_ndjson.settings.from_environ(environ)
    prometheus, prometheus_problems = otel_exporter_prometheus.settings.from_environ(environ)
    otlp_metrics, otlp_problems = otlp.settings(
        _with_protocol(environ, metrics_exporters, "METRICS"), "metrics"
    )
    otlp_logs, otlp_log_problems = otlp.settings(
        _with_protocol(environ, logs_exporters, "LOGS"), "logs"
    )
    settings = Settings(
        disabled=read.boolean("OTEL_SDK_DISABLED", default=False),
        metrics_exporters=_plain(metrics_exporters),
        logs_exporters=_plain(logs_exporters),
        resource_attributes=read.resource_attributes(),
        interval_s=read.duration("OTEL_METRIC_EXPORT_INTERVAL", default_s=60.0, least_s=0.01),
        export_timeout_s=read.duration("OTEL_METRIC_EXPORT_TIMEOUT", default_s=30.0, least_s=0.01),
        exemplar_filter=read.choice(
            "OTEL_METRICS_EXEMPLAR_FILTER",
            ("trace_based", "always_on", "always_off"),
            default="trace_based",
        ),
        exit_timeout_s=read.duration("OTEL_PYTHON_METRICS_EXIT_TIMEOUT", default_s=2.0),
        catalog=read.text("OTEL_PYTHON_METRICS_CATALOG"),
        strict=read.boolean("OTEL_PYTHON_METRICS_STRICT", default=False),
        event_content=cast(
            "Content",
            read.choice(
                "OTEL_PYTHON_METRICS_EVENT_CONTENT", ("full", "redacted", "none"), default="full"
            ),
        ),
        host_metrics=cast(
            "HostMetrics",
            read.choice(
                "OTEL_PYTHON_METRICS_HOST_METRICS", ("auto", "off", "per_core"), default="auto"
            ),
        ),
        genai_spans=read.choice("OTEL_PYTHON_METRICS_GENAI_SPANS", ("on", "off"), default="on")
        == "on",
        older_genai_names="gen_ai_latest_experimental"
        not in _items(environ.get("OTEL_SEMCONV_STABILITY_OPT_IN", "")),
        skills_dir=read.path("OTEL_PYTHON_METRICS_SKILLS_DIR"),
        executions_dir=read.path("OTEL_PYTHON_METRICS_EXECUTIONS_DIR"),
        sovereignty_db=read.path("OTEL_PYTHON_METRICS_SOVEREIGNTY_DB"),
        budgets_db=read.path("OTEL_PYTHON_METRICS_BUDGETS_DB"),
        service_db=read.path("OTEL_PYTHON_METRICS_SERVICE_DB"),
        service_sql_url=read.url(
            "OTEL_PYTHON_METRICS_SERVICE_SQL_URL",
            "a URL such as postgresql+psycopg://user@host/database or sqlite:////srv/tasks.db",
        ),
        service_prometheus_url=read.url(
            "OTEL_PYTHON_METRICS_SERVICE_PROMETHEUS_URL",
            "a URL such as http://prometheus:9090",
            schemes=("http", "https"),
        ),
        service_window_s=read.duration(
            "OTEL_PYTHON_METRICS_SERVICE_WINDOW",
            default_s=WINDOW_S,
            least_s=WINDOW_MIN_S,
            most_s=WINDOW_MAX_S,
        ),
        playbooks=read.path("OTEL_PYTHON_METRICS_PLAYBOOKS"),
        remediation_db=read.path("OTEL_PYTHON_METRICS_REMEDIATION_DB"),
        remediation_stop=read.kill_switch("OTEL_PYTHON_METRICS_REMEDIATION_STOP"),
        actors_file=read.path("OTEL_PYTHON_METRICS_ACTORS_FILE"),
        events_delay_s=read.duration("OTEL_BLRP_SCHEDULE_DELAY", default_s=1.0),
        events_queue_max=read.integer("OTEL_BLRP_MAX_QUEUE_SIZE", default=2048),
        events_batch_max=read.integer("OTEL_BLRP_MAX_EXPORT_BATCH_SIZE", default=512),
        events_timeout_s=read.duration("OTEL_BLRP_EXPORT_TIMEOUT", default_s=30.0, least_s=0.01),
        ndjson=ndjson,
        prometheus=prometheus,
        otlp_metrics=otlp_metrics,
        otlp_logs=otlp_logs,
    )
    problems: list[Problem] = [*read.problems, *misspelt(environ), *ndjson_problems]
    # A refusal closes the page, which says so itself when it is to listen.
    problems.extend(p for p in prometheus_problems if str(p) != prometheus.refusal)
    if "otlp" in settings.metrics_exporters:
        problems.extend(otlp_problems)
    if "otlp" in settings.logs_exporters:
        problems.extend(problem for problem in otlp_log_problems if problem not in problems)
    return settings, tuple(problems)


class _Reader:
    """Reads single variables, and keeps what was wrong."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._environ = environ
        self.problems: list[Problem] = []

    def text(self, variable: str) -> str | None:
        return self._environ.get(variable, "").strip() or None

    def path(self, variable: str) -> str | None:
        value = self.text(variable)
        return None if value is None else os.path.abspath(os.path.expanduser(value))

    def url(self, variable: str, accepted: str, *, schemes: tuple[str, ...] = ()) -> str | None:
        """Return a URL that may hold a password, and so is told to nobody."""
        value = self.text(variable)
        if value is None or _is_url(value, schemes):
            return value
        message = f"accepted: {accepted}; used instead: none"
        self.problems.append(_Problem(variable, MASK, message))
        return None

    def choice(self, variable: str, accepted: tuple[str, ...], *, default: str) -> str:
        value = self.text(variable)
        if value is None or value.lower() in accepted:
            return value.lower() if value else default
        self._problem(variable, f"accepted: {', '.join(accepted)}", default, near=accepted)
        return default

    def boolean(self, variable: str, *, default: bool) -> bool:
        value = self.text(variable)
        if value is None or value.lower() in ("true", "false"):
            return default if value is None else value.lower() == "true"
        self._problem(variable, "accepted: true, false", str(default).lower())
        return default

    def kill_switch(self, variable: str) -> bool:
        """Return whether it is on; who misspells it wanted that."""
        return self.boolean(variable, default=self.text(variable) is not None)

    def duration(
        self, variable: str, *, default_s: float, least_s: float = 0.0, most_s: float = math.inf
    ) -> float:
        value = self.text(variable)
        if value is None:
            return default_s
        try:
            found = otel_exporter_ndjson.settings.duration(least_s)(value)
            if found > most_s:
                raise ValueError(f"must be at most {most_s:g} s")
            return found
        except ValueError as error:
            self._problem(variable, str(error), f"{default_s:g}s")
            return default_s

    def integer(self, variable: str, *, default: int) -> int:
        value = self.text(variable)
        if value is None or (value.isdecimal() and 0 < int(value[:10]) < 2**31):
            return default if value is None else int(value)
        self._problem(variable, "accepted: a whole number above zero", str(default))
        return default

    def exporters(
        self, variable: str, *, default: tuple[str, ...], known: tuple[str, ...]
    ) -> tuple[str, ...]:
        names = _items(self._environ.get(variable, ""))
        if not names:
            return default
        kept = tuple(dict.fromkeys(name for name in names if name in known))
        wrong = [name for name in names if name not in known and name != "none"]
        used = kept if kept or not wrong else default
        listed = ", ".join(sorted(set(known) - set(SPELLINGS)))
        for name in wrong:
            accepted = f"no exporter is called {name!r}, known are {listed}, none"
            used_instead = ",".join(used) or "none"
            self._problem(variable, accepted, used_instead, near=known, wrong=name)
        return used

    def resource_attributes(self) -> dict[str, str]:
        attributes: dict[str, str] = {}
        for item in _items(self._environ.get("OTEL_RESOURCE_ATTRIBUTES", "")):
            key, separator, value = item.partition("=")
            if separator and key.strip():
                attributes[key.strip()] = unquote(value.strip())
            else:
                variable = "OTEL_RESOURCE_ATTRIBUTES"
                self._problem(variable, f"{item!r} is no key=value", "the other items")
        name = self.text("OTEL_SERVICE_NAME")
        if name is not None:
            attributes["service.name"] = name
        return attributes

    def _problem(
        self,
        variable: str,
        accepted: str,
        used: str,
        *,
        near: tuple[str, ...] = (),
        wrong: str | None = None,
    ) -> None:
        value = self._environ[variable]
        matches = difflib.get_close_matches((wrong or value).lower(), near, n=1, cutoff=0.5)
        hint = f" (did you mean {matches[0]!r}?)" if matches else ""
        self.problems.append(_Problem(variable, value, f"{accepted}{hint}; used instead: {used}"))


def _is_url(value: str, schemes: tuple[str, ...]) -> bool:
    """Tell whether a value has a scheme; where `schemes` are named, one of them, and a host."""
    try:
        parts = urlsplit(value)
        host, _ = parts.hostname, parts.port  # which raises for what is no number
    except ValueError:
        return False
    if schemes:
        return parts.scheme in schemes and bool(host)
    return bool(parts.scheme) and "://" in value


def _items(value: str) -> list[str]:
    return [item.strip() for item in value.split(",") if item.strip()]


def _plain(names: tuple[str, ...]) -> tuple[str, ...]:
    """Return the names, one for each exporter's spellings, each once."""
    return tuple(dict.fromkeys(SPELLINGS.get(name, name) for name in names))


def _with_protocol(
    environ: Mapping[str, str], names: tuple[str, ...], signal: str
) -> Mapping[str, str]:
    """Let a spelling such as `otlp_proto_http` choose the protocol of its signal."""
    protocols = [OTLP_SPELLINGS[name] for name in names if name in OTLP_SPELLINGS]
    return (
        {**environ, f"OTEL_EXPORTER_OTLP_{signal}_PROTOCOL": protocols[0]} if protocols else environ
    )
