"""Keeps the audit of remediation in an archive: each line is on the disk when `say` returns.

Its segments are those of signal `audit`, sealed with a key: whoever has no key cannot change what
was done without its showing. `otel-metrics archive verify` reads them.

Threads: `say` from one thread at a time, which the trail of remediation sees to.
"""

import os
from collections.abc import Iterator, Mapping

from otel_exporter_ndjson import read
from otel_exporter_ndjson.audit import CLOSE_S, AuditLog
from otel_exporter_ndjson.errors import DamagedError
from otel_exporter_ndjson.files import Finding
from otel_exporter_ndjson.fs import Fs
from otel_exporter_ndjson.reader import Record
from otel_exporter_ndjson.sealkey import SealKey
from otel_exporter_ndjson.settings import Settings
from otel_exporter_ndjson.values import decode_attributes

__all__ = ["RemediationAudit", "entries", "placed_entries"]

_PREFIX = "remediation."


class RemediationAudit:
    """The audit of one service in one archive.

    Args:
        settings: of the archive; its path is where the audit goes.
        key: seals it.
        service: whose audit it is.

    Attributes:
        service: the same.
    """

    def __init__(self, settings: Settings, *, key: SealKey, service: str) -> None:
        self._log = AuditLog(settings, key=key)
        self._path = settings.path
        self.service = service

    def say(self, event: str, attributes: Mapping[str, str | int]) -> None:
        """Write one line.

        Raises:
            OSError: it is not on the disk.
        """
        self._log.say(event, attributes, service=self.service)

    def entries(self) -> Iterator[Mapping[str, str | int]]:
        """Return the fields of every line that the archive has of the service."""
        return (fields for _, fields in entries(self._path, service=self.service))

    def close(self, timeout_s: float = CLOSE_S) -> None:
        """Seal what was written, within `timeout_s` where the disk can."""
        self._log.close(timeout_s)

    def after_fork(self) -> None:
        """Begin anew in a forked child."""
        self._log.after_fork()


def entries(
    path: str | os.PathLike[str],
    *,
    service: str | None = None,
    findings: list[Finding] | None = None,
) -> Iterator[tuple[str, Mapping[str, str | int]]]:
    """Return event and fields of each line of remediation in the audit of an archive.

    Raises:
        OSError: the archive cannot be read; where it is not there, there are none.
    """
    for record, fields in placed_entries(path, service=service, findings=findings):
        yield str(record.data.get("event")), fields


def placed_entries(
    path: str | os.PathLike[str],
    *,
    service: str | None = None,
    findings: list[Finding] | None = None,
    fs: Fs | None = None,
) -> Iterator[tuple[Record, Mapping[str, str | int]]]:
    """Return each line of remediation, and its fields. Errors are those of `entries`."""
    try:
        for record in read(path, signal="audit", service=service, findings=findings, fs=fs):
            if not str(record.data.get("event")).startswith(_PREFIX):
                continue
            try:
                said = decode_attributes(record.data.get("attributes")) or {}
            except DamagedError:
                continue
            yield record, {key: each for key, each in said.items() if isinstance(each, str | int)}
    except FileNotFoundError:
        return
