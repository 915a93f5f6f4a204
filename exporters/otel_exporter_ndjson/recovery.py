"""What dead writers left behind is cut, sealed and compressed; nothing of it is ever deleted.

A segment whose lock is free and that has no seal belongs to a dead writer. Idempotent, safe to run
twice at once, and safe to kill at any point: the next run ends with the same bytes.
"""

import hashlib
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

import msgspec

from otel_exporter_ndjson.errors import DamagedError
from otel_exporter_ndjson.folders import opened
from otel_exporter_ndjson.frames import inflate
from otel_exporter_ndjson.fs import Fs, Status
from otel_exporter_ndjson.scan import Damage, Scan
from otel_exporter_ndjson.sealing import (
    TAIL_BYTES,
    TEMPORARY,
    chunks_of,
    compress_segment,
    sealed_hash,
    write_all,
)
from otel_exporter_ndjson.sealkey import SealKey
from otel_exporter_ndjson.segments import SegmentName, seal_line

__all__ = ["Recovered", "damage_text", "recover_service"]

TORN: Final = ".torn"
SECTOR_BYTES: Final = 512
"""What a disk writes or does not write at a time."""
DAMAGES_SHOWN_MAX: Final = 3
"""Damages of a segment that a reason tells; `verify` tells all."""
_KINDS: Final = frozenset({"segment", "describe", "metric", "event", "erased", "commit", "seal"})

Action = Literal["sealed", "set_aside", "compressed", "damaged", "failed"]


@dataclass(frozen=True, slots=True)
class Recovered:
    """What was done with one segment.

    Attributes:
        date, name: where it is; the name without `.zst`.
        action: `sealed`, `compressed`, `set_aside` (it held no line at all), `damaged` (it is not
            what was sealed, and is left alone) or `failed`.
        torn_bytes: how many bytes of a torn tail went into `<name>.torn`.
        reason: why it failed, or what is damaged; of a sealed one, what was so before that.
    """

    date: str
    name: str
    action: Action
    torn_bytes: int = 0
    reason: str | None = None


def recover_service(
    fs: Fs,
    service: int,
    *,
    compress: bool,
    until_s: float | None = None,
    monotonic: Callable[[], float] = time.monotonic,
    key: SealKey | None = None,
) -> list[Recovered]:
    """Recover every segment of dead writers in a service's folder.

    Args:
        service: the open folder.
        compress: whether to compress what is sealed and not yet compressed, too.
        until_s: stop beginning new work at this reading of the monotonic clock.
        key: what seals are signed with.
    """
    done: list[Recovered] = []
    for date in fs.names(service):
        if not date.startswith("date="):
            continue
        try:
            directory = fs.open_dir(service, date)
        except OSError:
            continue  # no folder, or a link in its place: nothing of ours
        with opened(fs, directory):
            for name in fs.names(directory):
                if until_s is not None and monotonic() > until_s:
                    return done
                done += _recovered(fs, directory, date, name, compress=compress, key=key)
    return done


def _recovered(
    fs: Fs, directory: int, date: str, name: str, *, compress: bool, key: SealKey | None
) -> Iterator[Recovered]:
    try:
        if name.startswith(".") and name.endswith(TEMPORARY):
            _remove_temporary(fs, directory, name)
            return
        parsed = SegmentName.parse(name)
        if parsed is None or name != str(parsed):
            return
        if _is_replaced(fs, directory, name):
            yield Recovered(date, name, "compressed")
            return
        result = _seal(fs, directory, date, name, key)
        if result is not None:
            yield result
        if compress and _is_sealed(fs, directory, name) and compress_segment(fs, directory, name):
            yield Recovered(date, name, "compressed")
    except FileNotFoundError:
        return  # another recovery was faster
    except DamagedError as error:
        yield Recovered(date, name, "damaged", reason=str(error))
    except OSError as error:
        yield Recovered(date, name, "failed", reason=str(error))


def _remove_temporary(fs: Fs, directory: int, name: str) -> None:
    """Remove the half-made file of a dead process; what it was made from is still there.

    Whoever compresses holds the segment's lock for as long as the temporary file is there, and a
    writer that of a segment which nobody may read yet.
    """
    segment = name.removeprefix(".").rpartition("-")[0]
    try:
        descriptor = fs.open(directory, segment)
    except FileNotFoundError:  # killed after the segment was replaced, or before it had its name
        descriptor = fs.open(directory, name)
    with opened(fs, descriptor):
        if fs.lock(descriptor):
            fs.unlink(directory, name)


def _is_replaced(fs: Fs, directory: int, name: str) -> bool:
    """Remove a plain form all bytes of which are in its compressed one, which is on the disk.

    The power may have failed before the plain form was gone, and may have taken bytes of it that
    only a failed fsync had covered.
    """
    if fs.status_at(directory, f"{name}.zst") is None:
        return False
    with opened(fs, fs.open(directory, name, write=True)) as plain:
        facts = fs.status(plain)
        if not fs.lock(plain) or not facts.same(fs.status_at(directory, name)):
            return False
        with opened(fs, fs.open(directory, f"{name}.zst")) as compressed:
            if not _is_within(fs, plain, facts.size, compressed):
                return False
        fs.sync_dir(directory)
        fs.unlink(directory, name)
        fs.sync_dir(directory)
        return True


def _is_within(fs: Fs, plain: int, size: int, compressed: int) -> bool:
    """Whether a compressed file holds what was sealed, and all that is left of the plain one."""
    digest = hashlib.sha256()
    offset = 0
    tail = b""
    try:
        for chunk in inflate(chunks_of(fs, compressed)):
            there = b"".join(_range(fs, plain, offset, min(size, offset + len(chunk))))
            if not _is_left_of(there, chunk):
                return False
            offset += len(chunk)
            data = tail + chunk
            digest.update(data[:-TAIL_BYTES])
            tail = data[-TAIL_BYTES:]
    except DamagedError:
        return False
    seal = tail[:-1].rpartition(b"\n")[2] + tail[-1:]
    digest.update(tail[: len(tail) - len(seal)])
    return size <= offset and digest.hexdigest() == sealed_hash(seal)


def _is_left_of(there: bytes, whole: bytes) -> bool:
    """Whether bytes are the first of `whole`, but for sectors that were lost."""
    return whole.startswith(there) or all(
        whole.startswith(there[at : at + SECTOR_BYTES].rstrip(b"\0"), at)
        for at in range(0, len(there), SECTOR_BYTES)
    )


def _is_sealed(fs: Fs, directory: int, name: str) -> bool:
    try:
        with opened(fs, fs.open(directory, name)) as descriptor:
            return _ends_with_seal(fs, descriptor, fs.status(descriptor).size)
    except FileNotFoundError:
        return False


def _ends_with_seal(fs: Fs, descriptor: int, size: int) -> bool:
    tail = fs.read(descriptor, TAIL_BYTES, max(0, size - TAIL_BYTES))
    return sealed_hash(tail[:-1].rpartition(b"\n")[2] + tail[-1:]) is not None


def _seal(fs: Fs, directory: int, date: str, name: str, key: SealKey | None) -> Recovered | None:
    """Seal one segment of a dead writer; None when there is nothing to do or it is alive."""
    with opened(fs, fs.open(directory, name, write=True)) as descriptor:
        facts = fs.status(descriptor)
        if facts.links == 2 and facts.same(fs.status_at(directory, f"{name}{TORN}")):
            fs.unlink(directory, name)  # setting it aside was interrupted half-way
            return None
        if not facts.regular or facts.links != 1 or _ends_with_seal(fs, descriptor, facts.size):
            return None
        if not fs.lock(descriptor) or not facts.same(fs.status_at(directory, name)):
            return None
        facts = fs.status(descriptor)  # its writer may have ended between our look and our lock
        if _ends_with_seal(fs, descriptor, facts.size):
            return None
        scan, good = _scan(fs, descriptor, facts.size)
        if good == 0:
            fs.link(directory, name, _free_name(fs, directory, f"{name}{TORN}"))
            fs.sync_dir(directory)  # or only the removal may be on the disk
            fs.unlink(directory, name)
            fs.sync_dir(directory)
            return Recovered(date, name, "set_aside")
        times = scan.times
        seal = seal_line(scan.records, *times, scan.sha256, recovered=True, key=key)
        tail = b"".join(_range(fs, descriptor, good, facts.size))
        if tail:
            own = seal.startswith(tail)  # of a recovery that was killed while it wrote the seal
            torn = 0 if own else len(tail)
            if torn:
                _keep_torn(fs, directory, f"{name}{TORN}", tail, facts)
            fs.truncate(descriptor, good)
        else:
            torn = 0
        fs.sync(descriptor)  # a seal must not be on the disk before what it vouches for
        try:
            write_all(fs, descriptor, seal)
        except OSError:
            fs.truncate(descriptor, good)
            raise
        fs.sync(descriptor)
        fs.sync_dir(directory)
        return Recovered(date, name, "sealed", torn, damage_text(scan.damages, scan.left_out))


def damage_text(damages: Sequence[Damage], left_out: int = 0) -> str | None:
    """Return what is damaged before a segment is sealed, for its reason; None for nothing."""
    shown = [
        f"line {each.line}, bytes {each.start:,} to {each.end:,}: {each.message}"
        for each in damages[:DAMAGES_SHOWN_MAX]
    ]
    more = len(damages) + left_out - len(shown)
    rest = [f"and {more} more"] if more else []
    return "; ".join(["damaged, and sealed as it is", *shown, *rest]) if shown else None


def _scan(fs: Fs, descriptor: int, size: int) -> tuple[Scan, int]:
    """Return what the lines say up to the end of the last good one, and where that is.

    A bad line with a good one behind it is damage, not a torn tail: it stays where it is.
    """
    scan = Scan()
    held: list[bytes] = []
    good = offset = 0
    for line in _lines(fs, descriptor, size):
        offset += len(line)
        held.append(line)
        if _is_good(line):
            for each in held:
                scan.feed(each)
            held.clear()
            good = offset
    return scan, good


def _lines(fs: Fs, descriptor: int, size: int) -> Iterator[bytes]:
    rest = b""
    for chunk in chunks_of(fs, descriptor, size):
        *whole, rest = (rest + chunk).split(b"\n")
        for line in whole:
            yield line + b"\n"
    if rest:
        yield rest


def _is_good(line: bytes) -> bool:
    line = line.lstrip(b"\0")  # what is left of a lost block before it is damage, not a torn tail
    if not line.endswith(b"\n") or b"\0" in line:
        return False
    try:
        record: Any = msgspec.json.decode(line)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return False
    return isinstance(record, dict) and record.get("kind") in _KINDS


def _range(fs: Fs, descriptor: int, start: int, end: int) -> Iterator[bytes]:
    while start < end:
        chunk = fs.read(descriptor, end - start, start)
        if not chunk:
            return
        start += len(chunk)
        yield chunk


def _keep_torn(fs: Fs, directory: int, name: str, tail: bytes, facts: Status) -> None:
    """Keep a torn tail; a file that an interrupted run left is completed."""
    try:
        descriptor = fs.create(directory, name, facts.mode & 0o777)
    except FileExistsError:
        with opened(fs, fs.open(directory, name, write=True)) as present:
            kept = b"".join(chunks_of(fs, present))
            if tail.startswith(kept):
                write_all(fs, present, tail[len(kept) :])
                fs.sync(present)
                return
        _keep_torn(fs, directory, _free_name(fs, directory, name), tail, facts)
        return
    with opened(fs, descriptor):
        if facts.uid != fs.uid():
            fs.set_owner(descriptor, facts.uid, facts.gid)
        write_all(fs, descriptor, tail)
        fs.sync(descriptor)
    fs.sync_dir(directory)


def _free_name(fs: Fs, directory: int, name: str) -> str:
    number = 1
    free = name
    while fs.status_at(directory, free) is not None:
        number += 1
        free = f"{name}.{number}"
    return free
