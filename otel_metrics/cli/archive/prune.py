"""`otel-metrics archive prune`: remove the oldest sealed segments, and say so in the audit."""

import time
from collections.abc import Callable, Mapping
from typing import Any, Final

import click
from click.core import ParameterSource

from otel_exporter_ndjson.audit import AuditLog
from otel_exporter_ndjson.fs import RealFs
from otel_exporter_ndjson.retention import Limits, Removed
from otel_exporter_ndjson.retention import prune as pruned
from otel_exporter_ndjson.settings import VARIABLES, Settings
from otel_metrics.cli import formats
from otel_metrics.cli.archive.options import (
    EXIT_NO,
    EXIT_PARTLY,
    EXIT_WRONG,
    archive_option,
    segments,
    service_option,
    tell_service,
)
from otel_metrics.cli.archive.signing import key_option, signing_key, unsigned_option

__all__ = ["prune"]

_COLUMNS: Final = ("signal", "service", "segment", "records", "bytes", "reason")
_PARSERS: Final = {variable.argument: variable for variable in VARIABLES}


def _limit(argument: str) -> Callable[[click.Context, click.Parameter, str | None], Any]:
    """Return what reads an option as the variable of that name is read."""

    def read(context: click.Context, option: click.Parameter, text: str | None) -> Any:
        try:
            if argument == "retention_age" and text is not None and _is_typed(context, option):
                _refuse_bare(text)
            return None if text is None else _PARSERS[argument].parse(text)
        except ValueError as error:
            raise click.BadParameter(str(error), context, option) from None

    return read


def _is_typed(context: click.Context, option: click.Parameter) -> bool:
    source = context.get_parameter_source(option.name or "")
    return source is ParameterSource.COMMANDLINE


def _refuse_bare(text: str) -> None:
    """Refuse an age without a unit: the variable's milliseconds are not what people mean."""
    if text.strip().replace(".", "", 1).isdigit():
        raise ValueError(f"{text} has no unit; give 30d, 12h or {text}ms")


@click.command()
@archive_option
@service_option
@click.option(
    "--age",
    "age_s",
    envvar=_PARSERS["retention_age"].name,
    callback=_limit("retention_age"),
    help="Remove segments whose records are all older: 30d, 12h.",
)
@click.option(
    "--bytes",
    "bytes_max",
    envvar=_PARSERS["retention_bytes"].name,
    callback=_limit("retention_bytes"),
    help="Remove the oldest segments of each service beyond this size on disk: 10GiB.",
)
@key_option("Sign what the audit says with this key.")
@unsigned_option
@click.option("--yes", is_flag=True, help="Remove; without it only say what would go.")
@formats.option
@click.pass_context
def prune(
    context: click.Context,
    *,
    path: str,
    service: str | None,
    age_s: float | None,
    bytes_max: int | None,
    key_file: str | None,
    unsigned: bool,
    yes: bool,
    form: str,
) -> None:
    """Remove the oldest sealed segments, after the audit has said so.

    Open and damaged segments stay, and the audit itself does. Nothing is removed without --yes.

    Exit status 1 when the folder is no archive or the service is not in it, 2 without a limit, or
    for a signed archive without its key, 3 when the disk or the audit
    refused part of it.
    """
    limits = Limits(age_s=age_s, bytes_max=bytes_max)
    if not limits:
        click.echo("no limit is given; use --age or --bytes", err=True)
        context.exit(EXIT_WRONG)
    found = segments(context, path)
    if tell_service(found, service):
        context.exit(EXIT_NO)
    key = signing_key(context, found, key_file, unsigned=unsigned or not yes)
    audit = AuditLog(Settings(path=path), key=key)
    rows: list[Mapping[str, Any]] = []
    error: OSError | None = None
    try:
        removals = pruned(
            RealFs(),
            path,
            limits,
            now_ns=time.time_ns(),
            say=audit.removed,
            service=service,
            dry_run=not yes,
        )
        rows.extend(map(_row, removals))  # those before a failure are kept
    except OSError as failure:
        error = failure
    finally:
        audit.close()
    if rows or form != "table":
        click.echo(formats.printable(formats.formatted(rows, form, columns=_COLUMNS)))
    if not rows and error is None:
        click.echo("no sealed segment is beyond the limits; nothing is to be removed", err=True)
    if error is not None:
        click.echo(formats.printable(f"--archive={path}: {error}; the rest stays"), err=True)
        context.exit(EXIT_PARTLY)
    if not yes and rows:
        click.echo(f"{len(rows)} segments would be removed; --yes removes them", err=True)


def _row(removed: Removed) -> Mapping[str, Any]:
    segment = removed.segment
    return {
        "signal": segment.signal,
        "service": segment.service,
        "segment": segment.name,
        "records": removed.records,
        "bytes": removed.bytes,
        "reason": removed.reason,
        "sha256": removed.sha256,
    }
