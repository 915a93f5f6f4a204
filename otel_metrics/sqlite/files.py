"""The files of one database: made where there are none, moved aside whole where they are damaged.

None is ever deleted that may hold rows. The last connection to close removes the `-wal` by its
name, so that none may be left beside a file that it does not belong to.

Threads: opening and moving are one at a time for all processes, by an `flock` of the folder, which
the database's lock guards within one.
"""

import contextlib
import errno
import fcntl
import os
import stat
import time
from collections.abc import Iterator
from typing import Final

from otel_metrics.sqlite.errors import BusyError, ForeignDatabaseError

__all__ = ["FILE_MODE", "SUFFIXES", "Files", "Identity"]

PAUSE_S: Final = 0.001
"""How long who waits for the folder rests between two tries."""
READ_S_MAX: Final = 5.0
"""How long it takes at most to find out whether a file can be read."""
READ_BYTES: Final = 2**20
FILE_MODE: Final = 0o600
FOLDER_MODE: Final = 0o700
SUFFIXES: Final = ("", "-wal", "-shm", "-journal")
"""The files of one database; the last is there until it is in WAL mode."""

_TO_READ: Final = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC

Identity = tuple[int, int]
"""What tells a file from one in its place: device and inode."""


class Files:
    """The files of the database at `path`.

    Attributes:
        moved_aside: the paths to which this process moved damaged files.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        self.moved_aside: list[str] = []
        self._folder: int | None = None
        self._looked_at: tuple[Identity, int] | None = None  # and a descriptor of it

    @property
    def identity(self) -> Identity | None:
        """What tells the file that is there now from others; None where there is none."""
        try:
            facts = os.stat(self.path)
        except FileNotFoundError:
            return None
        return facts.st_dev, facts.st_ino

    def make_folder(self) -> None:
        """Make the folder where it is missing."""
        folder = os.path.dirname(self.path)
        if not os.path.isdir(folder):
            os.makedirs(folder, FOLDER_MODE, exist_ok=True)

    @contextlib.contextmanager
    def held(self, deadline: float) -> Iterator[None]:
        """Keep other processes from opening and moving databases of this folder.

        Raises:
            BusyError: others did so until `deadline`.
        """
        flags = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
        self._folder = folder = os.open(os.path.dirname(self.path), flags)
        try:
            while not _locked(folder):
                if time.monotonic() >= deadline:
                    raise BusyError(f"{self.path}: another process is opening or moving it")
                time.sleep(PAUSE_S)
            yield
        finally:
            self._folder = None
            os.close(folder)

    def make(self) -> None:
        """Make the file where there is none; called with the folder held.

        One that is there is not opened: with any descriptor of it that is closed, the process loses
        its locks.

        Raises:
            ForeignDatabaseError: what is there is no plain file.
        """
        try:
            facts = os.lstat(self.path)
        except FileNotFoundError:
            facts = None
        if facts is not None and not stat.S_ISREG(facts.st_mode):
            what = "a symbolic link" if stat.S_ISLNK(facts.st_mode) else "no plain file"
            raise ForeignDatabaseError(f"{self.path}: is {what}; give the path of a file")
        beside = [each for each in SUFFIXES[1:] if os.path.lexists(self.path + each)]
        if (beside and facts is None) or ("-wal" in beside and facts and not facts.st_size):
            self.move_aside("damaged")  # its -wal would be removed by SQLite, or used for another
            facts = None
        if facts is None:
            flags = os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC
            os.close(os.open(self.path, flags, FILE_MODE))

    def refusal(self) -> OSError | None:
        """Return what the disk says to who reads the files; None where it gives what is in them.

        SQLite calls a file that it cannot read damaged, like one that it does not understand. The
        descriptor is kept for ever, one for each file: the process's locks would go with it.
        """
        try:
            identity = self.identity
            if identity is None:
                return None
            if self._looked_at is None or self._looked_at[0] != identity:
                self._looked_at = identity, os.open(self.path, _TO_READ)
            _read(self._looked_at[1])
            wal = os.open(self.path + SUFFIXES[1], _TO_READ)  # no lock is on this one
            try:
                _read(wal)
            finally:
                os.close(wal)
        except FileNotFoundError:
            return None
        except OSError as error:
            return error
        return None

    def move_aside(self, word: str) -> str:
        """Move all files to `<path>.<word>-<time>`, and return that; with the folder held."""
        stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
        aside, count = f"{self.path}.{word}-{stamp}", 1
        while any(os.path.lexists(aside + suffix) for suffix in SUFFIXES):
            count += 1
            aside = f"{self.path}.{word}-{stamp}-{count}"
        for suffix in SUFFIXES:
            with contextlib.suppress(FileNotFoundError):
                os.rename(self.path + suffix, aside + suffix)
        self.moved_aside.append(aside)
        return aside

    def take(self, finished: str) -> None:
        """Give a finished database this one's name, for good; with the folder held."""
        os.rename(finished, self.path)
        _sync_folder(os.path.dirname(self.path))

    def remove(self, aside: str) -> None:
        """Remove what was moved aside, because it was never written to."""
        for suffix in SUFFIXES:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(aside + suffix)
        self.moved_aside.remove(aside)

    def begin_anew(self) -> None:
        """Let go of the folder in a forked child, which would hold it for its parent."""
        if self._folder is not None:
            with contextlib.suppress(OSError):
                os.close(self._folder)
        self._folder = None


def _read(descriptor: int) -> None:
    deadline = time.monotonic() + READ_S_MAX
    for offset in range(0, os.fstat(descriptor).st_size, READ_BYTES):
        os.pread(descriptor, READ_BYTES, offset)
        if time.monotonic() >= deadline:
            return


def _locked(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        return error.errno not in (errno.EWOULDBLOCK, errno.EINTR)  # else: no flock on this system
    return True


def _sync_folder(path: str) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
