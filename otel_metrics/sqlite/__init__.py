"""One discipline for every database of ours: WAL, `BEGIN IMMEDIATE`, fork, move aside, migrate."""

from otel_metrics.sqlite.database import BUSY_WAIT_S, Database
from otel_metrics.sqlite.errors import (
    BusyError,
    DamagedError,
    DatabaseError,
    ForeignDatabaseError,
    NewerSchemaError,
)
from otel_metrics.sqlite.files import SUFFIXES
from otel_metrics.sqlite.schema import Schema

__all__ = [
    "BUSY_WAIT_S",
    "SUFFIXES",
    "BusyError",
    "DamagedError",
    "Database",
    "DatabaseError",
    "ForeignDatabaseError",
    "NewerSchemaError",
    "Schema",
]
