"""`otel-metrics archive repair`: seal and compress what dead writers left."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import click

from otel_metrics.archive.repair import Repaired, would_repair
from otel_metrics.archive.repair import repair as repaired
from otel_metrics.cli import formats
from otel_metrics.cli.archive.checking import folder
from otel_metrics.cli.archive.options import (
    EXIT_NO,
    EXIT_PARTLY,
    archive_option,
    segments,
    service_option,
    tell_service,
)
from otel_metrics.cli.archive.progress import bar
from otel_metrics.cli.archive.signing import key_option, signing_key, unsigned_option

__all__ = ["repair"]

_COLUMNS: Final = ("signal", "service", "segment", "done", "torn_bytes", "reason")
_REFUSED: Final = frozenset({"damaged", "failed"})


@click.command()
@archive_option
@service_option
@click.option("--dry-run", is_flag=True, help="Only say what would be done.")
@key_option("Sign the seals with this key.")
@unsigned_option
@formats.option
@click.pass_context
def repair(
    context: click.Context,
    *,
    path: str,
    service: str | None,
    dry_run: bool,
    key_file: str | None,
    unsigned: bool,
    form: str,
) -> None:
    """Seal what writers left that died, set their torn tails aside, and compress what is sealed.

    It does what the next start of each service would do. Writers that live are left alone, and so
    is what was changed after it was sealed; nothing is deleted. What was changed before it was
    sealed is sealed as it is, and told. What is sealed and compressed is not looked at, verify does
    that. It may be run at any time, twice at once, and after it was killed. Run by root it keeps
    owner and mode.

    Exit status 1 when the folder is no archive or the service is not in it, 2 for a signed archive
    without its key, 3 when a segment is damaged or the disk refused.
    """
    folder(context, path)
    found = segments(context, path)
    if tell_service(found, service):
        context.exit(EXIT_NO)
    key = signing_key(context, found, key_file, unsigned=unsigned or dry_run)
    if dry_run:
        done = list(would_repair(path, service=service))
    else:
        with bar("repairing", "pieces") as progress:
            done = list(repaired(path, service=service, key=key, progress=progress))
    if done or form != "table":
        rows = [_row(each) for each in done]
        click.echo(formats.printable(formats.formatted(rows, form, columns=_COLUMNS)))
    _tell(done, dry_run=dry_run)
    context.exit(EXIT_PARTLY if any(map(_is_amiss, done)) else 0)


def _is_amiss(repaired: Repaired) -> bool:
    """Whether something is left, or was damaged when it was sealed."""
    done = repaired.done
    return done.action in _REFUSED or _was_damaged(repaired)


def _was_damaged(repaired: Repaired) -> bool:
    """Whether it was sealed over damage, which the seal now covers."""
    return repaired.done.action == "sealed" and repaired.done.reason is not None


def _tell(done: Sequence[Repaired], *, dry_run: bool) -> None:
    if not done:
        click.echo("nothing is to be repaired", err=True)
    elif dry_run:
        click.echo("nothing was done; without --dry-run it is", err=True)
    for each in filter(_was_damaged, done):
        message = f"{each.signal}/{each.service}: {each.done.name}: {each.done.reason}"
        click.echo(formats.printable(message), err=True)


def _row(repaired: Repaired) -> Mapping[str, Any]:
    done = repaired.done
    return {
        "signal": repaired.signal,
        "service": repaired.service,
        "segment": done.name,
        "done": done.action.replace("_", " "),
        "torn_bytes": done.torn_bytes,
        "reason": done.reason or "",
        "date": done.date.removeprefix("date="),
    }
