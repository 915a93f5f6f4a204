"""A file system in memory that stands in for `RealFs`, keeps a log of what was done, and fails on
demand. What a power cut may leave of it says `simdisk`.

One of these is one process: its descriptors and locks end with it. The next process is another one
over a copy of the same disk, or over what a power cut left.
"""

import errno
import os
import stat
import threading
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import count
from typing import Final

from otel_exporter_ndjson.fs import Space, Status
from tests.otel_exporter_ndjson.simdisk import ROOT, Disk, File, Folder, Op

__all__ = ["Short", "SimFs"]

TOTAL_BYTES: Final = 2**40
_devices = count(1)


@dataclass(frozen=True, slots=True)
class Short:
    """A write that takes only so many bytes."""

    size: int


@dataclass(slots=True)
class _Open:
    node: int
    write: bool


class SimFs:
    """A process on a simulated disk. Thread-safe; see `Fs` for the methods.

    Args:
        disk: the disk; changed in place.
        faults: the error number, or a short write, by call and how manieth of its kind it is.
        room: how many bytes may still be written.
        clock: what changed files are dated with.

    Attributes:
        log: what was done that changes the disk, and what `told` was called with, in order.
    """

    def __init__(
        self,
        disk: Disk | None = None,
        *,
        faults: Mapping[tuple[str, int], int | Short] | None = None,
        room: int | None = None,
        clock: Callable[[], int] = lambda: 0,
    ) -> None:
        self.disk = disk or Disk()
        self.log: list[Op] = []
        self._faults = faults or {}
        self._room = room
        self._clock = clock
        self._device = next(_devices)
        self._calls: Counter[str] = Counter()
        self._lock = threading.RLock()
        self._open: dict[int, _Open] = {}
        self._locked: dict[int, int] = {}
        self._next = 3

    def told(self, what: str, numbers: frozenset[int]) -> None:
        """Note that a caller was told something of these records."""
        with self._lock:
            self.log.append(Op(what, numbers=numbers))

    def open_root(self, path: str) -> int:
        """See `Fs`."""
        with self._lock:
            node = self._at(path)
            if not isinstance(self.disk.nodes[node], Folder):
                raise _error(errno.ENOTDIR, path)
            return self._opened(node, write=False)

    def make_root(self, path: str, mode: int) -> None:
        """See `Fs`."""
        with self._lock:
            node = ROOT
            for name in _parts(path):
                if name not in self._names(node):
                    self._make("make_dir", node, name, mode)
                node = self._names(node)[name]

    def make_dir(self, parent: int, name: str, mode: int) -> None:
        """See `Fs`."""
        with self._lock:
            self._fault("make_dir")
            if name not in self._names(self._node(parent)):
                self._make("make_dir", self._node(parent), name, mode)

    def open_dir(self, parent: int, name: str) -> int:
        """See `Fs`."""
        with self._lock:
            node = self._named(parent, name)
            if not isinstance(self.disk.nodes[node], Folder):
                raise _error(errno.ENOTDIR, name)
            return self._opened(node, write=False)

    def names(self, directory: int) -> list[str]:
        """See `Fs`."""
        with self._lock:
            return sorted(self._names(self._node(directory)))

    def create(self, directory: int, name: str, mode: int) -> int:
        """See `Fs`."""
        with self._lock:
            self._fault("create")
            if name in self._names(self._node(directory)):
                raise _error(errno.EEXIST, name)
            return self._opened(self._make("create", self._node(directory), name, mode), write=True)

    def open(self, directory: int, name: str, *, write: bool = False) -> int:
        """See `Fs`."""
        with self._lock:
            self._fault("open")
            node = self._named(directory, name)
            if write and isinstance(self.disk.nodes[node], Folder):
                raise _error(errno.EISDIR, name)
            return self._opened(node, write=write)

    def status(self, descriptor: int) -> Status:
        """See `Fs`."""
        with self._lock:
            return self._status(self._node(descriptor))

    def status_at(self, directory: int, name: str) -> Status | None:
        """See `Fs`."""
        with self._lock:
            node = self._names(self._node(directory)).get(name)
            return None if node is None else self._status(node)

    def status_of(self, path: str) -> Status | None:
        """See `Fs`."""
        with self._lock:
            try:
                return self._status(self._at(path))
            except (FileNotFoundError, NotADirectoryError):
                return None

    def lock(self, descriptor: int) -> bool:
        """See `Fs`."""
        with self._lock:
            return self._locked.setdefault(self._node(descriptor), descriptor) == descriptor

    def write(self, descriptor: int, data: bytes | memoryview) -> int:
        """See `Fs`."""
        with self._lock:
            opened = self._of(descriptor)
            if not opened.write:
                raise _error(errno.EBADF)
            fault = self._fault("write")
            taken = bytes(data)[: fault.size if fault is not None else None]
            if self._room is not None:
                taken = taken[: self._room]
                self._room -= len(taken)
                if data and not taken:
                    raise _error(errno.ENOSPC)
            if taken:
                at = len(self.disk.file(opened.node).data)
                self._do(Op("write", opened.node, offset=at, data=taken, time_ns=self._clock()))
            return len(taken)

    def read(self, descriptor: int, size: int, offset: int) -> bytes:
        """See `Fs`."""
        with self._lock:
            self._fault("read")
            node = self.disk.nodes[self._node(descriptor)]
            if isinstance(node, Folder):
                raise _error(errno.EISDIR)
            return node.data[offset : offset + size]

    def truncate(self, descriptor: int, size: int) -> None:
        """See `Fs`."""
        with self._lock:
            opened = self._of(descriptor)
            if not opened.write:
                raise _error(errno.EINVAL)
            self._fault("truncate")
            if len(self.disk.file(opened.node).data) != size:
                self._do(Op("truncate", opened.node, offset=size, time_ns=self._clock()))

    def sync(self, descriptor: int) -> None:
        """See `Fs`."""
        self._sync("sync", descriptor)

    def sync_dir(self, directory: int) -> None:
        """See `Fs`."""
        self._sync("sync_dir", directory)

    def set_mode(self, descriptor: int, mode: int) -> None:
        """See `Fs`."""
        with self._lock:
            node = self.disk.nodes[self._node(descriptor)]
            node.mode = stat.S_IFMT(node.mode) | mode

    def set_owner(self, descriptor: int, uid: int, gid: int) -> None:
        """See `Fs`."""
        with self._lock:
            node = self.disk.nodes[self._node(descriptor)]
            node.uid, node.gid = uid, gid

    def link(self, directory: int, name: str, target: str) -> None:
        """See `Fs`."""
        with self._lock:
            self._fault("link")
            node = self._named(directory, name)
            if target in self._names(self._node(directory)):
                raise _error(errno.EEXIST, target)
            if isinstance(self.disk.nodes[node], Folder):
                raise _error(errno.EPERM, name)
            self._do(Op("link", self._node(directory), name, target, made=node))

    def unlink(self, directory: int, name: str) -> None:
        """See `Fs`."""
        with self._lock:
            self._fault("unlink")
            if isinstance(self.disk.nodes[self._named(directory, name)], Folder):
                raise _error(errno.EISDIR, name)
            self._do(Op("unlink", self._node(directory), name))

    def replace(self, directory: int, name: str, target: str) -> None:
        """See `Fs`."""
        with self._lock:
            self._fault("replace")
            node = self._named(directory, name)
            there = self._names(self._node(directory)).get(target)
            if there == node:
                return  # two names of one file stay as they are
            if there is not None:
                self._replaceable(node, there)
            self._do(Op("replace", self._node(directory), name, target))

    def reserve(self, descriptor: int, offset: int, size: int) -> None:
        """See `Fs`."""
        with self._lock:
            self._fault("reserve")
            if not self._of(descriptor).write:
                raise _error(errno.EBADF)
            behind = len(self.disk.file(self._node(descriptor)).data) - offset
            if self._room is not None and size - max(0, behind) > self._room:
                raise _error(errno.ENOSPC)

    def close(self, descriptor: int) -> None:
        """See `Fs`."""
        with self._lock:
            opened = self._open.pop(descriptor, None)
            if opened is None:
                raise _error(errno.EBADF)
            if self._locked.get(opened.node) == descriptor:
                del self._locked[opened.node]

    def space(self, directory: int) -> Space:
        """See `Fs`."""
        return Space(TOTAL_BYTES, TOTAL_BYTES)

    def kind(self, directory: int) -> str:
        """See `Fs`."""
        return "ext4"

    def uid(self) -> int:
        """See `Fs`."""
        return self.disk.uid

    @property
    def held(self) -> int:
        """How many files and folders are open."""
        return len(self._open)

    def _sync(self, call: str, descriptor: int) -> None:
        with self._lock:
            node = self._node(descriptor)
            try:
                self._fault(call)
            except OSError:
                self._do(Op(f"{call}_failed", node))
                raise
            self._do(Op(call, node))

    def _fault(self, call: str) -> Short | None:
        self._calls[call] += 1
        fault = self._faults.get((call, self._calls[call]))
        if isinstance(fault, int):
            raise _error(fault, call)
        return fault

    def _do(self, op: Op) -> None:
        self.disk.apply(op)
        self.log.append(op)

    def _make(self, call: str, parent: int, name: str, mode: int) -> int:
        made = self.disk.next
        self._do(Op(call, parent, name, made=made, mode=mode, time_ns=self._clock()))
        return made

    def _opened(self, node: int, *, write: bool) -> int:
        self._next += 1
        self._open[self._next] = _Open(node, write)
        return self._next

    def _of(self, descriptor: int) -> _Open:
        try:
            return self._open[descriptor]
        except KeyError:
            raise _error(errno.EBADF) from None

    def _node(self, descriptor: int) -> int:
        return self._of(descriptor).node

    def _names(self, node: int) -> dict[str, int]:
        folder = self.disk.nodes[node]
        if not isinstance(folder, Folder):
            raise _error(errno.ENOTDIR)
        return folder.names

    def _named(self, directory: int, name: str) -> int:
        try:
            return self._names(self._node(directory))[name]
        except KeyError:
            raise _error(errno.ENOENT, name) from None

    def _replaceable(self, node: int, there: int) -> None:
        folder = self.disk.nodes[there]
        if not isinstance(folder, Folder):
            if isinstance(self.disk.nodes[node], Folder):
                raise _error(errno.ENOTDIR)
        elif not isinstance(self.disk.nodes[node], Folder):
            raise _error(errno.EISDIR)
        elif folder.names:
            raise _error(errno.ENOTEMPTY)

    def _at(self, path: str) -> int:
        node = ROOT
        for name in _parts(path):
            names = self._names(node)
            if name not in names:
                raise _error(errno.ENOENT, path)
            node = names[name]
        return node

    def _status(self, number: int) -> Status:
        node = self.disk.nodes[number]
        return Status(
            device=self._device,
            inode=number,
            mode=node.mode,
            uid=node.uid,
            gid=node.gid,
            links=node.links,
            size=len(node.data) if isinstance(node, File) else 0,
            time_ns=node.time_ns,
        )


def _parts(path: str) -> list[str]:
    return [part for part in path.split("/") if part]


def _error(number: int, name: str | None = None) -> OSError:
    return OSError(number, os.strerror(number), name)
