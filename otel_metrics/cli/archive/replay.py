"""`otel-metrics archive replay`: send points and events to an OTLP endpoint."""

import os
import re
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any, Final
from urllib.parse import urlsplit

import click
from click.core import ParameterSource

from otel_exporter_ndjson import Finding
from otel_metrics.archive.batches import RECORDS_MAX, SIGNALS, Selection, batches
from otel_metrics.archive.cursor import Cursor, CursorError, archive_id
from otel_metrics.archive.replay import Replay, Senders
from otel_metrics.cli import formats
from otel_metrics.cli.archive.options import (
    EXIT_NO,
    EXIT_PARTLY,
    EXIT_WRONG,
    archive_option,
    segments,
    service_option,
    since_option,
    tell,
    tell_service,
    until_option,
)
from otel_metrics.cli.archive.progress import shown
from otel_metrics.pipeline.otlp import OtlpLogExporter, OtlpMetricExporter, settings
from otel_metrics.pipeline.otlp_values import without_secrets

__all__ = ["replay"]

ENDPOINT: Final = "OTEL_EXPORTER_OTLP_ENDPOINT"
PROTOCOL: Final = "OTEL_EXPORTER_OTLP_PROTOCOL"
PROTOCOLS: Final = ("grpc", "http/protobuf")
HTTP_PORT: Final = 4318
_SCHEME: Final = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://")
_SCHEMES: Final = frozenset(
    {"http", "https", "dns", "unix", "unix-abstract", "vsock", "ipv4", "ipv6", "xds"}
)
"""Of URLs, and of gRPC's own targets; it takes any other for a host's name."""
_NOT_GRPC: Final = "Failed parsing HTTP/2"
"""What gRPC says of a server that answers in HTTP/1."""
_COLUMNS: Final = ("requests", "accepted", "rejected", "left_out")
_PATHS: Final = ("/v1/metrics", "/v1/logs")


@click.command()
@archive_option
@service_option
@since_option
@until_option
@click.option("--signal", type=click.Choice(SIGNALS), help="Only metrics, or only events.")
@click.option(
    "--endpoint",
    envvar=ENDPOINT,
    required=True,
    help=f"Where to: http://host:4317 (gRPC), http://host:4318 (HTTP). Default: {ENDPOINT}.",
)
@click.option(
    "--protocol",
    type=click.Choice(PROTOCOLS),
    help=f"Default: {PROTOCOL}, else http/protobuf for a URL with port {HTTP_PORT} or with a path "
    "other than /, and grpc for every other.",
)
@click.option(
    "--cursor",
    type=click.Path(dir_okay=False),
    help="Keep in this file how far it came, and go on from there the next time.",
)
@click.option(
    "--batch",
    type=click.IntRange(1, RECORDS_MAX),
    default=RECORDS_MAX,
    show_default=True,
    help="Records in a request, at most; fewer where an endpoint takes only small ones.",
)
@formats.option
@click.pass_context
def replay(
    context: click.Context,
    *,
    path: str,
    service: str | None,
    since: int | None,
    until: int | None,
    signal: str | None,
    endpoint: str,
    protocol: str | None,
    cursor: str | None,
    batch: int,
    form: str,
) -> None:
    """Send points and events to an OTLP endpoint, as they were exported.

    Headers, certificates, compression and timeout are those of the OTEL_EXPORTER_OTLP_* variables.
    A secret belongs in OTEL_EXPORTER_OTLP_HEADERS, since others can see a command's words.

    With --cursor, a replay that ended early is taken up behind its last acknowledged batch. An
    endpoint may see records twice when an answer got lost, of the last batch when a replay was
    killed, and those that the service had sent itself. A cumulative point of a time that is there
    says nothing new to a metric backend; events and points of delta temporality count twice.

    Exit status 1 when the folder is no archive or the endpoint did not answer or refused: what is
    left keeps its turn. 2 for a setting that cannot be used. 3 when the endpoint rejected some
    records, or some of the archive is damaged.
    """
    found = segments(context, path)
    run = Replay(senders=_senders(context, endpoint, protocol))
    findings: list[Finding] = []
    with _held(context, cursor, path, run) as run.cursor:
        wanted = Selection(
            signals=SIGNALS if signal is None else (signal,),
            service=service,
            since=since,
            until=until,
        )
        after = None if run.cursor is None else dict(run.cursor.positions)
        try:
            read = batches(path, wanted, after=after, findings=findings, records_max=batch)
            shown(run.run(read), wanted.among(found), "replaying")
        finally:
            run.close()
    click.echo(formats.formatted([_row(run)], form, columns=_COLUMNS))
    tell_service(found, service)
    damaged = tell(findings)
    _tell_outcome(run, resumable=cursor is not None)
    context.exit(_status(run, damaged=damaged))


def _senders(context: click.Context, endpoint: str, protocol: str | None) -> Senders:
    """Return the exporters of both signals; end where something set cannot be used."""
    typed = context.get_parameter_source("endpoint") is ParameterSource.COMMANDLINE
    if typed and "@" in urlsplit(endpoint).netloc:
        message = "--endpoint: a user and password on a command line can be seen by others"
        click.echo(f"{message}; put them in {ENDPOINT} or OTEL_EXPORTER_OTLP_HEADERS", err=True)
        context.exit(EXIT_WRONG)
    environ = {**os.environ, ENDPOINT: _base(endpoint), PROTOCOL: protocol or _usual(endpoint)}
    for signal in ("METRICS", "LOGS"):
        for name in ("ENDPOINT", "PROTOCOL"):
            environ.pop(f"OTEL_EXPORTER_OTLP_{signal}_{name}", None)
    metrics, wrong = settings(environ, "metrics")
    logs, more = settings(environ, "logs")
    for problem in dict.fromkeys((*wrong, *more)):
        named = "--endpoint" if typed and problem.variable == ENDPOINT else problem.variable
        said = problem.message.partition("; used instead")[0]
        click.echo(formats.printable(f"{named}={problem.value}: {said}"), err=True)
    scheme = _SCHEME.match(endpoint)
    odd = scheme is not None and (
        scheme[1].lower() not in _SCHEMES or not endpoint[scheme.end() :].strip("/")
    )
    if odd and not (wrong or more):
        said = "accepted are http://, https:// and, for gRPC, a target such as host:4317"
        named = "--endpoint" if typed else ENDPOINT
        click.echo(formats.printable(f"{named}={without_secrets(endpoint)}: {said}"), err=True)
    if wrong or more or odd:  # what an exporter would do instead is not what was asked for
        context.exit(EXIT_WRONG)
    return {
        "metrics": OtlpMetricExporter.from_settings(metrics),
        "events": OtlpLogExporter.from_settings(logs),
    }


def _base(endpoint: str) -> str:
    """Return an endpoint without the path of a signal, which OTLP over HTTP adds."""
    for path in _PATHS:
        endpoint = endpoint.removesuffix(path)
    return endpoint


def _usual(endpoint: str) -> str:
    said = os.environ.get(PROTOCOL, "").strip()
    if said:
        return said
    try:
        url = urlsplit(endpoint)
        is_http = url.port == HTTP_PORT or url.path not in ("", "/")
    except ValueError:  # told when the endpoint is read
        return PROTOCOLS[0]
    return PROTOCOLS[is_http and url.scheme in ("http", "https")]


@contextmanager
def _held(
    context: click.Context, cursor: str | None, path: str, run: Replay
) -> Iterator[Cursor | None]:
    """Hold the cursor's file, where one is given, while records are sent."""
    if cursor is None:
        yield None
        return
    address = run.senders["metrics"].settings.address
    with ExitStack() as stack:
        try:
            manager = Cursor.held(cursor, archive=archive_id(path), endpoint=address)
            held = stack.enter_context(manager)
        except (CursorError, OSError) as error:
            said = f"--cursor={cursor}: {error.strerror}" if isinstance(error, OSError) else error
            click.echo(formats.printable(str(said)), err=True)
            context.exit(EXIT_WRONG)
        yield held


def _row(run: Replay) -> Mapping[str, Any]:
    return {
        "endpoint": run.senders["metrics"].settings.address,
        "requests": run.requests,
        "accepted": run.accepted,
        "rejected": run.rejected,
        "left_out": run.left_out,
        "failure": run.failure,
    }


def _tell_outcome(run: Replay, *, resumable: bool) -> None:
    for message, times in run.messages.items():
        often = f" ({times} times)" if times > 1 else ""
        click.echo(formats.printable(f"{message}{often}"), err=True)
    if run.failure is not None:
        rest = "the rest keeps its turn" if resumable else "give --cursor FILE to go on from there"
        click.echo(formats.printable(f"not delivered: {run.failure}; {rest}"), err=True)
        if _NOT_GRPC in run.failure:
            message = "that is no gRPC server; where it takes OTLP over HTTP, give"
            click.echo(f"{message} --protocol http/protobuf", err=True)


def _status(run: Replay, *, damaged: bool) -> int:
    if run.failure is not None:
        return EXIT_NO
    return EXIT_PARTLY if damaged or run.rejected or run.left_out else 0
