"""Whether an archive can be trusted: integrity and completeness, two verdicts.

Integrity: what is there is what was written. Completeness: nothing is missing. Both are asked of
segments by their hashes, and of what remediation did by the chain of its entries. Nothing is
written, and services may go on writing meanwhile.
"""

import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import Final

from otel_exporter_ndjson import Segment, find_segments
from otel_exporter_ndjson.audit import Tombstone, read_audit
from otel_exporter_ndjson.folders import archive_id, opened
from otel_exporter_ndjson.fs import Fs, RealFs
from otel_exporter_ndjson.sealkey import SealKey
from otel_metrics.archive.checkpoint import Checkpoint
from otel_metrics.archive.completeness import Archive, completeness
from otel_metrics.archive.continuing import continued_by, numbered, tell_continues
from otel_metrics.archive.headers import is_renamed, misplaced
from otel_metrics.archive.identity import of_archive, tell_aliens
from otel_metrics.archive.inspection import Inspected, inspect
from otel_metrics.archive.problems import Kind, Problem
from otel_metrics.archive.remediation_chains import of_entries
from otel_metrics.archive.report import Report
from otel_metrics.archive.signatures import Signature, keyring, signature_of
from otel_metrics.archive.strays import strays

__all__ = ["Report", "verify"]

WORKERS_MAX: Final = 4
"""Threads; hashing and inflating run beside each other, decoding does not."""
LOOKS_MAX: Final = 3
"""How often the archive is listed again, where something is missing that may only have moved."""


Progress = Callable[[int, int], None]


def verify(
    path: str | os.PathLike[str],
    *,
    keys: Iterable[SealKey] = (),
    checkpoint: Checkpoint | None = None,
    fs: Fs | None = None,
    progress: Progress | None = None,
) -> Report:
    """Check every segment of an archive, and whether any is missing.

    Args:
        keys: of which one must have signed each seal; without any, signatures are not looked at.
        checkpoint: what was there once.
        progress: told the bytes done and the bytes there are in all, by several threads.

    Raises:
        FileNotFoundError: there is no such archive.
    """
    files = fs or RealFs()
    ring = keyring(keys)
    root = os.path.abspath(path)
    with opened(files, files.open_root(root)) as descriptor:
        identity = archive_id(files, descriptor)
    first = _First(files, root, identity, ring, checkpoint, progress)
    found = first.look(audit=False)
    found += first.look(audit=True)  # later than what it explains
    tell_aliens(found, identity)
    said, doubted, unvouched = _tombstones(root, found, files, signed=bool(ring))
    judged = Archive(
        path=root,
        id=identity,
        segments=found,
        tombstones=said,
        doubted=doubted,
        unvouched=unvouched,
        checkpoint=checkpoint,
        keyed=bool(ring),
    )
    missing = completeness(judged)
    for _ in range(LOOKS_MAX):
        if not any(each.verdict == "completeness" for each in missing):
            break
        more = first.again()  # a segment may have been moved, or begun, while we listed
        if not more:
            break
        found += more
        tell_aliens(found, identity)
        missing = completeness(replace(judged, segments=found))
    there = [each for each in found if each.state != "gone"]
    problems = [problem for each in there for problem in each.problems]
    problems += tell_continues(there, keyed=bool(ring))
    problems += _unfinished(there, keyed=bool(ring))
    problems += _open(there) if ring else ()
    problems += [each for each in missing if not _is_done(files, each)]
    problems += list(of_archive(root, identity, there, ring, checkpoint))
    problems += of_entries(root, files)
    odd, torn = strays(files, root)
    problems += odd
    return Report(
        archive=identity,
        segments=there,
        problems=problems,
        keys=bool(ring),
        checkpoint=checkpoint is not None,
        torn=torn,
    )


@dataclass(slots=True)
class _First:
    """Inspects segments, each once, on several threads."""

    fs: Fs
    root: str
    identity: str | None
    ring: Mapping[str, SealKey]
    checkpoint: Checkpoint | None
    progress: Progress | None
    _done: int = 0
    _all: int = 0
    _seen: set[tuple[str, str]] = field(default_factory=set)

    def look(self, *, audit: bool) -> list[Inspected]:
        """Inspect the audit, or everything else."""
        found = find_segments(self.root, fs=self.fs)
        return self._inspect([each for each in found if (each.signal == "audit") == audit])

    def again(self) -> list[Inspected]:
        """Inspect what was not seen before."""
        return self._inspect(find_segments(self.root, fs=self.fs))

    def _inspect(self, segments: list[Segment]) -> list[Inspected]:
        fresh = [each for each in segments if (each.folder, each.name) not in self._seen]
        self._seen |= {(each.folder, each.name) for each in fresh}
        self._all += sum(map(self._size, fresh))
        workers = min(WORKERS_MAX, os.cpu_count() or 1, len(fresh) or 1)
        pool = ThreadPoolExecutor(workers, thread_name_prefix="otel-metrics-verify")
        try:
            return list(pool.map(self._one, fresh))
        finally:
            pool.shutdown(cancel_futures=True)

    def _size(self, segment: Segment) -> int:
        try:
            facts = self.fs.status_of(segment.path)
        except OSError:
            return 0
        return 0 if facts is None else facts.size

    def _one(self, segment: Segment) -> Inspected:
        entry = None
        if self.checkpoint is not None:
            entry = self.checkpoint.entries.get((segment.signal, segment.name))
        mark = entry.bytes if entry is not None and entry.state == "open" else None
        found = inspect(self.fs, segment, mark=mark, progress=self._read)
        if found.state in ("sealed", "open", "unsealed"):
            self._place(found)
            self._signed(found)
        return found

    def _read(self, size: int) -> None:
        self._done += size
        if self.progress is not None:
            self.progress(self._done, self._all)

    def _place(self, found: Inspected) -> None:
        head = found.scan.head
        if head is None:
            return  # told already, or there is no line at all
        for message in misplaced(found.segment, head):
            found.add("foreign", message)
        found.renamed = is_renamed(found.segment, head)
        found.alien = head.get("archive") != self.identity
        if found.scan.erased and "replaces" not in head:
            found.add("erased_unsaid", "has erased lines and does not say what it replaces")

    def _signed(self, found: Inspected) -> None:
        if not self.ring or found.state != "sealed" or not found.scan.seal_line:
            return
        said = signature_of(found.scan.seal_line, self.ring)
        found.signed = said == "signed"
        found.vouched = not found.signed and self._vouched(found)
        if not found.signed and not found.vouched:
            found.add(_KINDS[said], _SIGNATURES[said])

    def _vouched(self, found: Inspected) -> bool:
        """Whether a checkpoint that one of the keys signed names exactly these bytes."""
        if self.checkpoint is None or self.checkpoint.signature != "signed":
            return False
        entry = self.checkpoint.entries.get((found.segment.signal, found.segment.name))
        return (
            entry is not None
            and entry.state == "sealed"
            and entry.sha256 == found.scan.sha256
            and entry.service == found.segment.service
        )


_KINDS: Final[Mapping[Signature, Kind]] = {
    "unsigned": "unsigned",
    "unknown_key": "unknown_key",
    "wrong_signature": "wrong_signature",
}
_SIGNATURES: Final[Mapping[Signature, str]] = {
    "unsigned": "its seal is not signed",
    "unknown_key": "its seal is signed with a key that was not given",
    "wrong_signature": "the signature of its seal does not hold",
}


def _tombstones(
    root: str, found: list[Inspected], fs: Fs, *, signed: bool
) -> tuple[list[Tombstone], list[Tombstone], list[Tombstone]]:
    """Return what the audit says: what counts, what has yet to be signed, and what never will.

    A recovery signs whatever it finds, so that of what it sealed nothing is sure.
    """
    states = {
        (each.segment.folder, each.segment.name): each
        for each in found
        if each.segment.signal == "audit"
    }
    said: list[Tombstone] = []
    doubted: list[Tombstone] = []
    unvouched: list[Tombstone] = []
    for each in read_audit(root, fs=fs) if states else ():
        where = states.get((each.record.segment.folder, each.record.segment.name))
        if not signed or (where is not None and where.own_seal and where.sound):
            said.append(each)
        elif where is None or where.state == "open":
            doubted.append(each)
        elif where.state == "unsealed" or where.recovered:
            unvouched.append(each)
    return said, doubted, unvouched


def _unfinished(found: list[Inspected], *, keyed: bool) -> Iterator[Problem]:
    """Tell the segments of dead writers. Where an fsync failed, its writer wrote on elsewhere."""
    said = [each for each in found if not keyed or each.state != "unsealed"]
    continued = {number for each in said for number in continued_by(each)}
    for each in found:
        if each.state != "unsealed" or (each.scan.lines == 1 and not each.torn and each.sound):
            continue  # a first line alone says nothing that a repair could save
        again = numbered(each) in continued
        torn = f", and {each.torn} bytes are a torn tail" if each.torn else ""
        why = (
            "not sealed: an fsync failed, and its writer wrote on in another segment"
            if again
            else "repair needed: its writer died before it was sealed"
        )
        yield Problem(
            verdict="note" if again else "unfinished",
            kind="repair",
            message=f"{why}{torn}",
            path=each.segment.path,
            segment=each.segment,
            line=each.scan.good_line + 1 if each.torn else 0,
            start=each.scan.good_bytes if each.torn else None,
            end=each.scan.good_bytes + each.torn if each.torn else None,
        )


def _open(found: list[Inspected]) -> Iterator[Problem]:
    """Tell what anybody may still change, where signatures are asked for."""
    for each in found:
        if each.state == "open":
            message = "open, not yet signed: its writer signs it when it seals it"
            path, segment = each.segment.path, each.segment
            yield Problem(verdict="note", kind="open", message=message, path=path, segment=segment)


def _is_done(fs: Fs, problem: Problem) -> bool:
    """Whether a removal that was said, and not yet done when we looked, is done by now."""
    segment = problem.segment
    if problem.kind != "announced" or segment is None:
        return False
    forms = [f"{segment.folder}/{segment.name}", f"{segment.folder}/{segment.name}.zst"]
    return all(fs.status_of(form) is None for form in forms)
