"""A parent counts 100, four children that it forks 10 each: archive, OTLP and page say 140."""

from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest

from tests.e2e.services import Receiver, Service, until

if TYPE_CHECKING:
    from tests.e2e.conftest import Archived

pytestmark = pytest.mark.slow

TOTAL = 140
START = """
import os, sys, time
import otel_metrics
from opentelemetry import metrics
telemetry = otel_metrics.configure()
counter = metrics.get_meter("shop").create_counter("shop.orders")
counter.add(100)
assert telemetry.flush(10).ok
"""
PARENT = """
for _ in range(4):
    if os.fork() == 0:
        counter.add(10)
        ENDING
        break
else:
    print("ended with", *[os.waitstatus_to_exitcode(os.waitpid(-1, 0)[1]) for _ in range(4)])
    os.read(0, 1)
"""


@pytest.mark.parametrize(
    ("ending", "status"),
    [("break", 0), ("sys.exit(3)", 3), ("raise RuntimeError", 1)],
    ids=["normally", "by sys.exit", "by an exception"],
)
def test_a_child_counts_for_itself(
    exporting: Callable[..., Service],
    archived: "Archived",
    receiver: Receiver,
    ending: str,
    status: int,
) -> None:
    """However a child ends, nothing of its parent is counted again, and nothing of it is lost."""
    program = exporting(START + PARENT.replace("ENDING", ending))
    program.await_line(f"ended with {status} {status} {status} {status}")
    shown = program.page().total("shop_orders_total")
    program.go()
    program.end()

    assert shown == TOTAL
    assert sorted(archived.by_writer("shop.orders").values()) == [10, 10, 10, 10, 100]
    assert sorted(receiver.by_instance("shop.orders").values()) == [10, 10, 10, 10, 100]
    assert sorted(archived.instances()) == sorted(receiver.by_instance("shop.orders"))


def test_children_that_outlive_their_parent_count(
    exporting: Callable[..., Service], archived: "Archived", receiver: Receiver
) -> None:
    """A child takes the page over from the parent that has ended, whose numbers stay on it."""
    program = exporting(
        START
        + """
pipe = os.pipe()
for _ in range(4):
    if os.fork() == 0:
        os.close(pipe[1])
        os.read(pipe[0], 1)  # until nobody can write: the parent has ended
        counter.add(10)
        os.read(0, 1)
        break
"""
    )
    assert program.process.wait(30) == 0, program.said()
    until(lambda: program.page().total("shop_orders_total") == TOTAL)
    program.go(4)
    program.await_nobody()

    assert archived.total("shop.orders") == TOTAL
    assert receiver.total("shop.orders") == TOTAL
    assert len(receiver.by_instance("shop.orders")) == 5


def test_a_child_that_begins_after_its_parent_has_ended_counts(
    exporting: Callable[..., Service], archived: "Archived", receiver: Receiver
) -> None:
    """It is of the parent's run, so what that left on the page stays there."""
    program = exporting(
        """
import os, time
parent = os.getpid()
def await_end():
    while os.getppid() == parent:
        time.sleep(0.01)
os.register_at_fork(after_in_child=await_end)  # runs before the hooks of what is imported later
"""
        + START
        + """
if os.fork() == 0:
    counter.add(40)
    os.read(0, 1)
"""
    )
    assert program.process.wait(30) == 0, program.said()
    # The child may answer before it has counted.
    until(lambda: program.page().total("shop_orders_total") == TOTAL)
    program.go()
    program.await_nobody()

    assert archived.total("shop.orders") == receiver.total("shop.orders") == TOTAL


def test_children_of_children_count(
    exporting: Callable[..., Service], archived: "Archived", receiver: Receiver
) -> None:
    """A child that forks again is a parent like any other."""
    program = exporting(
        START
        + """
first = os.getpid()
for _ in range(4):
    child = os.fork()
    if child:
        os.waitpid(child, 0)
        break
    counter.add(10)
if os.getpid() == first:
    print("counted")
    os.read(0, 1)
"""
    )
    program.await_line("counted")
    shown = program.page().total("shop_orders_total")
    program.go()
    program.end()

    assert shown == TOTAL
    assert archived.total("shop.orders") == receiver.total("shop.orders") == TOTAL
    assert len(set(archived.instances())) == 5


def test_what_a_service_does_first_in_a_child_counts(
    exporting: Callable[..., Service], archived: "Archived"
) -> None:
    """The child starts from zero before a hook of the service's own runs in it."""
    hook = "os.register_at_fork(after_in_child=lambda: counter.add(10))\n"
    program = exporting(
        START + hook + PARENT.replace("counter.add(10)", "").replace("ENDING", "break")
    )
    program.await_line("ended with 0 0 0 0")
    program.go()
    program.end()

    assert archived.total("shop.orders") == TOTAL


def test_os_exit_is_a_kill(
    exporting: Callable[..., Service], archived: "Archived", receiver: Receiver
) -> None:
    """What such a child had not exported yet is missing; the page keeps all that was shown once."""
    program = exporting(START + PARENT.replace("ENDING", "os.read(0, 1); os._exit(0)"))
    until(lambda: program.page().total("shop_orders_total") == TOTAL)
    program.go(4)
    program.await_line("ended with 0 0 0 0")
    shown = program.page().total("shop_orders_total")
    program.go()
    program.end()

    assert shown == TOTAL
    assert archived.total("shop.orders") == receiver.total("shop.orders") == 100


def test_a_killed_child_leaves_what_it_had_more_than_a_second_ago(
    exporting: Callable[..., Service], archived: "Archived"
) -> None:
    """On the page nobody reads, a child's numbers reach the others by themselves."""
    program = exporting(
        START
        + """
child = os.fork()
if child == 0:
    counter.add(40)
    time.sleep(60)
time.sleep(2.5)
os.kill(child, 9)
os.waitpid(child, 0)
print("killed")
os.read(0, 1)
"""
    )
    program.await_line("killed")

    assert program.page().total("shop_orders_total") == TOTAL


def test_a_service_that_is_killed_whole_leaves_its_archive(
    exporting: Callable[..., Service], archived: "Archived"
) -> None:
    """Each process's export survives; the next run of the service starts its page from zero."""
    code = START + PARENT.replace("ENDING", "telemetry.flush(10); os.read(0, 1)")
    first = exporting(code)
    until(lambda: archived.root.exists() and archived.total("shop.orders") == TOTAL)
    first.kill()
    kept = archived.total("shop.orders")
    again = exporting(START + "os.read(0, 1)", name=first.name, port=first.port)

    assert kept == TOTAL
    assert again.page().total("shop_orders_total") == 100
