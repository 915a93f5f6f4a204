"""Every environment variable that this bundle honours: its name, default and meaning.

The exporters' own are listed in their `settings.py`; `VARIABLES` gathers all, in reading order, for
`settings.py` (which reads them), `doctor` (which prints them) and the reference page.
"""

from dataclasses import dataclass
from typing import Final

import otel_exporter_ndjson.settings
import otel_exporter_prometheus.settings
from otel_metrics.pipeline import otlp

__all__ = ["VARIABLES", "Variable", "keyword"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Variable:
    """One environment variable. `group` is the heading under which it is documented."""

    name: str
    default: str
    meaning: str
    group: str


def keyword(variable: str) -> str:
    """Return the keyword of `configure(...)` that stands for a variable.

    Example:
        >>> keyword("OTEL_EXPORTER_NDJSON_PATH")
        'ndjson_path'
    """
    for prefix in ("OTEL_PYTHON_METRICS_", "OTEL_EXPORTER_", "OTEL_"):
        if variable.startswith(prefix):
            return variable.removeprefix(prefix).lower()
    return variable.lower()


def _own(name: str, default: str, meaning: str, group: str) -> Variable:
    return Variable(name=name, default=default, meaning=meaning, group=group)


_OWN: Final = (
    _own(
        "OTEL_METRICS_EXPORTER",
        "ndjson,prometheus",
        "Where metrics go: a list of `ndjson`, `prometheus`, `otlp`, `console`, `none`, or the "
        "name of an installed exporter. The event archive is on when `ndjson` is in it.",
        "What runs",
    ),
    _own(
        "OTEL_LOGS_EXPORTER",
        "none",
        "`otlp` ships our events, `ndjson` also archives the service's own log records.",
        "What runs",
    ),
    _own(
        "OTEL_TRACES_EXPORTER",
        "none",
        "Started by the distro, through the SDK; `configure()` leaves traces alone.",
        "What runs",
    ),
    _own("OTEL_SDK_DISABLED", "false", "`true` starts nothing.", "What runs"),
    _own(
        "OTEL_CONFIG_FILE",
        "unset",
        "A declarative configuration file; it replaces the standard variables.",
        "What runs",
    ),
    _own("OTEL_SERVICE_NAME", "unknown_service", "Name of the service.", "Resource"),
    _own(
        "OTEL_RESOURCE_ATTRIBUTES",
        "unset",
        "Further resource attributes, `key=value,key=value`.",
        "Resource",
    ),
    _own("OTEL_METRIC_EXPORT_INTERVAL", "60s", "Time between two collections.", "Collection"),
    _own("OTEL_METRIC_EXPORT_TIMEOUT", "30s", "Time that one export may take.", "Collection"),
    _own(
        "OTEL_METRICS_EXEMPLAR_FILTER",
        "trace_based",
        "Which measurements may become exemplars: `trace_based`, `always_on`, `always_off`.",
        "Collection",
    ),
    _own(
        "OTEL_PYTHON_METRICS_EXIT_TIMEOUT",
        "2s",
        "Time that flushing may add to the end of the process.",
        "This bundle",
    ),
    _own(
        "OTEL_PYTHON_METRICS_CATALOG",
        "unset",
        "A catalog file of the service's own.",
        "This bundle",
    ),
    _own(
        "OTEL_PYTHON_METRICS_STRICT",
        "false",
        "`true` makes a value that cannot be recorded a `ValueError`; for tests.",
        "This bundle",
    ),
    _own(
        "OTEL_PYTHON_METRICS_EVENT_CONTENT",
        "full",
        "What events keep of decisions, reasoning and metadata: `full`, `redacted`, `none`. "
        "Secrets are masked in each.",
        "This bundle",
    ),
    _own(
        "OTEL_PYTHON_METRICS_HOST_METRICS",
        "auto",
        "Host and process metrics: `auto`, `off`, `per_core`.",
        "This bundle",
    ),
    _own(
        "OTEL_PYTHON_METRICS_GENAI_SPANS",
        "on",
        "`on` makes metrics of finished GenAI spans, `off` does not.",
        "This bundle",
    ),
    _own(
        "OTEL_SEMCONV_STABILITY_OPT_IN",
        "unset",
        "`gen_ai_latest_experimental` leaves out the older GenAI metric names.",
        "This bundle",
    ),
    _own(
        "OTEL_PYTHON_METRICS_SKILLS_DIR",
        "unset",
        "A folder of skill files: what `skills` records is also kept there, a file a skill and "
        "kind; decisions of `otel-metrics skills promote` and the like are followed.",
        "Files of the domains",
    ),
    _own(
        "OTEL_PYTHON_METRICS_EXECUTIONS_DIR",
        "unset",
        "A project's folder: what `executions` records is also kept below its `.kaizen/metrics`.",
        "Files of the domains",
    ),
    _own(
        "OTEL_PYTHON_METRICS_SOVEREIGNTY_DB",
        "unset",
        "An SQLite file: what `sovereignty` records is also kept there, and asked for.",
        "Files of the domains",
    ),
    _own(
        "OTEL_PYTHON_METRICS_BUDGETS_DB",
        "unset",
        "An SQLite file that holds budgets and what is spent of them.",
        "Files of the domains",
    ),
    _own(
        "OTEL_PYTHON_METRICS_SERVICE_DB",
        "unset",
        "An SQLite file that holds the samples of open windows, and the snapshots of closed ones.",
        "Service telemetry",
    ),
    _own(
        "OTEL_PYTHON_METRICS_SERVICE_SQL_URL",
        "unset",
        "The database that `sql` sources ask, as a URL of SQLAlchemy; it may hold a password.",
        "Service telemetry",
    ),
    _own(
        "OTEL_PYTHON_METRICS_SERVICE_PROMETHEUS_URL",
        "unset",
        "The Prometheus that `prometheus` sources ask, such as `http://prometheus:9090`.",
        "Service telemetry",
    ),
    _own(
        "OTEL_PYTHON_METRICS_SERVICE_WINDOW",
        "5m",
        "Length of a snapshot's window; from 1 s to a day.",
        "Service telemetry",
    ),
    _own(
        "OTEL_PYTHON_METRICS_PLAYBOOKS",
        "unset",
        "The operator's file: what is bound to playbooks, policy and limits. Nobody else may be "
        "able to write it.",
        "Service telemetry",
    ),
    _own(
        "OTEL_PYTHON_METRICS_REMEDIATION_DB",
        "unset",
        "An SQLite file that holds runs of playbooks and approvals; nothing runs without it.",
        "Service telemetry",
    ),
    _own(
        "OTEL_PYTHON_METRICS_REMEDIATION_STOP",
        "false",
        "`true` is the kill switch: no step of a playbook begins. What is neither `true` nor "
        "`false` is taken for `true`.",
        "Service telemetry",
    ),
    _own(
        "OTEL_PYTHON_METRICS_ACTORS_FILE",
        "unset",
        "Who may ask and decide over HTTP: a `name:role:token` a line, in a file that is private.",
        "Service telemetry",
    ),
    _own(
        "OTEL_BLRP_SCHEDULE_DELAY",
        "1s",
        "How long an event that is shipped may wait for others.",
        "Events shipped by OTLP",
    ),
    _own(
        "OTEL_BLRP_MAX_QUEUE_SIZE",
        "2048",
        "Events that wait to be shipped; further ones are dropped and counted.",
        "Events shipped by OTLP",
    ),
    _own(
        "OTEL_BLRP_MAX_EXPORT_BATCH_SIZE",
        "512",
        "Events shipped in one request.",
        "Events shipped by OTLP",
    ),
    _own(
        "OTEL_BLRP_EXPORT_TIMEOUT",
        "30s",
        "Time that shipping one batch of events may take.",
        "Events shipped by OTLP",
    ),
)

VARIABLES: Final[tuple[Variable, ...]] = (
    *_OWN,
    *(
        _own(variable.name, variable.default, variable.meaning, group)
        for module, group in (
            (otel_exporter_ndjson.settings, "NDJSON archive"),
            (otel_exporter_prometheus.settings, "Prometheus page"),
            (otlp, "OTLP"),
        )
        for variable in module.VARIABLES
    ),
)
