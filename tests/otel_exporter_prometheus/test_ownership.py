"""Who has the port: one at a time, whoever ends, and whatever stands in the way for a while."""

import errno
import os
import secrets
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from otel_exporter_prometheus.errors import ListenError
from otel_exporter_prometheus.ownership import Ownership
from otel_exporter_prometheus.state import state_folder

DEADLINE_S = 10.0
HEALED_S = 2.0


class Port:
    """A port that can be opened or not, as one process sees it."""

    def __init__(self) -> None:
        self.opened = self.closed = 0
        self.failure: ListenError | None = None

    def open(self) -> int:
        if self.failure is not None:
            raise self.failure
        self.opened += 1
        return 9

    def close(self) -> None:
        self.closed += 1


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder of a service that no other test has, gone after the test."""
    path = Path(state_folder()) / f"test-{secrets.token_hex(8)}"
    yield path
    shutil.rmtree(path, ignore_errors=True)


@pytest.fixture
def process(folder: Path) -> Iterator[Callable[[Port], Ownership]]:
    """Stand for the port as one more process does; all give up after the test."""
    made: list[Ownership] = []

    def stand(port: Port) -> Ownership:
        one = Ownership(folder.name, "shop", port.open, port.close)
        made.append(one)
        one.start()
        return one

    yield stand
    for one in made:
        one.stop()


def until(holds: Callable[[], object], within_s: float = DEADLINE_S) -> None:
    deadline = time.monotonic() + within_s
    while not holds():
        assert time.monotonic() < deadline
        threading.Event().wait(0.01)


def cannot(number: int) -> ListenError:
    error = ListenError("the metrics page cannot listen")
    error.__cause__ = OSError(number, os.strerror(number))
    return error


def test_the_next_has_the_port_when_the_owner_ends(process: Callable[[Port], Ownership]) -> None:
    """One at a time, within two seconds."""
    ports = [Port(), Port(), Port()]
    owners = [process(port) for port in ports]
    assert [bool(port.opened) for port in ports] == [True, False, False]

    owners[0].stop()

    until(lambda: ports[1].opened or ports[2].opened, HEALED_S)
    assert not (ports[1].opened and ports[2].opened)


@pytest.mark.slow
@pytest.mark.parametrize("number", [errno.EADDRINUSE, errno.EMFILE, errno.EACCES])
def test_a_port_that_cannot_be_opened_is_tried_again(
    process: Callable[[Port], Ownership], number: int, caplog: pytest.LogCaptureFixture
) -> None:
    """Whatever the reason was; one line says that it is open."""
    port = Port()
    port.failure = cannot(number)
    with pytest.raises(ListenError):
        process(port)
    port.failure = None

    until(lambda: port.opened)
    until(lambda: "the metrics page is open now" in caplog.text)


def test_a_successor_that_cannot_open_the_port_says_so_once(
    process: Callable[[Port], Ownership], caplog: pytest.LogCaptureFixture
) -> None:
    """And has it as soon as that goes."""
    owner, port = process(Port()), Port()
    port.failure = cannot(errno.EMFILE)
    process(port)
    owner.stop()

    until(lambda: caplog.text.count("cannot listen") == 1)
    port.failure = None
    until(lambda: port.opened)
    assert caplog.text.count("cannot listen") == 1


@pytest.mark.slow
def test_an_owner_whose_lock_was_removed_has_one_again(
    process: Callable[[Port], Ownership], folder: Path
) -> None:
    """Or a second process would think that nobody has the port."""
    process(Port())
    (folder / "owner.lock").unlink()

    until((folder / "owner.lock").exists)
    late = Port()
    process(late)
    threading.Event().wait(0.5)
    assert not late.opened


@pytest.mark.slow
def test_an_owner_that_lost_the_lock_to_another_closes_the_port(
    process: Callable[[Port], Ownership], folder: Path
) -> None:
    """Two never have it for long."""
    first, second = Port(), Port()
    process(first)
    (folder / "owner.lock").unlink()
    process(second)

    until(lambda: first.closed)
    assert second.opened


def test_no_thread_outlives_its_page(process: Callable[[Port], Ownership]) -> None:
    """A process that starts and stops telemetry again and again keeps nothing of it."""
    process(Port())
    before = threading.active_count()
    for _ in range(10):
        process(Port()).stop()

    until(lambda: threading.active_count() <= before)


def test_a_child_that_outlives_its_parent_keeps_the_port_from_nobody(
    process: Callable[[Port], Ownership],
) -> None:
    """Also where the child was forked by one that had stopped."""
    owner, port = process(Port()), Port()
    child = os.fork()
    if child == 0:
        threading.Event().wait(DEADLINE_S)
        os._exit(0)
    process(port)
    owner.stop()

    try:
        until(lambda: port.opened, HEALED_S)
    finally:
        os.kill(child, 9)
        os.waitpid(child, 0)
