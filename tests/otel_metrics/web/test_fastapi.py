"""The router for `include_router`: the routes, made when they are asked for."""

import subprocess
import sys

import pytest

from otel_metrics.web import fastapi


def test_the_router_has_the_routes() -> None:
    """The same router each time, so that it is guarded by one door."""
    assert [getattr(route, "path", None) for route in fastapi.router.routes] == [
        "/metrics",
        "/healthz",
        "/ws/sovereignty",
    ]
    assert fastapi.router is fastapi.router


def test_there_is_nothing_else() -> None:
    """A misspelt name is none."""
    with pytest.raises(AttributeError, match="has no attribute 'metrics'"):
        fastapi.metrics  # noqa: B018  # that it is asked for is the test


def test_importing_the_module_opens_nothing() -> None:
    """Only who asks for the router wants the page."""
    code = "import otel_metrics.web.fastapi as made; print('router' in vars(made))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)

    assert (done.stdout, done.stderr) == ("False\n", "")


def test_without_fastapi_the_import_says_what_to_install() -> None:
    """The other ways to the page need it not."""
    code = "import sys; sys.modules['fastapi'] = None\nimport otel_metrics.web.fastapi"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)

    assert done.stderr.splitlines()[-1] == (
        "ImportError: otel_metrics.web.fastapi needs FastAPI; pip install fastapi"
    )
