"""A key that is no key is refused in every block of every configuration.

A block is where a person types a key: each mapping of each file, found by walking over it.
"""

import subprocess
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

from tests.collector_config.credentials import Secrets
from tests.collector_config.running import CONFIGURATIONS, DEADLINE_S, FOLDER, arguments

pytestmark = [pytest.mark.slow, pytest.mark.component("otelcol")]

NO_SUCH_KEY: Final = "no_such_key"
UNNAMED: Final[Mapping[str, str]] = {
    "service::telemetry::metrics::readers::0::pull::exporter": (
        "the names of exporters are open there, and the decoder of v0.158.0 panics at one that it "
        "does not know (mapstructure: reflect: Key of non-map type)"
    )
}
"""Blocks in which this collector does not say which key it refuses, and why. There is none in which
it takes an unknown key."""

Where = tuple[str | int, ...]


def blocks(found: object, where: Where = ()) -> Iterator[Where]:
    """Return where the mappings of a configuration are."""
    if isinstance(found, dict):
        yield where
        for key, value in found.items():
            yield from blocks(value, (*where, key))
    elif isinstance(found, list):
        for number, value in enumerate(found):
            yield from blocks(value, (*where, number))


def named(where: Where) -> str:
    return "::".join(str(part) for part in where) or "the top"


CASES: Final = [
    pytest.param(name, where, id=f"{name}-{named(where)}")
    for name, files in CONFIGURATIONS.items()
    for where in blocks(yaml.safe_load((FOLDER / files[-1]).read_text()))
]


@pytest.mark.parametrize(("name", "where"), CASES)
def test_an_unknown_key_is_refused(
    component: Callable[[str], str], secrets: Secrets, name: str, where: Where, tmp_path: Path
) -> None:
    """`validate` fails, and its message names the key, but where the list says that it cannot."""
    files = [FOLDER / file for file in CONFIGURATIONS[name]]
    configuration: Any = yaml.safe_load(files[-1].read_text())
    block = configuration
    for part in where:
        block = block[part]
    block[NO_SUCH_KEY] = 1
    files[-1] = tmp_path / "mistyped.yaml"
    files[-1].write_text(yaml.safe_dump(configuration))
    done = _validate(component("otelcol"), files, secrets)

    assert done.returncode != 0
    assert (NO_SUCH_KEY in done.stderr) is (named(where) not in UNNAMED), done.stderr


@pytest.mark.parametrize("name", CONFIGURATIONS)
def test_without_a_typing_error_it_is_taken(
    component: Callable[[str], str], secrets: Secrets, name: str
) -> None:
    """The control: as it stands, each configuration is valid, and nothing is said."""
    files = [FOLDER / file for file in CONFIGURATIONS[name]]
    done = _validate(component("otelcol"), files, secrets)

    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def _validate(
    program: str, files: list[Path], secrets: Secrets
) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [program, "validate", *arguments(files)],
        env=secrets.env,
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
    )
