"""Programs to run, and an id by which all of their processes are found."""

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from otel_metrics.remediation.actions.program import ProgramStep
from tests.otel_metrics.remediation.actions.processes import WAIT_S, Script, marked


@pytest.fixture
def run_id(request: pytest.FixtureRequest) -> Iterator[str]:
    """An id by which every process of a run is found; what is left of it fails the test."""
    found = f"{request.node.name}-{os.urandom(8).hex()}"
    yield found
    left = marked(found)
    for process in left:
        process.kill()
    assert left == []


@pytest.fixture
def script(tmp_path: Path) -> Script:
    """Return what makes a step of a Python program."""

    def write(text: str, *, timeout_s: float = WAIT_S, background: bool = False) -> ProgramStep:
        path = tmp_path / "program"
        path.write_text(f"#!{sys.executable} -IS\n{text}")
        path.chmod(0o700)
        return ProgramStep(path=str(path), arguments=(), timeout_s=timeout_s, background=background)

    return write
