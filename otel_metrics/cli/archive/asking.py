"""Putting a question to an archive's views from a command: progress, interrupts, damage, errors.

The first attempt trusts that lines are JSON. Where one is not, every line is looked at and the
question put again, so that a sound archive costs no second look and a damaged one still answers.
"""

import importlib
import re
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, NoReturn, TypeVar

import click

from otel_exporter_ndjson import Finding
from otel_metrics.archive import DamageMode, MissingDuckdbError, connect
from otel_metrics.cli import formats
from otel_metrics.cli.archive.options import EXIT_WRONG
from otel_metrics.cli.archive.progress import bar
from otel_metrics.cli.matching import suggestion

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

__all__ = ["Subject", "ask"]

PROGRESS_AFTER_S: Final = 1.0
PROGRESS_EVERY_S: Final = 0.1
_PROGRESS: Final = "SET enable_progress_bar = true; SET enable_progress_bar_print = false"
_VIEWS: Final = ("metrics", "increments", "events", "audit", "damage")
_DAMAGE: Final = re.compile("JSON|maximum_object_size|zstd|frame")
_NO_TABLE: Final = re.compile(r"Table with name (\S+) does not exist!(\nDid you mean .*)?")

T = TypeVar("T")
Work = Callable[["DuckDBPyConnection"], T]


@dataclass(kw_only=True)
class Subject:
    """What is asked: which archive, and what of it. `findings` says what was amiss with it."""

    path: str
    service: str | None
    since: int | None
    until: int | None
    signal: str | None = None
    findings: list[Finding] = field(default_factory=list)

    def connect(self, damage: DamageMode) -> "DuckDBPyConnection":
        """Return a connection to the archive as it is now."""
        self.findings.clear()
        try:
            return connect(
                self.path,
                signal=self.signal,
                service=self.service,
                since=self.since,
                until=self.until,
                damage=damage,
                findings=self.findings,
            )
        except RuntimeError as error:
            if str(error) == "Query interrupted":  # what DuckDB makes of Ctrl-C
                raise KeyboardInterrupt from None
            raise


def ask(context: click.Context, subject: Subject, work: Work[T]) -> T:
    """Return what `work` finds out over a connection; end where the question is wrong."""
    try:
        first = subject.connect("raise")
    except MissingDuckdbError as error:
        click.echo(str(error), err=True)
        context.exit(EXIT_WRONG)
    duckdb: Any = importlib.import_module("duckdb")
    try:
        try:
            return _run(first, work)
        except duckdb.IOException:  # a segment was compressed or removed meanwhile
            return _again(subject, "raise", work)
    except duckdb.Error as error:
        if not isinstance(error, duckdb.IOException | duckdb.InvalidInputException) or not (
            _DAMAGE.search(str(error))
        ):
            _refuse(context, error)
    try:
        return _again(subject, "salvage", work)
    except duckdb.Error as error:
        _refuse(context, error)


def _again(subject: Subject, damage: DamageMode, work: Work[T]) -> T:
    return _run(subject.connect(damage), work)


def _refuse(context: click.Context, error: Exception) -> NoReturn:
    text = _NO_TABLE.sub(
        lambda match: f"There is no {match[1]}{suggestion(match[1], _VIEWS)}", str(error)
    )
    click.echo(formats.printable(text), err=True)
    context.exit(EXIT_WRONG)


def _run(connection: "DuckDBPyConnection", work: Work[T]) -> T:
    """Do the work on another thread: DuckDB itself does not look for Ctrl-C."""
    answers: list[T] = []
    errors: list[BaseException] = []
    done = threading.Event()  # a join that is interrupted takes the thread for dead, in 3.11

    def run() -> None:
        try:
            connection.execute(_PROGRESS)
            answers.append(work(connection))
        except BaseException as error:  # noqa: BLE001  # raised again below, where it is waited for
            errors.append(error)
        finally:
            done.set()

    thread = threading.Thread(target=run, name="archive-query")
    try:
        thread.start()
        _wait(done, connection)
    except BaseException:
        while thread.ident is not None and not done.wait(PROGRESS_EVERY_S):
            connection.interrupt()  # again: between two statements there is nothing to interrupt
        raise
    finally:
        connection.close()
    if errors:
        raise errors[0]
    return answers[0]


def _wait(done: threading.Event, connection: "DuckDBPyConnection") -> None:
    if done.wait(PROGRESS_AFTER_S):
        return
    with bar("reading the archive", "percent") as update:
        while not done.wait(PROGRESS_EVERY_S):
            update(max(0.0, connection.query_progress()), 100)
