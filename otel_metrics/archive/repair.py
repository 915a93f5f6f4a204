"""Doing for every service of an archive what its next start would do: seal and compress.

What dead writers left is sealed, torn tails are set aside, and nothing is deleted.
"""

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

from otel_exporter_ndjson import find_segments
from otel_exporter_ndjson.folders import opened
from otel_exporter_ndjson.fs import Fs, RealFs
from otel_exporter_ndjson.recovery import Recovered, damage_text, recover_service
from otel_exporter_ndjson.sealkey import SealKey
from otel_exporter_ndjson.segments import SIGNALS, decode_name, service_folder
from otel_metrics.archive.inspection import Inspected, inspect

__all__ = ["Repaired", "repair", "would_repair"]

_SERVICE: Final = "service="


@dataclass(frozen=True, slots=True, kw_only=True)
class Repaired:
    """What was done, or would be done, with one segment of a service."""

    signal: str
    service: str
    done: Recovered


def repair(
    path: str | os.PathLike[str],
    *,
    service: str | None = None,
    key: SealKey | None = None,
    fs: Fs | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Iterator[Repaired]:
    """Recover every service of every signal, and return each thing that was done.

    Args:
        service: only this one, by its name or that of its folder.
        key: what seals are signed with.
        progress: told how many folders are done, and how many there are.
    """
    files = fs or RealFs()
    root = os.path.abspath(path)
    found = list(_services(files, root, service))
    for number, (signal, folder) in enumerate(found, start=1):
        name = decode_name(folder.removeprefix(_SERVICE))
        try:
            with opened(files, files.open_root(f"{root}/{signal}/{folder}")) as directory:
                done = recover_service(files, directory, compress=True, key=key)
        except OSError as error:
            done = [Recovered("", folder, "failed", reason=str(error))]
        for each in done:
            yield Repaired(signal=signal, service=name, done=each)
        if progress is not None:
            progress(number, len(found))


def would_repair(
    path: str | os.PathLike[str], *, service: str | None = None, fs: Fs | None = None
) -> Iterator[Repaired]:
    """Return what `repair` would do, and do nothing."""
    files = fs or RealFs()
    for segment in find_segments(path, service=service, fs=files):
        if not segment.compressed:
            for each in _expected(inspect(files, segment)):
                yield Repaired(signal=segment.signal, service=segment.service, done=each)


def _expected(found: Inspected) -> Iterator[Recovered]:
    date, name = f"date={found.segment.date}", found.segment.name
    match found.state:
        case "unreadable":
            reason = found.problems[0].message
            yield Recovered(date, name, "failed", reason=reason)
        case "unsealed" if found.scan.good_bytes == 0:
            yield Recovered(date, name, "set_aside")
        case "unsealed":
            scan = found.scan
            damages = [each for each in scan.damages if each.start < scan.good_bytes]
            told = damage_text(damages, scan.left_out)
            yield Recovered(date, name, "sealed", torn_bytes=found.torn, reason=told)
            yield Recovered(date, name, "compressed")
        case "sealed" if _is_as_sealed(found):
            yield Recovered(date, name, "compressed")
        case "sealed":
            yield Recovered(date, name, "damaged", reason="does not match its seal")


def _is_as_sealed(found: Inspected) -> bool:
    """Whether the seal holds; older damage before it, which a recovery sealed over, stays."""
    return found.scan.sealed and found.scan.holds


def _services(fs: Fs, root: str, service: str | None) -> Iterator[tuple[str, str]]:
    with opened(fs, fs.open_root(root)) as descriptor:
        for signal in SIGNALS:
            if fs.status_at(descriptor, signal) is None:
                continue
            with opened(fs, fs.open_dir(descriptor, signal)) as directory:
                for folder in fs.names(directory):
                    if folder.startswith(_SERVICE) and _is_of(folder, service):
                        yield signal, folder


def _is_of(folder: str, service: str | None) -> bool:
    return service is None or folder in (service, service_folder(service))
