"""What the agents work on: the source files of a library, in an order that never changes."""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass

from otel_metrics.errors import OtelMetricsError

__all__ = ["Library", "Source", "SourceTooLargeError", "in_order"]


class SourceTooLargeError(OtelMetricsError, ValueError):
    """A file is longer than an agent reads."""


@dataclass(frozen=True, slots=True)
class Source:
    """One file: its path inside the library, and its bytes."""

    path: str
    raw: bytes

    @property
    def digest(self) -> bytes:
        """What tells contents apart, whatever the file is called."""
        return hashlib.sha256(self.raw).digest()


@dataclass(frozen=True, slots=True, kw_only=True)
class Library:
    """The files that were found.

    Attributes:
        root: the folder.
        paths: of the files, inside it, in the order of `in_order`.
        unlisted: folders that could not be listed, so that their files are missing.
    """

    root: str
    paths: tuple[str, ...]
    unlisted: tuple[str, ...] = ()


def in_order(paths: Iterable[str]) -> tuple[str, ...]:
    """Return paths by their digests: a fixed order, of which any beginning is a fair sample."""
    return tuple(sorted(paths, key=lambda path: hashlib.sha256(_bytes(path)).digest()))


def _bytes(path: str) -> bytes:
    return path.encode("utf-8", "surrogateescape")
