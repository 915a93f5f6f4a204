"""One segment, looked at from its first byte to its last: what its own hashes say of it.

Nothing is written, and no lock is held for longer than it takes to see whether somebody has it. A
segment that changes while it is read, because its writer seals it, say, is read again.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Final, Literal

from otel_exporter_ndjson import DamagedError, Segment
from otel_exporter_ndjson.files import LINE_BYTES_MAX
from otel_exporter_ndjson.folders import opened
from otel_exporter_ndjson.frames import Trailed, inflate
from otel_exporter_ndjson.fs import Fs, Status
from otel_exporter_ndjson.scan import Damage, Scan
from otel_exporter_ndjson.sealing import chunks_of
from otel_metrics.archive.problems import Kind, Problem

__all__ = ["Inspected", "State", "inspect"]

READS_MAX: Final = 4
"""How often a segment is read that changes meanwhile; then it is told as it was last seen."""

_CHANGED: Final = "its bytes were changed: the hash behind the zstd frame differs"

State = Literal["sealed", "open", "unsealed", "gone", "unreadable"]


@dataclass(slots=True, kw_only=True)
class Inspected:
    """What one segment's bytes say.

    Attributes:
        state: `sealed`, also where it is damaged before its seal; `open` while its writer lives;
            `unsealed` after that died; `gone` when it was removed meanwhile.
        scan: its lines, up to the last that says something.
        size: bytes of its file.
        torn: bytes behind the last whole line of a segment without a seal.
        compressed, plain: the forms in which it is there.
        renamed: whether its first line is that of another file: it stands where that of its name
            was, and that one is missing.
        alien: whether its first line names another archive.
        signed: whether one of the keys signed its seal; `vouched`: none did, and a checkpoint that
            one of them signed names its hash.
    """

    segment: Segment
    state: State
    scan: Scan = field(default_factory=Scan)
    size: int = 0
    torn: int = 0
    compressed: bool = False
    plain: bool = False
    renamed: bool = False
    alien: bool = False
    signed: bool = False
    vouched: bool = False
    problems: list[Problem] = field(default_factory=list)

    @property
    def sound(self) -> bool:
        """Whether nothing speaks against its bytes."""
        return not any(problem.verdict == "integrity" for problem in self.problems)

    @property
    def recovered(self) -> bool:
        """Whether a recovery sealed it, and not its own writer."""
        return (self.scan.seal or {}).get("recovered") is True

    @property
    def own_seal(self) -> bool:
        """Whether its own writer sealed it."""
        return self.state == "sealed" and self.scan.seal is not None and not self.recovered

    @property
    def replaces(self) -> str | None:
        """The hash of the segment in whose place it stands, or None."""
        said = (self.scan.head or {}).get("replaces")
        sha256 = said.get("sha256") if isinstance(said, dict) else None
        return sha256 if isinstance(sha256, str) else None

    def add(
        self, kind: Kind, message: str, *, damage: Damage | None = None, path: str | None = None
    ) -> None:
        """Add a finding that speaks against the bytes."""
        self.problems.append(
            Problem(
                verdict="integrity",
                kind=kind,
                message=message,
                path=path or self.segment.path,
                segment=self.segment,
                line=0 if damage is None else damage.line,
                start=None if damage is None else damage.start,
                end=None if damage is None else damage.end,
            )
        )


def inspect(
    fs: Fs,
    segment: Segment,
    *,
    mark: int | None = None,
    progress: Callable[[int], None] | None = None,
) -> Inspected:
    """Read a segment and check every hash in it. Never raises for what a file holds.

    Args:
        mark: at how many bytes to note the hash of what is before, in `scan.marked`.
        progress: told how many bytes of the file have been read since it was last told.
    """
    tell = progress or _silent
    for _ in range(READS_MAX):
        before = _look(fs, segment)
        found = _inspected(fs, segment, before, mark, tell)
        if found.state in ("gone", "unreadable"):
            if _look(fs, segment).gone or found.state == "unreadable":
                return found
            continue
        after = _look(fs, segment)
        if found.state != "sealed" and before.locked and after.locked:
            found.state = "open"
            return found
        if (found.state == "sealed" and found.sound) or before == after:
            return found
    return found


def _silent(_size: int) -> None:
    """Nobody wants to know."""


@dataclass(frozen=True, slots=True)
class _Look:
    """The two forms of a segment as they are now, and whether a writer has it."""

    plain: Status | None
    packed: Status | None
    locked: bool

    @property
    def gone(self) -> bool:
        return self.plain is None and self.packed is None


def _look(fs: Fs, segment: Segment) -> _Look:
    try:
        with opened(fs, fs.open_root(segment.folder)) as directory:
            plain = fs.status_at(directory, segment.name)
            locked = plain is not None and plain.regular and _is_locked(fs, directory, segment.name)
            return _Look(plain, fs.status_at(directory, f"{segment.name}.zst"), locked)
    except OSError:
        return _Look(None, None, locked=False)


def _is_locked(fs: Fs, directory: int, name: str) -> bool:
    try:
        with opened(fs, fs.open(directory, name)) as descriptor:
            return not fs.lock(descriptor)
    except OSError:
        return False


def _inspected(
    fs: Fs, segment: Segment, look: _Look, mark: int | None, tell: Callable[[int], None]
) -> Inspected:
    found = Inspected(
        segment=segment,
        state="unsealed",
        plain=look.plain is not None,
        compressed=look.packed is not None,
    )
    try:
        with opened(fs, fs.open_root(segment.folder)) as directory:
            forms = [(segment.name, found.plain), (f"{segment.name}.zst", found.compressed)]
            scans = [
                _scanned(fs, directory, name, found, mark, tell) for name, there in forms if there
            ]
    except FileNotFoundError:
        found.state = "gone"
        return found
    except OSError as error:
        found.add("unreadable", f"cannot be read: {error.strerror or error}")
        found.state = "unreadable"
        return found
    if not scans:
        found.state = "gone"
        return found
    found.scan = scans[0]
    found.state = "sealed" if scans[0].seal is not None or not found.plain else "unsealed"
    if found.plain and found.compressed and scans[0].sha256 != scans[1].sha256:
        found.add("two_forms", "its compressed form holds something else than the plain one")
    return found


def _scanned(
    fs: Fs,
    directory: int,
    name: str,
    found: Inspected,
    mark: int | None,
    tell: Callable[[int], None],
) -> Scan:
    """Go over one form of a segment, and add what is amiss with it."""
    path = f"{found.segment.folder}/{name}"
    packed = name.endswith(".zst")
    scan = Scan(mark)
    lines = _Lines(scan)
    with opened(fs, fs.open(directory, name)) as descriptor:
        facts = fs.status(descriptor)
        found.size += facts.size
        if not facts.regular:
            found.add("foreign", "is no plain file", path=path)
            return scan
        chunks = _told(chunks_of(fs, descriptor, facts.size), tell)
        trailed = Trailed(chunks)
        try:
            for chunk in inflate(trailed) if packed else chunks:
                lines.feed(chunk)
            if packed and not trailed.holds():
                found.add("damage", _CHANGED, path=path)
        except DamagedError as error:
            changed = not trailed.holds() and trailed.is_there()
            found.add("damage", _CHANGED if changed else str(error), path=path)
    lines.close(sealed=packed)
    _add_damages(found, scan, path, packed=packed, torn=lines.torn)
    return scan


def _add_damages(found: Inspected, scan: Scan, path: str, *, packed: bool, torn: int) -> None:
    """Take what the lines show; behind the last good line of an unsealed segment is a torn tail."""
    sealed = packed or scan.seal is not None
    for damage in scan.damages if scan.lines or not found.problems else ():
        if sealed or damage.start < scan.good_bytes:
            found.add("damage", damage.message, damage=damage, path=path)
    if scan.left_out:
        found.add("damage", f"{scan.left_out} more lines do not hold", path=path)
    if packed and not scan.sealed and not found.problems:
        found.add("damage", "is compressed and has no seal as its last line", path=path)
    if not sealed:
        found.torn = scan.bytes - scan.good_bytes + torn


def _told(chunks: Iterator[bytes], tell: Callable[[int], None]) -> Iterator[bytes]:
    for chunk in chunks:
        tell(len(chunk))
        yield chunk


class _Lines:
    """Cuts chunks into blocks of whole lines for a scan; holds no more than one line too many."""

    def __init__(self, scan: Scan) -> None:
        self._scan = scan
        self._rest = b""
        self._long = 0
        self.torn = 0

    def feed(self, chunk: bytes) -> None:
        """Take the next bytes."""
        if self._long:
            end = chunk.find(b"\n") + 1
            self._skip(chunk[:end] if end else chunk, ends=end > 0)
            chunk = chunk[end:] if end else b""
        end = chunk.rfind(b"\n") + 1
        if end:
            self._scan.feed_block(self._rest + chunk[:end])
            self._rest = chunk[end:]
        else:
            self._rest += chunk
        if len(self._rest) > LINE_BYTES_MAX:
            rest, self._rest = self._rest, b""
            self._skip(rest, ends=False)

    def close(self, *, sealed: bool) -> None:
        """Say that there is no more; what is no whole line is torn, or damage behind a seal."""
        if sealed or self._scan.seal is not None:
            if self._rest:
                self._scan.feed(self._rest)
        else:
            self.torn = len(self._rest)
        if sealed or self._scan.lines or not self.torn:
            self._scan.finish()

    def _skip(self, data: bytes, *, ends: bool) -> None:
        self._long += len(data)
        message = f"a line of {self._long} bytes; at most {LINE_BYTES_MAX} are read"
        self._scan.skip(data, message=message if ends else None)
        if ends:
            self._long = 0
