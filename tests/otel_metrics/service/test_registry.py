"""The functions that a service registers, in a process that forks."""

import os
import signal
import threading

import pytest

from otel_metrics.service import registry


class _Slow(str):
    """A name that is put into the table for as long as `goes_on` is not set."""

    goes_on: threading.Event
    is_asked: threading.Event

    def __hash__(self) -> int:
        self.is_asked.set()
        self.goes_on.wait(30.0)
        return super().__hash__()


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_child_forked_while_a_thread_registers_goes_on() -> None:
    """The lock of a thread that is not there holds up neither the child nor its sampler."""
    name = _Slow("infra.pod_ready_ratio")
    name.is_asked, name.goes_on = threading.Event(), threading.Event()
    thread = threading.Thread(target=registry.register, args=(name, lambda: 1.0))
    thread.start()
    assert name.is_asked.wait(30.0)
    child = os.fork()
    if child == 0:
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.alarm(10)
        registry.functions()
        os._exit(0)
    name.goes_on.set()
    thread.join(30.0)

    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
