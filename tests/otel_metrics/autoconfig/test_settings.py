"""Settings: what each variable means, and what a bad value leads to."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from otel_metrics.autoconfig.environment import VARIABLES, keyword
from otel_metrics.autoconfig.settings import from_environ


def test_with_nothing_set_nothing_needs_to_be_running() -> None:
    """The defaults archive and serve; no OTLP, no problem."""
    settings, problems = from_environ({})

    assert problems == ()
    assert settings.metrics_exporters == ("ndjson", "prometheus")
    assert settings.logs_exporters == ()
    assert settings.exit_timeout_s == 2.0


@pytest.mark.parametrize(
    ("variable", "value", "field", "expected"),
    [
        ("OTEL_METRICS_EXPORTER", "otlp", "metrics_exporters", ("otlp",)),
        ("OTEL_METRICS_EXPORTER", " ndjson , otlp ", "metrics_exporters", ("ndjson", "otlp")),
        ("OTEL_METRICS_EXPORTER", "otlp,otlp_proto_http", "metrics_exporters", ("otlp",)),
        ("OTEL_METRICS_EXPORTER", "none", "metrics_exporters", ()),
        ("OTEL_LOGS_EXPORTER", "otlp", "logs_exporters", ("otlp",)),
        ("OTEL_METRIC_EXPORT_INTERVAL", "5000", "interval_s", 5.0),
        ("OTEL_METRIC_EXPORT_INTERVAL", "500ms", "interval_s", 0.5),
        ("OTEL_METRIC_EXPORT_TIMEOUT", "1000", "export_timeout_s", 1.0),
        ("OTEL_PYTHON_METRICS_EXIT_TIMEOUT", "0", "exit_timeout_s", 0.0),
        ("OTEL_PYTHON_METRICS_STRICT", "TRUE", "strict", True),
        ("OTEL_SDK_DISABLED", "true", "disabled", True),
        ("OTEL_PYTHON_METRICS_EVENT_CONTENT", "none", "event_content", "none"),
        ("OTEL_PYTHON_METRICS_HOST_METRICS", "per_core", "host_metrics", "per_core"),
        ("OTEL_PYTHON_METRICS_GENAI_SPANS", "off", "genai_spans", False),
        ("OTEL_PYTHON_METRICS_CATALOG", "x.yaml", "catalog", "x.yaml"),
        ("OTEL_METRICS_EXEMPLAR_FILTER", "always_on", "exemplar_filter", "always_on"),
        ("OTEL_PYTHON_METRICS_SKILLS_DIR", "/srv/skills", "skills_dir", "/srv/skills"),
        ("OTEL_PYTHON_METRICS_EXECUTIONS_DIR", "/srv/it", "executions_dir", "/srv/it"),
        ("OTEL_PYTHON_METRICS_SOVEREIGNTY_DB", "/srv/s.db", "sovereignty_db", "/srv/s.db"),
        ("OTEL_PYTHON_METRICS_BUDGETS_DB", "/srv/b.db", "budgets_db", "/srv/b.db"),
        ("OTEL_PYTHON_METRICS_SERVICE_DB", "/srv/t.db", "service_db", "/srv/t.db"),
        ("OTEL_PYTHON_METRICS_SERVICE_SQL_URL", "sqlite:///t", "service_sql_url", "sqlite:///t"),
        (
            "OTEL_PYTHON_METRICS_SERVICE_PROMETHEUS_URL",
            "https://prometheus/p",
            "service_prometheus_url",
            "https://prometheus/p",
        ),
        ("OTEL_PYTHON_METRICS_SERVICE_WINDOW", "1s", "service_window_s", 1.0),
        ("OTEL_PYTHON_METRICS_PLAYBOOKS", "/etc/p.yaml", "playbooks", "/etc/p.yaml"),
        ("OTEL_PYTHON_METRICS_REMEDIATION_DB", "/srv/r.db", "remediation_db", "/srv/r.db"),
        ("OTEL_PYTHON_METRICS_REMEDIATION_STOP", "true", "remediation_stop", True),
        ("OTEL_PYTHON_METRICS_ACTORS_FILE", "/etc/actors", "actors_file", "/etc/actors"),
        ("OTEL_BLRP_MAX_QUEUE_SIZE", "9", "events_queue_max", 9),
        ("OTEL_BLRP_SCHEDULE_DELAY", "250", "events_delay_s", 0.25),
        (
            "OTEL_SEMCONV_STABILITY_OPT_IN",
            "http,gen_ai_latest_experimental",
            "older_genai_names",
            False,
        ),
    ],
)
def test_a_variable_means_what_it_says(
    variable: str, value: str, field: str, expected: object
) -> None:
    """Each variable sets its field, and gives no problem."""
    settings, problems = from_environ({variable: value})

    assert (getattr(settings, field), problems) == (expected, ())


@pytest.mark.parametrize(
    ("variable", "value", "said"),
    [
        ("OTEL_METRICS_EXPORTER", "promethues", "did you mean 'prometheus'?"),
        ("OTEL_METRICS_EXPORTER", "ndjson,xyz", "used instead: ndjson"),
        ("OTEL_METRICS_EXPORTER", "ndjsn", "used instead: ndjson,prometheus"),
        ("OTEL_LOGS_EXPORTER", "oltp", "did you mean 'otlp'?"),
        ("OTEL_METRIC_EXPORT_INTERVAL", "fast", "used instead: 60s"),
        ("OTEL_METRIC_EXPORT_INTERVAL", "0", "used instead: 60s"),
        ("OTEL_METRIC_EXPORT_INTERVAL", "9999999999999", "used instead: 60s"),
        ("OTEL_PYTHON_METRICS_EXIT_TIMEOUT", "-1", "used instead: 2s"),
        ("OTEL_PYTHON_METRICS_STRICT", "yes", "accepted: true, false"),
        ("OTEL_PYTHON_METRICS_SERVICE_WINDOW", "900ms", "used instead: 300s"),
        ("OTEL_PYTHON_METRICS_SERVICE_WINDOW", "2d", "must be at most 86400 s; used instead: 300s"),
        ("OTEL_PYTHON_METRICS_REMEDIATION_STOP", "1", "accepted: true, false"),
        ("OTEL_PYTHON_METRICS_EVENT_CONTENT", "redact", "did you mean 'redacted'?"),
        ("OTEL_PYTHON_METRICS_HOST_METRICS", "on", "accepted: auto, off, per_core"),
        ("OTEL_BLRP_MAX_QUEUE_SIZE", "many", "used instead: 2048"),
        ("OTEL_RESOURCE_ATTRIBUTES", "a=b,c", "'c' is no key=value"),
        ("OTEL_EXPORTER_NDJSON_SYNC", "allways", "OTEL_EXPORTER_NDJSON_SYNC"),
        ("OTEL_EXPORTER_PROMETHEUS_PORT", "99999", "OTEL_EXPORTER_PROMETHEUS_PORT"),
    ],
)
def test_a_bad_value_is_named_and_the_default_used(variable: str, value: str, said: str) -> None:
    """A problem names variable and value, what is accepted, and what is used instead."""
    settings, problems = from_environ({variable: value})
    (problem,) = problems

    assert (problem.variable, problem.value) == (variable, value)
    assert said in f"{problem.variable} {problem.message}"
    assert settings.interval_s == 60.0


@pytest.mark.parametrize("value", ["1", "yes", "on", "ture", "stop"])
def test_a_kill_switch_that_is_misspelt_stops(value: str) -> None:
    """Who sets it wants nothing to run."""
    settings, (problem,) = from_environ({"OTEL_PYTHON_METRICS_REMEDIATION_STOP": value})

    assert settings.remediation_stop
    assert problem.message == "accepted: true, false; used instead: true"


@pytest.mark.parametrize(
    ("variable", "value", "accepted"),
    [
        ("OTEL_PYTHON_METRICS_SERVICE_SQL_URL", "joe:hunter2@db/tasks", "sqlite:////srv/tasks.db"),
        ("OTEL_PYTHON_METRICS_SERVICE_SQL_URL", "/srv/hunter2.db", "sqlite:////srv/tasks.db"),
        ("OTEL_PYTHON_METRICS_SERVICE_PROMETHEUS_URL", "joe:hunter2@p", "http://prometheus:9090"),
        ("OTEL_PYTHON_METRICS_SERVICE_PROMETHEUS_URL", "ftp://hunter2", "http://prometheus:9090"),
        ("OTEL_PYTHON_METRICS_SERVICE_PROMETHEUS_URL", "http://", "http://prometheus:9090"),
        ("OTEL_PYTHON_METRICS_SERVICE_PROMETHEUS_URL", "http://[", "http://prometheus:9090"),
        (
            "OTEL_PYTHON_METRICS_SERVICE_PROMETHEUS_URL",
            "http://p:hunter2",
            "http://prometheus:9090",
        ),
    ],
)
def test_what_is_no_url_is_refused_and_told_to_nobody(
    variable: str, value: str, accepted: str
) -> None:
    """It may hold a password; the problem says what a URL looks like."""
    settings, problems = from_environ({variable: value})
    (problem,) = problems

    assert (problem.variable, problem.value) == (variable, "***")
    assert accepted in problem.message
    assert "hunter2" not in f"{problem} {settings}"
    assert (settings.service_sql_url, settings.service_prometheus_url) == (None, None)


def test_settings_do_not_show_the_password_of_a_database() -> None:
    """However they come into a log."""
    url = "postgresql://joe:hunter2@db/tasks"

    settings, _ = from_environ({"OTEL_PYTHON_METRICS_SERVICE_SQL_URL": url})

    assert settings.service_sql_url == url
    assert "hunter2" not in repr(settings)


def test_a_spelling_of_otlp_chooses_its_protocol() -> None:
    """`otlp_proto_http` is `otlp` over HTTP."""
    settings, _ = from_environ({"OTEL_METRICS_EXPORTER": "otlp_proto_http"})

    assert settings.otlp_metrics.protocol == "http/protobuf"


def test_service_name_wins_over_the_resource_attributes() -> None:
    """As the specification says."""
    settings, _ = from_environ(
        {"OTEL_SERVICE_NAME": "a", "OTEL_RESOURCE_ATTRIBUTES": "service.name=b,x=%20y"}
    )

    assert settings.resource_attributes == {"service.name": "a", "x": " y"}


def test_an_installed_exporter_may_be_named() -> None:
    """An entry point of another package is taken as known."""
    settings, problems = from_environ({"OTEL_METRICS_EXPORTER": "acme"}, installed=["acme"])

    assert (settings.metrics_exporters, problems) == (("acme",), ())


@given(st.dictionaries(st.sampled_from([v.name for v in VARIABLES]), st.text(max_size=30)))
def test_no_environment_is_refused(environ: dict[str, str]) -> None:
    """Whatever the variables hold, settings come out."""
    settings, _ = from_environ(environ)

    assert settings.interval_s > 0


def test_every_variable_has_a_keyword_of_its_own() -> None:
    """No two variables are one keyword, and each is a Python name."""
    keywords = [keyword(variable.name) for variable in VARIABLES]

    assert len(set(keywords)) == len(keywords)
    assert all(re.fullmatch(r"[a-z][a-z0-9_]*", word) for word in keywords)
