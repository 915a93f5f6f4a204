"""Why a database cannot be used, and what SQLite's codes mean for who uses it.

DatabaseError
├── BusyError             somebody else holds it
├── DamagedError          it was damaged, and is moved aside
├── ForeignDatabaseError  it is no database of this kind
└── NewerSchemaError      a later release wrote it
"""

import errno
import sqlite3
from typing import Final

from otel_metrics.errors import OtelMetricsError

__all__ = [
    "BusyError",
    "DamagedError",
    "DatabaseError",
    "ForeignDatabaseError",
    "NewerSchemaError",
    "SelfContradictionError",
    "is_busy",
    "is_damage",
    "is_refused",
    "remedy",
]

_BUSY: Final = ("SQLITE_BUSY", "SQLITE_LOCKED")
_DAMAGED: Final = ("SQLITE_CORRUPT", "SQLITE_NOTADB")
_REFUSED: Final = ("SQLITE_CANTOPEN", "SQLITE_READONLY")
_ELSEWHERE: Final = "; name a file in a folder that this user may write in"
_OF_SYSTEM: Final = {
    **dict.fromkeys((errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOENT), _ELSEWHERE),
    **dict.fromkeys((errno.ENOSPC, errno.EDQUOT), "; make room on the disk"),
}


class DatabaseError(OtelMetricsError):
    """A database cannot be used; the message says which, why, and what to do."""


class BusyError(DatabaseError):
    """Somebody else holds the database; the same call may succeed later."""


class DamagedError(DatabaseError):
    """The database was damaged and has been moved aside; the next call makes a new one."""


class ForeignDatabaseError(DatabaseError):
    """The file is no database of this kind: another program's, a link, or no plain file."""


class NewerSchemaError(DatabaseError):
    """The database was written by a later release; it is read, and not written."""


class SelfContradictionError(sqlite3.DatabaseError):
    """A file that SQLite opens, and that is not what it says it is."""

    sqlite_errorname = _DAMAGED[0]


def is_busy(error: sqlite3.Error) -> bool:
    """Tell whether somebody else holds the database."""
    return _code(error).startswith(_BUSY)


def is_damage(error: sqlite3.Error) -> bool:
    """Tell whether the file is not what SQLite wrote."""
    return _code(error).startswith(_DAMAGED)


def is_refused(error: sqlite3.Error) -> bool:
    """Tell whether this user may not open or write the file."""
    return _code(error).startswith(_REFUSED)


def remedy(error: sqlite3.Error | OSError) -> str:
    """Return what to do about an error, to stand behind it; empty where there is no telling."""
    if isinstance(error, OSError):
        return _OF_SYSTEM.get(error.errno or 0, "")
    if is_busy(error):
        return "; another process holds it"
    if _code(error).startswith("SQLITE_FULL"):
        return "; make room on the disk"
    if is_refused(error) or _code(error).startswith("SQLITE_PERM"):
        return "; let this user write the file and its folder"
    return ""


def _code(error: sqlite3.Error) -> str:
    return str(getattr(error, "sqlite_errorname", None) or "")
