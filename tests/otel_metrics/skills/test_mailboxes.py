"""Decisions on their way from a command to the services that run."""

import multiprocessing
from collections import Counter
from multiprocessing.synchronize import Event
from pathlib import Path

import pytest

from otel_metrics.skills import mailboxes
from otel_metrics.skills.mailboxes import MAILBOX_BYTES_MAX, opened, post, take

POSTERS, TAKERS, EACH = 3, 2, 100


def test_each_service_gets_each_decision_once(tmp_path: Path) -> None:
    """Two of one name in other namespaces are two; what is taken is gone."""
    shop = opened(str(tmp_path), "shop", "")
    other = opened(str(tmp_path), "shop", "eu/west")
    posted = post(str(tmp_path), {"event_id": "a"})

    assert sorted(posted.taken) == sorted([shop, other])
    assert opened(str(tmp_path), "shop", "") == shop
    assert [take(shop), take(shop), take(other)] == [[{"event_id": "a"}], [], [{"event_id": "a"}]]


def test_without_a_service_there_is_nobody_to_tell(tmp_path: Path) -> None:
    """The folder stays as it is."""
    assert post(str(tmp_path), {"event_id": "a"}).taken == ()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["../../etc/passwd", "a/b", "ü" * 300, ".", ""])
def test_a_service_of_any_name_has_a_mailbox_in_the_folder(tmp_path: Path, name: str) -> None:
    """No other place, and no two names one."""
    path = Path(opened(str(tmp_path), name, ""))

    assert path.parent == tmp_path / mailboxes.FOLDER
    assert path.resolve().parent == path.parent
    assert opened(str(tmp_path), f"{name}x", "") != str(path)


def test_a_service_that_is_gone_gets_no_more_than_a_limit(tmp_path: Path) -> None:
    """Who posts is told; the others get theirs."""
    gone, shop = opened(str(tmp_path), "gone", ""), opened(str(tmp_path), "shop", "")
    Path(gone).write_bytes(b" " * MAILBOX_BYTES_MAX)

    posted = post(str(tmp_path), {"event_id": "a"})
    assert posted.taken == (shop,)
    assert posted.refused == {gone: "holds 1,048,576 bytes that its service has not taken"}


@pytest.mark.parametrize("content", ["", "{}\n"])
def test_a_link_in_place_of_a_mailbox_is_not_followed(tmp_path: Path, content: str) -> None:
    """Where it leads nothing is written, taken or emptied; who posts is told, others get theirs."""
    folder, target = str(tmp_path), tmp_path / "target"
    shop, other = opened(folder, "shop", ""), opened(folder, "other", "")
    target.write_text(content)
    Path(shop).unlink()
    Path(shop).symlink_to(target)

    posted = post(folder, {"event_id": "a"})
    assert posted.taken == (other,)
    assert posted.refused == {shop: "is a symbolic link; give the file itself"}
    for refused in (lambda: take(shop), lambda: opened(folder, "shop", "")):
        with pytest.raises(OSError, match="is a symbolic link"):
            refused()
    assert target.read_text() == content


@pytest.mark.parametrize("is_there", [True, False])
def test_a_link_in_place_of_their_folder_is_not_followed(tmp_path: Path, is_there: bool) -> None:
    """Where it leads nothing is made, written, taken or emptied, whether that is there or not."""
    folder, elsewhere = tmp_path / "metrics", tmp_path / "elsewhere"
    folder.mkdir()
    mailbox = opened(str(folder), "shop", "")
    post(str(folder), {"event_id": "a"})
    (folder / mailboxes.FOLDER).rename(elsewhere if is_there else tmp_path / "moved")
    (folder / mailboxes.FOLDER).symlink_to(elsewhere)
    before = [path.read_bytes() for path in elsewhere.glob("*")]

    for refused in (
        lambda: opened(str(folder), "other", ""),
        lambda: post(str(folder), {"event_id": "b"}),
        lambda: take(mailbox),
    ):
        with pytest.raises(OSError, match=r"\.services is a symbolic link; make it a folder"):
            refused()
    assert [path.read_bytes() for path in elsewhere.glob("*")] == before
    assert elsewhere.exists() == is_there


def _post(folder: str, poster: int) -> None:
    for number in range(EACH):
        post(folder, {"event_id": f"{poster}-{number}"})


def _take(path: str, done: Event, taken: "multiprocessing.Queue[str]") -> None:
    while True:
        ended = done.is_set()
        found = take(path)
        for decision in found:
            taken.put(decision["event_id"])
        if ended and not found:
            return


@pytest.mark.slow
def test_processes_that_post_and_take_at_once_lose_and_double_nothing(tmp_path: Path) -> None:
    """Each decision is taken by exactly one."""
    folder = str(tmp_path)
    path = opened(folder, "shop", "")
    context = multiprocessing.get_context("spawn")
    taken: multiprocessing.Queue[str] = context.Queue()
    done = context.Event()
    takers = [context.Process(target=_take, args=(path, done, taken)) for _ in range(TAKERS)]
    posters = [context.Process(target=_post, args=(folder, each)) for each in range(POSTERS)]
    for process in [*takers, *posters]:
        process.start()
    for process in posters:
        process.join()
    done.set()
    found = Counter(taken.get(timeout=30) for _ in range(POSTERS * EACH))
    for process in takers:
        process.join()

    wanted = {f"{poster}-{number}" for poster in range(POSTERS) for number in range(EACH)}
    assert found == Counter(wanted)
    assert taken.empty()
