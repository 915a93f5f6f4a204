"""`otel-metrics archive erase`: take what an archive says of somebody out of it."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import click

from otel_exporter_ndjson.audit import AuditLog, who
from otel_exporter_ndjson.settings import Settings
from otel_metrics.archive.erasure import Erased, Eraser, torn_with
from otel_metrics.archive.matching import Wanted
from otel_metrics.archive.problems import Problem
from otel_metrics.cli import formats
from otel_metrics.cli.archive.checking import folder
from otel_metrics.cli.archive.options import (
    EXIT_NO,
    EXIT_PARTLY,
    EXIT_WRONG,
    archive_option,
    segments,
    service_option,
    tell_service,
)
from otel_metrics.cli.archive.progress import bar
from otel_metrics.cli.archive.signing import key_option, signing_key, unsigned_option
from otel_metrics.cli.matching import Names

__all__ = ["erase"]

_COLUMNS: Final = ("signal", "service", "segment", "records", "done", "reason")
_WHERE: Final[Mapping[str, str]] = {
    "open": "in open segments; run this again once they are sealed",
    "unsealed": "in segments of dead writers; otel-metrics archive repair seals them",
    "damaged": "in damaged segments, and a new seal would hide the damage",
    "signed": "in signed segments; give --key-file, or --unsigned to go without",
    "busy": "in segments that somebody else has; run this again",
    "failed": "in segments where the disk or the audit refused",
}
_DONE: Final = frozenset({"found", "erased"})


def _pairs(_context: click.Context, _option: click.Parameter, given: Sequence[str]) -> Any:
    for text in given:
        if not all(text.partition("=")):
            raise click.BadParameter(f"{text!r} is no KEY=VALUE")
    return tuple((text.partition("=")[0], text.partition("=")[2]) for text in given)


@click.command()
@archive_option
@service_option
@click.option("--event", "events", multiple=True, help="Events of this name.")
@click.option("--metric", "metrics", multiple=True, help="Points of this metric.")
@click.option(
    "--attribute",
    "attributes",
    multiple=True,
    metavar="KEY=VALUE",
    callback=_pairs,
    help="Records with exactly this value, in attributes, bodies or exemplars, however deep.",
)
@click.option("--reason", help="Why; it stays in the archive, so name nobody in it.")
@key_option("Sign the new seals, and what the audit says, with this key.")
@unsigned_option
@click.option("--yes", is_flag=True, help="Erase; without it only say how many records match.")
@formats.option
@click.pass_context
def erase(
    context: click.Context,
    *,
    path: str,
    service: str | None,
    events: tuple[str, ...],
    metrics: tuple[str, ...],
    attributes: tuple[tuple[str, str], ...],
    reason: str | None,
    key_file: str | None,
    unsigned: bool,
    yes: bool,
    form: str,
) -> None:
    """Erase the records that match everything given; of several names one.

    Each sealed segment that holds such a record is written anew and replaces the old one; lines
    keep their numbers, the audit says so first, and archive verify tells it. A segment whose writer
    lives cannot be rewritten: run this again once it is sealed. It may be killed, and run again.
    Backups, exports and what was sent elsewhere are not reached.

    Exit status 1 when the folder is no archive or the service is not in it, 2 for wrong use, or for
    a signed archive without its key, 3 when some is still there, or may be: in what is damaged, and
    in files and folders that could not be looked into.
    """
    wanted = Wanted(metrics=metrics, events=events, attributes=attributes)
    _refuse_wrong_use(context, wanted, reason, yes=yes)
    folder(context, path)
    found = segments(context, path)
    unlisted = Eraser(path, wanted).unlisted(service=service)
    if tell_service(found, service):
        _tell_unread((), unlisted)
        context.exit(EXIT_PARTLY if unlisted else EXIT_NO)
    key = signing_key(context, found, key_file, unsigned=unsigned or not yes)
    audit = AuditLog(Settings(path=path), key=key) if yes else None
    names = Names(metrics, events, exact=True)
    eraser = Eraser(
        path,
        wanted,
        reason=reason or "",
        actor=who(),
        key=key,
        unsigned=unsigned,
        audit=audit,
    )
    try:
        with bar("erasing" if yes else "searching", "pieces") as progress:
            done = list(eraser.run(service=service, progress=progress, seen=names.keep))
    finally:
        if audit is not None:
            audit.close()
    torn = torn_with(path, wanted)
    if done or form != "table":
        click.echo(formats.printable(formats.formatted(_rows(done), form, columns=_COLUMNS)))
    _tell(done, torn, yes=yes)
    _tell_unread(done, unlisted)
    for miss in _misses(names, wanted, done):
        click.echo(formats.printable(miss), err=True)
    rest = [each for each in done if each.action not in _DONE]
    context.exit(EXIT_PARTLY if rest or torn or unlisted else 0)


def _refuse_wrong_use(
    context: click.Context, wanted: Wanted, reason: str | None, *, yes: bool
) -> None:
    message = None
    if not wanted:
        message = "nothing says which records; use --attribute, --event or --metric"
    elif yes and not reason:
        message = "--reason is missing: the archive must say why"
    elif reason and any(value in reason for _, value in wanted.attributes):
        message = "--reason names what is to be erased, and would stay; leave it out"
    if message is not None:
        click.echo(message, err=True)
        context.exit(EXIT_WRONG)


def _rows(done: Sequence[Erased]) -> list[Mapping[str, Any]]:
    return [
        {
            "signal": each.segment.signal,
            "service": each.segment.service,
            "segment": each.segment.name,
            "records": each.records,
            "done": each.action,
            "reason": each.reason,
        }
        for each in done
    ]


def _tell(done: Sequence[Erased], torn: Sequence[str], *, yes: bool) -> None:
    for path in torn:
        message = f"{path}: holds a value that is asked for; it is no segment, remove it yourself"
        click.echo(formats.printable(message), err=True)
    here = sum(each.records for each in done if each.action in _DONE)
    rest = Counter[str]()
    for each in done:
        if each.action not in _DONE:
            rest[each.action] += each.records
    if yes:
        click.echo(f"{_records(here)} erased", err=True)
    else:
        verb = "matches" if here + rest.total() == 1 else "match"
        remedy = "; --yes erases them" if here else ""
        click.echo(f"{_records(here + rest.total())} {verb}", err=True)
        click.echo(f"{here} can be erased now{remedy}", err=True)
    for action, count in rest.items():
        if count:
            click.echo(f"{_records(count)} {_stay(count, yes=yes)} {_WHERE[action]}", err=True)


def _tell_unread(done: Sequence[Erased], unlisted: Sequence[Problem]) -> None:
    """Name what could not be looked into: nothing there was compared."""
    unread = [(each.segment.path, each.reason) for each in done if each.action == "unread"]
    for path, why in [*unread, *((each.path, each.message) for each in unlisted)]:
        message = f"{path}: could not be looked into; the value may still be there ({why})"
        click.echo(formats.printable(message), err=True)


def _records(count: int) -> str:
    return f"{count} record{'' if count == 1 else 's'}"


def _stay(count: int, *, yes: bool) -> str:
    return f"{'is' if count == 1 else 'are'}{' still there,' if yes else ''}"


def _misses(names: Names, wanted: Wanted, done: Sequence[Erased]) -> Iterator[str]:
    """Yield a line for each name that is nowhere, else where nothing has all that is asked for."""
    misses = list(names.misses())
    yield from misses
    if not misses and not done:
        asked = " ".join(f"--attribute={key}={value}" for key, value in wanted.attributes)
        yield f"{asked}: nothing matches" if asked else "nothing matches"
