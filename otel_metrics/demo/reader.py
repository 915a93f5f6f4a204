"""Finds and reads the files of the library. The only part of the demo that touches files."""

import os
import sysconfig
from typing import Final

from otel_metrics.demo.library import Library, Source, SourceTooLargeError, in_order

__all__ = ["SOURCE_BYTES_MAX", "find_library", "read_source"]

SOURCE_BYTES_MAX: Final = 128 * 1024
"""A longer file is an error of the skill that asks for it; Python has some 30 such files."""
NOT_THE_LIBRARY: Final = frozenset({"__pycache__", "dist-packages", "site-packages"})


def find_library(root: str | None = None) -> Library:
    """Find all Python files under `root`, by default of the standard library that is running."""
    root = root or sysconfig.get_path("stdlib")
    unlisted: list[str] = []
    found: list[str] = []
    for folder, folders, files in os.walk(root, onerror=lambda error: unlisted.append(str(error))):
        folders[:] = [name for name in folders if name not in NOT_THE_LIBRARY]
        inside = os.path.relpath(folder, root)
        found += [os.path.normpath(os.path.join(inside, n)) for n in files if n.endswith(".py")]
    return Library(root=root, paths=in_order(found), unlisted=tuple(unlisted))


def read_source(root: str, path: str) -> Source:
    """Read one file of the library.

    Raises:
        SourceTooLargeError: it is longer than `SOURCE_BYTES_MAX`.
        OSError: it cannot be read.
    """
    with open(os.path.join(root, path), "rb") as file:
        raw = file.read(SOURCE_BYTES_MAX + 1)
    if len(raw) > SOURCE_BYTES_MAX:
        raise SourceTooLargeError(f"{path} is longer than {SOURCE_BYTES_MAX // 1024} KiB")
    return Source(path, raw)
