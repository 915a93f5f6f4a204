"""Files and folders of an archive that are no part of it, or that cannot be looked into."""

import re
from collections.abc import Iterator
from typing import Final

from otel_exporter_ndjson.folders import opened
from otel_exporter_ndjson.fs import Fs
from otel_exporter_ndjson.segments import SIGNALS, SegmentName
from otel_metrics.archive.problems import Problem

__all__ = ["strays"]

SHOWN_MAX: Final = 100
_TORN: Final = re.compile(r".+\.ndjson\.torn(\.\d+)?")
"""What a recovery sets aside."""
_OURS: Final = re.compile(r"\..+\.tmp")
"""What is just being made."""


def strays(fs: Fs, root: str) -> tuple[list[Problem], int]:
    """Return what a segment cannot be in, and how many files a recovery set aside.

    They are told so that nothing hides; of those that are no segments at most so many.
    """
    found: list[Problem] = []
    torn = 0
    with opened(fs, fs.open_root(root)) as descriptor:
        for signal in SIGNALS:
            if fs.status_at(descriptor, signal) is not None:
                for problem in _below(fs, descriptor, signal, root, ("service=", "date=")):
                    if problem is None:
                        torn += 1
                    elif len(found) < SHOWN_MAX or problem.kind == "unreadable":
                        found.append(problem)
    return found, torn


def _below(
    fs: Fs, parent: int, name: str, path: str, prefixes: tuple[str, ...]
) -> Iterator[Problem | None]:
    """Return strays, and None for each file that a recovery set aside."""
    path = f"{path}/{name}"
    try:
        directory = fs.open_dir(parent, name)
        with opened(fs, directory):
            for inner in fs.names(directory):
                if not prefixes:
                    yield from _file(inner, path)
                elif inner.startswith(prefixes[0]):
                    yield from _below(fs, directory, inner, path, prefixes[1:])
                else:
                    yield _stray(f"{path}/{inner}")
    except FileNotFoundError:
        return  # removed while we looked
    except OSError as error:
        message = f"cannot be looked into: {error.strerror or error}"
        yield Problem(verdict="integrity", kind="unreadable", message=message, path=path)


def _file(name: str, path: str) -> Iterator[Problem | None]:
    if _TORN.fullmatch(name):
        yield None
    elif SegmentName.parse(name) is None and not _OURS.fullmatch(name):
        yield _stray(f"{path}/{name}")


def _stray(path: str) -> Problem:
    return Problem(verdict="note", kind="stray", message="is no part of an archive", path=path)
