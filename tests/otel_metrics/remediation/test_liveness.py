"""A process is alive as long as it is, and not a moment longer."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from otel_metrics.remediation.liveness import Presence

HOLD = """
import os, sys, time
from otel_metrics.remediation.liveness import Presence
presence = Presence(sys.argv[1])
name = presence.id()
if len(sys.argv) == 2 or not os.fork():
    print(name, flush=True)
    os.close(1)
time.sleep(60)
"""


def started(folder: Path, *more: str) -> tuple["subprocess.Popen[str]", str]:
    """Start a process that is present, and return it with its id."""
    command = [sys.executable, "-W", "ignore", "-c", HOLD, str(folder), *more]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, start_new_session=True)
    assert process.stdout is not None
    with process.stdout as said:
        return process, said.readline().strip()


@pytest.mark.slow
@pytest.mark.parametrize("more", [(), ("fork",)], ids=["alone", "with a child"])
def test_a_killed_process_is_dead_at_once(tmp_path: Path, more: tuple[str, ...]) -> None:
    """Also where a child that it forked lives on."""
    process, name = started(tmp_path, *more)
    mine = Presence(str(tmp_path))
    before = mine.is_alive(name)
    process.kill()
    process.wait(30)

    after, left = mine.is_alive(name), os.listdir(tmp_path)
    if more:
        os.killpg(process.pid, signal.SIGKILL)

    assert (before, after, left) == (True, False, [])


def test_this_process_is_alive_until_it_leaves(tmp_path: Path) -> None:
    """By the same id each time, for itself and for others; then its file is gone."""
    one, two = Presence(str(tmp_path)), Presence(str(tmp_path))
    name = one.id()

    assert one.id() == name != two.id()
    assert (one.is_alive(name), two.is_alive(name)) == (True, True)
    one.leave()
    assert (one.is_alive(name), two.is_alive(name)) == (False, False)


def test_who_tidies_up_makes_nobody_immortal(tmp_path: Path) -> None:
    """Where the file was removed the process is another one from then on."""
    presence = Presence(str(tmp_path))
    before = presence.id()
    (tmp_path / f"{before}.lock").unlink()

    assert not presence.is_alive(before)
    assert presence.is_alive(presence.id())
    assert presence.id() != before


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_forked_child_is_another(tmp_path: Path) -> None:
    """It has an id of its own, and its parent's stays the parent's."""
    presence = Presence(str(tmp_path))
    mine = presence.id()
    reads, writes = os.pipe()
    child = os.fork()
    if not child:
        os.write(writes, presence.id().encode())
        os._exit(0)
    os.close(writes)
    with open(reads, "rb") as told:
        theirs = told.read().decode()
    os.waitpid(child, 0)

    assert theirs not in ("", mine)
    assert (presence.is_alive(mine), presence.is_alive(theirs)) == (True, False)
