"""What every test may use: components found on this machine, and a clean slate of variables."""

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import settings

settings.register_profile("project", deadline=None)  # machines of CI are slow at times
settings.load_profile("project")

pytest_plugins = ["otel_metrics.pytest_fixtures"]

INSTALL = {
    "prometheus": "apt-get install prometheus",
    "promtool": "apt-get install prometheus",
}
"""The command that installs each component. `.ci/run` runs them all."""


@pytest.fixture
def component() -> Callable[[str], str]:
    """Return a program's path; skip where it is missing, and fail under `CI=1`."""

    def find(name: str) -> str:
        path = shutil.which(name)
        if path is not None:
            return path
        message = f"{name} is not installed: {INSTALL[name]}"
        if os.environ.get("CI") == "1":
            pytest.fail(message)
        pytest.skip(message)

    return find


@pytest.fixture(autouse=True)
def _no_variables(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """Run each test without `OTEL_*` variables of the machine, in a folder of its own."""
    for variable in [name for name in os.environ if name.startswith("OTEL_")]:
        monkeypatch.delenv(variable)
    monkeypatch.chdir(tmp_path)
    yield
