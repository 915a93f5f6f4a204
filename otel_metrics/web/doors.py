"""The door of a service's own routes, from arguments and from the variables of the page."""

import logging
import os
from collections.abc import Mapping, Sequence

from otel_exporter_prometheus import access, settings
from otel_exporter_prometheus.errors import SettingError
from otel_metrics.web.failures import count_failure
from otel_metrics.web.guard import Door

__all__ = ["page_door"]

_logger = logging.getLogger("otel_metrics.web")


def page_door(
    given: Mapping[str, object], hosts: Sequence[str], origins: Sequence[str], *, paths: str
) -> Door:
    """Return the door; what is not given is read from `OTEL_EXPORTER_PROMETHEUS_*`.

    Args:
        given: `bearer_token_file`, `basic_auth_file` and `allow_unauthenticated`, None for unset.
        paths: what the routes are called in the log where a variable closes them.

    Raises:
        SettingError: a file that is an argument cannot be used.
    """
    read, _ = settings.from_environ(os.environ)
    # Where the page's own port listens, and its TLS, are no concern of a service's own port.
    kept = settings.Settings(
        bearer_token_file=read.bearer_token_file,
        basic_auth_file=read.basic_auth_file,
        allow_unauthenticated=read.allow_unauthenticated,
    )
    asked = settings.from_arguments(kept, given)
    try:
        authenticator = access.authenticator(asked, count_failure)
    except SettingError as error:
        if given["bearer_token_file"] is not None or given["basic_auth_file"] is not None:
            raise
        _logger.error("%s; the routes %s stay closed", error, paths)
        return Door(closed=str(error))
    return Door(
        authenticator=authenticator,
        hosts=hosts,
        origins=tuple(map(str.lower, origins)),
        for_all=asked.allow_unauthenticated,
    )
