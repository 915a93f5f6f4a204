"""Files that nobody else can change: read, or refused with the folder that lets them.

Each part of the path is opened in the one before it and looked at through its descriptor, links
included, so that what was checked is what is read. A part that belongs to somebody else than root
or this user, or that group or others may write, is refused; a sticky folder as `/tmp` is not, as
nobody can rename there what belongs to us.
"""

import os
import stat
from typing import Final

__all__ = ["LINKS_MAX", "UntrustedFileError", "check", "check_folder", "check_program", "read"]

LINKS_MAX: Final = 40
"""Symbolic links that are followed on the way to one file: as many as the kernel follows."""

_OTHERS_WRITE: Final = stat.S_IWGRP | stat.S_IWOTH
_OTHERS: Final = stat.S_IRWXG | stat.S_IRWXO
_PART: Final = getattr(os, "O_PATH", 0) | os.O_NOFOLLOW | os.O_CLOEXEC


class UntrustedFileError(ValueError):
    """A file that is not used: what is wrong with which part of its path, and what to do."""

    def __init__(self, message: str, remedy: str) -> None:
        super().__init__(f"{message}; {remedy}")
        self.message = message
        self.remedy = remedy


def read(path: str, *, bytes_max: int, private: bool = False) -> bytes:
    """Return what a file holds.

    Args:
        path: absolute.
        bytes_max: a longer one is refused.
        private: nobody else may even read it.

    Raises:
        UntrustedFileError: it cannot be read, or somebody else can change it.
    """
    descriptor = _opened(path)
    try:
        _check_file(os.fstat(descriptor), path, private=private)
        # The same file that was checked, whatever its name leads to by now.
        with open(f"/proc/self/fd/{descriptor}", "rb") as file:
            data = file.read(bytes_max + 1)
    except OSError as error:
        raise _unreadable(path, error) from error
    finally:
        os.close(descriptor)
    if len(data) > bytes_max:
        raise UntrustedFileError(f"{path} is larger than {bytes_max:,} bytes", "make it smaller")
    return data


def check(path: str, *, private: bool = False) -> None:
    """Check a file that is read later, or by somebody else.

    Raises:
        UntrustedFileError: as `read`.
    """
    descriptor = _opened(path)
    try:
        _check_file(os.fstat(descriptor), path, private=private)
    finally:
        os.close(descriptor)


def check_folder(path: str) -> None:
    """Check a folder whose files nobody else may put there, rename or remove.

    In a sticky one others may put files, and cannot touch ours.

    Raises:
        UntrustedFileError: it is not there, or is open to others.
    """
    descriptor = _opened(path)
    try:
        is_folder = stat.S_ISDIR(os.fstat(descriptor).st_mode)
    finally:
        os.close(descriptor)
    if not is_folder:
        raise UntrustedFileError(f"{path} is no folder", "name a folder")


def check_program(path: str) -> None:
    """Check a program that is to be started.

    Raises:
        UntrustedFileError: it is not there, is not executable, or somebody else can change it.
    """
    check(path)
    if not os.access(path, os.X_OK, effective_ids=os.access in os.supports_effective_ids):
        raise UntrustedFileError(f"{path} is not executable", f"chmod +x {path}")


def _opened(path: str) -> int:
    """Return a descriptor of what the path leads to, with every part of it looked at."""
    if not path.startswith("/"):
        raise UntrustedFileError(f"{path!r} is no absolute path", "begin it with /")
    if "\0" in path:
        raise UntrustedFileError("the path holds NUL", "remove it")
    try:
        return _walked(path)
    except OSError as error:
        raise _unreadable(path, error) from error


def _walked(path: str) -> int:
    at, shown, links = _root(), "/", 0
    parts = path.split("/")[::-1]
    try:
        while parts:
            name = parts.pop()
            if name in ("", "."):
                continue
            found = os.open(name, _PART, dir_fd=at)
            facts = os.fstat(found)
            shown = os.path.normpath(os.path.join(shown, name))
            if stat.S_ISLNK(facts.st_mode):
                links += 1
                target = _target(found, facts, shown, links)
                parts += target.split("/")[::-1]
                shown = "/" if target.startswith("/") else os.path.dirname(shown)
                found = _root() if target.startswith("/") else os.dup(at)
            else:
                _check_part(found, facts, shown)
            at, left = found, at
            os.close(left)
    except BaseException:
        os.close(at)
        raise
    return at


def _root() -> int:
    return os.open("/", _PART | os.O_DIRECTORY)


def _target(link: int, facts: os.stat_result, shown: str, links: int) -> str:
    """Return where a link leads, and close it."""
    try:
        _check_owner(facts, shown)
        if links > LINKS_MAX:
            raise UntrustedFileError(f"{shown} is one link of too many", "name the file itself")
        return os.readlink("", dir_fd=link)
    finally:
        os.close(link)


def _check_part(found: int, facts: os.stat_result, shown: str) -> None:
    """Check one folder, or the file; where it is refused, close it."""
    try:
        _check_owner(facts, shown)
        sticky_folder = stat.S_ISDIR(facts.st_mode) and facts.st_mode & stat.S_ISVTX
        if facts.st_mode & _OTHERS_WRITE and not sticky_folder:
            mode = stat.S_IMODE(facts.st_mode)
            raise UntrustedFileError(
                f"others may write {shown} (mode {mode:04o})", f"chmod go-w {shown}"
            )
    except UntrustedFileError:
        os.close(found)
        raise


def _check_owner(facts: os.stat_result, shown: str) -> None:
    if facts.st_uid not in (0, os.geteuid()):
        message = f"{shown} belongs to another user (uid {facts.st_uid})"
        raise UntrustedFileError(message, f"chown it to root or to uid {os.geteuid()}")


def _check_file(facts: os.stat_result, path: str, *, private: bool) -> None:
    if not stat.S_ISREG(facts.st_mode):
        raise UntrustedFileError(f"{path} is no plain file", "name a plain file")
    if private and facts.st_mode & _OTHERS:
        mode = stat.S_IMODE(facts.st_mode)
        raise UntrustedFileError(f"others may read {path} (mode {mode:04o})", f"chmod 0600 {path}")


def _unreadable(path: str, error: OSError) -> UntrustedFileError:
    reason = error.strerror or type(error).__name__
    return UntrustedFileError(f"{path} cannot be read: {reason}", "name a readable file")
