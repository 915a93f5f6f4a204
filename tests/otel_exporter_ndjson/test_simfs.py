"""The simulated file system does what a real one does, and loses what a real one may lose."""

import errno
import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from random import Random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from otel_exporter_ndjson.fs import Fs, RealFs
from tests.otel_exporter_ndjson.simdisk import Disk, sampled, survivors
from tests.otel_exporter_ndjson.simfs import Short, SimFs

NAMES = st.sampled_from(["a", "b", "c"])
DATA = st.binary(max_size=40)
FILE = st.integers(0, 3)
CALLS = st.one_of(
    st.tuples(st.just("create"), NAMES),
    st.tuples(st.just("open"), NAMES, st.booleans()),
    st.tuples(st.just("make_dir"), NAMES),
    st.tuples(st.just("open_dir"), NAMES),
    st.tuples(st.just("link"), NAMES, NAMES),
    st.tuples(st.just("unlink"), NAMES),
    st.tuples(st.just("replace"), st.just("a"), NAMES),
    st.tuples(st.just("names")),
    st.tuples(st.just("status_at"), NAMES),
    st.tuples(st.just("write"), FILE, DATA),
    st.tuples(st.just("read"), FILE, st.integers(0, 50), st.integers(0, 50)),
    st.tuples(st.just("truncate"), FILE, st.integers(0, 60)),
    st.tuples(st.just("lock"), FILE),
    st.tuples(st.just("sync"), FILE),
    st.tuples(st.just("status"), FILE),
    st.tuples(st.just("close"), FILE),
)


class Player:
    """Does calls on a file system, on a folder of its own, and says what came of each."""

    def __init__(self, fs: Fs, path: str) -> None:
        self._fs = fs
        fs.make_root(f"{path}/x/y", 0o750)
        self._root = fs.open_root(f"{path}/x/y")
        self._open: list[int] = []

    def do(self, call: str, *arguments: object) -> object:
        """Return what a call returns, or the number of its error."""
        try:
            return self._do(call, list(arguments))
        except OSError as error:
            return errno.errorcode[error.errno or 0]

    def close(self) -> None:
        """Close all that is open."""
        for descriptor in [*self._open, self._root]:
            self._fs.close(descriptor)

    def _do(self, call: str, arguments: list[object]) -> object:
        method: Callable[..., object] = getattr(self._fs, call)
        if call in ("write", "read", "truncate", "lock", "sync", "status", "close"):
            return self._file(call, method, arguments)
        if call == "open":
            descriptor = self._fs.open(self._root, str(arguments[0]), write=bool(arguments[1]))
            self._open.append(descriptor)
            return "opened"
        if call in ("create", "make_dir"):
            arguments.append(0o640)
        result = method(self._root, *arguments)
        if call in ("create", "open_dir"):
            assert isinstance(result, int)
            self._open.append(result)
            return "opened"
        return _plain(result)

    def _file(self, call: str, method: Callable[..., object], arguments: list[object]) -> object:
        number = arguments.pop(0)
        assert isinstance(number, int)
        if number >= len(self._open):
            return None
        descriptor = self._open[number]
        if call == "close":
            del self._open[number]
        return _plain(method(descriptor, *arguments))


def _plain(result: object) -> object:
    """A status without what differs from disk to disk; a folder's size and links are its own."""
    regular = getattr(result, "regular", None)
    if regular is None:
        return result
    return (regular, *[getattr(result, name) for name in ("size", "links") if regular])


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(CALLS, max_size=25))
def test_it_answers_as_a_real_one(calls: list[tuple[str, object]]) -> None:
    """The same calls have the same results and errors as on a disk."""
    with tempfile.TemporaryDirectory() as folder:
        real, simulated = Player(RealFs(), folder), Player(SimFs(), "/sim")
        answers = [(call, real.do(*call), simulated.do(*call)) for call in calls]
        real.close()
        simulated.close()

    assert [each for each in answers if each[1] != each[2]] == []


@contextmanager
def a_file(fs: SimFs, name: str = "a") -> Iterator[tuple[int, int]]:
    root = fs.open_root("/")
    descriptor = fs.create(root, name, 0o640)
    yield root, descriptor
    fs.close(descriptor)
    fs.close(root)


def left(fs: SimFs) -> set[bytes | None]:
    return {each.contents().get("/a") for each in survivors(fs.disk)}


def test_what_was_not_synced_may_be_lost_in_every_way() -> None:
    """A name may be gone; bytes may be gone, cut short, zero, or there in some sectors only."""
    fs = SimFs()
    with a_file(fs) as (root, descriptor):
        fs.sync_dir(root)
        fs.write(descriptor, b"x" * 1024)
        found = left(fs)

    assert {b"", b"x", b"x" * 512, b"x" * 1024, bytes(1024)} <= found
    assert {b"x" * 512 + bytes(512), bytes(512) + b"x" * 512} <= found
    assert None not in found


def test_what_was_synced_is_there() -> None:
    """Bytes after `sync`, a name after `sync_dir`; neither stands for the other."""
    fs = SimFs()
    with a_file(fs) as (root, descriptor):
        fs.write(descriptor, b"kept")
        fs.sync(descriptor)
        without_name = left(fs)
        fs.sync_dir(root)

    assert without_name == {None, b"kept"}
    assert left(fs) == {b"kept"}


def test_names_persist_in_any_order() -> None:
    """Of a link and an unlink either one may be there without the other."""
    fs = SimFs()
    with a_file(fs) as (root, _):
        fs.sync_dir(root)
        fs.link(root, "a", "b")
        fs.unlink(root, "a")
    found = {tuple(sorted(each.contents())) for each in survivors(fs.disk)}

    assert found == {("/a",), ("/b",), ("/a", "/b"), ()}


def test_an_fsync_that_works_after_one_that_failed_proves_nothing() -> None:
    """The first one took the pages for clean; only what is written later is certain."""
    fs = SimFs(faults={("sync", 1): errno.EIO})
    with a_file(fs) as (root, descriptor):
        fs.sync_dir(root)
        fs.write(descriptor, b"a" * 512)
        with pytest.raises(OSError, match="Input/output"):
            fs.sync(descriptor)
        fs.write(descriptor, b"b" * 512)
        fs.sync(descriptor)
        found = left(fs)

    assert bytes(512) + b"b" * 512 in found
    assert all(data is not None and data.endswith(b"b" * 512) for data in found)


def test_the_manieth_call_fails_on_demand() -> None:
    """A write can be short, and an error comes once, with nothing done."""
    fs = SimFs(faults={("write", 1): Short(2), ("write", 2): errno.EIO}, room=6)
    with a_file(fs) as (_, descriptor):
        assert fs.write(descriptor, b"abcd") == 2
        with pytest.raises(OSError, match="Input/output"):
            fs.write(descriptor, b"cd")
        assert fs.write(descriptor, b"cdefgh") == 4
        with pytest.raises(OSError, match=os.strerror(errno.ENOSPC)):
            fs.write(descriptor, b"gh")

        assert fs.read(descriptor, 100, 0) == b"abcdef"


def test_a_lock_ends_with_its_process() -> None:
    """Who has it keeps others out; the next process on the same disk gets it."""
    fs = SimFs(Disk())
    with a_file(fs) as (root, descriptor):
        other = fs.open(root, "a")
        held = (fs.lock(descriptor), fs.lock(other))
        after = SimFs(fs.disk.copy())
        mine = after.open(after.open_root("/"), "a")

    assert held == (True, False)
    assert after.lock(mine)


@given(st.integers(0, 10**6))
@settings(max_examples=30)
def test_a_random_power_cut_is_one_of_all(seed: int) -> None:
    """What is drawn at random is among what may be left."""
    fs = SimFs()
    with a_file(fs) as (_, descriptor):
        fs.write(descriptor, b"one\ntwo\n")
        fs.sync(descriptor)
        fs.truncate(descriptor, 4)
        fs.link(fs.open_root("/"), "a", "b")
    every = [each.contents() for each in survivors(fs.disk)]

    assert sampled(fs.disk, Random(seed)).contents() in every
