"""`otel-metrics executions publish`: send what waits to the broker."""

import os

import click

from otel_metrics.cli import formats
from otel_metrics.cli.executions.options import (
    EXIT_NO,
    EXIT_PARTLY,
    EXIT_WRONG,
    end,
    open_files,
    project_option,
    say,
)
from otel_metrics.executions import broker, publisher
from otel_metrics.executions.broker import BrokerError
from otel_metrics.plurals import counted

__all__ = ["publish"]


@click.command()
@project_option
@click.pass_context
def publish(context: click.Context, *, project: str) -> None:
    """Publish the events that record --emit-event left waiting, each agent's in their order.

    With a JetStream stream on the subject activity.kaizen.metrics.recorded, an event leaves the
    outbox when the stream has it, and one that was sent before is discarded by the server; without
    one it leaves when the server has passed it on. Broker: NATS_URL (nats://localhost:4222),
    NATS_CREDS.

    Exit status 1 when the broker did not take them; 2 when the project's folder is not there, or
    NATS_URL or NATS_CREDS cannot be used; 3 when some are larger than the broker takes, and the
    others were sent.
    """
    files = open_files(context, project)
    try:
        target = broker.from_environ(os.environ)
    except BrokerError as error:
        end(context, str(error), EXIT_WRONG)
    result = publisher.publish(files.folder, files.agents(), target)
    if result.sent:
        click.echo(formats.printable(f"{counted(result.sent, 'event')} sent to {target.shown}"))
    elif result.error is None:
        click.echo("no event waits")
    if result.error is not None:
        say(f"{result.error}; waiting: {counted(result.waiting, 'event')}")
        context.exit(EXIT_PARTLY if result.waiting == result.too_large else EXIT_NO)
