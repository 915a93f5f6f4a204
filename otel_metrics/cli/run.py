"""`otel-metrics run -- COMMAND…`: starts any Python program with telemetry, without a line of code.

It is `opentelemetry-instrument` with this bundle's distro and configurator named: installed
instrumentations are started too, and the program replaces this process, so that signals, exit
status and process id are its own.
"""

import os
import re
import shlex
import shutil
import subprocess
import sys
from typing import Final

import click
from opentelemetry.instrumentation.auto_instrumentation import run as instrument

from otel_metrics.autoconfig.distro import NAME

__all__ = ["run"]

EXIT_WRONG: Final = 2
IMPORT_TIMEOUT_S: Final = 30.0
"""What another interpreter is given to say whether it knows this bundle."""
_PYTHON = re.compile(r"python[0-9.]*")


@click.command(context_settings={"allow_interspersed_args": False})
@click.argument("command", nargs=-1, required=True, type=click.UNPROCESSED)
def run(command: tuple[str, ...]) -> None:
    """Start COMMAND with telemetry: otel-metrics run -- python app.py.

    Environment variables configure it; `otel-metrics doctor` prints them. COMMAND's interpreter has
    to be one in which this bundle is installed. Exit status: that of COMMAND, or 2 where it cannot
    be started.
    """
    program = shutil.which(command[0])
    why = _why_not(command) if program is None else _why_not_python(program)
    if why is not None:
        click.echo(f"otel-metrics run: {command[0]}: {why}", err=True)
        sys.exit(EXIT_WRONG)
    os.environ["OTEL_PYTHON_DISTRO"] = NAME
    os.environ["OTEL_PYTHON_CONFIGURATOR"] = NAME
    sys.argv = ["opentelemetry-instrument", *command]
    instrument()


def _why_not(command: tuple[str, ...]) -> str:
    """Return why there is no such program, with what was meant."""
    name = command[0]
    if os.path.isdir(name):
        return "is a folder; name a program in it"
    if not os.path.exists(name):
        return "no such program on PATH"
    if name.endswith(".py"):
        return f"cannot be started by itself; did you mean `{shlex.join(['python', *command])}`?"
    return "is not executable; name the program that runs it, or chmod +x it"


def _why_not_python(program: str) -> str | None:
    """Return why an interpreter of another environment would fail; None for all other programs.

    Without this bundle it would start without telemetry, behind an import error of its own.
    """
    name, beside = os.path.basename(program), os.path.dirname(sys.executable)
    if not _PYTHON.fullmatch(name) or os.path.samefile(os.path.dirname(program) or ".", beside):
        return None
    try:
        asked = subprocess.run(  # noqa: S603  # what the user asks us to start anyway
            [program, "-c", "import otel_metrics"],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=IMPORT_TIMEOUT_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return None
    if asked.returncode == 0:
        return None
    return (
        "this Python cannot import otel_metrics; install it there, "
        f"or start {shlex.quote(sys.executable)}"
    )
