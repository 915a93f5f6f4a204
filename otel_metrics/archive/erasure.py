"""Erasing what an append-only archive says of somebody.

A sealed segment is written anew without the records, and takes the place of the old one in one
step; before that the audit says so, so that `verify` can tell an erasure from a forgery. Killed at
any point, what is there is the old segment or the new one, and the next run goes on.
"""

import os
import secrets
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final, Literal

from otel_exporter_ndjson import DamagedError, Segment, find_segments
from otel_exporter_ndjson.audit import REPLACED, AuditLog
from otel_exporter_ndjson.files import lines_from
from otel_exporter_ndjson.findings import Finding, Told
from otel_exporter_ndjson.folders import opened
from otel_exporter_ndjson.frames import compress
from otel_exporter_ndjson.fs import Fs, RealFs, Status
from otel_exporter_ndjson.parsing import parsed
from otel_exporter_ndjson.sealing import TEMPORARY, chunks_of, write_all
from otel_exporter_ndjson.sealkey import SealKey
from otel_exporter_ndjson.segments import service_folder
from otel_metrics.archive.inspection import Inspected, inspect
from otel_metrics.archive.matching import Wanted
from otel_metrics.archive.problems import Problem
from otel_metrics.archive.rewriting import Rewriting
from otel_metrics.archive.strays import strays

__all__ = ["Action", "Erased", "Eraser", "torn_with"]

WRITE_BYTES: Final = 2**20
NEEDLE_BYTES_MAX: Final = 2**16
_TORN: Final = ".ndjson.torn"

Action = Literal[
    "found",
    "erased",
    "described",
    "open",
    "unsealed",
    "damaged",
    "signed",
    "busy",
    "failed",
    "unread",
]
"""`found` where nothing is to be changed; `described`: what is asked for stands in a line that
describes records, and is still there; `unread`: not all of it could be looked into."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Erased:
    """What was found in one segment, and what was done.

    Attributes:
        records: how many match.
        reason: why it was not done, or not all of it.
    """

    segment: Segment
    action: Action
    records: int
    reason: str = ""


class Eraser:
    """Finds records in an archive, and erases them.

    Args:
        reason: why; it stands in the archive for ever, so it must not hold what is erased.
        key: what new seals are signed with.
        unsigned: whether a signed segment may be replaced by one that is not.
        audit: where every replacement is said first; None to change nothing.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        wanted: Wanted,
        *,
        reason: str = "",
        actor: str = "",
        key: SealKey | None = None,
        unsigned: bool = False,
        audit: AuditLog | None = None,
        fs: Fs | None = None,
    ) -> None:
        self._path = os.path.abspath(path)
        self._wanted = wanted
        self._reason = reason
        self._actor = actor
        self._key = key
        self._unsigned = unsigned
        self._audit = audit
        self._fs = fs or RealFs()

    def run(
        self,
        *,
        service: str | None = None,
        progress: Callable[[int, int], None] | None = None,
        seen: Callable[[Mapping[str, Any]], object] | None = None,
    ) -> Iterator[Erased]:
        """Return what is done with each segment that holds a match; the audit itself is left out.

        Args:
            seen: told each point and event that is compared.
            progress: told how many segments are done, and how many there are.
        """
        found = find_segments(self._path, service=service, fs=self._fs)
        found = [each for each in found if each.signal != "audit"]
        for number, segment in enumerate(found, start=1):
            findings: list[Finding] = []
            records, described = self._count(segment, seen, findings)
            done = self._erase(segment, records) if records else None
            if done is not None:
                yield done
            if findings and self._is_there(segment) and (not done or done.action != "damaged"):
                reason = findings[0].message
                yield Erased(segment=segment, action="unread", records=0, reason=reason)
            if described:
                reason = "the value stands in a line that describes records, and stays there"
                yield Erased(segment=segment, action="described", records=0, reason=reason)
            if progress is not None:
                progress(number, len(found))

    def unlisted(self, *, service: str | None = None) -> list[Problem]:
        """Return the folders that could not be looked into, so that no segment in them was."""
        problems, _ = strays(self._fs, self._path)
        return [
            each
            for each in problems
            if each.kind == "unreadable" and _may_be_of(each.path, self._path, service)
        ]

    def _is_there(self, segment: Segment) -> bool:
        """Whether a segment was not removed while it was read."""
        forms = (segment.name, f"{segment.name}.zst")
        return any(self._fs.status_of(f"{segment.folder}/{name}") is not None for name in forms)

    def _count(
        self,
        segment: Segment,
        seen: Callable[[Mapping[str, Any]], object] | None,
        findings: list[Finding],
    ) -> tuple[int, bool]:
        """Return how many records match, and whether a line that describes them does."""
        records, described = 0, False
        told = Told(findings, segment)
        for number, offset, line in lines_from(segment, told, fs=self._fs):
            said = parsed(line)
            if isinstance(said, str):
                told.tell("damage", number, offset, f"line {number}: {said}")
                continue
            if said["kind"] in ("metric", "event"):
                records += self._wanted.matches(said)
                if seen is not None:
                    seen(said)
            elif said["kind"] in ("segment", "describe", "commit"):
                described = described or self._wanted.describes(said)
        return records, described

    def _erase(self, segment: Segment, records: int) -> Erased:
        def told(action: Action, reason: str = "") -> Erased:
            return Erased(segment=segment, action=action, records=records, reason=reason)

        found = inspect(self._fs, segment)
        refusal = self._refusal(found)
        if refusal is not None:
            return told(*refusal)
        if self._audit is None:
            return told("found")
        try:
            done = self._replace(found, self._audit)
        except DamagedError as error:
            return told("damaged", str(error))
        except OSError as error:
            return told("failed", str(error))
        if not done:
            return told("busy", "somebody else has it; run this again")
        return told("erased")

    def _refusal(self, found: Inspected) -> tuple[Action, str] | None:
        """Say why a segment cannot be rewritten."""
        seal = found.scan.seal or {}
        if found.state == "open":
            return "open", "its writer lives; run this again once it is sealed"
        if found.state == "unsealed":
            return "unsealed", "its writer died; otel-metrics archive repair seals it"
        if found.state != "sealed" or not found.sound or not found.scan.sealed:
            why = found.problems[0].message if found.problems else "it is gone"
            return "damaged", f"a new seal would hide that: {why}"
        if found.plain and found.compressed:
            return "busy", "it is there in two forms; otel-metrics archive repair removes one"
        if "hmac" in seal and self._key is None and not self._unsigned:
            return "signed", "its seal is signed; give --key-file, or --unsigned to go without"
        return None

    def _replace(self, found: Inspected, audit: AuditLog) -> bool:
        """Write a segment anew in its own place; False when somebody else is at it."""
        fs, segment = self._fs, found.segment
        name = segment.name if found.plain else f"{segment.name}.zst"
        with (
            opened(fs, fs.open_root(segment.folder)) as directory,
            opened(fs, fs.open(directory, name)) as descriptor,
        ):
            facts = fs.status(descriptor)
            if not fs.lock(descriptor) or not facts.same(fs.status_at(directory, name)):
                return False
            rewriting = Rewriting(
                self._wanted,
                sha256=found.scan.sha256,
                records=found.scan.records,
                reason=self._reason,
                key=self._key,
            )
            temporary = self._rewritten(directory, name, facts, found, rewriting)
            try:
                self._say(found, facts.size, rewriting, audit)
                fs.replace(directory, temporary, name)
            except BaseException:
                with suppress(FileNotFoundError):
                    fs.unlink(directory, temporary)
                raise
            fs.sync_dir(directory)
        return True

    def _rewritten(
        self, directory: int, name: str, facts: Status, found: Inspected, rewriting: Rewriting
    ) -> str:
        """Write the new segment under a temporary name, in the form of the old one, and sync it."""
        fs = self._fs
        segment = _as_is(found)
        lines = (line for _, _, line in lines_from(segment, Told(None, segment), fs=fs))
        plain = self._written(directory, name, facts, _gathered(rewriting.lines(lines)))
        try:
            if not rewriting.scan.sealed or rewriting.scan.damages:
                raise DamagedError("what was written anew does not hold; nothing was changed")
            if rewriting.scan.lines != found.scan.lines:
                raise DamagedError("it changed while it was read; nothing was changed")
            if found.plain:
                return plain
            with opened(fs, fs.open(directory, plain)) as source:
                size = fs.status(source).size
                packed = self._written(
                    directory, name, facts, compress(chunks_of(fs, source, size), size)
                )
        except BaseException:
            fs.unlink(directory, plain)
            raise
        fs.unlink(directory, plain)
        return packed

    def _written(self, directory: int, name: str, facts: Status, chunks: Iterator[bytes]) -> str:
        """Write a file with the old one's owner and mode, named so that a recovery tidies up."""
        fs = self._fs
        temporary = f".{name}-{secrets.token_hex(4)}{TEMPORARY}"
        mode = facts.mode & 0o777
        with opened(fs, fs.create(directory, temporary, mode)) as target:
            try:
                if facts.uid != fs.uid():
                    fs.set_owner(target, facts.uid, facts.gid)
                    fs.set_mode(target, mode)
                for chunk in chunks:
                    write_all(fs, target, chunk)
                fs.sync(target)
            except BaseException:
                fs.unlink(directory, temporary)
                raise
        return temporary

    def _say(self, found: Inspected, size: int, rewriting: Rewriting, audit: AuditLog) -> None:
        audit.say(
            REPLACED,
            {
                "signal": found.segment.signal,
                "service": found.segment.service,
                "segment": found.segment.name,
                "sha256": found.scan.sha256,
                "records": found.scan.records,
                "bytes": size,
                "reason": "erasure",
                "detail": self._reason,
                "actor": self._actor,
                "erased": rewriting.erased,
                "replaced_by": rewriting.scan.sha256,
            },
            service=found.segment.service,
        )


def _may_be_of(path: str, root: str, service: str | None) -> bool:
    """Whether a folder may hold segments of a service, by its name or that of its folder."""
    folders = os.path.relpath(path, root).split(os.sep)
    if folders[0] == "audit":
        return False
    return service is None or len(folders) < 2 or folders[1] in (service, service_folder(service))


def torn_with(path: str | os.PathLike[str], wanted: Wanted) -> list[str]:
    """Return the files that a recovery set aside and that hold a value that is asked for."""
    needles = [needle for needle in wanted.needles() if len(needle) <= NEEDLE_BYTES_MAX]
    every = [os.path.join(folder, name) for folder, _, names in os.walk(path) for name in names]
    return sorted([each for each in every if _TORN in each and _holds(each, needles)])


def _holds(path: str, needles: list[bytes]) -> bool:
    longest = max(map(len, needles), default=0)
    held = b""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        with open(descriptor, "rb") as file:
            while chunk := file.read(WRITE_BYTES):
                held = held[-longest:] + chunk
                if any(needle in held for needle in needles):
                    return True
    except OSError:
        return True  # what cannot be read may hold anything
    return False


def _as_is(found: Inspected) -> Segment:
    """Return a segment in the form in which it is there now."""
    segment = found.segment
    if segment.compressed != found.plain:
        return segment
    return Segment(
        signal=segment.signal,
        service=segment.service,
        instance=segment.instance,
        sequence=segment.sequence,
        date=segment.date,
        name=segment.name,
        folder=segment.folder,
        compressed=not found.plain,
    )


def _gathered(lines: Iterator[bytes]) -> Iterator[bytes]:
    """Return lines in pieces of a size that is worth a write."""
    held: list[bytes] = []
    size = 0
    for line in lines:
        held.append(line)
        size += len(line)
        if size >= WRITE_BYTES:
            yield b"".join(held)
            held, size = [], 0
    yield b"".join(held)
