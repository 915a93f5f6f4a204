"""`otel-metrics demo`: real work for some seconds, recorded as a service would, then what to see.

The agents are in `otel_metrics.demo`; here are time, signals and the terminal.
"""

import itertools
import os
import platform
import shlex
import shutil
import signal
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from types import FrameType
from typing import Final

import click
from rich.console import Console

import otel_metrics
from otel_metrics.autoconfig.startup import Telemetry
from otel_metrics.demo import Closing, Library, Session, find_library, read_source, summarise
from otel_metrics.demo.progress import Display
from otel_metrics.demo.summary import Ending
from otel_metrics.errors import ConfigurationError
from otel_metrics.pipeline.delivery import FlushResult

__all__ = ["demo"]

SERVICE: Final = "otel-metrics-demo"
SECONDS: Final = 15.0
FLUSH_TIMEOUT_S: Final = 10.0
INTERVAL_VARIABLE: Final = "OTEL_METRIC_EXPORT_INTERVAL"
PROGRAM: Final = "otel-metrics"
DEFAULT_ARCHIVE: Final = "./telemetry"
EXIT_NO: Final = 1
EXIT_INTERRUPTED: Final = 130


@click.command()
@click.option(
    "--seconds",
    type=click.FloatRange(min=0),
    default=SECONDS,
    envvar="DEMO_SECONDS",
    show_default=True,
    help="How long it works, over and over where it takes longer; the file under way is finished. "
    "Also DEMO_SECONDS.",
)
@click.option(
    "--files",
    type=click.IntRange(min=1),
    envvar="DEMO_FILES",
    help="Visit exactly this many files, however long it takes. Also DEMO_FILES.",
)
@click.option(
    "--archive",
    type=click.Path(file_okay=False),
    default=DEFAULT_ARCHIVE,
    envvar="OTEL_EXPORTER_NDJSON_PATH",
    help=f"Folder of the archive. Default: OTEL_EXPORTER_NDJSON_PATH, then {DEFAULT_ARCHIVE}.",
)
@click.pass_context
def demo(context: click.Context, *, seconds: float, files: int | None, archive: str) -> None:
    """Let two small agents read Python's standard library, and show what was recorded.

    Exit status 1 when an exporter did not take everything, 130 when it was interrupted.
    """
    library = find_library()
    if not library.paths:
        click.echo(f"{library.root} holds no source files of Python's standard library", err=True)
        context.exit(EXIT_NO)
    archive = os.path.expanduser(archive)
    telemetry = _configure(archive)
    console = Console(highlight=False)
    console.print(_opening(telemetry), markup=False, soft_wrap=True)
    began = datetime.now(UTC)
    session = Session(
        lambda path: read_source(library.root, path),
        session_id=f"demo-{began:%Y%m%dT%H%M%SZ}-{os.getpid()}",
    )
    began_s = time.perf_counter()
    ending = _work(session, library, console, seconds=seconds, files=files)
    elapsed_s = time.perf_counter() - began_s
    delivered = telemetry.flush(FLUSH_TIMEOUT_S)
    telemetry.shutdown()
    written = archive if "ndjson" in delivered else None
    console.print()
    console.print(
        summarise(
            session.tally,
            Closing(
                python=platform.python_version(),
                files=len(library.paths),
                unlisted=len(library.unlisted),
                elapsed_s=elapsed_s,
                ending=ending,
                archive=written,
                service=SERVICE,
                deliveries=_verdicts(delivered),
                commands=_next_commands(written if delivered.ok else None),
            ),
        ),
        markup=False,
        soft_wrap=True,
    )
    if ending == "interrupted":
        context.exit(EXIT_INTERRUPTED)
    context.exit(0 if delivered.ok else EXIT_NO)


def _work(
    session: Session, library: Library, console: Console, *, seconds: float, files: int | None
) -> Ending:
    """Work until time, files or the user's patience is over; say which."""
    limit = len(library.paths) if files is None else files
    # With time left behind the last file they begin again: a service goes on.
    paths = itertools.cycle(library.paths) if files is None else library.paths[:files]
    began_s = time.monotonic()
    with (
        _interrupts() as interrupted,
        Display(console, limit, time.monotonic) as display,
        closing(session.run(paths)) as steps,
    ):
        for step in steps:
            display.show(step)
            if interrupted:
                return "interrupted"
            if files is None and time.monotonic() - began_s >= seconds:
                return "time"
    return "files"


@contextmanager
def _interrupts() -> Iterator[list[int]]:
    """Collect a first Ctrl-C, so that the file under way is finished; a second ends at once."""
    received: list[int] = []

    def receive(number: int, frame: FrameType | None) -> None:
        del frame
        received.append(number)
        signal.signal(signal.SIGINT, signal.default_int_handler)

    before = signal.signal(signal.SIGINT, receive)
    try:
        yield received
    finally:
        signal.signal(signal.SIGINT, before)


def _configure(archive: str) -> Telemetry:
    try:
        return otel_metrics.configure(
            service_name=SERVICE,
            ndjson_path=archive,
            metric_export_interval=None if os.environ.get(INTERVAL_VARIABLE) else "1s",
        )
    except ConfigurationError as error:
        raise click.UsageError(str(error)) from error


def _opening(telemetry: Telemetry) -> str:
    port = telemetry.metrics_port
    page = f"; metrics page while it runs: http://localhost:{port}/metrics" if port else ""
    return f"Two agents read Python's standard library{page}"


def _verdicts(result: FlushResult) -> Mapping[str, str]:
    return {
        name: f"{verdict.status}: {verdict.reason}" if verdict.reason else verdict.status
        for name, verdict in result.items()
    }


def _next_commands(archive: str | None) -> list[str]:
    """Return three commands that work as they stand, from this folder and this shell."""
    program = _program()
    if archive is None:
        return [f"{program} doctor", f"{program} catalog list", f"{program} --help"]
    where = (
        "" if archive in (DEFAULT_ARCHIVE, "telemetry") else f" --archive {shlex.quote(archive)}"
    )
    return [
        f"{program} archive ls{where}",
        f"{program} archive cat{where} --event skill.outcome | head -3",
        f"{program} catalog list",
    ]


def _program() -> str:
    """Return how the shell finds this program: by name, or where it is not on PATH, by path."""
    started = sys.argv[0]
    if os.path.basename(started) != PROGRAM or not os.path.exists(started):
        return PROGRAM
    found = shutil.which(PROGRAM)
    if found is not None and os.path.samefile(found, started):
        return PROGRAM
    near = os.path.relpath(started)
    return shlex.quote(os.path.abspath(started) if near.startswith(os.pardir) else near)
