"""File systems of our own that can be cut off, filled and broken; gone when their block ends.

Needs root and a kernel that allows loop mounts; what is refused becomes `NotRunError`. Where all
rows are run, this happens in a mount namespace of its own, so that even a kill leaves nothing.
"""

import atexit
import ctypes
import fcntl
import os
import shutil
import struct
import subprocess
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final, Literal

from tests.torture.figures import NotRunError

__all__ = ["Disk", "apart", "disk", "needed", "read_only", "resize", "tmpfs", "unshare"]

SHUTDOWN: Final = 0x8004587D
"""`FS_IOC_SHUTDOWN`: the file system stops at once."""
NO_LOG_FLUSH: Final = struct.pack("I", 2)
_SIZES: Final = {"ext4": 64 * 2**20, "xfs": 300 * 2**20}
_NEW_NAMESPACE: Final = 0x00020000
_DIED: Final = 1 << 7
"""The bit in `/proc/sys/kernel/tainted` that says that the kernel has had an oops."""
_mounted: list[Path] = []

Kind = Literal["ext4", "xfs"]


def needed(program: str, package: str) -> str:
    """Return a program's path.

    Raises:
        NotRunError: it is not there; the message says how to install it.
    """
    path = shutil.which(program, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")
    if path is None:
        raise NotRunError(f"{program} is not installed: apt-get install {package}")
    return path


def apart() -> None:
    """Give this process mounts of its own, where the kernel allows it."""
    if _has_died():  # then a process may never get out of them again
        return
    try:
        unshare(_NEW_NAMESPACE)
    except OSError:
        return
    _run("mount", "--make-rprivate", "/")


def unshare(flags: int) -> None:
    """Give this process namespaces of its own, by the kernel's flags.

    Raises:
        OSError: the kernel refuses.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(flags) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


class Disk:
    """A file system on a loop device, mounted at `folder`."""

    def __init__(self, image: Path, folder: Path, options: Sequence[str] = ()) -> None:
        self.folder = folder
        self._image = image
        self._options = ",".join(["loop", *options])

    def mount(self) -> None:
        """Mount it."""
        _mount("-o", self._options, self._image, self.folder)

    def unmount(self) -> None:
        """Unmount it; lazily when somebody is still in it."""
        _unmount(self.folder)

    def cut(self) -> None:
        """Cut the power: what was not forced to the disk by now never gets there."""
        directory = os.open(self.folder, os.O_RDONLY)
        try:
            fcntl.ioctl(directory, SHUTDOWN, NO_LOG_FLUSH)
        except OSError as error:
            raise NotRunError(f"FS_IOC_SHUTDOWN: {error.strerror}") from error
        finally:
            os.close(directory)

    def again(self) -> None:
        """Mount it anew, as after a start of the machine: nothing comes out of a cache."""
        self.unmount()
        self.mount()


@contextmanager
def disk(parent: Path, kind: Kind) -> Iterator[Disk]:
    """Make a file system on a loop device."""
    image, folder = parent / f"{kind}.image", parent / kind
    with image.open("wb") as file:
        file.truncate(_SIZES[kind])
    make = needed(f"mkfs.{kind}", "e2fsprogs" if kind == "ext4" else "xfsprogs")
    _made(make, image)
    with _mounted_disk(Disk(image, folder)) as made:
        yield made


@contextmanager
def tmpfs(parent: Path, options: str) -> Iterator[Path]:
    """Make a file system in memory."""
    folder = parent / "tmpfs"
    folder.mkdir(exist_ok=True)
    _mount("-t", "tmpfs", "-o", options, "tmpfs", folder)
    try:
        yield folder
    finally:
        _unmount(folder)


@contextmanager
def read_only(folder: Path) -> Iterator[Callable[[], None]]:
    """Make a folder that can be read only, until what is returned is called."""
    folder.mkdir(exist_ok=True)
    _mount("--bind", folder, folder)
    try:
        resize(folder, "ro,bind")
        yield lambda: resize(folder, "rw,bind")
    finally:
        _unmount(folder)


def resize(folder: Path, options: str) -> None:
    """Mount a file system anew with other options."""
    _mount("-o", f"remount,{options}", folder)


def _made(make: str, *arguments: str | Path) -> None:
    """Make a file system."""
    done = _run(make, "-q", *arguments)
    if done.returncode:
        raise NotRunError(f"{make}: {done.stderr.decode(errors='replace').strip()}")


@contextmanager
def _mounted_disk(made: Disk) -> Iterator[Disk]:
    made.folder.mkdir(exist_ok=True)
    made.mount()
    try:
        yield made
    finally:
        made.unmount()


def _mount(*arguments: str | Path) -> None:
    if os.geteuid() != 0:
        raise NotRunError("mounting needs root")
    if _has_died():
        raise NotRunError("this kernel has had an oops, and unmounting may hang; restart it")
    done = _run(needed("mount", "mount"), *arguments)
    if done.returncode:
        raise NotRunError(f"mount: {done.stderr.decode(errors='replace').strip()}")
    _mounted.append(Path(arguments[-1]))


def _has_died() -> bool:
    """Whether the kernel has had an oops since it was started."""
    return bool(int(Path("/proc/sys/kernel/tainted").read_text(encoding="ascii")) & _DIED)


def _unmount(folder: Path) -> None:
    if _run("umount", folder).returncode:
        _run("umount", "-l", folder)
    with suppress(ValueError):
        _mounted.remove(folder)


def _run(*command: str | Path) -> "subprocess.CompletedProcess[bytes]":
    return subprocess.run(command, capture_output=True, check=False)


@atexit.register
def _unmount_what_is_left() -> None:
    for folder in reversed(_mounted):
        _run("umount", "-l", folder)
