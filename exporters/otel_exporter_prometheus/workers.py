"""What the processes of one service publish to each other: a file each, in a folder of theirs.

    <id>.alive    locked by its process as long as that lives
    <id>.page     what that process published last, replaced by rename
    folded.page   the counters and histograms of all that have ended, and which these are
    tree          the process tree that counts here (`service.process_tree`)
    join.lock     held while a process joins, or what is dead is folded or swept away

Nothing goes down: a page is made of what is in files, one's own included. Nothing is counted twice:
an ended process's numbers are in `folded.page` together with its id before its own file goes, and
who reads takes the files first and `folded.page` then. A process that was taken for dead, since
somebody removed its lock or closed its descriptor, goes on under a new id, without what was folded.
State is bounded by those that live, and by `SERIES_MAX` of a metric. A service that is started anew
where nobody of it lives counts from zero.

Used by one thread at a time, the page's, but for `after_fork`. Who may fold is `ownership.py`'s.
"""

import contextlib
import os
import random
import secrets
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Final, TypeVar

from otel_exporter_prometheus import snapshot
from otel_exporter_prometheus.merge import Dropped, Family, less, together
from otel_exporter_prometheus.points import Point
from otel_exporter_prometheus.service import is_under_way, process_tree
from otel_exporter_prometheus.state import FILE_MODE, Lock, lock, open_folder, state_folder
from otel_exporter_prometheus.tally import Tally

__all__ = ["SERIES_MAX", "Workers"]

SERIES_MAX: Final = 10_000
"""Series of one metric that are kept of ended processes; further ones go to one overflow series."""
FOLDED_IDS_S: Final = 60.0
"""An ended process's id is kept this long, for who read its file before it went."""
TOUCH_INTERVAL_S: Final = 3600.0
"""How often files are touched, so that what cleans `/tmp` by age leaves them."""
LOCK_TIMEOUT_S: Final = 2.0
LOCK_RETRY_S: Final = 0.005
"""How long a process waits to join while another does, and how often it looks."""
JOIN_ATTEMPTS: Final = 3
"""To join in a folder that is just being swept away."""
SWEPT_MAX: Final = 100
"""So many folders of other services are looked at, at most, for being swept away."""

_ALIVE: Final = ".alive"
_PAGE: Final = ".page"
_FOLDED: Final = "folded"
_NEW: Final = ".new"
_OVERFLOW: Final = 'otel_metric_overflow="true"'
Stamp = tuple[int, int, int]
Known = TypeVar("Known")


class Workers:
    """This process among those of its service.

    Args:
        folder: the name of the service's folder (`Service.folder`).
        errors: where what goes wrong is counted, as `publish`, `worker`, `fold`.
    """

    def __init__(self, folder: str, errors: Tally) -> None:
        self._name = folder
        self._errors = errors
        # A forked child is of its parent's tree, even of one that has ended.
        self._of_tree: str | None = None
        self._begin()

    def _begin(self) -> None:
        self._path = ""
        self._id = ""
        self._alive: Lock | None = None
        self._published = b""
        self._base: list[Family] = []  # what of this process is folded already
        self._read: dict[str, tuple[Stamp, list[Family]]] = {}
        self._folded: tuple[Stamp | None, snapshot.Folded] = (None, _nothing())
        self._touched_at = time.monotonic()
        self._replaceable = False  # by another process of its tree

    @property
    def joined(self) -> bool:
        """Whether this process is one of them."""
        return self._alive is not None

    def join(self) -> None:
        """Become one of the service's processes, again where this is taken for dead. Does nothing
        where this is one.

        Raises:
            StateError, OSError: the folder cannot be used.
        """
        for _ in range(JOIN_ATTEMPTS):
            if self._alive is not None and self._alive.is_held():
                return
            # A sweep may take the folder away just before it is locked.
            with contextlib.suppress(FileNotFoundError):
                self._join()
        if self._alive is None or not self._alive.is_held():
            raise FileNotFoundError(f"{self._path} is taken away again and again")

    def _join(self) -> None:
        self._path = open_folder(self._name)
        tree = process_tree()
        self._replaceable = tree.partition("-")[0] != str(os.getpid())
        with _locked(self._at("join.lock")):
            alone = not any(self._is_alive(each) for each in self._members())
            if alone and self._tree() not in (tree, self._of_tree):
                for name in os.listdir(self._path):
                    if name.endswith((_ALIVE, _PAGE, _NEW)):
                        os.unlink(self._at(name))
                _write(self._path, "tree", tree.encode())
            self._of_tree = self._tree()
            self.leave()
            if self._id in self._read_folded().folded:
                # What was published last, which is what was folded, is not to be shown again.
                known = snapshot.totals(snapshot.decode(self._published))
                self._base, _ = together([self._base, known], up=True)
                self._id, self._published = "", b""
            self._id = self._id or secrets.token_hex(8)
            self._alive = lock(self._at(self._id + _ALIVE))
        if alone:
            _sweep(except_for=self._name)

    def leave(self) -> None:
        """Be one no longer; what was published last is what counts."""
        if self._alive is not None:
            self._alive.release()
            self._alive = None

    def after_fork(self) -> None:
        """Let go, in a forked child, of what is the parent's; the child may join for itself."""
        if self._alive is not None:
            self._alive.close_copy()
        self._begin()

    def own(self, families: list[Family]) -> list[Family]:
        """Return of this process's families what is its own to publish and to show: without what
        was folded while it was taken for dead."""
        return less(families, self._base) if self._base else families

    def are_several(self) -> bool:
        """Tell whether there are others, alive or ended, beside this process, or may be soon: a
        worker is replaced by whoever started it."""
        if self._replaceable:
            return True
        names = os.listdir(self._path)
        own = (self._id + _ALIVE, self._id + _PAGE)
        return any(name.endswith((_ALIVE, _PAGE)) and name not in own for name in names)

    def publish(self, families: list[Family]) -> tuple[list[Family], list[Dropped]]:
        """Let the others have what this process shows; return that, and what they cannot have.

        Raises:
            OSError: the folder cannot be used, or its disk is full; they keep what they had.
        """
        for _ in range(JOIN_ATTEMPTS):
            self.join()
            own = self.own(families)
            published, dropped = snapshot.encode(own)
            path = self._at(self._id + _PAGE)
            # The folder may be taken away; then it is joined anew.
            with contextlib.suppress(FileNotFoundError):
                if published != self._published or not os.path.exists(path):
                    _write(self._path, self._id + _PAGE, published)
                self._published = published
                self._touch()
                return own, dropped
        raise FileNotFoundError(f"{self._path} is taken away again and again")

    def others(self) -> list[list[Family]]:
        """Return what the others published, each apart, and what ended ones left, last."""
        pages = {}
        for each in self._members():
            found = self._page_of(each)
            if found is not None:
                pages[each] = found
        self._read = {each: self._read[each] for each in pages}
        folded = self._read_folded()  # after the others, or what is folded just now were in neither
        return [
            *(found for each, found in pages.items() if each not in folded.folded),
            folded.shown(),
        ]

    def fold(self) -> None:
        """Add what ended processes counted to what is kept of them, and remove their files."""
        if all(map(self._is_alive, self._members())):
            return
        held = lock(self._at("join.lock"))
        if held is None:
            return  # the next time
        try:
            # Looked at again: who was joining just then looked dead, and holds this lock to join.
            self._fold([each for each in self._members() if not self._is_alive(each)])
        finally:
            held.release()

    def _fold(self, ended: Sequence[str]) -> None:
        folded = self._read_folded()
        new = {each: self._page_of(each) for each in ended if each not in folded.folded}
        pages = [snapshot.totals(found) for found in new.values() if found]
        if pages:
            families, dropped = together([folded.shown(), *pages], apart=True, up=True)
            self._errors.add_all("fold" for _ in dropped)
            now = time.time()
            ids = {
                each: at for each, at in folded.folded.items() if 0 <= now - at < FOLDED_IDS_S
            } | dict.fromkeys(new, now)
            kept = snapshot.encode_folded(ids, map(_bounded, families))
            _write(self._path, _FOLDED + _PAGE, kept)
        gone = tuple(f"{each}." for each in ended)
        for name in sorted(os.listdir(self._path), reverse=True):  # a page before its lock
            if name.startswith(gone) or (name.startswith(_FOLDED) and name.endswith(_NEW)):
                os.unlink(self._at(name))

    def _at(self, name: str) -> str:
        return os.path.join(self._path, name)

    def _members(self) -> list[str]:
        """Return the ids of the others, in an order that stays."""
        names = sorted(os.listdir(self._path))
        ids = [os.path.splitext(name)[0] for name in names if name.endswith((_ALIVE, _PAGE))]
        return [each for each in dict.fromkeys(ids) if each not in (self._id, _FOLDED)]

    def _is_alive(self, member: str) -> bool:
        held = lock(self._at(member + _ALIVE))
        if held is not None:
            held.release()
        return held is None

    def _tree(self) -> str:
        with (
            contextlib.suppress(FileNotFoundError),
            open(self._at("tree"), errors="replace") as file,
        ):
            return file.read()
        return ""

    def _page_of(self, member: str) -> list[Family] | None:
        """Return what a process published; None where that is nothing, or damaged."""
        try:
            stamp, content = _content(self._at(member + _PAGE), self._read.get(member))
            if isinstance(content, bytes):
                content = snapshot.decode(content)
        except FileNotFoundError:
            return None
        except ValueError:
            self._errors.add("worker")
            return None
        self._read[member] = (stamp, content)
        return content

    def _read_folded(self) -> snapshot.Folded:
        known_stamp, known = self._folded
        try:
            stamp, content = _content(
                self._at(_FOLDED + _PAGE), None if known_stamp is None else (known_stamp, known)
            )
            if isinstance(content, bytes):
                content = snapshot.decode_folded(content)
        except FileNotFoundError:
            return _nothing()
        except ValueError:
            self._errors.add("worker")
            return _nothing()
        self._folded = (stamp, content)
        return content

    def _touch(self) -> None:
        now = time.monotonic()
        if now - self._touched_at < TOUCH_INTERVAL_S:
            return
        self._touched_at = now
        for name in os.listdir(self._path):
            with contextlib.suppress(OSError):
                os.utime(self._at(name))


def _nothing() -> snapshot.Folded:
    return snapshot.Folded(folded={}, families=[])


def _bounded(family: Family) -> Family:
    """Return a family with at most `SERIES_MAX` series; the rest are added to the overflow."""
    if len(family.series) <= SERIES_MAX:
        return family
    series = list(family.series.items())
    kept: dict[str, Point] = dict(series[:SERIES_MAX])
    overflow = [replace(family, series={_OVERFLOW: point}) for _, point in series[SERIES_MAX:]]
    parts = [[replace(family, series=kept)], *([each] for each in overflow)]
    merged, _ = together(parts, up=True)
    return merged[0]


def _content(path: str, known: tuple[Stamp, Known] | None) -> tuple[Stamp, Known | bytes]:
    """Return a file's content, or what is known of it where it is still the same."""
    with open(path, "rb") as file:
        status = os.fstat(file.fileno())
        stamp = (status.st_ino, status.st_mtime_ns, status.st_size)
        if known is not None and known[0] == stamp:
            return known
        return stamp, file.read()


def _write(folder: str, name: str, content: bytes) -> None:
    """Put a file in place whole, or leave the one that is there."""
    made = os.path.join(folder, f"{name}.{secrets.token_hex(4)}{_NEW}")
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW
    try:
        with open(os.open(made, flags, FILE_MODE), "wb", buffering=0) as file:
            view = memoryview(content)
            while view:
                view = view[file.write(view) :]
        os.rename(made, os.path.join(folder, name))
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(made)
        raise


@contextlib.contextmanager
def _locked(path: str) -> Iterator[None]:
    """Hold the lock of a file, which others hold for moments only.

    Raises:
        TimeoutError: somebody holds it for too long, as a process that was stopped may.
    """
    deadline = time.monotonic() + LOCK_TIMEOUT_S
    while (held := lock(path)) is None:
        if time.monotonic() >= deadline:
            raise TimeoutError(f"{path} is held by a process that does not go on")
        time.sleep(LOCK_RETRY_S)
    try:
        yield
    finally:
        held.release()


def _sweep(*, except_for: str) -> None:
    """Remove folders of services of which nobody lives, and whose process tree has ended."""
    root = state_folder()
    names = os.listdir(root)
    for name in random.sample(names, min(len(names), SWEPT_MAX)):  # whichever: all in the end
        path = os.path.join(root, name)
        if name != except_for and os.path.isdir(path):
            with contextlib.suppress(OSError):
                _sweep_folder(path)


def _sweep_folder(path: str) -> None:
    held: list[Lock] = []
    try:
        # Who joins takes `join.lock` first; so nobody comes while the others are looked at.
        for name in ("join.lock", *os.listdir(path)):
            if name.endswith((_ALIVE, ".lock")) and (name != "join.lock" or not held):
                taken = lock(os.path.join(path, name))
                if taken is None:
                    return
                held.append(taken)
        with (
            contextlib.suppress(FileNotFoundError),
            open(os.path.join(path, "tree"), errors="replace") as file,
        ):
            if is_under_way(file.read()):
                return
        for name in sorted(os.listdir(path), key=lambda name: name == "join.lock"):
            os.unlink(os.path.join(path, name))
        os.rmdir(path)
    finally:
        for taken in held:
            taken.release()
