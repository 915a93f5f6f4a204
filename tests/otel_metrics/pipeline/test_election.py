"""One process of a service holds an office; when it ends, another one does."""

import os
import shutil
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from otel_exporter_prometheus.service import Service
from otel_exporter_prometheus.state import state_folder
from otel_metrics.pipeline.election import ASKED_AGAIN_S, Election

HOLDER = """
import sys
from otel_exporter_prometheus.service import Service
from otel_metrics.pipeline.election import Election
print(Election(Service(sys.argv[1]), "host").won(), flush=True)
sys.stdin.read()
"""
TAKEN_OVER_S = 10 * ASKED_AGAIN_S


@pytest.fixture
def service() -> Iterator[Service]:
    """A service that no other test has; what it leaves is gone after the test."""
    made = Service(f"t-{uuid.uuid4().hex[:12]}")
    yield made
    for office in ("host", "other"):
        path = Path(state_folder()) / made.folder(office)
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)


@pytest.fixture
def stand(service: Service) -> Iterator[Callable[..., Election]]:
    """Stand for an office as one more process of the service would."""
    made: list[Election] = []

    def make(office: str = "host") -> Election:
        made.append(Election(service, office))
        return made[-1]

    yield make
    for each in made:
        each.resign()


def test_an_office_whose_file_was_removed_is_held_by_one(
    stand: Callable[..., Election], service: Service
) -> None:
    """What cleans `/tmp` takes the file, and two would report the machine."""
    first, second = stand(), stand()
    assert first.won()
    (Path(state_folder()) / service.folder("host") / "office.lock").unlink()
    assert second.won()
    deadline = time.monotonic() + TAKEN_OVER_S
    while first.won():
        assert time.monotonic() < deadline
        time.sleep(0.01)

    assert second.won()


def test_one_holds_the_office(stand: Callable[..., Election]) -> None:
    """Whoever asks first, and for as long as it is there."""
    first, second = stand(), stand()

    assert [first.won(), second.won(), first.won(), second.won()] == [True, False, True, False]


def test_offices_are_apart(stand: Callable[..., Election]) -> None:
    """Each has a holder of its own."""
    assert [stand("host").won(), stand("other").won()] == [True, True]


def test_who_resigns_is_followed(stand: Callable[..., Election]) -> None:
    """The next that asks has the office, and keeps it."""
    first, second = stand(), stand()
    assert [first.won(), second.won()] == [True, False]
    first.resign()
    _await(second)

    assert not first.won()


def test_who_is_killed_is_followed(service: Service, stand: Callable[..., Election]) -> None:
    """The kernel gives the office back."""
    command = [sys.executable, "-c", HOLDER, service.name]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen(command, text=True, **pipes) as holder:  # type: ignore[call-overload]
        assert holder.stdout.readline() == "True\n"
        mine = stand()
        assert not mine.won()
        holder.send_signal(signal.SIGKILL)

    _await(mine)


def test_a_forked_child_holds_nothing(stand: Callable[..., Election]) -> None:
    """It lets its copy of the lock go; the parent has the office until it ends, and no longer."""
    mine = stand()
    assert mine.won()
    child = os.fork()
    if child == 0:
        mine.resign()
        os._exit(mine.won())
    status = os.waitpid(child, 0)[1]
    mine.resign()

    assert status == 0
    _await(stand())


def test_without_a_folder_everybody_holds_it(
    service: Service, stand: Callable[..., Election]
) -> None:
    """Each time that it asks: rather once too often than never."""
    (Path(state_folder()) / service.folder("host")).write_text("no folder")
    first, second = stand(), stand()

    assert [first.won(), first.won(), second.won(), second.won()] == [True] * 4


def _await(election: Election) -> None:
    """Wait until an office is held."""
    deadline = time.monotonic() + TAKEN_OVER_S
    while not election.won():
        assert time.monotonic() < deadline
        time.sleep(0.01)
