"""`otel-metrics executions record`: append a run, and publish its event where that is asked for."""

import os
import sys
from collections.abc import Mapping
from typing import Any, Final

import click

from otel_metrics.cli import formats
from otel_metrics.cli.executions import record_input
from otel_metrics.cli.executions.options import (
    EXIT_NO,
    EXIT_WRONG,
    end,
    open_files,
    project_option,
    say,
)
from otel_metrics.cli.executions.record_input import InputError
from otel_metrics.cli.executions.telemetry import recorded
from otel_metrics.cli.measures import Number
from otel_metrics.executions import ExecutionFiles, broker
from otel_metrics.executions.broker import BrokerError
from otel_metrics.executions.folder import Kept
from otel_metrics.executions.publisher import publish
from otel_metrics.plurals import counted

__all__ = ["record"]

PUBLISH_TIMEOUT_S: Final = 5.0
"""For this event and those that wait; what is not sent then waits on."""


@click.command()
@click.argument("agent")
@click.option("--success", is_flag=True, help="The run did what it was to do.")
@click.option("--failure", is_flag=True, help="It did not.")
@click.option(
    "--time",
    "time_s",
    type=Number("seconds, a number from 0"),
    metavar="S",
    help="How long it took, in seconds.",
)
@click.option(
    "--quality",
    type=Number("a share from 0 to 1", most=1),
    metavar="Q",
    help="Quality of the result, 0 to 1.",
)
@click.option(
    "--idempotency-key",
    "key",
    metavar="K",
    help="Names the run: a second record with the same key is not appended.",
)
@click.option(
    "--json",
    "source",
    metavar="JSON",
    help="The record, a JSON object with any of the record's fields; - reads it from standard "
    "input.",
)
@click.option(
    "--emit-event",
    "announce",
    is_flag=True,
    help="Publish that it was recorded, to NATS_URL, behind what waits.",
)
@project_option
@click.pass_context
def record(
    context: click.Context,
    *,
    agent: str,
    success: bool,
    failure: bool,
    time_s: float | None,
    quality: float | None,
    key: str | None,
    source: str | None,
    announce: bool,
    project: str,
) -> None:
    """Record a run of AGENT in the files of a project.

    Fields that no option gives (timestamp, primary_metric, session_id, metadata) are given as JSON;
    what option and JSON both say must be the same. A key that the agent's file has is a duplicate:
    nothing is appended, counted or published, and the status is 0.

    A broker that does not answer costs nothing: the event waits in outbox.jsonl, for the next
    record with --emit-event or executions publish. Broker: NATS_URL (nats://localhost:4222),
    NATS_CREDS; project in the event: KAIZEN_PROJECT_SLUG, else the folder's name.

    The run is also counted, and its event archived or shipped, where OTEL_METRICS_EXPORTER,
    OTEL_LOGS_EXPORTER, OTEL_EXPORTER_NDJSON_PATH or OTEL_CONFIG_FILE says so, and else not.

    Exit status 1 when the disk did not take it; 2 when something given is wrong, or the project's
    folder is not there.
    """
    if success and failure:
        end(context, "--success, --failure: are given together; give one of them", EXIT_WRONG)
    options = {
        "agent": agent,
        "success": success if success or failure else None,
        "execution_time_s": time_s,
        "quality_score": quality,
        "idempotency_key": key,
    }
    taken = _taken(context, source)
    given = _given(context, taken, options)
    files = open_files(context, project)
    try:
        with recorded():
            kept = files.keep(given, announce=announce)
    except ValueError as error:
        end(context, record_input.as_given(str(error), taken, _named(source)), EXIT_WRONG)
    except OSError as error:
        reason = f"{error.filename}: {error.strerror}" if error.filename else str(error)
        end(context, f"{agent}: not recorded: {reason}", EXIT_NO)
    _tell(agent, kept, given.get("idempotency_key"))
    if announce:
        _publish(files, agent, kept)
    files.close()


def _taken(context: click.Context, source: str | None) -> Mapping[str, Any]:
    """Return the record that is given as JSON; end where it is none."""
    if source is None:
        return {}
    if source == "-":
        data = sys.stdin.buffer.read(record_input.INPUT_BYTES_MAX + 1)
    elif source.lstrip().startswith("{"):
        data = source.encode("utf-8", "surrogateescape")
    else:
        message = f"--json={source}: is no JSON object; give one, or - and it on standard input"
        end(context, message, EXIT_WRONG)
    try:
        return record_input.parsed(data)
    except InputError as error:
        end(context, f"{_named(source)}: {error}", EXIT_WRONG)


def _given(
    context: click.Context, taken: Mapping[str, Any], options: Mapping[str, Any]
) -> dict[str, Any]:
    try:
        given = record_input.merged(taken, options)
    except InputError as error:
        end(context, f"--json: {error}", EXIT_WRONG)
    if given.get("success") is None:
        end(context, "--success, --failure: are missing; give one of them", EXIT_WRONG)
    return given


def _named(source: str | None) -> str:
    """Return what a record is given by, for messages: without the record itself."""
    return "--json=-" if source == "-" else "--json"


def _tell(agent: str, kept: Kept, key: str | None) -> None:
    if kept.is_duplicate:
        click.echo(formats.printable(f"{agent}: duplicate: {key} is recorded; nothing appended"))
        return
    figures = ""
    if kept.summary is not None:
        count, rate = kept.summary["execution_count"], kept.summary["success_rate"]
        figures = f"; {counted(count, 'execution')}, success rate {rate:.3f}"
    click.echo(formats.printable(f"{agent}: recorded{figures}"))


def _publish(files: ExecutionFiles, agent: str, kept: Kept) -> None:
    if kept.trouble is not None:
        say(f"{agent}: the event is lost: {kept.trouble}")
    try:
        target = broker.from_environ(os.environ)
        others = [each for each in files.agents() if each != agent]
        result = publish(files.folder, [agent, *others], target, timeout_s=PUBLISH_TIMEOUT_S)
    except (BrokerError, OSError) as error:
        say(f"{error}; the event waits for executions publish")
        return
    if result.error is not None:
        say(f"{result.error}; waiting for executions publish: {counted(result.waiting, 'event')}")
