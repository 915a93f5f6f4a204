"""SIGTERM under the servers that services run in: each has handlers of its own."""

import os
import signal
import socket
import sys
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.e2e.processes import Program, until

if TYPE_CHECKING:
    from tests.e2e.conftest import Archived

pytestmark = pytest.mark.slow

REQUESTS = 40

WSGI = """
import otel_metrics
from otel_metrics import instruments
otel_metrics.configure()
def app(environ, start_response):
    instruments.metric("skill.executions").add(1, {"gen_ai.skill.name": "x"})
    start_response("200 OK", [])
    return [b"done"]
"""
ASGI = """
import os
import otel_metrics
from otel_metrics import instruments
otel_metrics.configure()
async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        while (await receive())["type"] != "lifespan.shutdown":
            await send({"type": "lifespan.startup.complete"})
            open(f"started-{os.getpid()}", "w").close()
        instruments.metric("skill.executions").add(1, {"gen_ai.skill.name": "end"})
        await send({"type": "lifespan.shutdown.complete"})
        return
    instruments.metric("skill.executions").add(1, {"gen_ai.skill.name": "x"})
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"done"})
"""
GUNICORN = """
def post_worker_init(worker):
    open(f"started-{worker.pid}", "w").close()
"""
UVICORN = """
import sys, uvicorn
from service import app
uvicorn.run(app, port=int(sys.argv[1]), log_level="warning")
"""


@pytest.fixture
def free_port() -> int:
    """Return a port that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as found:
        return int(found.getsockname()[1])


@pytest.fixture
def serve(tmp_path: Path, free_port: int) -> Iterator[Callable[..., Program]]:
    """Start a server of `service.py` in the test's folder, and wait until it answers."""
    programs: list[Program] = []

    def serve_(service: str, *command: str) -> Program:
        (tmp_path / "service.py").write_text(service)
        env = {"PYTHONPATH": str(tmp_path)}
        programs.append(Program(tmp_path, command=[sys.executable, *command], env=env))
        until(lambda: answers(free_port))
        return programs[-1]

    yield serve_
    for program in programs:
        program.kill()


def answers(port: int) -> bool:
    """Tell whether a request is answered."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}", timeout=5) as reply:
            return bool(reply.read() == b"done")
    except OSError:
        return False


@pytest.mark.parametrize("how", ["lazily", "by code", "workers"])
def test_uvicorn(
    serve: Callable[..., Program],
    archived: "Archived",
    tmp_path: Path,
    free_port: int,
    how: str,
) -> None:
    """uvicorn ends gracefully and raises the signal again: what was recorded until then is kept,
    what the service records while it ends included, and the status is still the signal's."""
    (tmp_path / "main.py").write_text(UVICORN)
    workers = ["--workers", "2"] if how == "workers" else []
    lazily = ["-m", "uvicorn", "service:app", "--port", f"{free_port}", *workers]
    program = serve(ASGI, *(["main.py", f"{free_port}"] if how == "by code" else lazily))
    # One that answers is not all: another worker may still be starting.
    until(lambda: len([*tmp_path.glob("started-*")]) == (2 if workers else 1))
    answered = 1 + sum(answers(free_port) for _ in range(REQUESTS))
    program.send(signal.SIGTERM)
    status, errors = program.end()

    assert "Traceback" not in errors
    assert status == (0 if workers else -signal.SIGTERM)
    assert answered == 1 + REQUESTS
    assert archived.totals("skill.executions") == {
        '{"gen_ai.skill.name": "x"}': answered,
        '{"gen_ai.skill.name": "end"}': 2 if workers else 1,
    }


@pytest.mark.parametrize("options", [["--preload"], ["--threads", "2"], []])
def test_gunicorn(
    serve: Callable[..., Program],
    archived: "Archived",
    tmp_path: Path,
    free_port: int,
    options: list[str],
) -> None:
    """gunicorn's own handlers end its workers by an exit, which exports what each recorded."""
    (tmp_path / "gunicorn.conf.py").write_text(GUNICORN)
    bind = ["--bind", f"127.0.0.1:{free_port}", "--workers", "3"]
    program = serve(WSGI, "-m", "gunicorn", *bind, *options, "service:app")
    # gunicorn never hears a signal that comes while it forks a worker.
    until(lambda: len([*tmp_path.glob("started-*")]) == 3)
    answered = 1 + sum(answers(free_port) for _ in range(REQUESTS))
    program.send(signal.SIGTERM)
    status, errors = program.end()

    assert (status, "Traceback" in errors) == (0, False)
    assert archived.total("skill.executions") == answered == 1 + REQUESTS


def test_one_worker_of_gunicorn_alone(
    serve: Callable[..., Program], archived: "Archived", free_port: int
) -> None:
    """A single worker that is signalled exports, and the master replaces it."""
    bind = ["--bind", f"127.0.0.1:{free_port}", "--workers", "1"]
    program = serve(WSGI, "-m", "gunicorn", *bind, "--preload", "service:app")
    master = program.process.pid
    [worker] = Path(f"/proc/{master}/task/{master}/children").read_text().split()
    os.kill(int(worker), signal.SIGTERM)
    until(lambda: not Path(f"/proc/{worker}").exists())

    assert archived.total("skill.executions") == 1
    until(lambda: answers(free_port))
