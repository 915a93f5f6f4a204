"""Lines in a file that many share: whole, one after the other, and readable whatever happened."""

import errno
import json
import os
import resource
import signal
import stat
import threading
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from otel_metrics import line_files
from otel_metrics.line_files import BadLine, LockTimeoutError
from tests.otel_metrics.held_locks import held


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A file that is not there yet."""
    return tmp_path / "lines.json"


def test_what_is_appended_is_read(path: Path) -> None:
    """Each record with the offset of its line, in order."""
    line_files.append(path, b'{"a": 1}')
    line_files.append(path, b'{"b": 2}', b'{"c": 3}')

    assert list(line_files.read_lines(path)) == [(0, {"a": 1}), (9, {"b": 2}), (18, {"c": 3})]


def test_a_file_that_is_not_there_has_no_lines(path: Path) -> None:
    """It is not made by reading."""
    assert [*line_files.read_lines(path), *line_files.read_last(path, 5)] == []
    assert not path.exists()


def test_nothing_is_glued_to_a_torn_line(path: Path) -> None:
    """What a killed writer left stays a line of its own, and is reported."""
    path.write_bytes(b'{"a": 1}\n{"b": ')
    line_files.append(path, b'{"c": 3}')

    bad: list[BadLine] = []
    assert [record for _, record in line_files.read_lines(path, bad=bad)] == [{"a": 1}, {"c": 3}]
    assert [(line.number, line.start) for line in bad] == [(2, 9)]


def test_a_whole_record_without_a_line_end_counts(path: Path) -> None:
    """A writer was killed just before the end of its line: nothing of the record is missing."""
    path.write_bytes(b'{"a": 1}\n{"b": 2}')

    assert line_files.read_last(path, 1) == [{"b": 2}]
    assert [record for _, record in line_files.read_lines(path)] == [{"a": 1}, {"b": 2}]


LINES: dict[str, tuple[bytes, list[object], int]] = {
    "half written": (b'{"a": 1', [], 1),
    "two glued": (b'{"a": 1}{"b": 2}\n', [], 1),
    "no object": (b"[1]\n", [], 1),
    "no UTF-8": (b'{"a": "\xff"}\n', [], 1),
    "NULs": (b"\0\0\0\n", [], 1),
    "too deep": (b"[" * 100_000 + b"\n", [], 1),
    "too many digits": (b'{"a": ' + b"9" * 10_000 + b"}\n", [], 1),
    "too long": (b'{"a": "' + b"x" * line_files.LINE_BYTES_MAX + b'"}\n', [], 1),
    "empty": (b"\n\n \n", [], 0),
    "CR and LF": (b'{"a": 1}\r\n', [{"a": 1}], 0),
    "infinite": (b'{"a": Infinity}\n', [{"a": float("inf")}], 0),
    "twice the same key": (b'{"a": 1, "a": 2}\n', [{"a": 2}], 0),
}


@pytest.mark.parametrize("name", LINES)
def test_a_bad_line_takes_no_other_with_it(path: Path, name: str) -> None:
    """It is skipped and reported; those before and after are read, from either end."""
    line, records, bad_lines = LINES[name]
    after = b'{"last": 1}\n' if line.endswith(b"\n") else b""
    path.write_bytes(b'{"first": 1}\n' + line + after)
    expected = [{"first": 1}, *records, *([{"last": 1}] if after else [])]

    forward: list[BadLine] = []
    backward: list[BadLine] = []
    assert [record for _, record in line_files.read_lines(path, bad=forward)] == expected
    assert line_files.read_last(path, 10, bad=backward) == expected
    assert forward == backward
    assert len(forward) == bad_lines


def test_a_byte_order_mark_is_no_part_of_the_first_record(path: Path) -> None:
    """An editor left it there."""
    path.write_bytes(b'\xef\xbb\xbf{"a": 1}\n')

    assert line_files.read_last(path, 1) == [{"a": 1}]


@given(
    lines=st.lists(st.one_of(st.binary(max_size=40), st.sampled_from([b'{"a":1}', b"{", b"\r"]))),
    end=st.sampled_from([b"", b"\n"]),
    limit=st.integers(0, 30),
)
def test_the_end_of_a_file_reads_as_all_of_it_does(
    tmp_path_factory: pytest.TempPathFactory, lines: list[bytes], end: bytes, limit: int
) -> None:
    """Whatever is in it, the last records are the last of all records."""
    path = tmp_path_factory.mktemp("lines") / "file"
    path.write_bytes(b"\n".join(lines) + end)
    everything = [record for _, record in line_files.read_lines(path)]

    assert line_files.read_last(path, limit) == everything[max(0, len(everything) - limit) :]


def test_the_end_of_a_large_file_is_read_at_once(path: Path) -> None:
    """For ten records of a hundred thousand a fraction of the file is read."""
    path.write_bytes(b"".join(b'{"n": %d}\n' % n for n in range(100_000)))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_utime

    last = line_files.read_last(path, 10)

    assert last == [{"n": n} for n in range(99_990, 100_000)]
    assert resource.getrusage(resource.RUSAGE_SELF).ru_utime - before < 0.05


def test_what_is_drained_is_returned_and_gone(path: Path) -> None:
    """The file stays, for the next lines; what is no record is gone as well."""
    line_files.append(path, b'{"a": 1}', b"no record", b'{"b": 2}')

    assert line_files.drain(path) == [{"a": 1}, {"b": 2}]
    assert (path.read_bytes(), line_files.drain(path)) == (b"", [])


def test_a_line_with_a_line_end_is_refused(path: Path) -> None:
    """It would be two; so is one that no reader takes."""
    with pytest.raises(ValueError, match="accepted"):
        line_files.append(path, b"{\n}")
    with pytest.raises(ValueError, match="accepted"):
        line_files.append(path, b"x" * (line_files.LINE_BYTES_MAX + 1))


def test_a_new_file_has_its_mode_whatever_the_umask(path: Path) -> None:
    """Its owner writes, its group reads."""
    for umask in (0o000, 0o077):
        path.unlink(missing_ok=True)
        before = os.umask(umask)
        try:
            line_files.append(path, b"{}")
        finally:
            os.umask(before)

        assert stat.S_IMODE(path.stat().st_mode) == 0o640


@pytest.mark.parametrize("kind", ["link", "dangling link", "folder", "pipe"])
def test_what_is_no_regular_file_is_refused(path: Path, kind: str) -> None:
    """A link could lead anywhere; a pipe keeps nothing."""
    if kind == "folder":
        path.mkdir()
    elif kind == "pipe":
        os.mkfifo(path)
    else:
        other = path.with_name("other")
        path.symlink_to(other)
        if kind == "link":
            other.write_bytes(b"")

    with pytest.raises(OSError, match=r"symbolic link|directory|regular file"):
        line_files.append(path, b"{}")


def test_a_held_lock_is_waited_for_and_no_longer(path: Path) -> None:
    """Then nothing is written, and the error names the file."""
    with held(path), pytest.raises(LockTimeoutError, match=r"locked by others.*lines\.json"):
        line_files.append(path, b"{}", wait_s=0.05)

    assert path.read_bytes() == b""


def test_who_waits_writes_when_the_lock_is_free(path: Path) -> None:
    """As soon as the other lets it go."""
    with held(path):
        waiting = threading.Thread(target=line_files.append, args=(path, b'{"late": 1}'))
        waiting.start()
    waiting.join()

    assert line_files.read_last(path, 1) == [{"late": 1}]


def test_a_file_that_is_renamed_while_it_is_waited_for_is_opened_anew(path: Path) -> None:
    """A line lands in the file that bears the name: where readers look."""
    started = threading.Event()

    def write() -> None:
        started.set()
        line_files.append(path, b'{"late": 1}')

    with held(path):
        waiting = threading.Thread(target=write)
        waiting.start()
        started.wait()
        path.rename(path.with_name("rotated"))
    waiting.join()

    assert line_files.read_last(path, 1) == [{"late": 1}]
    assert path.with_name("rotated").read_bytes() == b""


def test_a_signal_handler_that_interrupts_a_writer_is_refused_at_once(path: Path) -> None:
    """Its thread would wait for itself."""
    refused: list[OSError] = []

    def handler(*_: object) -> None:
        try:
            line_files.append(path, b'{"handler": 1}')
        except LockTimeoutError as error:
            refused.append(error)

    before = signal.signal(signal.SIGUSR1, handler)
    try:
        with line_files.locked(path) as write:
            os.kill(os.getpid(), signal.SIGUSR1)
            write(b'{"main": 1}')
    finally:
        signal.signal(signal.SIGUSR1, before)

    assert "this thread is writing" in str(refused[0])
    assert line_files.read_last(path, 5) == [{"main": 1}]


def test_a_write_that_fails_in_the_middle_is_cut_back(path: Path) -> None:
    """A file that may not grow takes a part of a line, of which nothing stays."""
    line_files.append(path, b'{"a": 1}')
    pid = os.fork()
    if pid == 0:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (20, 20))
        try:
            line_files.append(path, b'{"b": "a line that is longer"}')
        except OSError as error:
            os._exit(error.errno or 1)
        os._exit(0)
    _, status = os.waitpid(pid, 0)

    assert os.waitstatus_to_exitcode(status) == errno.EFBIG
    assert path.read_bytes() == b'{"a": 1}\n'


def test_a_child_of_a_fork_holds_no_lock_of_its_parents_threads(path: Path) -> None:
    """A parent that is killed while it writes leaves no lock behind in its children."""
    entered, leave = threading.Event(), threading.Event()

    def hold() -> None:
        with line_files.locked(path):
            entered.set()
            leave.wait()

    holder = threading.Thread(target=hold)
    holder.start()
    entered.wait()
    pid = os.fork()
    if pid == 0:
        names = [os.path.realpath(f"/proc/self/fd/{name}") for name in os.listdir("/proc/self/fd")]
        os._exit(int(str(path) in names))
    _, status = os.waitpid(pid, 0)
    leave.set()
    holder.join()

    assert os.waitstatus_to_exitcode(status) == 0


def test_threads_share_a_file(path: Path) -> None:
    """Every line of each is there, whole."""

    def write(name: int) -> None:
        for n in range(100):
            line_files.append(path, json.dumps({"by": name, "n": n}).encode())

    threads = [threading.Thread(target=write, args=(name,)) for name in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    bad: list[BadLine] = []
    records = [record for _, record in line_files.read_lines(path, bad=bad)]
    assert bad == []
    assert {(record["by"], record["n"]) for record in records} == {
        (by, n) for by in range(4) for n in range(100)
    }
