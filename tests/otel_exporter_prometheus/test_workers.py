"""What processes of one service publish to each other: whole, once, and bounded by who lives."""

import os
import random
import secrets
import shutil
import signal
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from otel_exporter_prometheus import workers as module
from otel_exporter_prometheus.errors import StateError
from otel_exporter_prometheus.merge import Family, together
from otel_exporter_prometheus.points import Buckets, Number, Point
from otel_exporter_prometheus.state import lock, state_folder
from otel_exporter_prometheus.tally import Tally
from otel_exporter_prometheus.workers import Workers

DEADLINE_S = 20.0
KILLS = 150


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder of a service that no other test has, gone after the test."""
    path = Path(state_folder()) / f"test-{secrets.token_hex(8)}"
    yield path
    shutil.rmtree(path, ignore_errors=True)


@pytest.fixture
def errors() -> Tally:
    """Where what goes wrong is counted."""
    return Tally()


@pytest.fixture
def worker(folder: Path, errors: Tally) -> Iterator[Callable[[], Workers]]:
    """Join as one more process of the service; all leave after the test."""
    joined: list[Workers] = []

    def join() -> Workers:
        one = Workers(folder.name, errors)
        one.join()
        joined.append(one)
        return one

    yield join
    for one in joined:
        one.leave()


def counter(value: float, labels: str = "", *, name: str = "c_total") -> Family:
    return Family(
        name=name,
        kind="counter",
        unit="",
        description="",
        source=(name, "counter"),
        rule="sum",
        series={labels: Number(value)},
    )


def gauge(value: float) -> Family:
    return Family(
        name="g",
        kind="gauge",
        unit="",
        description="",
        source=("g", "gauge"),
        rule="sum",
        series={"": Number(value, 1)},
    )


def seen(by: Workers) -> dict[str, Point]:
    """Return what one process sees of all others, by family and labels."""
    return {
        family.name + labels: point
        for family in together(by.others())[0]
        for labels, point in family.series.items()
    }


def test_a_process_sees_what_the_others_published(worker: Callable[[], Workers]) -> None:
    """Their numbers together, without its own."""
    me, one, two = worker(), worker(), worker()
    me.publish([counter(100)])
    one.publish([counter(1), gauge(3)])
    two.publish([counter(10), gauge(4)])

    assert seen(me) == {"c_total": Number(11), "g": Number(7, 1)}


def test_what_is_published_again_replaces_what_was(worker: Callable[[], Workers]) -> None:
    """A page is the newest of each process."""
    me, one = worker(), worker()
    for value in range(5):
        one.publish([counter(value)])
        assert seen(me) == {"c_total": Number(value)}


def test_counters_outlive_their_process_and_gauges_do_not(worker: Callable[[], Workers]) -> None:
    """A worker that ended counted what it counted; it has no queue any more."""
    me, one = worker(), worker()
    one.publish([counter(7), gauge(3)])
    one.leave()

    me.fold()

    assert seen(me) == {"c_total": Number(7)}
    me.fold()
    assert seen(me) == {"c_total": Number(7)}


def test_an_ended_process_counts_before_it_is_folded(worker: Callable[[], Workers]) -> None:
    """Nothing goes down between its end and the next fold."""
    me, one = worker(), worker()
    one.publish([counter(7)])
    one.leave()

    assert seen(me) == {"c_total": Number(7)}


def test_a_page_that_outlives_its_folding_is_not_counted_again(
    worker: Callable[[], Workers], folder: Path
) -> None:
    """Who folds may be killed between writing the sum and removing what is in it."""
    me, one = worker(), worker()
    one.publish([counter(7)])
    kept = {path: path.read_bytes() for path in folder.glob("*.page")}
    one.leave()
    me.fold()
    for path, content in kept.items():
        path.write_bytes(content)

    assert seen(me) == {"c_total": Number(7)}
    me.fold()
    assert seen(me) == {"c_total": Number(7)}
    assert [path.name for path in folder.glob("*.page")] == ["folded.page"]


def test_the_folder_holds_two_files_for_each_that_lives(
    worker: Callable[[], Workers], folder: Path
) -> None:
    """A hundred ended workers leave one file, and that does not grow with them."""
    me = worker()
    me.publish([counter(1)])
    sizes = []
    for _ in range(100):
        one = worker()
        one.publish([counter(1)])
        one.leave()
        me.fold()
        sizes.append(sum(path.stat().st_size for path in folder.iterdir()))

    names = sorted(path.name for path in folder.iterdir())
    assert len(names) == 5, names  # mine: .alive and .page; folded.page, join.lock, tree
    assert seen(me) == {"c_total": Number(100)}
    assert max(sizes) < 100 * 40  # the ids of the last minute, and one family


def test_series_of_the_dead_are_bounded(
    worker: Callable[[], Workers], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A label that names the process makes new series for ever; their sum stays right."""
    monkeypatch.setattr(module, "SERIES_MAX", 3)
    me = worker()
    for number in range(5):
        one = worker()
        one.publish([counter(1, f'pid="{number}"')])
        one.leave()
        me.fold()

    assert seen(me) == {
        'c_totalpid="0"': Number(1),
        'c_totalpid="1"': Number(1),
        'c_totalpid="2"': Number(1),
        'c_totalotel_metric_overflow="true"': Number(2),
    }


def test_a_new_run_starts_from_zero(worker: Callable[[], Workers], folder: Path) -> None:
    """What a run of yesterday counted is not today's."""
    one = worker()
    one.publish([counter(7)])
    one.leave()
    (folder / "tree").write_text("1-1")

    assert seen(worker()) == {}


def test_a_worker_that_replaces_the_only_one_goes_on(worker: Callable[[], Workers]) -> None:
    """Of the same run: a server with one worker that is exchanged after so many requests."""
    one = worker()
    one.publish([counter(7)])
    one.leave()

    assert seen(worker()) == {"c_total": Number(7)}


def test_a_second_run_joins_the_first_while_that_lives(
    worker: Callable[[], Workers], folder: Path
) -> None:
    """A service that is started anew before the old one has ended shows both."""
    one = worker()
    one.publish([counter(7)])
    (folder / "tree").write_text("1-1")

    assert seen(worker()) == {"c_total": Number(7)}


@pytest.mark.parametrize("content", [b"", b"\xff\x00damaged", b"\x90"])
def test_a_damaged_page_costs_only_itself(
    worker: Callable[[], Workers], folder: Path, errors: Tally, content: bytes
) -> None:
    """It is counted, and the others are shown."""
    me, one, two = worker(), worker(), worker()
    for each in (one, two):
        each.publish([counter(5)])
    next(folder.glob("*.page")).write_bytes(content)

    assert seen(me) == {"c_total": Number(5)}
    assert errors.counts() == ({} if content == b"\x90" else {"worker": 1})  # \x90: none


def test_a_folder_that_is_taken_away_is_made_again(
    worker: Callable[[], Workers], folder: Path
) -> None:
    """What cleans /tmp may take it."""
    me, one = worker(), worker()
    one.publish([counter(5)])
    shutil.rmtree(folder)

    one.publish([counter(6)])
    me.leave()
    me.join()

    assert seen(me) == {"c_total": Number(6)}


def test_a_folder_of_a_stranger_is_refused(folder: Path) -> None:
    """Whoever owns it could show us any number."""
    if os.getuid() != 0:
        pytest.skip("only root can give a folder to somebody else")
    folder.mkdir(mode=0o700)
    os.chown(folder, 12345, 12345)

    with pytest.raises(StateError, match="belongs to user 12345, not to 0; remove it"):
        Workers(folder.name, Tally()).join()


def test_a_link_in_place_of_a_folder_is_refused(folder: Path, tmp_path: Path) -> None:
    """It may lead anywhere."""
    folder.symlink_to(tmp_path)

    with pytest.raises(StateError, match="is no folder; remove it"):
        Workers(folder.name, Tally()).join()
    folder.unlink()


def test_files_are_this_users_alone(worker: Callable[[], Workers], folder: Path) -> None:
    """Whatever the umask is."""
    mask = os.umask(0)
    try:
        worker().publish([counter(5)])
    finally:
        os.umask(mask)

    assert folder.stat().st_mode & 0o777 == 0o700
    assert {path.stat().st_mode & 0o777 for path in folder.iterdir()} == {0o600}


def test_folders_of_runs_that_are_over_are_swept_away(
    worker: Callable[[], Workers], folder: Path
) -> None:
    """A service without a name has a new folder for each run; they do not pile up."""
    old = folder.with_name(folder.name + "-old")
    one = Workers(old.name, Tally())
    one.join()
    one.publish([counter(1)])
    (old / "tree").write_text("1-1")
    worker().leave()
    assert old.exists()  # somebody lives there

    one.leave()
    (folder / "tree").write_text("")
    worker()

    assert not old.exists()


def test_a_forked_child_holds_nothing_of_its_parent(
    worker: Callable[[], Workers], folder: Path
) -> None:
    """The parent's end shows at once, though its child lives on."""
    me, parent = worker(), worker()
    parent.publish([counter(7), gauge(1)])
    ready, told = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            parent.after_fork()
            me.after_fork()
            os.write(told, b".")
            threading.Event().wait(DEADLINE_S)
        finally:
            os._exit(1)
    try:
        os.read(ready, 1)
        parent.leave()
        me.fold()

        assert seen(me) == {"c_total": Number(7)}
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        os.close(ready)
        os.close(told)


@pytest.mark.slow
def test_no_number_goes_down_while_workers_are_killed(
    worker: Callable[[], Workers], folder: Path
) -> None:
    """Real processes publish a rising counter and are killed at random moments; what each had
    published is there for good, and is there once."""
    chance = random.Random(7)  # repeatable
    me = worker()
    published = 0
    before = 0.0
    for _ in range(KILLS):
        child, acknowledged = _start(folder.name)
        pause = threading.Event()
        pause.wait(chance.uniform(0, 0.02))
        before = _not_lower(me, before)
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        published += _last(acknowledged)
        if chance.random() < 0.5:
            me.fold()
        before = _not_lower(me, before)
        assert published <= before <= published + 1 + KILLS  # the last one may be unacknowledged
    me.fold()

    assert _not_lower(me, before) == before
    assert len(list(folder.iterdir())) <= 5


def _not_lower(me: Workers, before: float) -> float:
    point = seen(me).get("c_total", Number(0))
    assert isinstance(point, Number)
    assert point.value >= before
    return point.value


def _start(name: str) -> tuple[int, int]:
    """Start a process that publishes 1, 2, 3 …, and says so after each."""
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            one = Workers(name, Tally())
            for value in range(1, 10**6):
                one.publish([counter(value), gauge(value)])
                os.write(write, b".")
        finally:
            os._exit(1)
    os.close(write)
    return child, read


def _last(acknowledged: int) -> int:
    count = 0
    while more := os.read(acknowledged, 65536):
        count += len(more)
    os.close(acknowledged)
    return count


def test_who_was_taken_for_dead_is_counted_once(
    worker: Callable[[], Workers], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Somebody removed the lock of a process that lives: what was folded of it is not shown again
    by itself, also when nobody remembers its old id any more."""
    monkeypatch.setattr(module, "FOLDED_IDS_S", -1.0)
    me, one = worker(), worker()
    for value in (7, 10, 12):
        one.publish([counter(value), gauge(value)])
        for path in folder.glob("*.alive"):
            path.unlink()
        me.join()
        me.fold()

        assert seen(me)["c_total"] == Number(value)
        one.publish([counter(value + 1), gauge(3)])
        assert seen(me) == {"c_total": Number(value + 1), "g": Number(3, 1)}
        assert len(list(folder.glob("*.alive"))) == 2


def test_a_process_that_is_joining_is_not_folded(
    worker: Callable[[], Workers], folder: Path
) -> None:
    """Between the making of its lock's file and the locking it looks dead."""
    me = worker()
    me.publish([counter(1)])
    joining = lock(str(folder / "join.lock"))
    assert joining is not None
    (folder / "0123456789abcdef.alive").touch()

    me.fold()

    assert (folder / "0123456789abcdef.alive").exists()
    joining.release()
    me.fold()
    assert not (folder / "0123456789abcdef.alive").exists()


def test_two_forms_of_a_metric_are_kept_apart(worker: Callable[[], Workers]) -> None:
    """Workers of an old and a new release end: neither takes the other's counts away."""
    me = worker()
    for bounds in ((1.0, 2.0), (1.0, 2.0, 5.0), (1.0, 2.0), (1.0, 2.0, 5.0)):
        one = worker()
        one.publish([histogram(bounds)])
        one.leave()
        me.fold()

    kept = {family.bounds: family.series[""] for part in me.others() for family in part}
    assert kept == {
        (1.0, 2.0): Buckets([2, 2, 2], 4.0),
        (1.0, 2.0, 5.0): Buckets([2, 2, 2, 2], 4.0),
    }


def test_sums_beyond_64_bits_are_kept(worker: Callable[[], Workers]) -> None:
    """As floats: three ended workers whose counters add up to more."""
    me = worker()
    for _ in range(3):
        one = worker()
        one.publish([counter(2**63 - 1)])
        one.leave()
        me.fold()

    point = seen(me)["c_total"]
    assert isinstance(point, Number)
    assert point.value == pytest.approx(3 * 2**63)


def test_buckets_that_do_not_fit_are_damage(
    worker: Callable[[], Workers], folder: Path, errors: Tally
) -> None:
    """Whoever wrote them: they are counted, and never added up."""
    me, one, two = worker(), worker(), worker()
    family = histogram((1.0,))
    family.series[""] = Buckets([1, 2, 3, 4], 1.0)
    one.publish([family])
    two.publish([counter(5)])

    assert seen(me) == {"c_total": Number(5)}
    assert errors.counts() == {"worker": 1}


def test_a_lone_worker_publishes_for_who_replaces_it(worker: Callable[[], Workers]) -> None:
    """A process that another program started and forked may be replaced, and says what it has."""
    me = worker()
    child = os.fork()
    if child == 0:
        me.after_fork()
        alone = Workers(f"test-{secrets.token_hex(8)}", Tally())
        alone.join()
        several = alone.are_several()
        alone.leave()
        os._exit(0 if several else 1)

    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert not me.are_several()


def histogram(bounds: tuple[float, ...]) -> Family:
    return Family(
        name="h",
        kind="histogram",
        unit="",
        description="",
        source=("h", "histogram"),
        rule="sum",
        bounds=bounds,
        series={"": Buckets([1] * (len(bounds) + 1), 2.0)},
    )
