"""How far a replay has come, in a file: one position a writer, written whole or not at all."""

import contextlib
import fcntl
import os
from collections.abc import Iterator
from typing import Final

import msgspec

from otel_exporter_ndjson import Segment
from otel_exporter_ndjson.folders import archive_id as read_id
from otel_exporter_ndjson.folders import opened
from otel_exporter_ndjson.fs import RealFs
from otel_metrics.archive.batches import Chain, Position, chain_of
from otel_metrics.errors import OtelMetricsError

__all__ = ["Cursor", "CursorError", "archive_id"]

FORMAT: Final = 1
CURSOR_BYTES_MAX: Final = 64 * 2**20
"""A larger file is no cursor of ours."""

_Places = dict[str, dict[str, dict[str, tuple[int, int]]]]


class CursorError(OtelMetricsError):
    """A cursor cannot be used; the message says why, and what to do."""


class _File(msgspec.Struct, forbid_unknown_fields=True):
    """What the file says: signal -> service -> writer instance -> sequence and line."""

    format: int
    archive: str
    endpoint: str
    positions: _Places


class Cursor:
    """The positions of one replay: of one archive, to one endpoint.

    Made by `Cursor.held`, which keeps other replays from the same file.
    """

    def __init__(self, path: str, archive: str, endpoint: str) -> None:
        self._path = os.path.abspath(path)
        self._archive = archive
        self._endpoint = endpoint
        self.positions: dict[Chain, Position] = {}

    @classmethod
    @contextlib.contextmanager
    def held(cls, path: str, *, archive: str, endpoint: str) -> Iterator["Cursor"]:
        """Read a cursor, or begin one where there is none, and hold it.

        Args:
            archive: the id of the archive.
            endpoint: where its records go; without secrets.

        Raises:
            CursorError: it is another archive's or endpoint's, no cursor, or held by another.
        """
        cursor = cls(path, archive, endpoint)
        with open(f"{cursor._path}.lock", "ab") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                message = f"--cursor={path}: another replay is using it; wait for its end"
                raise CursorError(message) from None
            cursor._read(path)
            yield cursor

    def reach(self, segment: Segment, position: Position) -> None:
        """Move on and write the file, so that it is on the disk when this returns."""
        self.positions[chain_of(segment)] = position
        places: _Places = {}
        for (signal, service, instance), place in self.positions.items():
            places.setdefault(signal, {}).setdefault(service, {})[instance] = (
                place.sequence,
                place.line,
            )
        said = _File(FORMAT, self._archive, self._endpoint, places)
        folder, name = os.path.split(self._path)
        beside = os.path.join(folder, f".{name}.new")
        descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        with open(descriptor, "wb") as file:
            file.write(msgspec.json.encode(said) + b"\n")
            file.flush()
            os.fsync(file.fileno())
        os.replace(beside, self._path)
        _sync_folder(folder)

    def _read(self, path: str) -> None:
        try:
            with open(self._path, "rb") as file:
                data = file.read(CURSOR_BYTES_MAX)
        except FileNotFoundError:
            return
        try:
            said = msgspec.json.decode(data, type=_File)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            message = f"--cursor={path}: is no cursor: {error}; give a file of its own"
            raise CursorError(message) from None
        for name, known, given in (
            ("format", str(said.format), str(FORMAT)),
            ("archive", said.archive, self._archive),
            ("endpoint", said.endpoint, self._endpoint),
        ):
            if known != given:
                raise CursorError(
                    f"--cursor={path}: it is of {name} {known!r}, not {given!r}; give each its own"
                )
        for signal, services in said.positions.items():
            for service, instances in services.items():
                for instance, place in instances.items():
                    self.positions[signal, service, instance] = Position(*place)


def archive_id(path: str) -> str:
    """Return the id of an archive, empty where it has none, as a lone segment has."""
    fs = RealFs()
    try:
        with opened(fs, fs.open_root(path)) as root:
            return read_id(fs, root) or ""
    except OSError:
        return ""


def _sync_folder(folder: str) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
