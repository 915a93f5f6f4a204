"""What `docker-compose.yml` starts, as processes of this machine: the same commands, variables and
files, with each container's paths, names and addresses put where they are without containers.

A folder takes the place of the containers: what a service is given of the project is copied below
`<folder>/<service>`, and a named volume is `<folder>/volumes/<volume>`.
"""

import re
import shutil
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import yaml

__all__ = ["COMPOSE", "NOT_RUN", "PROJECT", "Service", "services"]

PROJECT: Final = Path(__file__).parents[2]
COMPOSE: Final = PROJECT / "docker-compose.yml"
PROGRAMS: Final[Mapping[str, Sequence[str]]] = {
    "otel-metrics": (sys.executable, "-m", "otel_metrics"),
    "otel-metrics-collector": ("otelcol",),
    "prom/prometheus": ("prometheus3",),
    "nats": ("nats-server",),
}
"""What an image runs: a command, or a component of the tests."""
NOT_RUN: Final[Mapping[str, str]] = {"grafana/grafana": "there is no package of it to install"}


@dataclass(frozen=True, slots=True)
class Service:
    """A process that takes the place of a container.

    Attributes:
        name: of the service.
        command: the program and its arguments; the program may be the name of a component.
        environment: variables beside the machine's.
        folder: where it runs.
        health: the URL that its health check asks; None where it has none.
        is_task: it ends by itself, and others wait for that.
    """

    name: str
    command: Sequence[str]
    environment: Mapping[str, str]
    folder: Path
    health: str | None
    is_task: bool


def services(folder: Path) -> tuple[list[Service], dict[str, str]]:
    """Return what to start in this order, tasks first and then what others send to, and what is not
    run with the reason.

    Args:
        folder: where their files are put.
    """
    declared: dict[str, dict[str, Any]] = yaml.safe_load(COMPOSE.read_text())["services"]
    tasks = {
        name
        for each in declared.values()
        for name, how in each.get("depends_on", {}).items()
        if how["condition"] == "service_completed_successfully"
    }
    started = []
    left_out = {}
    for name, each in declared.items():
        image = each["image"].partition(":")[0]
        if image in NOT_RUN:
            left_out[name] = NOT_RUN[image]
        else:
            moves = _files(name, each, folder)
            started.append(
                _service(name, each, PROGRAMS[image], folder, moves, tasks, set(declared))
            )
    behind_first = started[::-1]
    return sorted(behind_first, key=lambda service: not service.is_task), left_out


def _files(name: str, declared: Mapping[str, Any], folder: Path) -> dict[str, str]:
    """Lay out a service's files, and return where its paths have gone."""
    moves = {}
    for volume in declared.get("volumes", []):
        source, inside = volume.split(":")[:2]
        if source.startswith("."):
            place = folder / name / inside.lstrip("/")
            _copy(PROJECT / source, place)
        else:
            place = folder / "volumes" / source
            place.mkdir(parents=True, exist_ok=True)
        moves[inside] = str(place)
    return moves


def _copy(source: Path, place: Path) -> None:
    """Copy as a mount would show it: what was there at this path is not seen any more."""
    if source.is_dir():
        shutil.rmtree(place, ignore_errors=True)
        shutil.copytree(source, place)
    else:
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(source, place)


def _service(
    name: str,
    declared: Mapping[str, Any],
    program: Sequence[str],
    folder: Path,
    moves: Mapping[str, str],
    tasks: set[str],
    names: set[str],
) -> Service:
    hosts = re.compile(rf"\b(?:{'|'.join(names)})(?=:\d)|(?<![\d.])0\.0\.0\.0(?=:|$)")
    longest_first = sorted(moves, key=len, reverse=True)
    paths = re.compile(rf"(?<![\w/.])(?:{'|'.join(map(re.escape, longest_first)) or '$.'})(?=/|$)")

    def here(text: str) -> str:
        return hosts.sub("127.0.0.1", paths.sub(lambda found: moves[found[0]], text))

    for file in (folder / name).rglob("*/targets/*.yml"):
        file.write_text(here(file.read_text()))
    command = [*declared.get("entrypoint", program), *declared.get("command", [])]
    check = " ".join(declared.get("healthcheck", {}).get("test", []))
    url = re.search(r"http://[\w.]+:\d+/[\w/-]*", check)
    return Service(
        name=name,
        command=[here(each) for each in command],
        environment={key: here(value) for key, value in declared.get("environment", {}).items()},
        folder=folder / name,
        health=url[0] if url else None,
        is_task=name in tasks,
    )
