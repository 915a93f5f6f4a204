"""Tries the archive, for `doctor`: whether it could be written, how full the disk is, and when it
will be full.

Writes nothing but a nameless file where the archive would be.
"""

import errno
import os
import shutil
import tempfile
from datetime import UTC, datetime
from typing import Final

from otel_exporter_ndjson import NdjsonError
from otel_exporter_ndjson.folders import Folders
from otel_exporter_ndjson.fs import RealFs, Space
from otel_exporter_ndjson.sealkey import read_key
from otel_exporter_ndjson.settings import Settings
from otel_exporter_ndjson.space import floor_bytes, size_text
from otel_metrics.archive.growth import growth

__all__ = ["try_archive"]

SIGNALS: Final = ("metrics", "events")


def try_archive(settings: Settings, service: str) -> tuple[bool, str]:
    """Return whether the archive could be written to, and what was seen."""
    root = os.path.abspath(settings.path)
    there = root
    while not os.path.lexists(there):
        there = os.path.dirname(there)
    try:
        with tempfile.TemporaryFile(dir=there):
            disk = shutil.disk_usage(there)
    except OSError as error:
        return False, (
            f"{settings.path}: {there} {_why_not(there, error)}; "
            "set OTEL_EXPORTER_NDJSON_PATH to a folder that can be written to"
        )
    wrong = _refusal(settings, root, service)
    if wrong is not None:
        return False, wrong
    floor = floor_bytes(settings, Space(disk.total, disk.free))
    if disk.free < floor:
        return False, (
            f"{root}: {size_text(disk.free)} are free, fewer than the floor of {size_text(floor)}: "
            "metrics are not written; make room, or set OTEL_EXPORTER_NDJSON_FREE_BYTES_MIN"
        )
    state = "is writable" if there == root else "can be made"
    return True, f"{root} {state}, {size_text(disk.free)} free{_outlook(root, disk.free - floor)}"


def _refusal(settings: Settings, root: str, service: str) -> str | None:
    """Say what a writer would refuse: a key or a folder that others can change."""
    folders = Folders(
        RealFs(),
        root,
        file_mode=settings.file_mode,
        dir_mode=settings.dir_mode,
        allow_network_fs=settings.allow_network_fs,
    )
    try:
        if settings.seal_key_file is not None:
            read_key(settings.seal_key_file)
        for signal in SIGNALS:
            folders.examine(signal, service)
    except OSError as error:
        return f"{error.filename or root}: {error.strerror}"
    except NdjsonError as error:
        return str(error)
    return None


def _outlook(root: str, free_bytes: int) -> str:
    """Say how fast the archive grows and when the disk is full, where that can be told."""
    try:
        found = growth(root, datetime.now(UTC))
    except OSError:
        return ""
    if not found.segments:
        return ""
    held = f"; {size_text(found.bytes)} in {found.segments} segments"
    days = found.days_left(free_bytes)
    if found.bytes_per_day is None or days is None:
        return f"{held}, too young to tell how fast it grows"
    return f"{held}, grows {size_text(found.bytes_per_day)} a day: room for {_days(days)}"


def _days(days: float) -> str:
    if days >= 3650:
        return "more than ten years"
    return f"{days:.0f} days" if days >= 3 else f"{days * 24:.0f} hours"


def _why_not(there: str, error: OSError) -> str:
    if not os.path.exists(there):
        return "is a link to what is not there"
    if not os.path.isdir(there):
        return "is no folder"
    if error.errno == errno.ENOENT:  # what /proc says to whoever wants to make a file there
        return "takes no files: it is not writable"
    return f"is not writable: {error.strerror}"
