"""What the archive commands share: options, exit statuses, finding the archive, telling findings.

What is printed to a terminal was written by others: control characters and those that turn the
direction of text are shown as escapes.
"""

import os
import re
from datetime import UTC, datetime, timedelta
from typing import Any, Final, NoReturn

import click
from click.core import ParameterSource

from otel_exporter_ndjson import Finding, NdjsonError, Segment, find_segments
from otel_exporter_ndjson.folders import ARCHIVE_FILE
from otel_exporter_ndjson.sealkey import SealKey, read_key
from otel_exporter_ndjson.settings import duration
from otel_metrics.cli import formats
from otel_metrics.cli.matching import suggestion

__all__ = [
    "ARCHIVE_VARIABLE",
    "DEFAULT_ARCHIVE",
    "EXIT_NO",
    "EXIT_PARTLY",
    "EXIT_WRONG",
    "KEY_VARIABLE",
    "Moment",
    "archive_option",
    "is_of",
    "refuse",
    "seal_key",
    "segments",
    "service_option",
    "since_option",
    "tell",
    "tell_service",
    "until_option",
]

ARCHIVE_VARIABLE: Final = "OTEL_EXPORTER_NDJSON_PATH"
KEY_VARIABLE: Final = "OTEL_EXPORTER_NDJSON_SEAL_KEY_FILE"
_NO_KEY: Final = "name a key that this user may read; otel-metrics archive keygen makes one"
DEFAULT_ARCHIVE: Final = "./telemetry"
EXIT_NO: Final = 1
EXIT_WRONG: Final = 2
EXIT_PARTLY: Final = 3


class Moment(click.ParamType[int]):
    """A time: RFC 3339, or how long ago."""

    name = "time"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Return nanoseconds since 1970."""
        text = str(value).strip()
        if re.search("[a-zA-Z]$", text) and not re.search("[zZ]$", text):
            try:
                moment = datetime.now(UTC) - timedelta(seconds=duration()(text))
            except (ValueError, OverflowError):
                self.fail(_not_a_time(text), param, ctx)
        else:
            try:
                moment = datetime.fromisoformat(text)
            except ValueError:
                self.fail(_not_a_time(text), param, ctx)
        moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
        since = moment - datetime(1970, 1, 1, tzinfo=UTC)
        return since // timedelta(microseconds=1) * 1000


_MOMENT: Final = Moment()

archive_option: Final = click.option(
    "--archive",
    "path",
    type=click.Path(),
    callback=lambda _context, _option, path: os.path.expanduser(path),
    envvar=ARCHIVE_VARIABLE,
    default=DEFAULT_ARCHIVE,
    help=f"The archive's folder. Default: {ARCHIVE_VARIABLE}, then {DEFAULT_ARCHIVE}.",
)
"""The option `--archive`, handed to the command as `path`."""
service_option: Final = click.option("--service", help="Only this service.")
since_option: Final = click.option(
    "--since", type=_MOMENT, help="From this time on: RFC 3339, or 2h for two hours ago."
)
"""The option `--since`, in nanoseconds since 1970 or None."""
until_option: Final = click.option("--until", type=_MOMENT, help="Before this time; as --since.")


def segments(context: click.Context, path: str) -> list[Segment]:
    """Return the segments of an archive; end where there is none."""
    remedy = "give the folder that a service writes to"
    try:
        found = find_segments(path)
    except OSError as error:
        refuse(context, path, f"{error.strerror}; {remedy}", EXIT_WRONG)
    if not found and not os.path.lexists(os.path.join(path, ARCHIVE_FILE)):
        refuse(context, path, f"is no archive, it has no file {ARCHIVE_FILE}; {remedy}", EXIT_NO)
    return found


def seal_key(context: click.Context, path: str | None) -> SealKey | None:
    """Return the key of `--key-file`, or None where none is given; end where it cannot be used."""
    if path is None:
        return None
    sources = {context.get_parameter_source(name) for name in ("key_file", "key_files")}
    named = KEY_VARIABLE if ParameterSource.ENVIRONMENT in sources else "--key-file"
    try:
        return read_key(path)
    except OSError as error:
        _end(context, f"{named}={path}: {error.strerror}; {_NO_KEY}", EXIT_WRONG)
    except NdjsonError as error:
        _end(context, str(error).replace("seal_key_file=", f"{named}=", 1), EXIT_WRONG)


def refuse(context: click.Context, path: str, message: str, status: int) -> NoReturn:
    """End because of the archive that was given, naming the setting that it came from."""
    given = context.get_parameter_source("path") is ParameterSource.ENVIRONMENT
    named = ARCHIVE_VARIABLE if given else "--archive"
    _end(context, f"{named}={path}: {message}".replace("\n", "\\n"), status)


def _end(context: click.Context, message: str, status: int) -> NoReturn:
    click.echo(formats.printable(message), err=True)
    context.exit(status)


def tell(findings: list[Finding]) -> bool:
    """Say on the error stream what is not as it should be; a torn tail is no more than unfinished.

    Returns:
        whether there was anything to say.
    """
    serious = [finding for finding in findings if finding.kind != "torn_tail"]
    for finding in serious:
        place = f"{finding.segment.path}:{finding.line}" if finding.line else finding.segment.path
        click.echo(formats.printable(f"{place}: {finding.message}"), err=True)
    return bool(serious)


def tell_service(found: list[Segment], service: str | None) -> bool:
    """Say that nothing is of a service, where that is so."""
    if service is None or any(is_of(segment, service) for segment in found):
        return False
    there = sorted({segment.service for segment in found})
    message = f"--service={service}: nothing matches{suggestion(service, there)}"
    click.echo(formats.printable(message), err=True)
    return True


def is_of(segment: Segment, service: str) -> bool:
    return service in (segment.service, os.path.basename(segment.folder_of_service))


def _not_a_time(text: str) -> str:
    return f"{text!r} is no time; accepted are 2026-01-31T08:00:00Z and 2h"
