"""The folders of an archive: made with our modes, opened without following links, and refused
where somebody else could change what we write.
"""

import errno
import secrets
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from otel_exporter_ndjson.errors import UnsafeArchiveError
from otel_exporter_ndjson.fs import Fs, is_network, is_supported
from otel_exporter_ndjson.segments import service_folder

__all__ = ["ARCHIVE_FILE", "Folders", "archive_id", "opened"]

ARCHIVE_FILE: Final = ".archive"
_ID_DIGITS: Final = 32
_OTHERS_WRITE: Final = 0o022


@contextmanager
def opened(fs: Fs, descriptor: int) -> Iterator[int]:
    """Close a descriptor when the block ends."""
    try:
        yield descriptor
    finally:
        fs.close(descriptor)


def archive_id(fs: Fs, root: int) -> str | None:
    """Return the id of the archive, or None when it has none that can be read."""
    try:
        with opened(fs, fs.open(root, ARCHIVE_FILE)) as file:
            text = fs.read(file, _ID_DIGITS + 1, 0).decode("ascii", "replace").strip()
    except OSError:
        return None
    whole = len(text) == _ID_DIGITS and set(text) <= set("0123456789abcdef")
    return text if whole else None


class Folders:
    """The folders of one signal, as a writer uses them; `sync` when it may wait for the disk."""

    def __init__(
        self,
        fs: Fs,
        path: str,
        *,
        file_mode: int,
        dir_mode: int,
        allow_network_fs: bool,
        sync: bool = True,
    ) -> None:
        self._fs = fs
        self._path = path
        self._file_mode = file_mode
        self._dir_mode = dir_mode
        self._allow_network_fs = allow_network_fs
        self._sync = sync

    @property
    def path(self) -> str:
        """The archive's folder."""
        return self._path

    def segment_path(self, signal: str, service: str, *below: str) -> str:
        """Return the path of a service's folder, or of something below it."""
        return "/".join([self._path, signal, service_folder(service), *below])

    def open_root(self) -> int:
        """Make the archive's folder where it is missing, give it an id, and open it.

        Raises:
            UnsafeArchiveError: it lies on a network file system, or this is Windows.
        """
        if not is_supported():
            raise UnsafeArchiveError(
                f"path={self._path}: archives need file locks that Windows has not; use Linux"
            )
        self._fs.make_root(self._path, self._dir_mode)
        root = self._fs.open_root(self._path)
        try:
            self._local(root)
            self._give_id(root)
        except BaseException:
            self._fs.close(root)
            raise
        return root

    def open_service(self, root: int, signal: str, service: str) -> int:
        """Make and open the folder of a service; see `_safe` for what is refused."""
        self._fs.make_dir(root, signal, self._dir_mode)
        name = service_folder(service)
        with opened(self._fs, self._opened(root, signal, f"{self._path}/{signal}")) as parent:
            return self._made(parent, name, f"{self._path}/{signal}/{name}")

    def open_date(self, parent: int, name: str) -> int:
        """Make and open the folder of a day inside a service's folder."""
        return self._made(parent, name, f"{self._path}/.../{name}")

    def examine(self, signal: str, service: str) -> None:
        """Raise what `open_root` and `open_service` would, without making anything.

        Raises:
            UnsafeArchiveError, OSError: as they do.
        """
        if self._fs.status_of(self._path) is None:
            return
        with opened(self._fs, self._fs.open_root(self._path)) as root:
            self._local(root)
            if self._fs.status_at(root, signal) is None:
                return
            path, name = f"{self._path}/{signal}", service_folder(service)
            with opened(self._fs, self._opened(root, signal, path)) as parent:
                if self._fs.status_at(parent, name) is None:
                    return
                with opened(self._fs, self._opened(parent, name, f"{path}/{name}")) as directory:
                    self._safe(directory, f"{path}/{name}")

    def _local(self, root: int) -> None:
        kind = self._fs.kind(root)
        if is_network(kind) and not self._allow_network_fs:
            raise UnsafeArchiveError(
                f"path={self._path}: lies on {kind}, where locks and fsync may not hold; use "
                "a local disk, or set OTEL_EXPORTER_NDJSON_ALLOW_NETWORK_FS=true"
            )

    def _made(self, parent: int, name: str, path: str) -> int:
        self._fs.make_dir(parent, name, self._dir_mode)
        directory = self._opened(parent, name, path)
        try:
            self._safe(directory, path)
        except BaseException:
            self._fs.close(directory)
            raise
        return directory

    def _opened(self, parent: int, name: str, path: str) -> int:
        try:
            return self._fs.open_dir(parent, name)
        except OSError as error:
            if error.errno not in (errno.ENOTDIR, errno.ELOOP):
                raise
            raise UnsafeArchiveError(
                f"path={path}: a file or a symbolic link is in place of our folder; remove it"
            ) from None

    def _safe(self, directory: int, path: str) -> None:
        facts = self._fs.status(directory)
        if facts.uid != self._fs.uid():
            raise UnsafeArchiveError(
                f"path={path}: belongs to user {facts.uid} and we are {self._fs.uid()}; run as its "
                "owner, or choose another path or service name"
            )
        open_to = stat.S_IMODE(facts.mode) & _OTHERS_WRITE & ~self._dir_mode
        if open_to:
            raise UnsafeArchiveError(
                f"path={path}: others may write in it (mode {stat.S_IMODE(facts.mode):04o}); "
                f"chmod it to {self._dir_mode:04o}"
            )

    def _give_id(self, root: int) -> None:
        """Give the archive its id, once, and wait for the disk: after a power cut it must not be
        an empty file for ever, nor another one than segments name that were begun since."""
        if self._fs.status_at(root, ARCHIVE_FILE) is not None:
            return
        temporary = f".archive-{secrets.token_hex(8)}.tmp"
        text = f"{secrets.token_hex(_ID_DIGITS // 2)}\n".encode()
        with opened(self._fs, self._fs.create(root, temporary, self._file_mode)) as file:
            try:
                while text:
                    text = text[self._fs.write(file, text) :]
                if self._sync:
                    self._fs.sync(file)
                self._fs.link(root, temporary, ARCHIVE_FILE)
            except FileExistsError:
                pass  # another process was first; its id is the archive's
            finally:
                self._fs.unlink(root, temporary)
        if self._sync:
            self._fs.sync_dir(root)
