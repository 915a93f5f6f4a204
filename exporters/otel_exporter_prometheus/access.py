"""What secures a page: its credentials and its certificate, from the files that settings name."""

from collections.abc import Callable

from otel_exporter_prometheus.auth import Authenticator
from otel_exporter_prometheus.errors import SettingError
from otel_exporter_prometheus.settings import Settings
from otel_exporter_prometheus.tls import Tls

__all__ = ["authenticator", "problem", "tls"]


def authenticator(settings: Settings, count: Callable[[str], None]) -> Authenticator | None:
    """Return who checks credentials, None where nobody is to; `count` is told failures.

    Raises:
        SettingError: a file cannot be used.
    """
    if not settings.authenticated:
        return None
    return Authenticator(
        bearer_token_file=settings.bearer_token_file,
        basic_auth_file=settings.basic_auth_file,
        count=count,
    )


def tls(settings: Settings) -> Tls | None:
    """Return the certificate, None where the page speaks HTTP.

    Raises:
        SettingError: a file cannot be used.
    """
    if settings.tls_cert_file is None or settings.tls_key_file is None:
        return None
    return Tls(settings.tls_cert_file, settings.tls_key_file)


def problem(settings: Settings) -> str | None:
    """Say why the page must stay closed, looking into the files, or return None."""
    if settings.refusal is not None:
        return settings.refusal
    try:
        authenticator(settings, _ignore)
        tls(settings)
    except SettingError as error:
        return str(error)
    return None


def _ignore(_: str) -> None:
    pass
