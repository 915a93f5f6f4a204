"""The engine for one command: the files of the service, read and closed again.

A command decides and runs as the service does, on its own thread: the same policy, approvals and
limits, in the same ledger, with the same audit.
"""

import contextlib
import dataclasses
import os
import time
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from typing import Final, TypeVar

import click

from otel_exporter_ndjson import NdjsonError
from otel_metrics.archive.adding import adding
from otel_metrics.archive.remediation_audit import RemediationAudit
from otel_metrics.autoconfig.settings import from_environ
from otel_metrics.catalog.loader import builtin
from otel_metrics.catalog.model import Catalog
from otel_metrics.cli.archive.options import archive_option, seal_key
from otel_metrics.cli.archive.signing import key_option
from otel_metrics.cli.playbooks.options import EXIT_NO, db_option, end, say
from otel_metrics.cli.skills.deciding import prepare
from otel_metrics.remediation.engine import Engine
from otel_metrics.remediation.errors import RemediationError
from otel_metrics.remediation.model import Configuration
from otel_metrics.remediation.switch import Switch
from otel_metrics.service.samples import Resource

__all__ = ["Files", "files_options", "looking", "opened", "switch_of"]

STOP_S: Final = 5.0

_Command = TypeVar("_Command", bound=Callable[..., object])


@dataclass(frozen=True, slots=True, kw_only=True)
class Files:
    """What a command that decides is given.

    Attributes:
        db: the ledger.
        path: the archive, whose audit says what is done.
        service: whose audit it is; None for the one service of the archive.
        key_file: seals the audit; None is no audit.
    """

    db: str
    path: str
    service: str | None
    key_file: str | None


def files_options(command: _Command) -> _Command:
    """Add the options that name `Files`."""
    key = key_option("The key that the audit is sealed with; without one nothing is run.")
    service = click.option(
        "--service",
        help="Whose audit it is. Default: OTEL_SERVICE_NAME, then the one service that the archive "
        "is of.",
    )
    for option in (service, key, archive_option, db_option):
        command = option(command)
    return command


@contextlib.contextmanager
def looking(context: click.Context, db: str) -> Iterator[Engine]:
    """Give an engine that is only asked; end where the ledger refuses."""
    engine = Engine(lambda: None, {}, ledger_path=db)
    with _told(context), contextlib.closing(_Closing(engine)):
        yield engine


@contextlib.contextmanager
def opened(
    context: click.Context,
    files: Files,
    *,
    configuration: Configuration | None = None,
    catalog: Catalog | None = None,
    targets: Collection[Resource] = (),
    is_quiet: bool = False,
) -> Iterator[Engine]:
    """Give an engine that decides and runs, whose audit and events are in the archive; end where
    the ledger refuses.

    Args:
        targets: what something may be done to: what a person named.
        is_quiet: whether nothing is to be written to the archive.
    """
    settings, _ = from_environ(os.environ)
    with contextlib.ExitStack() as stack:
        audit = _audit(context, files, stack, is_quiet=is_quiet)
        engine = Engine(
            lambda: configuration,
            (catalog or builtin()).playbooks,
            ledger_path=files.db,
            audit=audit,
            entries=None if audit is None else audit.entries,
            known_targets=lambda: targets,
            stop=settings.remediation_stop,
            service="" if audit is None else audit.service,
        )
        stack.enter_context(_told(context))
        stack.enter_context(contextlib.closing(_Closing(engine)))
        yield engine


def switch_of(stop_file: str) -> Switch:
    """Return the kill switch, which the variable holds, too."""
    settings, _ = from_environ(os.environ)
    return Switch(stop_file, held=settings.remediation_stop)


class _Closing:
    """Stops an engine as `contextlib.closing` closes."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def close(self) -> None:
        self._engine.stop(time.monotonic() + STOP_S)


def _audit(
    context: click.Context, files: Files, stack: contextlib.ExitStack, *, is_quiet: bool
) -> RemediationAudit | None:
    """Return the audit, None where there is no key or no archive; have events go to the archive."""
    key = seal_key(context, files.key_file)
    service = prepare(context, files.path, files.service)
    if service is None:
        if key is not None:
            say(f"{files.path}: is no archive, so there is no audit; --archive names one")
        return None
    try:
        if not is_quiet:
            stack.enter_context(adding(files.path, service=service, key_file=files.key_file))
        if key is None:
            return None
        settings, _ = from_environ(os.environ)
        written = dataclasses.replace(settings.ndjson, path=files.path)
        audit = RemediationAudit(written, key=key, service=service)
    except (NdjsonError, OSError) as error:
        end(context, f"--archive={files.path}: {error}", EXIT_NO)
    stack.callback(audit.close)
    return audit


@contextlib.contextmanager
def _told(context: click.Context) -> Iterator[None]:
    try:
        yield
    except RemediationError as error:
        end(context, str(error), EXIT_NO)
