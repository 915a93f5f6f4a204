"""`otel-metrics`: the root of the commands. Each lives in a file of its own, loaded when called."""

import contextlib
import os
import sys
from typing import Final

import click

from otel_metrics.cli.formats import printable
from otel_metrics.cli.lazy import LazyGroup
from otel_metrics.version import __version__

__all__ = ["main", "root"]

COMMANDS: Final = {
    "run": "Start any program with telemetry.",
    "doctor": "Say what is in force, and try every exporter.",
    "demo": "Run a small agent that does real work, and show what was recorded.",
    "catalog": "List, check and render the catalog of metrics.",
    "archive": "Look into an archive.",
    "efficiency": "Ask what became of the efficiency.",
    "budgets": "See and set what tenants, skills and agents may spend.",
    "executions": "Record runs of agents, and see what they come to.",
    "skills": "See what skills come to, and move them between their states.",
    "playbooks": "See what can be done about a metric out of its band, do it, and stop it.",
    "approvals": "Decide about playbooks that need a person's approval.",
    "sovereignty": "Report on work with and without a model, and rebuild its database.",
}
"""Every command with its summary. `otel_metrics.cli.<command>` holds it, under the same name."""

EXIT_NO: Final = 1
EXIT_INTERRUPTED: Final = 130


@click.group(
    cls=LazyGroup,
    package="otel_metrics.cli",
    summaries=COMMANDS,
    context_settings={"help_option_names": ["-h", "--help"]},
)
@click.version_option(__version__, prog_name="otel-metrics")
def root() -> None:
    """Metrics of AI-agent systems: archived, scraped and shipped.

    Exit status: 0 done; 1 the answer is no; 2 wrong use or unsafe setting; 3 done in part;
    130 interrupted.
    """


def main() -> None:
    """Run the command line, and end with its exit status."""
    # Not `root.main()`: that ends with status 1 when the reader of a pipe goes away (`| head`).
    try:
        with root.make_context("otel-metrics", sys.argv[1:]) as context:
            root.invoke(context)
        if sys.stdout is not None:  # closed by the shell, `>&-`
            sys.stdout.flush()
    except click.exceptions.Exit as ended:
        sys.exit(ended.exit_code)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except (click.Abort, KeyboardInterrupt):
        sys.exit(EXIT_INTERRUPTED)
    except BrokenPipeError:
        _discard_output()
    except OSError as error:
        _discard_output()
        named = f"{error.filename}: " if error.filename else ""
        with contextlib.suppress(OSError):
            click.echo(f"otel-metrics: {printable(named)}{error.strerror or error}", err=True)
        sys.exit(EXIT_NO)


def _discard_output() -> None:
    """Let what is left in standard output go: Python flushes it once more at exit, and would
    complain."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
