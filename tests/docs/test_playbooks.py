"""The page on playbooks: its file is one, its refusals are those, its programs work."""

import re
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from otel_metrics.catalog import builtin
from otel_metrics.remediation.actions.callables import CallableStep
from otel_metrics.remediation.actions.signing import headers
from otel_metrics.remediation.configuration import ConfigurationProblems, read
from otel_metrics.remediation.model import Configuration
from otel_metrics.remediation.registry import REGISTERED
from tests.docs.links import DOCS, broken

PAGE = (DOCS / "playbooks.md").read_text()
(FILE,) = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)
PROGRAMS = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)


@pytest.fixture
def configured(tmp_path: Path) -> Callable[[str], Configuration]:
    """Return what reads a file whose paths lead into a folder of this test."""

    def read_file(text: str) -> Configuration:
        for path in re.findall(r"/(?:etc|usr)/[a-z/.-]+", text):
            place = tmp_path / path[1:]
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy("/usr/bin/true", place) if "bin" in path else place.write_text("s" * 32)
            place.chmod(0o700 if "bin" in path else 0o600)
        file = tmp_path / "playbooks.yaml"
        file.write_text(re.sub(r"(/(?:etc|usr)/)", rf"{tmp_path}\1", text))
        file.chmod(0o600)
        catalog = builtin()
        return read(file, playbooks=catalog.playbooks, metrics=catalog.metrics)

    return read_file


@pytest.fixture(autouse=True)
def _nothing_registered() -> Iterator[None]:
    """Leave no function of a program's registered."""
    yield
    REGISTERED.clear()


def test_the_file_of_the_page_is_one(
    configured: Callable[[str], Configuration], tmp_path: Path
) -> None:
    """With the built-in catalog; each of its playbooks can be planned."""
    with_program = FILE.replace("compose: {file", "compose: {program: /usr/bin/docker, file")

    found = configured(with_program)
    plans = {
        name: binding.steps[0].plan({"target": "standby", "workers": 3})
        for name, binding in found.bindings.items()
    }
    assert plans == {
        "shift-load": (f"{tmp_path}/usr/local/bin/shift-load", "--to", "standby"),
        "scale-workers": (
            *(f"{tmp_path}/usr/bin/docker", "compose", "--file"),
            *(f"{tmp_path}/etc/shop/compose.yaml", "--project-name", "shop", "up", "--detach"),
            *("--no-recreate", "--scale", "worker=3", "--", "worker"),
        ),
        "notify-reviewers": (
            *("POST", "https://hooks.example/reviewers"),
            '{"text": "approvals wait"}',
        ),
    }


def test_a_wrong_file_is_refused_as_the_page_says(
    configured: Callable[[str], Configuration], tmp_path: Path
) -> None:
    """With line and remedy."""
    with pytest.raises(ConfigurationProblems) as refused:
        configured("policy:\n  - {decision: run}\nplaybooks:\n  shift-lod: {steps: []}\n")

    assert str(refused.value).replace(f"{tmp_path}/", "") in PAGE


def test_a_receiver_of_the_page_knows_our_calls() -> None:
    """And none that was changed, or is old."""
    names: dict[str, Callable[..., bool]] = {}
    exec(compile(PROGRAMS[0], "playbooks.md", "exec"), names)
    is_ours = names["is_ours"]
    now = int(time.time())
    sent = headers(b"s" * 32, message_id="r1", timestamp=now, body=b"{}")
    old = headers(b"s" * 32, message_id="r1", timestamp=now - 1_000, body=b"{}")
    assert is_ours(sent, b"{}", b"s" * 32)
    assert not is_ours(sent, b"[]", b"s" * 32)
    assert not is_ours(old, b"{}", b"s" * 32)


def test_a_function_of_the_page_is_called() -> None:
    """As it is registered there."""
    exec(compile(PROGRAMS[1], "playbooks.md", "exec"), {})
    step = CallableStep(name="drain", timeout_s=30, functions=REGISTERED)

    found = step.run({"target": "host-1"}, run_id="r1", stopped=lambda: False)
    assert found.detail == "callable drain: drained host-1"


def test_every_link_leads_somewhere() -> None:
    """To a heading of the page, or to a file beside it."""
    assert broken(PAGE) == []
