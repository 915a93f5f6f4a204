"""`otel-metrics archive tail`, followed by a real process while real writers come and go."""

import json
import os
import pty
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from opentelemetry._logs import LogRecord
from opentelemetry.sdk._logs import ReadableLogRecord
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.util.instrumentation import InstrumentationScope

from otel_exporter_ndjson import NdjsonLogRecordExporter, find_segments, read
from otel_metrics.cli.archive import archive

PATIENCE_S = 30.0
TAIL = [sys.executable, "-m", "otel_metrics", "archive", "tail"]
WRITER = """
import sys, time
from opentelemetry._logs import LogRecord
from opentelemetry.sdk._logs import ReadableLogRecord
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from otel_exporter_ndjson import NdjsonLogRecordExporter
path, service = sys.argv[1:]
exporter = NdjsonLogRecordExporter(path, rotate_bytes=4096, sync="never", service=service)
resource, scope = Resource({"service.name": service}), InstrumentationScope("tests")
number = 0
while True:
    number += 1
    record = LogRecord(timestamp=time.time_ns(), event_name="tick", attributes={"n": number})
    exporter.export([ReadableLogRecord(record, resource=resource, instrumentation_scope=scope)])
    if number == 3:
        print("ready", flush=True)
    time.sleep(0.001)
"""


def event(number: int, service: str = "shop", **attributes: Any) -> ReadableLogRecord:
    record = LogRecord(
        timestamp=time.time_ns(), event_name="tick", attributes={"n": number, **attributes}
    )
    return ReadableLogRecord(
        record,
        resource=Resource({"service.name": service}),
        instrumentation_scope=InstrumentationScope("tests"),
    )


def run(*arguments: object) -> Result:
    return CliRunner().invoke(archive, ["tail", *map(str, arguments)])


def numbers(text: str | bytes) -> list[int]:
    return [json.loads(line)["attributes"]["n"] for line in text.splitlines()]


def until(happened: Callable[[], bool]) -> None:
    """Wait for something that another process does."""
    end = time.monotonic() + PATIENCE_S
    while not happened():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.01)


@pytest.fixture
def writers(tmp_path: Path) -> Iterator[Callable[[str], "subprocess.Popen[str]"]]:
    """Start writers that write until they are killed; each has written when it is handed over."""
    started: list[subprocess.Popen[str]] = []

    def start(service: str) -> "subprocess.Popen[str]":
        command = [sys.executable, "-c", WRITER, str(tmp_path / "archive"), service]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        started.append(process)
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        return process

    yield start
    for process in started:
        process.kill()
        process.wait()
        assert process.stdout is not None
        process.stdout.close()


def test_tail_prints_the_newest_records(tmp_path: Path) -> None:
    """Ten by default, as many as wanted, by time across segments, signals and services."""
    exporter = NdjsonLogRecordExporter(tmp_path, rotate_bytes=4096, compression="none")
    for number in range(40):
        exporter.export([event(number, "desk" if number % 10 == 0 else "shop")])
    exporter.shutdown()

    assert len(find_segments(tmp_path)) > 5
    assert numbers(run("--archive", tmp_path).stdout) == list(range(30, 40))
    assert numbers(run("--archive", tmp_path, "-n", 3).stdout) == [37, 38, 39]
    assert numbers(run("--archive", tmp_path, "-n", 0).stdout) == []
    assert numbers(run("--archive", tmp_path, "-n", 1000).stdout) == list(range(40))
    assert numbers(run("--archive", tmp_path, "-n", 2, "--service", "desk").stdout) == [20, 30]


@pytest.mark.parametrize("command", ["cat", "tail"])
@pytest.mark.parametrize(
    ("filters", "expected"),
    [
        (["--attribute", "colour=red"], [0, 2]),
        (["--attribute", "colour=*e*"], [0, 1, 2]),
        (["--attribute", "colour=*", "--attribute", "n=2"], [2]),
        (["--attribute", "n=1"], [1]),
        (["--attribute", "ok=true"], [0, 1, 2]),
        (["--attribute", "sizes=[1,2]"], [0, 1, 2]),
        (["--event", "tick", "--attribute", "colour=b*"], [1]),
        (["--event", "t*", "--until", "1h"], []),
    ],
)
def test_records_are_chosen_by_attribute(
    tmp_path: Path, command: str, filters: list[str], expected: list[int]
) -> None:
    """By exact value or pattern; several must all hold."""
    exporter = NdjsonLogRecordExporter(tmp_path, compression="none")
    for number, colour in enumerate(("red", "blue", "red")):
        exporter.export([event(number, colour=colour, ok=True, sizes=[1, 2])])
    exporter.export([event(3)])
    exporter.shutdown()
    result = CliRunner().invoke(archive, [command, "--archive", str(tmp_path), *filters])

    assert (result.exit_code, numbers(result.stdout)) == (0, expected)


@pytest.mark.parametrize("command", ["cat", "tail"])
@pytest.mark.parametrize("asked", ["name=ali*", "user.name=alice", "names=alice", "0=b*"])
def test_attributes_are_found_however_deep(tmp_path: Path, command: str, asked: str) -> None:
    """As archive erase finds them, in bodies too; so that this shows what that erases."""
    exporter = NdjsonLogRecordExporter(tmp_path, compression="none")
    deep = event(0, user={"name": "alice"}, names=["bob", "alice"])
    deep.log_record.body = {"0": "body"}
    exporter.export([deep, event(1, user={"name": "bob"}, names=["bob"])])
    exporter.shutdown()
    found = CliRunner().invoke(archive, [command, "--archive", str(tmp_path), "--attribute", asked])

    assert numbers(found.stdout) == [0]


@pytest.mark.parametrize("command", ["cat", "tail"])
def test_the_audit_is_shown_where_it_is_asked_for(tmp_path: Path, command: str) -> None:
    """By default only what services recorded is shown."""
    exporter = NdjsonLogRecordExporter(tmp_path, compression="none")
    exporter.export([event(0, user="alice"), event(1)])
    exporter.shutdown()
    erase = ["erase", "--attribute", "user=alice", "--reason", "asked", "--yes"]
    CliRunner().invoke(archive, [*erase, "--archive", str(tmp_path)])
    arguments = [command, "--archive", str(tmp_path)]
    shown = CliRunner().invoke(archive, arguments)
    audit = CliRunner().invoke(archive, [*arguments, "--signal", "audit"])

    assert numbers(shown.stdout) == [1]
    assert json.loads(audit.stdout)["event"] == "archive.segment.replaced"


def test_a_name_that_nothing_has_is_told(tmp_path: Path) -> None:
    """With what was meant, and the same for a time of which nothing is."""
    exporter = NdjsonLogRecordExporter(tmp_path, compression="none")
    exporter.export([event(0)])
    exporter.shutdown()

    named = run("--archive", tmp_path, "--event", "tik")
    assert named.stderr == "--event=tik: nothing matches; did you mean tick?\n"
    timed = run("--archive", tmp_path, "--until", "1h")
    assert timed.stderr.startswith("--since, --until: nothing is of that time")
    audit = run("--archive", tmp_path, "--signal", "audit")
    assert audit.stderr == "--signal=audit: nothing is there\n"


def test_an_attribute_that_nothing_has_is_told(tmp_path: Path) -> None:
    """As a name is that is not there; a filter that is none is wrong use."""
    exporter = NdjsonLogRecordExporter(tmp_path, compression="none")
    exporter.export([event(1)])
    exporter.shutdown()
    cat = ["cat", "--archive", str(tmp_path), "--attribute"]

    assert CliRunner().invoke(archive, [*cat, "n=7"]).stderr == (
        "--attribute=n=7: nothing matches\n"
    )
    assert CliRunner().invoke(archive, [*cat, "n"]).exit_code == 2


@pytest.mark.slow
def test_following_prints_every_record_once(
    tmp_path: Path, writers: Callable[[str], "subprocess.Popen[str]"]
) -> None:
    """Writers rotate, compress, are killed and started again, and a new service comes."""
    path, output = tmp_path / "archive", tmp_path / "output"
    first = writers("shop")
    with output.open("wb") as out:
        command = [*TAIL, "-f", "-n", "1000000", "--archive", str(path), "--format", "json"]
        tail = subprocess.Popen(command, stdout=out, stderr=subprocess.PIPE)
    until(lambda: output.stat().st_size > 0)
    dice = random.Random(5)
    alive = [first, writers("shop")]
    for service in ("desk", "shop", "desk"):
        size = output.stat().st_size
        until(lambda size=size: output.stat().st_size > size + 100_000)  # type: ignore[misc] # mypy knows no type for it
        victim = alive.pop(dice.randrange(len(alive)))
        victim.kill()
        victim.wait()
        alive.append(writers(service))
    for victim in alive:
        victim.kill()
        victim.wait()
    written = [record.raw for record in read(path)]
    until(lambda: output.read_bytes().count(b"\n") >= len(written))
    tail.send_signal(signal.SIGINT)
    _, errors = tail.communicate(timeout=PATIENCE_S)
    printed = output.read_bytes().splitlines(keepends=True)

    assert (tail.returncode, errors) == (130, b"")
    assert len(printed) == len(written) > 500
    assert sorted(printed) == sorted(written)
    assert any(segment.compressed for segment in find_segments(path))
    assert len({segment.instance for segment in find_segments(path)}) == 5


@pytest.mark.slow
def test_following_prints_writers_in_order(
    tmp_path: Path, writers: Callable[[str], "subprocess.Popen[str]"]
) -> None:
    """The numbers of one writer come one after the other, from the first one on."""
    path = tmp_path / "archive"
    path.mkdir()
    (path / ".archive").write_text("0" * 32)
    command = [*TAIL, "-f", "-n", "1000000", "--archive", str(path), "--format", "json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as tail:
        assert tail.stdout is not None
        writers("shop")
        lines = [tail.stdout.readline() for _ in range(300)]
        tail.stdout.close()
        status = tail.wait(PATIENCE_S)

    assert numbers(b"".join(lines)) == list(range(1, 301))
    assert status == 0


@pytest.mark.slow
def test_following_ends_when_nobody_reads_any_more(tmp_path: Path) -> None:
    """With status 0, although nothing more is written that could not be printed."""
    exporter = NdjsonLogRecordExporter(tmp_path, compression="none")
    exporter.export([event(1)])
    with subprocess.Popen([*TAIL, "-f", "--archive", tmp_path], stdout=subprocess.PIPE) as tail:
        assert tail.stdout is not None
        assert numbers(tail.stdout.readline()) == [1]
        tail.stdout.close()
        status = tail.wait(PATIENCE_S)
    exporter.shutdown()

    assert status == 0


def test_following_prints_no_form_that_has_an_end(tmp_path: Path) -> None:
    """A table, CSV or YAML would come after the end; that is wrong use."""
    (tmp_path / ".archive").write_text("0" * 32)
    result = run("--archive", tmp_path, "-f", "--format", "csv")

    assert result.exit_code == 2
    assert "use json or table" in result.stderr


@pytest.mark.slow
@pytest.mark.parametrize("command", ["cat", "tail"])
def test_lines_of_others_do_not_drive_a_terminal(tmp_path: Path, command: str) -> None:
    """Lines that no exporter wrote hold raw control characters; on a terminal they are escaped."""
    exporter = NdjsonLogRecordExporter(tmp_path, compression="none")
    exporter.export([event(1, text="MARK")])
    exporter.shutdown()
    (path,) = tmp_path.rglob("*.ndjson")
    path.write_bytes(path.read_bytes().replace(b"MARK", "\x9b2J\x7f\u202e".encode()))
    main, secondary = pty.openpty()
    arguments = [*TAIL[:-1], command, "--archive", str(tmp_path), "--format", "json"]
    subprocess.run(arguments, stdout=secondary, stderr=subprocess.DEVNULL, timeout=PATIENCE_S)
    os.close(secondary)
    shown = os.read(main, 65536)
    os.close(main)

    assert b"\\u009b2J\\u007f\\u202e" in shown
    assert not {"\x9b", "\x7f", "\u202e"} & set(shown.decode())
