"""Which processes are one service."""

import multiprocessing
import os
import subprocess
import sys
from multiprocessing.connection import Connection

import pytest

from otel_exporter_prometheus.service import Service, is_under_way, process_tree, service_of

PRINT = "from otel_exporter_prometheus.service import process_tree; print(process_tree())"


def _tell(connection: Connection) -> None:
    connection.send(process_tree())


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (("a", "", "p:1"), ("b", "", "p:1")),
        (("a", "", "p:1"), ("a", "n", "p:1")),
        (("a", "", "p:1"), ("a", "", "p:2")),
        (("a/b", "", "p:1"), ("a%2Fb", "", "p:1")),
    ],
)
def test_services_that_differ_have_folders_of_their_own(
    one: tuple[str, str, str], other: tuple[str, str, str]
) -> None:
    """By name, namespace and address; a name cannot lead elsewhere."""
    folders = [
        Service(name, namespace).folder(address) for name, namespace, address in (one, other)
    ]

    assert folders[0] != folders[1]
    assert not any("/" in folder for folder in folders)
    assert Service(one[0], one[1]).folder(one[2]) == folders[0]


@pytest.mark.parametrize("name", [None, "", "unknown_service", "unknown_service:python"])
def test_a_service_without_a_name_is_of_its_process_tree(name: str | None) -> None:
    """Or two strangers would add up their numbers."""
    assert service_of({"service.name": name}).tree == process_tree()
    assert service_of({"service.name": "shop"}) == Service("shop")


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_workers_of_one_program_are_one_tree(method: str) -> None:
    """However `multiprocessing` makes them."""
    context = multiprocessing.get_context(method)
    ours, theirs = context.Pipe()
    child = context.Process(target=_tell, args=(theirs,))  # type: ignore[attr-defined] # of each
    child.start()
    told = ours.recv()
    child.join()

    assert told == process_tree()


def test_a_fork_of_a_fork_is_of_the_same_tree() -> None:
    """As a worker is of the server that forked it."""
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        if os.fork() == 0:
            os.write(write, process_tree().encode())
        else:
            os.wait()
        os._exit(0)
    os.waitpid(child, 0)

    assert os.read(read, 100).decode() == process_tree()
    os.close(read)
    os.close(write)


def test_a_program_that_is_started_is_a_tree_of_its_own() -> None:
    """Also by the same starter, twice: each run counts from zero."""
    told = [
        subprocess.run([sys.executable, "-c", PRINT], check=True, capture_output=True, text=True)
        for _ in range(2)
    ]
    trees = {each.stdout.strip() for each in told}

    assert len({*trees, process_tree()}) == 3
    assert is_under_way(process_tree())
    assert not any(map(is_under_way, trees))
