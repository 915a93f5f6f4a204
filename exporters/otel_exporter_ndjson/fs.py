"""Every file operation of the archive, behind one small interface.

All work is relative to directory descriptors, follows no link below the root, and takes no mode
from the umask. A simulated file system can stand in for `RealFs`.
"""

import ctypes
import errno
import os
import stat
import sys
from dataclasses import dataclass
from typing import Any, Final, Protocol

if sys.platform != "win32":  # there the package can be imported, and archives are refused
    import fcntl

__all__ = ["Fs", "RealFs", "Space", "Status", "is_network", "is_supported"]

_SUPPORTED: Final = sys.platform != "win32"
_DIRECTORY: Final = os.O_RDONLY | (os.O_DIRECTORY | os.O_CLOEXEC if _SUPPORTED else 0)
_FILE: Final = os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK if _SUPPORTED else 0
_KEEP_SIZE: Final = 1
_NETWORK: Final = frozenset(
    {"9p", "afs", "beegfs", "ceph", "cifs", "coda", "fuse", "glusterfs", "gpfs", "lustre"}
    | {"ncpfs", "nfs", "nfs4", "orangefs", "smb3", "smbfs"}
)


@dataclass(frozen=True, slots=True)
class Status:
    """What is asked of a file: which one it is, whose, and how large. `time_ns`: last change."""

    device: int
    inode: int
    mode: int
    uid: int
    gid: int
    links: int
    size: int
    time_ns: int

    @property
    def regular(self) -> bool:
        """Whether it is a plain file: no link, folder, pipe or device."""
        return stat.S_ISREG(self.mode)

    def same(self, other: "Status | None") -> bool:
        """Whether both are one and the same file."""
        return other is not None and (self.device, self.inode) == (other.device, other.inode)


@dataclass(frozen=True, slots=True)
class Space:
    """Bytes of a file system: all, and those that are left for us."""

    total: int
    free: int


class Fs(Protocol):
    """What the archive asks of a file system. Every method may raise `OSError`."""

    def open_root(self, path: str) -> int:
        """Open the archive's folder; a link that the operator made is followed here."""

    def make_root(self, path: str, mode: int) -> None:
        """Make the archive's folder and those above it that are missing."""

    def make_dir(self, parent: int, name: str, mode: int) -> None:
        """Make a folder; one that is there is left as it is."""

    def open_dir(self, parent: int, name: str) -> int:
        """Open a folder that is no link."""

    def names(self, directory: int) -> list[str]:
        """The names in a folder, sorted."""

    def create(self, directory: int, name: str, mode: int) -> int:
        """Make a new file for appending; `FileExistsError` when there is one."""

    def open(self, directory: int, name: str, *, write: bool = False) -> int:
        """Open a file that is no link, for reading or also for appending."""

    def status(self, descriptor: int) -> Status:
        """Say what is open."""

    def status_at(self, directory: int, name: str) -> Status | None:
        """Say what has this name, without following a link; None when nothing has."""

    def status_of(self, path: str) -> Status | None:
        """Say what is at a path now, without following a last link; None when nothing is."""

    def lock(self, descriptor: int) -> bool:
        """Take the file's lock; False when somebody has it. It ends with the process."""

    def write(self, descriptor: int, data: bytes | memoryview) -> int:
        """Append; the number of bytes taken may be less than given."""

    def read(self, descriptor: int, size: int, offset: int) -> bytes:
        """Read up to `size` bytes from `offset` on; empty at the end."""

    def truncate(self, descriptor: int, size: int) -> None:
        """Cut the file to `size` bytes."""

    def sync(self, descriptor: int) -> None:
        """Return when the file's bytes are on the disk."""

    def sync_dir(self, directory: int) -> None:
        """Return when the folder's names are on the disk."""

    def set_mode(self, descriptor: int, mode: int) -> None:
        """Set permissions."""

    def set_owner(self, descriptor: int, uid: int, gid: int) -> None:
        """Give the file to somebody."""

    def link(self, directory: int, name: str, target: str) -> None:
        """Give a file a second name; `FileExistsError` when that is taken."""

    def unlink(self, directory: int, name: str) -> None:
        """Remove a name."""

    def replace(self, directory: int, name: str, target: str) -> None:
        """Rename a file, in one step in place of what has the new name."""

    def reserve(self, descriptor: int, offset: int, size: int) -> None:
        """Set room aside from `offset` on without changing the file's size.

        `ENOSPC` or `EDQUOT` say that there is none, any other error that this cannot be had here.
        """

    def close(self, descriptor: int) -> None:
        """Close a file or folder; its lock is free when no process has it open any more."""

    def space(self, directory: int) -> Space:
        """Say how full the file system is."""

    def kind(self, directory: int) -> str:
        """The file system's type, such as `ext4`; empty when it cannot be told."""

    def uid(self) -> int:
        """The user that we are."""


class RealFs:
    """The operating system's files."""

    def open_root(self, path: str) -> int:
        """See `Fs`."""
        return os.open(path, _DIRECTORY)

    def make_root(self, path: str, mode: int) -> None:
        """See `Fs`."""
        if os.path.isdir(path):
            return
        parent = os.path.dirname(path)
        if parent and parent != path:
            self.make_root(parent, mode)
        try:
            os.mkdir(path, mode)
        except FileExistsError:
            return
        os.chmod(path, mode)

    def make_dir(self, parent: int, name: str, mode: int) -> None:
        """See `Fs`."""
        try:
            os.mkdir(name, mode, dir_fd=parent)
        except FileExistsError:
            return
        try:
            directory = self.open_dir(parent, name)
        except PermissionError:  # a umask that takes the owner's own rights away
            os.chmod(name, mode, dir_fd=parent)
            directory = self.open_dir(parent, name)
        try:
            inherited = os.fstat(directory).st_mode & stat.S_ISGID
            os.fchmod(directory, mode | inherited)
        finally:
            os.close(directory)

    def open_dir(self, parent: int, name: str) -> int:
        """See `Fs`."""
        return os.open(name, _DIRECTORY | os.O_NOFOLLOW, dir_fd=parent)

    def names(self, directory: int) -> list[str]:
        """See `Fs`."""
        return sorted(os.listdir(directory))

    def create(self, directory: int, name: str, mode: int) -> int:
        """See `Fs`."""
        flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_EXCL | _FILE
        descriptor = os.open(name, flags, mode, dir_fd=directory)
        try:
            os.fchmod(descriptor, mode)
        except OSError:
            os.close(descriptor)
            raise
        return descriptor

    def open(self, directory: int, name: str, *, write: bool = False) -> int:
        """See `Fs`."""
        flags = (os.O_RDWR | os.O_APPEND if write else os.O_RDONLY) | _FILE
        return os.open(name, flags, dir_fd=directory)

    def status(self, descriptor: int) -> Status:
        """See `Fs`."""
        return _status(os.fstat(descriptor))

    def status_at(self, directory: int, name: str) -> Status | None:
        """See `Fs`."""
        try:
            return _status(os.stat(name, dir_fd=directory, follow_symlinks=False))
        except FileNotFoundError:
            return None

    def status_of(self, path: str) -> Status | None:
        """See `Fs`."""
        try:
            return _status(os.lstat(path))
        except (FileNotFoundError, NotADirectoryError):
            return None

    def lock(self, descriptor: int) -> bool:
        """See `Fs`."""
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno in (errno.EWOULDBLOCK, errno.EACCES):
                return False
            raise
        return True

    def write(self, descriptor: int, data: bytes | memoryview) -> int:
        """See `Fs`."""
        return os.write(descriptor, data)

    def read(self, descriptor: int, size: int, offset: int) -> bytes:
        """See `Fs`."""
        return os.pread(descriptor, size, offset)

    def truncate(self, descriptor: int, size: int) -> None:
        """See `Fs`."""
        os.ftruncate(descriptor, size)

    def sync(self, descriptor: int) -> None:
        """See `Fs`."""
        getattr(os, "fdatasync", os.fsync)(descriptor)  # macOS has no fdatasync

    def sync_dir(self, directory: int) -> None:
        """See `Fs`."""
        os.fsync(directory)

    def set_mode(self, descriptor: int, mode: int) -> None:
        """See `Fs`."""
        os.fchmod(descriptor, mode)

    def set_owner(self, descriptor: int, uid: int, gid: int) -> None:
        """See `Fs`."""
        os.fchown(descriptor, uid, gid)

    def link(self, directory: int, name: str, target: str) -> None:
        """See `Fs`."""
        os.link(name, target, src_dir_fd=directory, dst_dir_fd=directory, follow_symlinks=False)

    def unlink(self, directory: int, name: str) -> None:
        """See `Fs`."""
        os.unlink(name, dir_fd=directory)

    def replace(self, directory: int, name: str, target: str) -> None:
        """See `Fs`."""
        os.replace(name, target, src_dir_fd=directory, dst_dir_fd=directory)

    def reserve(self, descriptor: int, offset: int, size: int) -> None:
        """See `Fs`."""
        if _fallocate is None:
            raise OSError(errno.EOPNOTSUPP, os.strerror(errno.EOPNOTSUPP))
        if _fallocate(descriptor, _KEEP_SIZE, offset, size):
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number))

    def close(self, descriptor: int) -> None:
        """See `Fs`."""
        os.close(descriptor)

    def space(self, directory: int) -> Space:
        """See `Fs`."""
        facts = os.fstatvfs(directory)
        return Space(facts.f_blocks * facts.f_frsize, facts.f_bavail * facts.f_frsize)

    def kind(self, directory: int) -> str:
        """See `Fs`."""
        device = os.fstat(directory).st_dev
        number = f"{os.major(device)}:{os.minor(device)}"
        try:
            with open("/proc/self/mountinfo", encoding="utf-8", errors="replace") as mounts:
                for mount in mounts:
                    fields, _, source = mount.partition(" - ")
                    if fields.split(" ", 3)[2] == number:
                        return source.split(" ", 1)[0]
        except (OSError, IndexError):
            return ""
        return ""

    def uid(self) -> int:
        """See `Fs`."""
        return os.geteuid()


def _loaded_fallocate() -> Any:
    """Linux's `fallocate`; `os.posix_fallocate` would change the file's size."""
    if sys.platform != "linux":
        return None
    try:
        function = ctypes.CDLL(None, use_errno=True).fallocate64
    except (OSError, AttributeError):
        return None
    function.argtypes = (ctypes.c_int, ctypes.c_int, ctypes.c_int64, ctypes.c_int64)
    return function


_fallocate: Final = _loaded_fallocate()


def is_supported() -> bool:
    """Whether this system has the locks and the descriptors of folders that an archive needs."""
    return _SUPPORTED


def is_network(kind: str) -> bool:
    """Whether locks and fsync on this type of file system may promise less than on a disk."""
    return kind in _NETWORK or kind.startswith("fuse.")


def _status(facts: os.stat_result) -> Status:
    return Status(
        device=facts.st_dev,
        inode=facts.st_ino,
        mode=facts.st_mode,
        uid=facts.st_uid,
        gid=facts.st_gid,
        links=facts.st_nlink,
        size=facts.st_size,
        time_ns=facts.st_mtime_ns,
    )
