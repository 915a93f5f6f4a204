"""A variable that is spelt wrong is found; one that others understand is not."""

import opentelemetry.environment_variables
import opentelemetry.instrumentation.environment_variables
import opentelemetry.sdk.environment_variables
import pytest

from otel_metrics.autoconfig.environment import VARIABLES
from otel_metrics.autoconfig.settings import from_environ
from otel_metrics.autoconfig.spelling import misspelt


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("OTEL_PYTHON_METRICS_CATALOGUE", "OTEL_PYTHON_METRICS_CATALOG"),
        ("OTEL_PYTHON_METRICS_EXIT_TIME", "OTEL_PYTHON_METRICS_EXIT_TIMEOUT"),
        ("OTEL_PYTHON_METRIC_STRICT", "OTEL_PYTHON_METRICS_STRICT"),
        ("OTEL_SERVCE_NAME", "OTEL_SERVICE_NAME"),
        ("OTEL_METRICS_EXPORTERS", "OTEL_METRICS_EXPORTER"),
        ("OTEL_METRICS_EXPORT_INTERVAL", "OTEL_METRIC_EXPORT_INTERVAL"),
        ("OTEL_EXPORTER_NDJSN_PATH", "OTEL_EXPORTER_NDJSON_PATH"),
        ("OTEL_EXPORTR_OTLP_HEADERS", "OTEL_EXPORTER_OTLP_HEADERS"),
    ],
)
def test_a_near_miss_is_a_problem(name: str, meant: str) -> None:
    """It names what was meant, and keeps the value to itself: it may be a secret."""
    (problem,) = misspelt({name: "hunter2"})

    assert (problem.variable, problem.value) == (name, "***")
    assert f"did you mean {meant}?" in problem.message


def test_our_own_prefix_holds_nothing_unknown() -> None:
    """Far from every name of ours: those that there are."""
    (problem,) = misspelt({"OTEL_PYTHON_METRICS_X": "1"})

    assert "OTEL_PYTHON_METRICS_STRICT" in problem.message


@pytest.mark.parametrize(
    "module",
    [
        opentelemetry.environment_variables,
        opentelemetry.sdk.environment_variables,
        opentelemetry.instrumentation.environment_variables,
    ],
    ids=lambda module: str(module.__name__),
)
def test_what_upstream_understands_is_no_problem(module: object) -> None:
    """Nor are our own, nor what merely begins like them."""
    names = [name for name in dir(module) if name.startswith("OTEL_")]
    names += [variable.name for variable in VARIABLES]
    names += ["OTEL_PYTHON_LOG_CORRELATION", "OTEL_SERVICE_VERSION_FILE", "PATH"]

    assert misspelt(dict.fromkeys(names, "1")) == []


def test_each_is_told_once_at_start_up() -> None:
    """Beside what the exporters' families find themselves."""
    environ = {
        "OTEL_METRICS_EXPORTER": "otlp",
        "OTEL_SERVCE_NAME": "shop",
        "OTEL_EXPORTER_NDJSON_PTH": "/a",
        "OTEL_EXPORTER_PROMETHEUS_PRT": "1",
        "OTEL_EXPORTER_OTLP_ENDPIONT": "http://c",
    }
    _, problems = from_environ(environ)

    wrong = sorted(environ.keys() - {"OTEL_METRICS_EXPORTER"})
    assert sorted(problem.variable for problem in problems) == wrong


def test_an_empty_variable_is_unset() -> None:
    """However it is spelt."""
    assert misspelt({"OTEL_SERVCE_NAME": " "}) == []
