"""What the sovereignty commands share: which database."""

import os
from typing import Final

import click

__all__ = ["DB_VARIABLE", "db_option", "named_db"]

DB_VARIABLE: Final = "OTEL_PYTHON_METRICS_SOVEREIGNTY_DB"
DEFAULT_DB: Final = "data/sovereignty_metrics.db"

db_option: Final = click.option(
    "--db",
    type=click.Path(),
    callback=lambda _context, _option, path: os.path.expanduser(path),
    envvar=DB_VARIABLE,
    default=DEFAULT_DB,
    help=f"The database's file. Default: {DB_VARIABLE}, then {DEFAULT_DB}.",
)
"""The option `--db`."""


def named_db(context: click.Context) -> str:
    """Return what the database was named by, for messages."""
    source = context.get_parameter_source("db")
    return DB_VARIABLE if source is click.core.ParameterSource.ENVIRONMENT else "--db"
