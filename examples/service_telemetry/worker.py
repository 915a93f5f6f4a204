"""Creates tasks in a database, and works on them: what the starter queries of `executor.*` measure.

Needs `pip install otel-metrics[sql]`. Run these in the folder that holds examples/, with the URL of
a SQLite file or of a PostgreSQL (`postgresql://user:password@host/database`):

    python examples/service_telemetry/worker.py prepare sqlite:///tasks.db
    python examples/service_telemetry/worker.py create sqlite:///tasks.db --tasks 30
    python examples/service_telemetry/worker.py work sqlite:///tasks.db --until-done

Several may work at once, each under a name of its own (`--name`).
"""

import argparse
import signal
import time
from datetime import UTC, datetime
from pathlib import Path

from sqlalchemy import Connection, Engine, create_engine, make_url, text

SCHEMA = Path(__file__).with_name("schema.sql")
REST_S = 0.1
"""How long a worker waits before it looks at an empty queue again."""


def main() -> None:
    """Do what the command line says."""
    signal.signal(signal.SIGTERM, lambda *_: exit_quietly())
    given = arguments()
    url = make_url(given.url)
    if url.get_backend_name() == "postgresql":
        url = url.set(drivername="postgresql+psycopg")
    engine = create_engine(url)
    if given.what == "prepare":
        prepare(engine)
    elif given.what == "create":
        create(engine, given.queue, given.tasks)
        print(f"{given.tasks} tasks wait in {given.queue}")
    else:
        done = work(engine, given.name, given.queue, given.task_s, until_done=given.until_done)
        print(f"{given.name} finished {done} tasks")


def arguments() -> argparse.Namespace:
    """Return the command line, read."""
    parser = argparse.ArgumentParser(description="Tasks in a database.")
    parser.add_argument("what", choices=["prepare", "create", "work"])
    parser.add_argument("url")
    parser.add_argument("--queue", default="emails")
    parser.add_argument("--tasks", type=int, default=10, help="how many to create")
    parser.add_argument("--name", default="worker-1", help="of this worker")
    parser.add_argument("--task-s", type=float, default=0.05, help="what one task takes")
    parser.add_argument("--until-done", action="store_true", help="end with the last task")
    return parser.parse_args()


def exit_quietly() -> None:
    """End as a worker does that is not needed any more."""
    raise SystemExit(0)


def prepare(engine: Engine) -> None:
    """Make the tables."""
    with engine.begin() as connection:
        for statement in SCHEMA.read_text().split(";\n"):
            if statement.strip():
                connection.execute(text(statement))


def create(engine: Engine, queue: str, tasks: int) -> None:
    """Put tasks into a queue."""
    with engine.begin() as connection:
        last = connection.execute(text("SELECT COALESCE(MAX(id), 0) FROM tasks")).scalar_one()
        rows = [{"id": last + 1 + n, "queue": queue, "now": now()} for n in range(tasks)]
        connection.execute(
            text(
                "INSERT INTO tasks (id, queue, status, created_at) "
                "VALUES (:id, :queue, 'pending', :now)"
            ),
            rows,
        )


def work(engine: Engine, name: str, queue: str, task_s: float, *, until_done: bool) -> int:
    """Take one task after the other, and return how many were finished."""
    done = 0
    while True:
        with engine.begin() as connection:
            task = take(connection, queue)
            report(connection, name, queue, busy=task is not None)
        if task is not None:
            time.sleep(task_s)  # what a real task does
            with engine.begin() as connection:
                finish(connection, task)
            done += 1
        elif until_done:
            return done
        else:
            time.sleep(REST_S)


def take(connection: Connection, queue: str) -> int | None:
    """Take the oldest task that waits; None where none does, or another worker was quicker."""
    taken = connection.execute(
        text(
            "UPDATE tasks SET status = 'running', started_at = :now "
            "WHERE status = 'pending' AND id = "
            "(SELECT MIN(id) FROM tasks WHERE status = 'pending' AND queue = :queue) "
            "RETURNING id"
        ),
        {"now": now(), "queue": queue},
    ).scalar_one_or_none()
    return None if taken is None else int(taken)


def finish(connection: Connection, task: int) -> None:
    """Say that a task is done."""
    connection.execute(
        text("UPDATE tasks SET status = 'done', finished_at = :now WHERE id = :task"),
        {"now": now(), "task": task},
    )


def report(connection: Connection, name: str, pool: str, *, busy: bool) -> None:
    """Say that this worker is there, and whether it is busy."""
    connection.execute(
        text(
            "INSERT INTO workers (id, pool, busy, seen_at) VALUES (:name, :pool, :busy, :now) "
            "ON CONFLICT (id) DO UPDATE SET busy = excluded.busy, seen_at = excluded.seen_at"
        ),
        {"name": name, "pool": pool, "busy": busy, "now": now()},
    )


def now() -> str:
    """Return the time as both databases keep it, in UTC."""
    return datetime.now(UTC).strftime("%Y-%m-%d %H:%M:%S.%f")


if __name__ == "__main__":
    main()
