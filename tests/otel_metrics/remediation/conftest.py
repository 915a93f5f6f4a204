"""An operator's file, and playbooks that it binds."""

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from otel_metrics.catalog.model import Parameter, Playbook
from otel_metrics.remediation.configuration import read
from otel_metrics.remediation.model import Configuration, Step
from tests.otel_metrics.remediation.desks import Desk, binding

PLAYBOOKS: Mapping[str, Playbook] = {
    "shift-load": Playbook(
        id="shift-load",
        brief="Moves load to another host.",
        risk="medium",
        parameters=(
            Parameter(name="target", type="string", brief="Where to.", pattern="(?s).+"),
            Parameter(name="workers", type="integer", brief="How many.", minimum=1, maximum=50),
        ),
        within_s=300,
        verifies="infra.cpu_utilization",
    ),
    "scale-nodes": Playbook(id="scale-nodes", brief="Adds nodes.", risk="high"),
    "scale-workers": Playbook(id="scale-workers", brief="Adds workers.", risk="low"),
}


@pytest.fixture
def file(tmp_path: Path) -> Callable[[str], Path]:
    """Return what writes an operator's file that nobody else may change."""

    def write(text: str) -> Path:
        path = tmp_path / "playbooks.yaml"
        path.write_text(text)
        path.chmod(0o600)
        return path

    return write


@pytest.fixture
def configured(file: Callable[[str], Path]) -> Callable[[str], Configuration]:
    """Return what reads the text of an operator's file."""
    return lambda text: read(
        file(text),
        playbooks=PLAYBOOKS,
        metrics=("infra.cpu_utilization", "infra.disk_usage"),
        stop_file="/run/shop/stop",
    )


@pytest.fixture
def step(configured: Callable[[str], Configuration]) -> Callable[..., Step]:
    """Return what reads one step of `shift-load`, with what stands before `playbooks`."""

    def read_step(text: str, head: str = "") -> Step:
        found = configured(f"{head}\nplaybooks: {{shift-load: {{steps: [{text}]}}}}\n")
        return found.bindings["shift-load"].steps[0]

    return read_step


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    """An engine with shift-load bound; its files are in memory, where no commit waits."""
    memory = Path("/dev/shm")
    with TemporaryDirectory(dir=memory if memory.is_dir() else tmp_path) as folder:
        made = Desk(Path(folder))
        made.bindings.append(binding("shift-load", made.program()))
        yield made
