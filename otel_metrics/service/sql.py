"""One query of a database as a source: a number, or rows of resource id and number.

A query may use `:now` and `:since`, times in UTC of the question and of five minutes before. A
column that is called `oldest_at` holds times, and the value is their age in seconds.

Threads: a question's own.
"""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import sqlalchemy
from sqlalchemy.engine import Connection, make_url
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from otel_metrics.service.readings import RESOURCES_MAX, ErrorType, Read, Readings, SourceError
from otel_metrics.service.sql_engines import open_engine, read_only, shown

__all__ = ["AGE_COLUMN", "WINDOW_S", "sql_reader"]

WINDOW_S: Final = 300
"""How long before `:now` is `:since`."""
AGE_COLUMN: Final = "oldest_at"
SAID_CHARS_MAX: Final = 300

_TIMEOUTS: Final = frozenset({"57014", "SQLITE_INTERRUPT", "SQLITE_BUSY"})
"""PostgreSQL's `query_canceled`, and SQLite's names, of what took too long."""
_REMEDIES: Final[Mapping[ErrorType, str]] = {
    "connection": "see that it is there, and that this service may read it",
    "query": "mend the metric's `query`, or the database",
}


def sql_reader(variable: str, url: str, query: str, timeout_s: float) -> Read:
    """Return what asks `query` of the database that `url` names.

    Raises:
        SourceError: the URL is of no use; it says why.
    """
    engine = open_engine(variable, url, timeout_s)
    asked = f"{variable}={shown(make_url(url))}"
    secret = engine.url.password
    statement = sqlalchemy.text(query)
    wanted = statement.compile().params.keys()
    as_text = engine.dialect.name == "sqlite"

    def read() -> Readings:
        now = datetime.now(UTC).replace(tzinfo=None)
        parameters = {name: value for name, value in _times(now, as_text).items() if name in wanted}
        try:
            connection = read_only(engine, timeout_s)
        except SQLAlchemyError as error:
            raise _failure(error, "connection", asked, secret) from None
        try:
            return _rows(connection, statement, parameters, now)
        except SQLAlchemyError as error:
            raise _failure(error, "query", asked, secret) from None
        finally:
            connection.close()

    return read


def _times(now: datetime, as_text: bool) -> Mapping[str, object]:  # noqa: FBT001
    """Return the times that a query may use; SQLite keeps times as text, as `datetime()` does."""
    times = {"now": now, "since": now - timedelta(seconds=WINDOW_S)}
    if not as_text:
        return times
    return {name: at.isoformat(" ", "microseconds") for name, at in times.items()}


def _rows(
    connection: Connection,
    statement: sqlalchemy.TextClause,
    parameters: Mapping[str, object],
    now: datetime,
) -> Readings:
    with connection.execute(statement, parameters) as result:
        columns = [column.lower() for column in result.keys()]  # noqa: SIM118  # a result is no mapping
        rows: Sequence[Sequence[Any]] = result.fetchmany(RESOURCES_MAX + 1)
    if len(columns) == 2:
        found = [(None if row[0] is None else str(row[0]), row[1]) for row in rows]
        if len({id_ for id_, _ in found}) < len(found):
            raise SourceError("ambiguous", "several rows for one resource; group by it")
    elif len(columns) == 1:
        found = [(None, row[0]) for row in rows]
        if not found:
            raise SourceError("no_rows", "no row; ask for a number, or for resource and number")
        if len(found) > 1:
            raise SourceError("ambiguous", "several rows of one column; add the resource's id")
    else:
        raise SourceError("query", f"{len(columns)} columns; one (number), or two (resource, it)")
    is_time = columns[-1] == AGE_COLUMN
    return {id_: _age_s(value, now) if is_time else value for id_, value in found}


def _age_s(at: object, now: datetime) -> object:
    """Return how long ago a time was, in seconds; what is none stays as it is, and is refused."""
    if isinstance(at, str):
        try:
            at = datetime.fromisoformat(at)
        except ValueError:
            return at
    if isinstance(at, datetime):
        moment = at if at.tzinfo is None else at.astimezone(UTC).replace(tzinfo=None)
        return max(0.0, (now - moment).total_seconds())
    return str(at) if at is not None else None


def _failure(error: SQLAlchemyError, kind: ErrorType, asked: str, secret: object) -> SourceError:
    """Return what went wrong, in the database's own words, without statement and password.

    Args:
        asked: which database, as it was set, for the message.
    """
    said = error
    if isinstance(error, DBAPIError) and error.orig is not None:
        said = error.orig  # type: ignore[assignment]  # an exception of the driver's
        if error.connection_invalidated:
            kind = "connection"
        codes = {getattr(said, "sqlstate", None), getattr(said, "sqlite_errorname", None)}
        if not _TIMEOUTS.isdisjoint(codes):
            kind = "timeout"
    text = (str(said).strip() or type(said).__name__).splitlines()[0][:SAID_CHARS_MAX]
    text = text.replace(str(secret), "***") if secret else text
    remedy = _REMEDIES.get(kind)
    return SourceError(kind, f"{asked}: {text}{f'; {remedy}' if remedy else ''}")
