"""Removes a service's oldest sealed segments, by age and by size; nothing that is open or damaged.

What goes is first said in the audit, so that `verify` can tell a removal from a loss. Many
processes may do this at once: a segment's lock decides who removes it.
"""

from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final, Literal

from otel_exporter_ndjson.errors import DamagedError
from otel_exporter_ndjson.files import LINE_BYTES_MAX, Segment, find_segments
from otel_exporter_ndjson.folders import opened
from otel_exporter_ndjson.frames import inflate
from otel_exporter_ndjson.fs import Fs
from otel_exporter_ndjson.scan import Scan
from otel_exporter_ndjson.sealing import chunks_of
from otel_exporter_ndjson.values import decode_time

__all__ = ["Limits", "Reason", "Removed", "Retention", "prune"]

Reason = Literal["retention_age", "retention_bytes", "prune"]
REMOVALS_MAX: Final = 1_000
"""Segments that one call removes; the next call, an hour later at most, goes on."""
_NS: Final = 10**9


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What is kept: segments whose records are younger than `age_s`, and at most `bytes_max` of
    each service. None means without limit."""

    age_s: float | None = None
    bytes_max: int | None = None

    def __bool__(self) -> bool:
        """Whether there is any limit."""
        return self.age_s is not None or self.bytes_max is not None


@dataclass(frozen=True, slots=True, kw_only=True)
class Removed:
    """A segment that was removed. `sha256` is the hash of its lines, `bytes` its size on disk."""

    segment: Segment
    sha256: str
    records: int
    bytes: int
    reason: Reason


@dataclass(frozen=True, slots=True)
class _Candidate:
    segment: Segment
    bytes: int
    time_ns: int


class Retention:
    """The limits of one archive, and where a removal is said. Used by one thread at a time.

    Args:
        path: the archive's folder.
        say: writes a removal to the audit, on the disk when it returns.
        done: seals what was said, so that a kill leaves no audit that its writer did not seal.
    """

    def __init__(
        self,
        path: str,
        limits: Limits,
        say: Callable[[Removed], None],
        done: Callable[[], None],
        world_ns: Callable[[], int],
    ) -> None:
        self._path = path
        self._limits = limits
        self._say = say
        self._done = done
        self._world_ns = world_ns

    def enforce(self, fs: Fs, service: str) -> list[Removed]:
        """Remove what is beyond the limits of a service, given by its folder's name."""
        found = prune(
            fs, self._path, self._limits, service=service, now_ns=self._world_ns(), say=self._say
        )
        try:
            return list(found)
        finally:
            self._done()


def prune(
    fs: Fs,
    path: str,
    limits: Limits,
    *,
    now_ns: int,
    say: Callable[[Removed], None],
    service: str | None = None,
    reason: Reason | None = None,
    dry_run: bool = False,
) -> Iterator[Removed]:
    """Remove what is beyond the limits, oldest first, and return each removal as it happens.

    Args:
        service: only this one, by name or by its folder's name.
        reason: what the audit says; by default which limit it was.
        dry_run: remove nothing, and say nothing in the audit.

    Raises:
        OSError: the disk said no; what was not said in the audit is still there.
    """
    services: dict[str, list[_Candidate]] = {}
    for segment in find_segments(path, service=service, fs=fs):
        if segment.signal == "audit":
            continue
        facts = fs.status_of(segment.path)
        if facts is not None and facts.regular:
            name = segment.folder_of_service.rpartition("/")[2]
            services.setdefault(name, []).append(_Candidate(segment, facts.size, facts.time_ns))
    removals = 0
    for candidates in services.values():
        candidates.sort(key=_age_of(candidates))
        for each, why in _beyond(candidates, limits, now_ns):
            if removals >= REMOVALS_MAX and not dry_run:
                return
            before_ns = _cutoff(limits, now_ns) if why == "retention_age" else None
            removed = _remove(fs, each, reason or why, before_ns, say, dry_run=dry_run)
            if removed is not None:
                removals += 1
                yield removed


def _age_of(candidates: list[_Candidate]) -> Callable[[_Candidate], tuple[str, str, int]]:
    """Return what to sort by, oldest first: in the order of writing within a writer, whose clock
    may have gone back, and between writers by the times in the names of files."""
    latest: dict[tuple[str, str, int], str] = {}
    before: dict[tuple[str, str], str] = {}
    for each in sorted(candidates, key=lambda one: one.segment.sequence):
        writer = (each.segment.signal, each.segment.instance)
        before[writer] = max(each.segment.name, before.get(writer, ""))
        latest[*writer, each.segment.sequence] = before[writer]

    def age(each: _Candidate) -> tuple[str, str, int]:
        segment = each.segment
        began = latest[segment.signal, segment.instance, segment.sequence]
        return began, segment.instance, segment.sequence

    return age


def _beyond(
    candidates: list[_Candidate], limits: Limits, now_ns: int
) -> Iterator[tuple[_Candidate, Reason]]:
    """Return what may go, oldest first; what then turns out to have to stay counts as gone."""
    total = sum([each.bytes for each in candidates])
    cutoff = _cutoff(limits, now_ns)
    for each in candidates:
        if limits.bytes_max is not None and total > limits.bytes_max:
            yield each, "retention_bytes"
        elif cutoff is not None and each.time_ns < cutoff:
            yield each, "retention_age"
        total -= each.bytes


def _cutoff(limits: Limits, now_ns: int) -> int | None:
    return None if limits.age_s is None else now_ns - int(limits.age_s * _NS)


def _remove(
    fs: Fs,
    candidate: _Candidate,
    reason: Reason,
    before_ns: int | None,
    say: Callable[[Removed], None],
    *,
    dry_run: bool,
) -> Removed | None:
    """Remove one segment; None when it is open, damaged, younger than it looked, or gone."""
    segment = candidate.segment
    name = segment.path.rpartition("/")[2]
    with (
        suppress(FileNotFoundError),
        opened(fs, fs.open_root(segment.folder)) as directory,
        opened(fs, fs.open(directory, name)) as descriptor,
    ):
        if not _is_free(fs, directory, descriptor, name):
            return None
        if segment.compressed == (fs.status_at(directory, segment.name) is not None):
            return None  # somebody is just compressing it
        sealed = _sealed(fs, descriptor, compressed=segment.compressed)
        if sealed is None or (before_ns is not None and _newest(sealed[1]) >= before_ns):
            return None
        removed = Removed(
            segment=segment,
            sha256=sealed[0],
            records=sealed[1]["records"],
            bytes=candidate.bytes,
            reason=reason,
        )
        if not dry_run:
            say(removed)
            fs.unlink(directory, name)
            fs.sync_dir(directory)
        return removed
    return None


def _is_free(fs: Fs, directory: int, descriptor: int, name: str) -> bool:
    """Take the lock of what has this name; False when a writer or another removal has it."""
    return fs.lock(descriptor) and fs.status(descriptor).same(fs.status_at(directory, name))


def _newest(seal: dict[str, Any]) -> int:
    """When its last record was; a segment without any has no time that could keep it."""
    return decode_time(seal.get("last")) or 0


def _sealed(fs: Fs, descriptor: int, *, compressed: bool) -> tuple[str, dict[str, Any]] | None:
    """Return hash and seal of a segment that is what was written; None for any other."""
    chunks: Iterable[bytes] = chunks_of(fs, descriptor)
    scan = Scan()
    rest = b""
    try:
        for chunk in inflate(chunks) if compressed else chunks:
            lines, end, rest = (rest + chunk).rpartition(b"\n")
            scan.feed_block(lines + end)
            if len(rest) > LINE_BYTES_MAX:
                return None
    except DamagedError:
        return None
    scan.finish()
    if rest or scan.damages or scan.seal is None:
        return None
    return scan.sha256, scan.seal
