"""`MetricsAppender`: what it refuses, what it counts, and what it does when the disk does not."""

import contextlib
import logging
import math
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from otel_metrics import events, instruments, line_files, skills
from otel_metrics.line_files import BadLine
from otel_metrics.lock_waits import HELD_WAIT_S
from otel_metrics.skills import MetricsAppender
from otel_metrics.skills.folder import LOST
from otel_metrics.testing import Captured
from tests.otel_metrics.held_locks import held, held_for

Call = Callable[[MetricsAppender], bool]

CALLS: dict[str, tuple[str, Call]] = {
    "performance": (
        "s_performance.json",
        lambda appender: appender.append_performance_metric("s", "e", 5.0, "a"),
    ),
    "outcome": (
        "s_outcomes.json",
        lambda appender: appender.append_outcome_metric("s", "e", 1, 1, True, 0.5, "r", "a"),
    ),
    "fidelity": (
        "s_fidelity.json",
        lambda appender: appender.append_fidelity_metric("s", "e", 0.5, 1, 1, None, "a"),
    ),
    "promotion": (
        "s_promotion_log.json",
        lambda appender: appender.append_promotion_event(
            "s", "prototype", "staged", "p", "t", "r", {}
        ),
    ),
    "rollback": (
        "s_promotion_log.json",
        lambda appender: appender.append_rollback_event("s", "staged", "prototype", "r", None),
    ),
}


@pytest.fixture
def appender(tmp_path: Path) -> MetricsAppender:
    """Files in a folder that is not there yet."""
    return MetricsAppender(tmp_path / "project" / "metrics")


@pytest.mark.parametrize("name", CALLS)
def test_each_append_is_one_line_one_count_and_one_event(
    appender: MetricsAppender, captured_telemetry: Captured, name: str
) -> None:
    """So that one scrape and one archive show all."""
    file, call = CALLS[name]

    assert call(appender) is True
    assert len(appender.read_metrics(file)) == 1
    counted = {
        metric: captured_telemetry.value(metric)
        for metric in ("skill.executions", "skill.outcomes", "skill.promotions", "skill.rollbacks")
    }
    expected = {"performance": "executions", "outcome": "outcomes"}
    expected |= {"promotion": "promotions", "rollback": "rollbacks"}
    assert {metric for metric, value in counted.items() if value} == (
        {f"skill.{expected[name]}"} if name in expected else set()
    )
    assert captured_telemetry.count("skill.fidelity") == (name == "fidelity")
    assert [event.name for event in captured_telemetry.events] == [f"skill.{name}"]


def test_file_and_event_say_the_same(
    appender: MetricsAppender, captured_telemetry: Captured
) -> None:
    """A move has one id, whichever of the two is read."""
    for _ in range(2):
        appender.append_promotion_event("s", "prototype", "staged", "p", "t", "r", {}, 5.0)

    assert [event.attributes["event_id"] for event in captured_telemetry.events] == [
        record["event_id"] for record in appender.read_metrics("s_promotion_log.json")
    ]


def test_an_outcome_without_a_verdict_is_unverified(
    appender: MetricsAppender, captured_telemetry: Captured
) -> None:
    """Even where decision and expected decision are equal: the caller has not said."""
    appender.append_outcome_metric("s", "e", None, None, None, None, None, None)

    about = {"gen_ai.skill.name": "s", "skill.outcome": "unverified"}
    assert captured_telemetry.value("skill.outcomes", about) == 1
    (record,) = appender.read_metrics("s_outcomes.json")
    assert (record["correct"], record["agent"]) == (None, None)


WRONG: dict[str, Call] = {
    "execution_time_ms=nan": lambda a: a.append_performance_metric("s", "e", math.nan, "a"),
    "execution_time_ms=-1": lambda a: a.append_performance_metric("s", "e", -1, "a"),
    "execution_time_ms='fast'": lambda a: a.append_performance_metric("s", "e", "fast", "a"),  # type: ignore[arg-type] # what the row is about
    "execution_id=''": lambda a: a.append_performance_metric("s", "", 1, "a"),
    "execution_id=None": lambda a: a.append_performance_metric("s", None, 1, "a"),  # type: ignore[arg-type] # likewise
    "exception_occurred='no'": lambda a: a.append_performance_metric("s", "e", 1, "a", "no"),  # type: ignore[arg-type] # likewise
    "memory_usage_mb=inf": lambda a: a.append_performance_metric(
        "s", "e", 1, "a", memory_usage_mb=math.inf
    ),
    "timestamp=nan": lambda a: a.append_performance_metric("s", "e", 1, "a", timestamp=math.nan),
    "timestamp=1e+20": lambda a: a.append_performance_metric("s", "e", 1, "a", timestamp=1e20),
    "timestamp=True": lambda a: a.append_performance_metric("s", "e", 1, "a", timestamp=True),
    "confidence=1.5": lambda a: a.append_outcome_metric("s", "e", 1, 1, True, 1.5, "r", "a"),
    "confidence=nan": lambda a: a.append_outcome_metric("s", "e", 1, 1, True, math.nan, "r", "a"),
    "correct='yes'": lambda a: a.append_outcome_metric("s", "e", 1, 1, "yes", 0.5, "r", "a"),  # type: ignore[arg-type] # likewise
    "pattern_fidelity=2": lambda a: a.append_fidelity_metric("s", "e", 2, 1, 1, None, "a"),
    "pattern_fidelity=None": lambda a: a.append_fidelity_metric("s", "e", None, 1, 1, None, "a"),  # type: ignore[arg-type] # likewise
    "patterns_followed=-1": lambda a: a.append_fidelity_metric("s", "e", 0.5, -1, 1, None, "a"),
    "patterns_missed='x'": lambda a: a.append_fidelity_metric("s", "e", 0.5, 1, "x", None, "a"),
    "from_state, to_state='prototype' to 'production'": lambda a: a.append_promotion_event(
        "s", "prototype", "production", "p", "t", "r", {}
    ),
    "from_state, to_state='staged' to 'live'": lambda a: a.append_promotion_event(
        "s",
        "staged",
        "live",  # type: ignore[arg-type] # likewise
        "p",
        "t",
        "r",
        {},
    ),
    "from_state, to_state='staged' to 'production'": lambda a: a.append_rollback_event(
        "s", "staged", "production", "r", None
    ),
    "automated=2": lambda a: a.append_rollback_event("s", "staged", "prototype", "r", None, 2),  # type: ignore[arg-type] # likewise
}


@pytest.mark.parametrize("said", WRONG)
def test_a_wrong_argument_is_an_error_that_says_what_to_give(
    appender: MetricsAppender, captured_telemetry: Captured, said: str
) -> None:
    """Nothing is written, counted or emitted."""
    with pytest.raises(ValueError, match=r"; give |: no such step; give ") as raised:
        WRONG[said](appender)

    assert str(raised.value).startswith(f"{said}: ")
    assert os.listdir(appender.metrics_dir) == []
    assert captured_telemetry.names() | {event.name for event in captured_telemetry.events} == set()


@pytest.mark.parametrize("name", ["../x", "/etc/passwd", "a/b", "", ".", "..", "a\0b", None, 5])
def test_no_file_beside_the_folders_is_read(appender: MetricsAppender, name: str) -> None:
    """A name that is a path is an error, whether there is a file or not."""
    with pytest.raises(ValueError, match=r"^filename="):
        appender.read_metrics(name)


@pytest.mark.parametrize("name", ["..%2Fsecret", "%2e%2e%2fsecret", "link.json"])
def test_nor_by_another_spelling_or_a_link(appender: MetricsAppender, name: str) -> None:
    """Nothing is decoded, and no link is followed."""
    secret = Path(appender.metrics_dir).parent / "secret"
    secret.write_text('{"secret": 1}\n')
    (Path(appender.metrics_dir) / "link.json").symlink_to(secret)

    assert appender.read_metrics(name) == []


@pytest.mark.parametrize("limit", [-1, True, 1.5, "5"])
def test_a_limit_is_a_count(appender: MetricsAppender, limit: int) -> None:
    """Nothing is taken for "all" that does not say so."""
    with pytest.raises(ValueError, match=r"^limit="):
        appender.read_metrics("s_outcomes.json", limit)


def test_bad_lines_are_told_once_a_minute(
    appender: MetricsAppender, caplog: pytest.LogCaptureFixture
) -> None:
    """With file and line; a caller that wants each gets each."""
    file = Path(appender.metrics_dir) / "s_outcomes.json"
    file.write_text('{"a": 1}\nnonsense\n{"b": 2}\n{"c"\n')
    bad: list[BadLine] = []

    for _ in range(3):
        assert len(appender.read_metrics("s_outcomes.json")) == 2
    appender.read_metrics("s_outcomes.json", 1, bad=bad)

    assert [record.getMessage().partition(" ")[0] for record in caplog.records] == [f"{file}:2:"]
    assert [line.number for line in bad] == [4]


def test_the_folder_is_made_again(appender: MetricsAppender) -> None:
    """Somebody removed it while the service runs."""
    shutil.rmtree(appender.metrics_dir)

    assert appender.append_performance_metric("s", "e", 1.0, "a")
    assert Path(appender.metrics_dir).stat().st_mode & 0o777 == 0o750


def test_a_folder_that_cannot_be_raises_nothing(
    tmp_path: Path, captured_telemetry: Captured, caplog: pytest.LogCaptureFixture
) -> None:
    """A file is in its place: the call says False, counts, logs once, and works when it is gone."""
    (tmp_path / "metrics").write_text("in the way")
    appender = MetricsAppender(tmp_path / "metrics")
    before = sum(LOST.read().values())

    assert [appender.append_performance_metric("s", "e", 1.0, "a") for _ in range(3)] == [False] * 3
    assert "Not a directory" in str(appender.last_error)
    (tmp_path / "metrics").unlink()
    assert appender.append_performance_metric("s", "e", 1.0, "a")
    assert appender.last_error is None

    assert sum(LOST.read().values()) - before == 3
    assert captured_telemetry.value("skill.executions") == 4
    said = [record.getMessage() for record in caplog.records]
    assert [("Not a directory" in line, "works again" in line) for line in said] == [
        (True, False),
        (False, True),
    ]


@pytest.mark.slow
def test_who_holds_a_lock_for_long_holds_up_a_service_once(
    appender: MetricsAppender, caplog: pytest.LogCaptureFixture
) -> None:
    """A process that was stopped while it wrote: the first call waits, the next ones hardly."""
    appender.append_performance_metric("s", "e", 1.0, "a")
    caplog.set_level(logging.ERROR)
    with held(Path(appender.metrics_dir) / "s_performance.json"):
        assert not appender.append_performance_metric("s", "e", 1.0, "a")
        began = time.monotonic()
        assert not any(appender.append_performance_metric("s", "e", 1.0, "a") for _ in range(5))
        assert time.monotonic() - began < 2

    assert appender.append_performance_metric("s", "e", 1.0, "a")


def test_a_lock_that_is_held_makes_nobody_impatient_for_another_file(
    appender: MetricsAppender, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One skill's file is held for good, another's is in use for a moment: its line comes in."""
    folder = Path(appender.metrics_dir)
    with held(folder / "held_performance.json"):
        monkeypatch.setattr(line_files, "LOCK_WAIT_S", 0.01)
        assert not appender.append_performance_metric("held", "e", 1.0, "a")
        monkeypatch.undo()
        with held_for(folder / "s_performance.json", 4 * HELD_WAIT_S):
            done = appender.append_performance_metric("s", "e", 1.0, "a")

    assert done
    assert len(appender.read_metrics("s_performance.json")) == 1


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 64 KiB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=64k", "none", str(folder)]
    if os.getuid() != 0 or subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("not run: this kernel or user mounts no tmpfs")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


@pytest.mark.slow
def test_a_full_disk_leaves_no_half_line(disk: Path, caplog: pytest.LogCaptureFixture) -> None:
    """What was acknowledged is there, nothing else, and the next one once there is room."""
    appender = MetricsAppender(disk)
    filler = disk / "filler"
    with contextlib.suppress(OSError), filler.open("wb", buffering=0) as file:
        while file.write(bytes(4096)):
            pass
    with filler.open("r+b") as file:
        file.truncate(filler.stat().st_size - 2 * 4096)

    answers = [
        appender.append_outcome_metric("s", f"e{n}", 1, 1, True, 0.5, "r" * 300, "a")
        for n in range(40)
    ]
    kept = appender.read_metrics("s_outcomes.json")
    filler.unlink()
    assert appender.append_outcome_metric("s", "last", 1, 1, True, 0.5, "r", "a")

    assert {True, False} == set(answers)
    acknowledged = [f"e{n}" for n, answer in enumerate(answers) if answer]
    assert [record["execution_id"] for record in kept] == acknowledged
    text = (disk / "s_outcomes.json").read_bytes()
    assert text.count(b"\n") == len(acknowledged) + 1
    assert appender.read_metrics("s_outcomes.json", 1)[0]["execution_id"] == "last"
    assert len(caplog.records) <= 2


def forked(body: Callable[[int], object]) -> int:
    """Run a body in a forked process that is given the end of a pipe; return its end of it."""
    reading, writing = os.pipe()
    if os.fork() == 0:
        status = 1
        try:
            instruments.reset()
            events.reset()
            body(writing)
            status = 0
        finally:
            os._exit(status)
    os.close(writing)
    return reading


def test_processes_give_moves_ids_of_their_own(appender: MetricsAppender) -> None:
    """All in one second, each looks at what the others wrote."""

    def promote(_: int) -> None:
        for _ in range(5):
            appender.append_promotion_event("s", "prototype", "staged", "p", "t", "r", {}, 9.0)

    for reading in [forked(promote) for _ in range(4)]:
        os.read(reading, 1)
        os.close(reading)
    for _ in range(4):
        os.wait()

    ids = [record["event_id"] for record in appender.read_metrics("s_promotion_log.json")]
    assert ids == ["promo_s_9", *(f"promo_s_9_{nth}" for nth in range(2, 21))]


@pytest.mark.slow
def test_a_killed_writer_takes_nothing_acknowledged_with_it(appender: MetricsAppender) -> None:
    """Killed at any moment, over and over, beside another that lives: A1 and D7 in short."""
    acknowledged: set[str] = set()

    def write(pipe: int) -> None:
        n = 0
        while True:
            name = f"{os.getpid()}-{n}"
            if appender.append_outcome_metric("s", name, 1, 1, True, 0.5, "x" * 2000, "a"):
                os.write(pipe, f"{name}\n".encode())
            n += 1

    for cycle in range(30):
        reading, writing = os.pipe()
        pid = os.fork()
        if pid == 0:
            with contextlib.suppress(BaseException):
                write(writing)
            os._exit(1)
        os.close(writing)
        with open(reading) as pipe:
            acknowledged.add(pipe.readline().strip())
            time.sleep(0.0003 * cycle)
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
            acknowledged |= {line.strip() for line in pipe if line.endswith("\n")}
        assert appender.append_outcome_metric("s", f"me-{cycle}", 1, 1, True, 0.5, "r", "a")
        acknowledged.add(f"me-{cycle}")

    found = [record["execution_id"] for record in appender.read_metrics("s_outcomes.json")]
    assert acknowledged <= set(found)
    assert len(found) == len(set(found))


def test_who_only_records_loads_neither_files_nor_triggers() -> None:
    """They are loaded by who asks for them, under the names of the package."""
    program = """
import sys, otel_metrics
from otel_metrics import skills
later = [f"otel_metrics.skills.{name}" for name in ("appender", "folder", "thresholds", "triggers")]
print([name for name in later if name in sys.modules])
from otel_metrics.skills import *
print(MetricsAppender is skills.MetricsAppender, [name in sys.modules for name in later])
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True)

    assert done.stdout.decode().splitlines() == ["[]", "True [True, True, True, True]"]
    assert not hasattr(skills, "MetricAppender")
