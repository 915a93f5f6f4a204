"""`otel-metrics run -- COMMAND…`: starts any program with telemetry, without a line of code.

The program is replaced, not wrapped: signals, exit status and process id are its own. Python
programs are reached through `sitecustomize`, as `opentelemetry-instrument` does it.
"""

import os
import shutil
import sys
from pathlib import Path
from typing import Final

import click

import otel_metrics.autoconfig

__all__ = ["run"]

HOOK_DIR: Final = Path(otel_metrics.autoconfig.__file__).parent / "hook"
"""The folder with the `sitecustomize` that starts telemetry."""
EXIT_NOT_FOUND: Final = 2


@click.command(context_settings={"ignore_unknown_options": True})
@click.argument("command", nargs=-1, required=True, type=click.UNPROCESSED)
def run(command: tuple[str, ...]) -> None:
    """Start COMMAND with telemetry: otel-metrics run -- python app.py.

    Environment variables configure it; see `otel-metrics doctor`. Without OTEL_SERVICE_NAME the
    service is called after the program.
    """
    program = shutil.which(command[0])
    if program is None:
        click.echo(f"otel-metrics run: {command[0]}: no such program on PATH", err=True)
        sys.exit(EXIT_NOT_FOUND)
    environ = dict(os.environ)
    path = environ.get("PYTHONPATH")
    environ["PYTHONPATH"] = f"{HOOK_DIR}{os.pathsep}{path}" if path else str(HOOK_DIR)
    environ["OTEL_METRICS_RUN"] = "1"
    os.execve(program, list(command), environ)  # noqa: S606  # the program is what the user typed
