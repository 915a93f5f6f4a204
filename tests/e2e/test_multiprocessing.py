"""multiprocessing in its three start methods: each process counts for itself, exactly."""

from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest

from tests.e2e.services import Receiver, Service, until

if TYPE_CHECKING:
    from tests.e2e.conftest import Archived

pytestmark = pytest.mark.slow

METHODS = ["fork", "spawn", "forkserver"]
TOTAL = 140
PROGRAM = """
import multiprocessing, os, sys, threading, time
import otel_metrics
from opentelemetry import metrics
telemetry = otel_metrics.configure()  # in a spawned child, too: it loads this file
counter = metrics.get_meter("shop").create_counter("shop.orders")

def work(number):
    counter.add(10)
    return os.getpid()

def main(context):
    counter.add(100)
    BODY
    print("counted")
    os.read(0, 1)

if __name__ == "__main__":
    main(multiprocessing.get_context("METHOD"))
"""
PROCESSES = """
    started = [context.Process(target=work, args=(number,)) for number in range(4)]
    for process in started:
        process.start()
    for process in started:
        process.join()
        assert process.exitcode == 0, process.exitcode
"""
POOL = """
    with context.Pool(2) as pool:
        pool.map(work, range(4), chunksize=1)
        pool.close()
        pool.join()
"""
TURNOVER = """
    with context.Pool(2, maxtasksperchild=1) as pool:
        assert len(set(pool.map(work, range(4), chunksize=1))) == 4
        pool.close()
        pool.join()
"""
THREAD = """
    def run():
        process = context.Process(target=work, args=(0,))
        process.start()
        process.join()
        assert process.exitcode == 0, process.exitcode
    threads = [threading.Thread(target=run) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
"""
BODIES = {
    "processes": PROCESSES,
    "pool": POOL,
    "pool with turnover": TURNOVER,
    "threads that start processes": THREAD,
}


def program(body: str, method: str) -> str:
    """Return a program that starts its processes by a method."""
    return PROGRAM.replace("    BODY", body).replace("METHOD", method)


@pytest.mark.parametrize(
    ("method", "body"),
    [
        *[(method, body) for method in METHODS for body in ("processes", "pool")],
        ("fork", "pool with turnover"),
        ("fork", "threads that start processes"),
    ],
)
def test_each_process_counts_for_itself(
    exporting: Callable[..., Service],
    archived: "Archived",
    receiver: Receiver,
    method: str,
    body: str,
) -> None:
    """Processes that end by themselves lose nothing and double nothing, atexit or not."""
    running = exporting(program(BODIES[body], method))
    running.await_line("counted")
    shown = running.page().total("shop_orders_total")
    running.go()
    running.end()

    counted = archived.by_writer("shop.orders")
    assert shown == TOTAL
    assert sum(counted.values()) == TOTAL
    assert receiver.total("shop.orders") == TOTAL
    assert max(counted.values()) == 100
    assert len(set(receiver.by_instance("shop.orders"))) == len(counted)


@pytest.mark.parametrize("method", METHODS)
def test_a_pool_that_is_terminated_loses_nothing(
    exporting: Callable[..., Service], archived: "Archived", receiver: Receiver, method: str
) -> None:
    """The pool ends its workers by SIGTERM, at the end of its block."""
    body = """
    with context.Pool(2) as pool:
        pool.map(work, range(4), chunksize=1)
"""
    running = exporting(program(body, method))
    running.await_line("counted")
    until(lambda: running.page().total("shop_orders_total") == TOTAL)
    running.go()
    running.end()

    assert archived.total("shop.orders") == receiver.total("shop.orders") == TOTAL
