"""Whether every segment that there ever was is there, or why it is not. Pure.

Numbers without a hole, hashes that each segment states of the one before it, what the audit says
was removed or replaced, and a checkpoint: what one of them does not show, another does.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Final

from otel_exporter_ndjson.audit import Tombstone
from otel_exporter_ndjson.segments import SegmentName
from otel_metrics.archive.checkpoint import Checkpoint, Entry
from otel_metrics.archive.continuing import Numbered, continued_by, is_settled, numbered
from otel_metrics.archive.inspection import Inspected
from otel_metrics.archive.problems import Kind, Problem, Verdict

__all__ = ["Archive", "completeness"]

_Key = tuple[str, str]  # signal, and name of the segment's file
_Writer = tuple[str, str]  # signal and instance
_SHOWN_DIGITS: Final = 12
_NOT_YET: Final = "only an audit that is not sealed yet says why; verify again when it is"
_UNVOUCHED: Final = "that is said only by an audit that its own writer did not seal"


@dataclass(frozen=True, slots=True, kw_only=True)
class Archive:
    """What there is to be judged.

    Attributes:
        path: the archive's folder; `id` what its file `.archive` says.
        segments: all of them, inspected.
        tombstones: what the audit says; `doubted` what an audit says that nobody has signed yet;
            `unvouched` what one says that its own writer did not seal, while keys are given.
        checkpoint: what there was once, or None.
        keyed: whether keys were given.
    """

    path: str
    id: str | None
    segments: Sequence[Inspected]
    tombstones: Sequence[Tombstone]
    doubted: Sequence[Tombstone]
    unvouched: Sequence[Tombstone]
    checkpoint: Checkpoint | None
    keyed: bool = False


def completeness(archive: Archive) -> list[Problem]:
    """Return everything that is missing, twice there, or not what it once was."""
    known = _Known(archive)
    problems = [*_numbers(archive, known), *_ends(known), *_chains(known), *_rewritten(known)]
    problems += [*_renamed(known), *_announced(archive, known)]
    if archive.checkpoint is not None:
        problems += _since(archive, archive.checkpoint, known)
    return problems


class _Known:
    """What is there, and what the audit explains."""

    def __init__(self, archive: Archive) -> None:
        self.path = archive.path
        there = [each for each in archive.segments if each.state != "gone"]
        self.there: dict[_Key, Inspected] = {
            (each.segment.signal, each.segment.name): each for each in there
        }
        self.by_writer: dict[_Writer, list[Inspected]] = {}
        for each in there:
            self.by_writer.setdefault(each.segment.writer, []).append(each)
        self.removed: dict[_Key, set[str]] = {}
        self.replaced: dict[_Key, dict[str, set[str]]] = {}
        self.doubted: set[_Key] = {(each.signal, each.segment) for each in archive.doubted}
        self.unvouched: set[_Key] = {(each.signal, each.segment) for each in archive.unvouched}
        self.settled: set[Numbered] = set()
        self.continued: set[Numbered] = set()
        for found in there:
            again = set(continued_by(found))
            self.continued |= again
            if is_settled(found, keyed=archive.keyed):
                self.settled |= again
        self.services = _services(archive, there)
        for said in archive.tombstones:
            self._take(said)
        self.followed = _followed(there)

    def _take(self, said: Tombstone) -> None:
        key = (said.signal, said.segment)
        if said.service not in self.services.get(key, {said.service}):
            return  # it is of another service
        if said.event == "removed":
            self.removed.setdefault(key, set()).add(said.sha256)
        elif said.replaced_by is not None:
            again = self.replaced.setdefault(key, {})
            again.setdefault(said.sha256, set()).add(said.replaced_by)

    def heirs(self, key: _Key, sha256: str) -> set[str]:
        """Return a segment's hash, and those of all that the audit says took its place."""
        again = self.replaced.get(key, {})
        heirs, fresh = {sha256}, [sha256]
        while fresh:
            new = again.get(fresh.pop(), set()) - heirs
            heirs |= new
            fresh += new
        return heirs

    def stands(self, key: _Key, sha256: str) -> bool:
        """Whether a segment of this hash is there, or why it is not has been said."""
        heirs = self.heirs(key, sha256)
        there = self.there.get(key)
        if there is not None and (there.scan.sha256 in heirs or there.replaces in heirs):
            return True
        return bool(self.removed.get(key, set()) & heirs)

    def explains(self, said: Tombstone) -> bool:
        """Whether a removal is that of the segment that the one behind it names, where one does."""
        key, number = (said.signal, said.segment), _number(said)
        if number is None or said.sha256 not in self.removed.get(key, set()):
            return False
        named = self.followed.get(number)
        return (
            named is None
            or number in self.continued
            or any(
                name == said.segment and said.sha256 in self.heirs(key, sha256)
                for name, sha256 in named
            )
        )

    def problem(self, key: _Key, kind: Kind, message: str, verdict: Verdict) -> Problem:
        """Make a finding about a segment, there or not."""
        there = self.there.get(key)
        if there is None:
            path = f"{self.path}/{key[0]}"
            return Problem(verdict=verdict, kind=kind, message=f"{key[1]}: {message}", path=path)
        return Problem(
            verdict=verdict,
            kind=kind,
            message=message,
            path=there.segment.path,
            segment=there.segment,
        )

    def doubts(self, key: _Key) -> Verdict:
        """How bad it is that a segment is not there: an audit that is not signed yet may say so."""
        return "unfinished" if key in self.doubted else "completeness"

    def silence(self, key: _Key, what: str) -> str:
        """Say that the audit does not say something, or that only a part of it that may be forged
        does."""
        return _UNVOUCHED if key in self.unvouched else f"the audit does not say {what}"


def _numbers(archive: Archive, known: _Known) -> Iterator[Problem]:
    gone = _by_number(each for each in archive.tombstones if known.explains(each))
    doubted = _by_number(archive.doubted)
    unvouched = _by_number(archive.unvouched)
    for writer, found in known.by_writer.items():
        ordered = sorted(found, key=lambda each: (each.segment.sequence, each.segment.name))
        for first, second in pairwise(ordered):
            if first.segment.sequence == second.segment.sequence:
                message = (
                    f"has the number {second.segment.sequence} of its writer, "
                    f"and so has {first.segment.path}"
                )
                key = (second.segment.signal, second.segment.name)
                yield known.problem(key, "same_number", message, "completeness")
        numbers = {each.segment.sequence: each for each in ordered}
        explained = gone.get(writer, set())
        for before, number in pairwise(sorted({0, *numbers, *explained})):
            if number - before > 1:
                why = _why(range(before + 1, number), doubted.get(writer), unvouched.get(writer))
                yield _gap(known, writer, before, number, numbers, why)


def _ends(known: _Known) -> Iterator[Problem]:
    """Tell compressed segments that cannot be read up to their seal."""
    for key, found in known.there.items():
        if found.state == "sealed" and not found.plain and found.scan.seal is None:
            message = "cannot be read up to its seal: what stood there is missing"
            yield known.problem(key, "gap", message, "completeness")


def _renamed(known: _Known) -> Iterator[Problem]:
    """Tell files that hold a segment of another name: the one of this name is missing."""
    for key, found in known.there.items():
        if found.renamed and key not in known.removed:
            message = "holds another segment, so the one of this name is missing"
            yield known.problem(key, "gap", message, known.doubts(key))


def _gap(
    known: _Known,
    writer: _Writer,
    before: int,
    number: int,
    numbers: dict[int, Inspected],
    why: str,
) -> Problem:
    first, last = before + 1, number - 1
    which = f"segment {first} is" if first == last else f"segments {first} to {last} are"
    said = why == _NOT_YET
    message = f"{which} missing of writer {writer[1]}, and {why}"
    behind = numbers.get(number)
    key = (writer[0], "") if behind is None else (writer[0], behind.segment.name)
    kind: Kind = "audit_open" if said else "gap"
    return known.problem(key, kind, message, "unfinished" if said else "completeness")


def _why(missing: range, doubted: set[int] | None, unvouched: set[int] | None) -> str:
    """Return why numbers are missing, as far as what does not count says it of all of them."""

    def has_all(said: set[int] | None) -> bool:
        return len([each for each in said or () if each in missing]) == len(missing)

    if has_all(doubted):
        return _NOT_YET
    return _UNVOUCHED if has_all(unvouched) else "the audit does not say why"


def _by_number(tombstones: Iterable[Tombstone]) -> dict[_Writer, set[int]]:
    found: dict[_Writer, set[int]] = {}
    for each in tombstones:
        number = _number(each)
        if number is not None and each.event == "removed":
            found.setdefault(number[:2], set()).add(number[2])
    return found


def _number(said: Tombstone) -> Numbered | None:
    name = SegmentName.parse(said.segment)
    return None if name is None else (said.signal, name.instance, name.sequence)


def _services(archive: Archive, there: Iterable[Inspected]) -> dict[_Key, set[str]]:
    """Return of which service segments are that are there, or were. (A writer counts, and chains,
    over all its services, so that of one that is missing only a checkpoint knows.)"""
    found: dict[_Key, set[str]] = {}
    for each in there:
        key = (each.segment.signal, each.segment.name)
        found.setdefault(key, set()).add(each.segment.service)
    for key, entry in archive.checkpoint.entries.items() if archive.checkpoint else ():
        found.setdefault(key, set()).add(entry.service)
    return found


def _followed(there: Iterable[Inspected]) -> dict[Numbered, list[tuple[str, str]]]:
    """Return what segments name as the one before them: name and hash, by its number."""
    found: dict[Numbered, list[tuple[str, str]]] = {}
    for each in there:
        previous = _previous(each) if each.sound else None
        name = SegmentName.parse(previous[0]) if previous else None
        if previous is not None and name is not None:
            number = (each.segment.signal, name.instance, name.sequence)
            found.setdefault(number, []).append(previous)
    return found


def _previous(found: Inspected) -> tuple[str, str] | None:
    """Return name and hash of the segment that one says it follows."""
    said: Any = (found.scan.head or {}).get("previous")
    name = said.get("segment") if isinstance(said, dict) else None
    sha256 = said.get("sha256") if isinstance(said, dict) else None
    return (name, sha256) if isinstance(name, str) and isinstance(sha256, str) else None


def _chains(known: _Known) -> Iterator[Problem]:
    for key, found in known.there.items():
        if (found.scan.head or {}).get("previous") is None:
            continue
        said = _previous(found)
        if said is None:
            yield known.problem(key, "chain", "names no segment before it", "completeness")
            continue
        name, sha256 = said
        before = (key[0], name)
        if known.stands(before, sha256) or _is_told(known, before):
            continue
        there = known.there.get(before)
        message = f"follows {name} with hash {_short(sha256)}, " + (
            f"which is not there, and {known.silence(before, 'why')}"
            if there is None
            else f"which now has {_short(there.scan.sha256)}{_recovered(there)}"
        )
        verdict = _excused(known, found, before) or known.doubts(before)
        if verdict != "completeness" and there is not None:
            message += "; an fsync failed, and its writer took the seal back and wrote on elsewhere"
        yield known.problem(key, "chain", message, verdict)


def _excused(known: _Known, found: Inspected, before: _Key) -> Verdict | None:
    """Return how a segment is to be judged that another goes on from: its seal was taken back, and
    a recovery makes another one. Its own follower may say so, as it says the hash too."""
    there = known.there.get(before)
    if there is None or there.own_seal or numbered(there) not in known.continued:
        return None
    if numbered(there) in {*known.settled, *continued_by(found)}:
        return "note"
    open_or_dead = any(
        each.state in ("open", "unsealed") and numbered(there) in continued_by(each)
        for each in known.by_writer[there.segment.writer]
    )
    return "unfinished" if open_or_dead else None


def _is_told(known: _Known, key: _Key) -> bool:
    """Whether a segment that is not as a later one says has a finding of its own: damaged, or one
    of the numbers that are missing."""
    there = known.there.get(key)
    if there is not None:
        return not there.sound
    name = SegmentName.parse(key[1])
    writer = known.by_writer.get((key[0], name.instance), []) if name else []
    return name is not None and any(each.segment.sequence > name.sequence for each in writer)


def _recovered(found: Inspected) -> str:
    if found.state != "sealed":
        return " and no seal"
    if (found.scan.seal or {}).get("recovered"):
        return (
            "; it was sealed by a recovery, so the end that its writer "
            "wrote may never have reached the disk"
        )
    return ""


def _rewritten(known: _Known) -> Iterator[Problem]:
    for key, found in known.there.items():
        head = found.scan.head or {}
        if "replaces" not in head:
            continue
        said: Any = head["replaces"]
        sha256 = found.replaces
        if not isinstance(said, dict) or sha256 is None:
            yield known.problem(key, "rewritten", "names nothing that it replaces", "completeness")
            continue
        reason = str(said.get("reason", ""))
        message = (
            f"rewritten, {found.scan.erased} records erased, reason: {reason}; "
            f"it replaces {_short(sha256)}"
        )
        if found.scan.sha256 in known.heirs(key, sha256):
            yield known.problem(key, "rewritten", message, "note")
        elif found.sound:
            verdict = known.doubts(key)
            kind: Kind = "audit_open" if verdict == "unfinished" else "rewritten"
            missing = f"{message}, and {known.silence(key, 'so')}"
            yield known.problem(key, kind, missing, verdict)


def _announced(archive: Archive, known: _Known) -> Iterator[Problem]:
    """Tell removals and replacements that were said and not done; to say them first is the rule."""
    for said in archive.tombstones:
        key = (said.signal, said.segment)
        there = known.there.get(key)
        if there is None or there.scan.sha256 != said.sha256 or not there.sound:
            continue
        done = "removed" if said.event == "removed" else "replaced"
        message = f"the audit says that it is {done} ({said.reason}), and it is still there"
        yield known.problem(key, "announced", message, "note")


def _since(archive: Archive, checkpoint: Checkpoint, known: _Known) -> Iterator[Problem]:
    if checkpoint.archive != archive.id:
        message = f"the checkpoint is of archive {checkpoint.archive}, and this is {archive.id}"
        yield Problem(verdict="completeness", kind="checkpoint", message=message, path=archive.path)
        if not any(key in known.there or key in known.removed for key in checkpoint.entries):
            return  # of another archive nothing can be missing here
    for key, entry in checkpoint.entries.items():
        there = known.there.get(key)
        if _holds(entry, key, there, known):
            continue
        message = (
            "was there at the time of the checkpoint, is not now, and " + known.silence(key, "why")
            if there is None
            else "is not what it was at the time of the checkpoint"
        )
        if there is None or there.sound:
            yield known.problem(key, "since_checkpoint", message, known.doubts(key))


def _holds(entry: Entry, key: _Key, there: Inspected | None, known: _Known) -> bool:
    if entry.state == "sealed":
        return known.stands(key, entry.sha256)
    if there is None:
        return key in known.removed
    if there.scan.marked == entry.sha256:
        return True
    return there.replaces is not None and key in known.replaced


def _short(sha256: str) -> str:
    return sha256[:_SHOWN_DIGITS]
