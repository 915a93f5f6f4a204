"""TLS of the page: a certificate and its key from files, read anew when they change.

Threads: any thread asks; `_lock` lets one of them read.
"""

import logging
import ssl
import threading
from typing import Final

from otel_exporter_prometheus.errors import SettingError
from otel_exporter_prometheus.privatefile import Identity, identity, read_private
from otel_exporter_prometheus.settings import (
    OTEL_EXPORTER_PROMETHEUS_TLS_CERT_FILE,
    OTEL_EXPORTER_PROMETHEUS_TLS_KEY_FILE,
)

__all__ = ["Tls"]

_CERT: Final = OTEL_EXPORTER_PROMETHEUS_TLS_CERT_FILE
_KEY: Final = OTEL_EXPORTER_PROMETHEUS_TLS_KEY_FILE

_logger = logging.getLogger("otel_exporter_prometheus")


class Tls:
    """The certificate in use.

    Files that turn bad are named once in the log, and what they held before stays in use: they are
    changed one after the other, and in between they do not fit.

    Args:
        cert_file: the certificate, then those that it rests on, in PEM.
        key_file: its key, in PEM, without a passphrase.

    Raises:
        SettingError: they cannot be used.
    """

    def __init__(self, cert_file: str, key_file: str) -> None:
        self._cert_file = cert_file
        self._key_file = key_file
        self._lock = threading.Lock()
        self._bad = False
        self._seen = self._identities()
        self._context = self._load()

    def context(self) -> ssl.SSLContext:
        """Return what to begin a connection with."""
        seen = self._identities()
        if seen != self._seen:
            with self._lock:
                if seen != self._seen:
                    self._seen = seen
                    self._load_again()
        return self._context

    def _identities(self) -> tuple[Identity | None, Identity | None]:
        return identity(self._cert_file), identity(self._key_file)

    def _load_again(self) -> None:
        try:
            self._context = self._load()
        except SettingError as error:
            if not self._bad:
                _logger.error("%s; the certificate from before is used until then", error)
            self._bad = True
            return
        self._bad = False

    def _load(self) -> ssl.SSLContext:
        read_private(self._key_file, _KEY)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        try:
            # Without a password at hand OpenSSL would ask the terminal for one.
            context.load_cert_chain(self._cert_file, self._key_file, password=_no_password)
        except OSError as error:
            raise SettingError(self._wrong(error)) from error
        return context

    def _wrong(self, error: OSError) -> str:
        if isinstance(error, ssl.SSLError):
            if error.reason == "KEY_VALUES_MISMATCH":
                return (
                    f"{_KEY}={self._key_file}: is not the key of the certificate in "
                    f"{_CERT}={self._cert_file}; name the two files that belong together"
                )
            return (
                f"{_CERT}={self._cert_file}, {_KEY}={self._key_file}: are no certificate and key "
                "in PEM; the key must have no passphrase"
            )
        return (
            f"{_CERT}={self._cert_file}: {error.strerror}; "
            "name a file that is there and that this user may read"
        )


def _no_password() -> str:
    return ""
