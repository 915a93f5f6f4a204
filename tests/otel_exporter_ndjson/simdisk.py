"""A disk as a power cut sees it: what is there now, and what may be left of it.

Pure: operations in, disks out. Bytes that no fsync has covered may be kept as nothing, as a prefix,
as any of their sectors or as zeros; names that no fsync of their folder has covered in any order.
A failed fsync leaves its bytes to luck for ever, since the pages count as clean from then on. Names
are kept in a journal, which never forgets one because of an error.
"""

import stat
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from itertools import product
from random import Random
from typing import Final

__all__ = ["ROOT", "Disk", "File", "Folder", "Op", "sampled", "survivors"]

SECTOR: Final = 512
SECTORS_EACH_MAX: Final = 3
"""Up to so many sectors of one write every subset is tried, beyond that a few."""
ROOT: Final = 1
_FOREVER: Final = 2**62


@dataclass(frozen=True, slots=True)
class Op:
    """One thing that was done to a disk, or that a caller was told (`written`, `kept`).

    Attributes:
        call: as the method of `Fs` is called; `sync_failed` and `sync_dir_failed` for those.
        node: the file or folder that it was done to.
        made: the file or folder that got a name.
    """

    call: str
    node: int = 0
    name: str = ""
    target: str = ""
    made: int = 0
    mode: int = 0
    offset: int = 0
    data: bytes = b""
    time_ns: int = 0
    numbers: frozenset[int] = frozenset()

    def __str__(self) -> str:
        what = [str(part) for part in (self.node, self.name, self.target) if part]
        if self.call in ("write", "truncate"):
            what.append(f"{self.offset}+{len(self.data)}")
        return f"{self.call}({', '.join(what or map(str, sorted(self.numbers)))})"


@dataclass(frozen=True, slots=True)
class Write:
    """Bytes that were written; `clean` when a failed fsync took them for written.

    `lead` is what stood before them in their first sector, which is written with them.
    """

    offset: int
    data: bytes
    lead: bytes = b""
    safe: bool = False
    clean: bool = False

    def picks(self) -> list[tuple[str, int]]:
        """What may be left of it."""
        size, sectors = len(self.data), len(self._sectors())
        ends = [at + 1 for at, byte in enumerate(self.data[:-1]) if byte == 10]
        cuts = sorted({1, size // 2, size - 1, *ends} - {0, size})
        everything = 2**sectors - 1
        masks = (
            range(everything + 1)
            if sectors <= SECTORS_EACH_MAX
            else sorted({0, everything, *[everything ^ 2**n for n in range(sectors)]})
        )
        prefixes = [("prefix", cut) for cut in [0, size, *cuts]]
        return prefixes + [("sectors", mask) for mask in masks]

    def onto(self, data: bytearray, pick: tuple[str, int]) -> None:
        """Do to a file's bytes what is left of it."""
        kind, number = pick
        if kind == "prefix":
            self._put(data, 0, number)
            return
        end = self.offset + len(self.data)
        data.extend(bytes(max(0, end - len(data))))
        for at, (start, stop) in enumerate(self._sectors()):
            if number >> at & 1:
                self._put(data, start, stop)
        if number >> (len(self._sectors()) - 1):  # a sector is written with zeros behind the end
            behind = min(len(data), -(-end // SECTOR) * SECTOR)
            data[end:behind] = bytes(behind - end)

    def _put(self, data: bytearray, start: int, stop: int) -> None:
        if stop > start:
            data.extend(bytes(max(0, self.offset + start - len(data))))
            if start == 0:
                data[self.offset - len(self.lead) : self.offset] = self.lead
            data[self.offset + start : self.offset + stop] = self.data[start:stop]

    def _sectors(self) -> list[tuple[int, int]]:
        first = self.offset // SECTOR * SECTOR
        end = self.offset + len(self.data)
        return [
            (max(at, self.offset) - self.offset, min(at + SECTOR, end) - self.offset)
            for at in range(first, end, SECTOR)
        ]


@dataclass(frozen=True, slots=True)
class Cut:
    """A change of a file's size."""

    offset: int
    safe: bool = False
    clean: bool = False

    def picks(self) -> list[tuple[str, int]]:
        """What may be left of it."""
        return [("none", 0), ("all", 0)]

    def onto(self, data: bytearray, pick: tuple[str, int]) -> None:
        """Do to a file's bytes what is left of it."""
        if pick[0] == "all":
            data.extend(bytes(max(0, self.offset - len(data))))
            del data[self.offset :]


@dataclass(frozen=True, slots=True)
class Rename:
    """Names of a folder that were given or taken in one step; None takes one away."""

    names: Mapping[str, int | None]


_EVERYTHING: Final = {Write: ("prefix", _FOREVER), Cut: ("all", 0)}


@dataclass(slots=True, kw_only=True)
class File:
    """A file: its bytes now, and those that were certain before `changes`."""

    mode: int
    uid: int
    gid: int
    time_ns: int = 0
    links: int = 0
    data: bytes = b""
    kept: bytes = b""
    changes: list[Write | Cut] = field(default_factory=list)

    @property
    def firm(self) -> int:
        """Up to where its bytes are certain to survive."""
        return min([each.offset for each in self.changes if not each.safe], default=_FOREVER)

    def change(self, made: Write | Cut) -> None:
        """Do something to its bytes, which is not on the disk yet."""
        data = bytearray(self.data)
        if isinstance(made, Write):
            sector = made.offset // SECTOR * SECTOR
            made = replace(made, lead=self.data[sector : made.offset])
        made.onto(data, _EVERYTHING[type(made)])
        self.data = bytes(data)
        self.changes.append(made)

    def left(self, pick: Callable[[Write | Cut], tuple[str, int]]) -> bytes:
        """Return what is left of its bytes."""
        data = bytearray(self.kept)
        for each in self.changes:
            each.onto(data, _EVERYTHING[type(each)] if each.safe else pick(each))
        return bytes(data)

    def every(self) -> set[bytes]:
        """Return all that may be left of its bytes."""
        open_changes = [each for each in self.changes if not each.safe]
        found = set()
        for picks in product(*[each.picks() for each in open_changes]):
            chosen = iter(picks)
            found.add(self.left(lambda _, chosen=chosen: next(chosen)))  # type: ignore[misc] # bound now
        return found


@dataclass(slots=True, kw_only=True)
class Folder:
    """A folder: its names now, and those that were certain before `changes`."""

    mode: int
    uid: int
    gid: int
    time_ns: int = 0
    links: int = 2
    names: dict[str, int] = field(default_factory=dict)
    kept: dict[str, int] = field(default_factory=dict)
    changes: list[Rename] = field(default_factory=list)

    def change(self, made: Rename) -> None:
        """Give or take names, which is not on the disk yet."""
        _rename(self.names, made)
        self.changes.append(made)

    def left(self, keep: Callable[[Rename], bool]) -> dict[str, int]:
        """Return what is left of its names."""
        names = dict(self.kept)
        for each in self.changes:
            if keep(each):
                _rename(names, each)
        return names

    def every(self) -> list[dict[str, int]]:
        """Return all that may be left of its names."""
        found = {}
        for kept in product((False, True), repeat=len(self.changes)):
            chosen = iter(kept)
            names = self.left(lambda _, chosen=chosen: next(chosen))  # type: ignore[misc] # bound now
            found[tuple(sorted(names.items()))] = names
        return list(found.values())


def _rename(names: dict[str, int], made: Rename) -> None:
    for name, node in made.names.items():
        if node is None:
            names.pop(name, None)
        else:
            names[name] = node


class Disk:
    """Files and folders by number.

    Attributes:
        cut: whether the power ever failed.
        firm: by file name, up to where the bytes were certain at the power cuts that it survived.
    """

    def __init__(self, uid: int = 1000) -> None:
        self.uid = uid
        self.nodes: dict[int, File | Folder] = {
            ROOT: Folder(mode=stat.S_IFDIR | 0o755, uid=uid, gid=uid)
        }
        self.next = ROOT + 1
        self.cut = False
        self.firm: dict[str, int] = {}

    def copy(self) -> "Disk":
        """Return another that is as this one is now, unsynced bytes and names included."""
        made = Disk(self.uid)
        made.next, made.cut, made.firm = self.next, self.cut, dict(self.firm)
        for number, node in self.nodes.items():
            made.nodes[number] = (
                replace(node, changes=list(node.changes))
                if isinstance(node, File)
                else replace(
                    node, names=dict(node.names), kept=node.kept, changes=list(node.changes)
                )
            )
        return made

    def file(self, number: int) -> File:
        """Return a file."""
        node = self.nodes[number]
        assert isinstance(node, File)
        return node

    def folder(self, number: int) -> Folder:
        """Return a folder."""
        node = self.nodes[number]
        assert isinstance(node, Folder)
        return node

    def apply(self, op: Op) -> None:
        """Do an operation that is possible; whoever calls has looked."""
        match op.call:
            case "make_dir" | "create":
                self._make(op)
            case "link":
                self.folder(op.node).change(Rename({op.target: op.made}))
                self.nodes[op.made].links += 1
            case "unlink":
                self.nodes[self.folder(op.node).names[op.name]].links -= 1
                self.folder(op.node).change(Rename({op.name: None}))
            case "replace":
                names = self.folder(op.node).names
                if op.target in names:
                    self.nodes[names[op.target]].links -= 1
                moved = Rename({op.name: None, op.target: names[op.name]})
                self.folder(op.node).change(moved)
            case "write" | "truncate":
                made = Write(op.offset, op.data) if op.call == "write" else Cut(op.offset)
                self.file(op.node).change(made)
                self.nodes[op.node].time_ns = op.time_ns
            case "sync" | "sync_dir":
                self._synced(self.nodes[op.node])
            case "sync_failed":
                self._failed(self.file(op.node))

    def contents(self) -> dict[str, bytes]:
        """Return every file's bytes by its path."""
        found: dict[str, bytes] = {}

        def walk(folder: Folder, path: str) -> None:
            for name, number in folder.names.items():
                node = self.nodes[number]
                if isinstance(node, File):
                    found[f"{path}/{name}"] = node.data
                else:
                    walk(node, f"{path}/{name}")

        walk(self.folder(ROOT), "")
        return found

    def _make(self, op: Op) -> None:
        self.next = max(self.next, op.made + 1)
        made: File | Folder
        if op.call == "make_dir":
            mode = stat.S_IFDIR | op.mode
            made = Folder(mode=mode, uid=self.uid, gid=self.uid, time_ns=op.time_ns)
        else:
            mode = stat.S_IFREG | op.mode
            made = File(mode=mode, uid=self.uid, gid=self.uid, time_ns=op.time_ns, links=1)
        self.nodes[op.made] = made
        self.folder(op.node).change(Rename({op.name: op.made}))

    @staticmethod
    def _synced(node: File | Folder) -> None:
        """Make certain what no failed fsync has taken for certain before."""
        if isinstance(node, Folder):
            node.changes.clear()
            node.kept = dict(node.names)
        elif any(each.clean for each in node.changes):
            node.changes = [
                each if each.clean else replace(each, safe=True) for each in node.changes
            ]
        else:
            node.changes.clear()
            node.kept = node.data

    @staticmethod
    def _failed(node: File) -> None:
        node.changes = [each if each.safe else replace(each, clean=True) for each in node.changes]


def survivors(disk: Disk) -> Iterator[Disk]:
    """Return every disk that a power cut may leave, each once."""
    for left in _worlds(disk, [ROOT]):
        yield _survivor(disk, left)


def sampled(disk: Disk, random: Random) -> Disk:
    """Return one disk that a power cut may leave; nothing and all of it come often."""
    mood = random.choice(("none", "all", "any", "any", "names", "bytes"))

    def keep(_: Rename) -> bool:
        return mood in ("all", "names") or (mood in ("any", "bytes") and random.random() < 0.5)

    def pick(change: Write | Cut) -> tuple[str, int]:
        if mood in ("all", "none"):
            return change.picks()[mood == "all"]
        if isinstance(change, Write) and random.random() < 0.3:
            return ("prefix", random.randint(0, len(change.data)))
        return random.choice(change.picks())

    left: dict[int, bytes | dict[str, int]] = {}
    todo = [ROOT]
    while todo:
        number = todo.pop()
        node = disk.nodes[number]
        if number not in left:
            left[number] = names = node.left(keep) if isinstance(node, Folder) else node.left(pick)
            todo += list(names.values()) if isinstance(names, dict) else []
    return _survivor(disk, left)


def _worlds(disk: Disk, todo: list[int]) -> Iterator[dict[int, bytes | dict[str, int]]]:
    if not todo:
        yield {}
        return
    number, rest = todo[0], todo[1:]
    node = disk.nodes[number]
    for left in node.every():
        more = (
            [each for each in left.values() if each not in rest] if isinstance(left, dict) else []
        )
        for others in _worlds(disk, [*rest, *dict.fromkeys(more)]):
            yield {number: left, **others}


def _survivor(disk: Disk, left: Mapping[int, bytes | dict[str, int]]) -> Disk:
    made = Disk(disk.uid)
    made.nodes.clear()
    made.next, made.cut, made.firm = disk.next, True, dict(disk.firm)
    for number, content in left.items():
        node = disk.nodes[number]
        if isinstance(content, bytes):
            assert isinstance(node, File)
            made.nodes[number] = replace(node, data=content, kept=content, changes=[], links=0)
        else:
            assert isinstance(node, Folder)
            made.nodes[number] = replace(node, names=content, kept=dict(content), changes=[])
    for content in left.values():
        for name, number in content.items() if isinstance(content, dict) else ():
            if isinstance(node := made.nodes[number], File):
                node.links += 1
                made.firm[name] = min(disk.file(number).firm, made.firm.get(name, _FOREVER))
    return made
