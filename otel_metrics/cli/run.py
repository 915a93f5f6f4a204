"""`otel-metrics run -- COMMAND…`: starts any Python program with telemetry, without a line of code.

It is `opentelemetry-instrument` with this bundle's distro and configurator named: installed
instrumentations are started too, and the program replaces this process, so that signals, exit
status and process id are its own.
"""

import os
import shutil
import sys
from typing import Final

import click
from opentelemetry.instrumentation.auto_instrumentation import run as instrument

from otel_metrics.autoconfig.distro import NAME

__all__ = ["run"]

EXIT_NOT_FOUND: Final = 2


@click.command(context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False})
@click.argument("command", nargs=-1, required=True, type=click.UNPROCESSED)
def run(command: tuple[str, ...]) -> None:
    """Start COMMAND with telemetry: otel-metrics run -- python app.py.

    Environment variables configure it; `otel-metrics doctor` prints them.
    """
    if shutil.which(command[0]) is None:
        click.echo(f"otel-metrics run: {command[0]}: no such program on PATH", err=True)
        sys.exit(EXIT_NOT_FOUND)
    os.environ["OTEL_PYTHON_DISTRO"] = NAME
    os.environ["OTEL_PYTHON_CONFIGURATOR"] = NAME
    sys.argv = ["opentelemetry-instrument", *command]
    instrument()
